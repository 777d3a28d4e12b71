"""Training: the loop, tasks with their compiled steps, and the state that checkpoints hold."""
