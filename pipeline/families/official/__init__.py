"""Published weights: readers of their files, checks of their settings, layouts of arrays."""
