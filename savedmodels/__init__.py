"""The product: SavedModels with named signatures, and the files they live in."""
