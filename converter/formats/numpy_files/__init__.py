"""numpy's files, `.npy` and `.npz`."""
