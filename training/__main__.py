"""`accelerate launch -m training CONFIG.yaml -o RUN`: `stylexport train` in several processes."""

from __future__ import annotations

import runpy
import sys

sys.argv[1:1] = ["train"]
runpy.run_module("stylexport", run_name="__main__")
