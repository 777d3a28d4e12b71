"""Local server with TensorFlow Serving's APIs, for development and tests."""
