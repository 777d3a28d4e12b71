"""A local server that speaks TensorFlow Serving's language, for development and tests."""
