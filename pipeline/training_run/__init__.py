"""One training run: its folder, its lineage, and the networks that it has saved."""
