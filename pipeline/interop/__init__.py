"""Weights from elsewhere: published weights as models or as runs, and weights of other runs."""
