"""A model repository as TensorFlow Serving watches it: versions, labels, and how they change."""
