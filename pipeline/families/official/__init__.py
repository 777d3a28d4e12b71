"""Import of published weights, shared by families: file readers, checks, layouts of arrays."""
