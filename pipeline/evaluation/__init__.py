"""Evaluate a run: compute image features and scores, write reports, and apply the gate."""
