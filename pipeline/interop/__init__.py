"""Weights from elsewhere: published weights as Keras models or as runs, and weights of other runs."""
