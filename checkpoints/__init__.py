"""The registry of released files, and the embedded release: `EMBEDDED` is its folder, `EMBEDDED_RECORDING` what its graphs compute."""

from __future__ import annotations

from pathlib import Path

EMBEDDED = Path(__file__).parent / "demo"
EMBEDDED_RECORDING = Path(__file__).parent / "demo.recording.safetensors"
