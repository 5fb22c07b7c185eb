"""Loops: where a recurrent layer gives its results, and the loops of TensorFlow 1."""
