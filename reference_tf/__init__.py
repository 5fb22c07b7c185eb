"""The TensorFlow side: reference networks that carry the released variable names, releases made of them, replay and recording.

The only room that imports TensorFlow. Written from the papers' formulas and not from `torch_models`: the two are
two witnesses.
"""

import contextlib

# Once TensorFlow is loaded, a later `import triton`, which PyTorch does when it first needs it, crashes the process: both bring an LLVM.
# In this order it does not. Where triton is not installed, there is nothing to order.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
