"""The only room that imports TensorFlow.

networks/: reference networks with the released variable names, written from the papers and not from `torch_models`, so that the two
check each other. release/: writing releases. replay/: evaluating an original graph in float32 and in float64. record/: recording what
every layer computes.
"""

import contextlib
import sys

# Once TensorFlow is loaded, a later `import triton`, which PyTorch does when it first needs it, crashes the process: both bring an LLVM.
# In this order it does not. Where triton is not installed, or TensorFlow is there already, there is nothing to order.
if "tensorflow" not in sys.modules:
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401
