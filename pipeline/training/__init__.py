"""Training: the compiled step, the loop around it, and everything a run must keep."""
