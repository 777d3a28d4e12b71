"""Generated images of a run: single images by seed, grids and sheets of styles."""
