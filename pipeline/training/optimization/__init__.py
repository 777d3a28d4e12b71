"""Updates of networks: gradients in micro-batches, loss scales, lazy terms and averages."""
