"""Families of networks, one folder each, with its section of the configuration and its networks."""
