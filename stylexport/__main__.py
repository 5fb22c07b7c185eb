"""`python -m stylexport`, which is the command `stylexport`: Python's own addition to sys.path, the working directory, is taken back."""

import os
import sys

if sys.path and os.path.realpath(sys.path[0]) == os.path.realpath(os.curdir) and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]

from stylexport.cli import main

main()
