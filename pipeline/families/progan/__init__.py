"""ProGAN: its section of the configuration and its networks."""
