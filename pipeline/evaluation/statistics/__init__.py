"""Statistics of features and of images: pure functions of arrays, in float64."""
