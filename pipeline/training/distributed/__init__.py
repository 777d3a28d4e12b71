"""Replicas and workers: strategies, their clusters, and each one's share of a batch."""
