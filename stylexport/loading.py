"""From a converted folder to PyTorch modules."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylexport.torch_models import StylEx


def load(folder: str | PathLike[str], **options: Any) -> StylEx:
    """The StylEx in a converted folder or a Hugging Face Hub repository, in evaluation mode.

    `options` are those of `StylEx.from_pretrained`: `map_location`, and `revision`, `token`, ... of a download. Raises BadInput, naming
    the file, where stylex.json or a network is missing or damaged.

    Example:
        >>> import tempfile
        >>> from stylexport import convert, load
        >>> from stylexport.checkpoints import EMBEDDED
        >>> folder = tempfile.mkdtemp()
        >>> _ = convert(EMBEDDED, folder, labels=["8", "9"])
        >>> load(folder).labels
        ('8', '9')

    """
    from stylexport.torch_models import StylEx

    return StylEx.from_pretrained(folder, **options)
