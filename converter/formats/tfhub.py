"""TF-Hub handles: addresses of SavedModels that the package tensorflow_hub downloads and caches.

A handle is an http(s) address such as https://tfhub.dev/google/imagenet/mobilenet_v1_100_224/classification/5; tensorflow_hub
asks it for `?tf-hub-format=compressed`, a tar.gz of the SavedModel's folder, and unpacks that into TFHUB_CACHE_DIR or a
temporary folder. The package imports TensorFlow, so it is imported here only when a handle is given.
"""

from __future__ import annotations

from pathlib import Path

from stylexport.common.errors import BadInput


def looks_like_handle(text: str) -> bool:
    """Whether the text is an http(s) address."""
    return text.lower().startswith(("http://", "https://"))


def resolve_handle(handle: str) -> Path:
    """The local folder of the SavedModel behind a handle, downloaded if need be. Raises BadInput."""
    if not looks_like_handle(handle):
        raise BadInput(f"{handle}: not a TF-Hub handle; expected an http(s) address")
    try:
        import tensorflow_hub
    except ImportError as error:
        remedy = "pip install 'stylexport[tensorflow]', or download the SavedModel yourself and give its folder"
        raise BadInput(f"{handle}: needs the package tensorflow_hub, which cannot be imported ({error}); {remedy}") from None
    try:
        folder = Path(tensorflow_hub.resolve(handle))
    except Exception as error:  # one call of tensorflow_hub, which raises urllib's, tarfile's and TensorFlow's own errors
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"{handle}: cannot be fetched ({reason}); check the address and the line") from None
    if not (folder / "saved_model.pb").is_file():
        raise BadInput(f"{handle}: what came is not a SavedModel ({folder} holds no saved_model.pb); check the address")
    return folder
