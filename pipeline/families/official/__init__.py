"""Files of published weights: reading them, checking their settings, and layouts of arrays."""
