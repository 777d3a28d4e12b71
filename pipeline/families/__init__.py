"""Families of networks: one folder each, with its configuration section and its networks."""
