"""Weights of other runs, and those that others published, as networks and runs of ours."""
