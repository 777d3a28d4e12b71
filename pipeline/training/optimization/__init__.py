"""Updates of networks: gradients, micro-batches, loss scaling, lazy regularisation and EMA."""
