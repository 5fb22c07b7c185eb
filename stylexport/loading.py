"""From a converted folder to PyTorch modules."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylexport.torch_models import StylEx


def load(folder: str | PathLike[str], **options: Any) -> StylEx:
    """The StylEx in a converted folder, in evaluation mode. Options are those of `StylEx.from_pretrained`."""
    from stylexport.torch_models import StylEx

    return StylEx.from_pretrained(folder, **options)
