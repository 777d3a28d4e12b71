"""Replicas and workers: strategies, clusters, and the share of a batch that each takes."""
