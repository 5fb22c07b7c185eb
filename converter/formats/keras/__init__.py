"""Keras's own files: HDF5 and `.keras`."""
