"""Local server of `growgan serve`, with TensorFlow Serving's REST and gRPC APIs.

docs/serving.md says how to use it. A version is one numbered SavedModel of a model.
"""
