"""Export, verify, publish and serve SavedModels with named signatures."""
