"""Statistics behind the scores: pure functions of arrays of features or images, in float64."""
