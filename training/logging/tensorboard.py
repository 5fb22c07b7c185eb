"""RUN/tensorboard: losses, metrics, reconstructions and attributes, for `tensorboard --logdir RUN`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import torch

from stylexport.torch_models.stylex import StylEx
from stylexport.training.data.images import Images
from stylexport.training.metrics import Explanation

SHOWN = 8


class TensorBoard:
    """Writes where `writes`; steps after `start` of a run that was killed later than its last checkpoint are hidden."""

    def __init__(self, run: Path, start: int, writes: bool) -> None:
        self.writer = _writer(run / "tensorboard", start) if writes else None

    def __enter__(self) -> TensorBoard:
        """Nothing to open: the writer is there."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Writes what is left."""
        if self.writer:
            self.writer.close()

    def losses(self, step: int, means: Mapping[str, float], pace: float) -> None:
        """A curve a loss, and images a second."""
        for name, value in means.items():
            self._scalar(f"losses/{name}", value, step)
        self._scalar("images_per_second", pace, step)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """A curve a metric."""
        for name, value in metrics.items():
            self._scalar(f"metrics/{name}", value, step)

    @torch.no_grad()
    def images(self, step: int, stylex: StylEx, held_out: Images, device: torch.device) -> None:
        """A row of held-out images over the row of their reconstructions."""
        if self.writer and stylex.encoder is not None:
            images = held_out.stacked(SHOWN).to(device)
            rows = [torch.cat([*part], 2) for part in (images, stylex(images))]  # [3, R, SHOWN R] each
            self.writer.add_image("images and reconstructions", torch.cat(rows, 1) / 2 + 0.5, step)

    def attributes(self, step: int, explanation: Explanation) -> None:
        """What each label's first attributes do to images of other classes."""
        if self.writer:
            for label, picture in explanation.pictures().items():
                self.writer.add_image(f"attributes towards {label}", (picture / 2 + 0.5).clamp(0, 1), step)

    def _scalar(self, name: str, value: float, step: int) -> None:
        if self.writer:
            self.writer.add_scalar(name, value, step)


def _writer(folder: Path, start: int) -> Any:
    # TensorBoard imports TensorFlow where it is installed, seconds and a gigabyte for nothing, unless it finds a module of this name.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=start + 1)
