"""The proof: compares a port with a recording of the original layer by layer, finds the first fault, explains and reports it.

Needs PyTorch alone. The method is DESIGN's "Rules of the proof" (docs/verify.md): S64 is the original graph in float64, T64 and T32 the
PyTorch modules in float64 and float32, and a float32 error is measured against the original's own rounding.
"""
