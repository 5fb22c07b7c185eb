"""A training small enough to be run in a test."""

from __future__ import annotations

from pathlib import Path


def settings(folder: Path, data: Path, **groups: str) -> Path:
    """A configuration of 16 px: all losses, twelve steps of eight images; `groups` are added as lines of YAML."""
    lines = {
        "data": f"{{kind: folder, path: '{data}', resolution: 16, workers: 0, flip: false, held_out: 0.25}}",
        "model": "{channels: [12, 8, 8], latent: 8, z: 8, hidden: 16, mapping_layers: 2}",
        "losses": "{image_l1: 10, r1_every: 4, path_length_every: 3, path_length: 0.5}",
        "optimiser": "{learning_rate: 0.01}",
        "run": "{steps: 12, batch: 8, log_every: 2, checkpoint_every: 4, ema_half_life: 100, stuck_after: 0}",
        "metrics": "{images: 8}",
    } | groups
    path = folder / "settings.yaml"
    path.write_text("".join(f"{name}: {line}\n" for name, line in lines.items()))
    return path
