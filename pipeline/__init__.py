"""The process: configuration, data, networks, objectives, training and the command line."""
