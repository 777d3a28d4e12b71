"""The check before a run: memory and time of each phase, estimated or tried."""
