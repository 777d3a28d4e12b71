"""Model repository of `growgan publish`: versions and labels that TensorFlow Serving loads.

docs/serving.md describes the folder, and how a label moves from one version to another.
"""
