"""Training loop, which drives any task from its newest checkpoint to the end of its schedule."""
