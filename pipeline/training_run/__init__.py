"""Access to a training run on disk: its folder, its lineage and its saved networks."""
