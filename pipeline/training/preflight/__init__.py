"""Preflight check: memory and time of each phase, estimated or measured before a run."""
