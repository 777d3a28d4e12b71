"""Statistics of features and images: pure functions of arrays in float64."""
