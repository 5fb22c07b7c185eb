"""The proof: compares a port with a recording of the original layer by layer, finds the first fault, explains and reports it.

Needs PyTorch alone. The method is DESIGN's "Rules of the proof" (docs/verify.md): S64 is the original graph in float64, T64 and T32 the
PyTorch modules in float64 and float32, and a float32 error is measured against the original's own rounding. Names are imported when
first used.

    verdict.py   all rules of a verdict, and every threshold
    proof.py     verify, verify_module: from a recording and a port to a Report (result.py)
    compare/     the passes: each layer alone, the chain in float64 and float32, values, what a pass cannot show
    explain/     the cause of a fault
    selftest/    faults put into a copy of a port: each must be detected, located and named
    report/      report.json, junit.xml, the page, the terminal
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylexport.common.lazy_names import lazy_names

if TYPE_CHECKING:
    from stylexport.parity.proof import verify, verify_module
    from stylexport.parity.result import Report

_HOME = {"verify": "proof", "verify_module": "proof", "Report": "result"}
__all__ = ["Report", "verify", "verify_module"]

__getattr__ = lazy_names(__name__, _HOME)
