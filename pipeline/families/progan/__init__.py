"""ProGAN: its section of the configuration, its networks, and import of published weights."""
