"""Export, verify, publish and serve SavedModels with named signatures.

A SavedModel is TensorFlow's format of a model for servers; docs/serving.md says how to use it.
"""
