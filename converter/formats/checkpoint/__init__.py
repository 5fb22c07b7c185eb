"""Tensor bundles: the checkpoints of TensorFlow 1 and 2."""
