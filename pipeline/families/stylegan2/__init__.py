"""StyleGAN2: its section of the configuration and its networks."""
