"""Model repository for TensorFlow Serving: versions, labels, and changes of both."""
