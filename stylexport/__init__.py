"""StylExport: a released StylEx from TensorFlow into PyTorch, with proof. The public names; each loads its room when first used.

from stylexport import convert, verify, load, AttFind

convert("bucket/", "converted")                          # TensorFlow files -> PyTorch tensors; needs neither framework
verify("converted", release="bucket/").verdict           # "pass": the same function, layer by layer
stylex = load("converted")                               # a torch.nn.Module
AttFind(stylex).effects("dlatents.pkl", out="run")       # what does the classifier look at?
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stylexport.common.version import __version__

if TYPE_CHECKING:
    from stylexport.attfind.api import AttFind
    from stylexport.common.errors import StylexportError
    from stylexport.converter.output.convert import convert
    from stylexport.inspection import inspect
    from stylexport.loading import load
    from stylexport.reference_tf.record import record
    from stylexport.torch_models import Discriminator, Encoder, Generator, MobileNetV1, StylEx
    from stylexport.training.loop import train
    from stylexport.verification import selftest, verify

# public name -> the module that holds it
_HOME = {
    "StylEx": "stylexport.torch_models",
    "Generator": "stylexport.torch_models",
    "Encoder": "stylexport.torch_models",
    "Discriminator": "stylexport.torch_models",
    "MobileNetV1": "stylexport.torch_models",
    "AttFind": "stylexport.attfind.api",
    "convert": "stylexport.converter.output.convert",
    "inspect": "stylexport.inspection",
    "load": "stylexport.loading",
    "record": "stylexport.reference_tf.record",
    "verify": "stylexport.verification",
    "selftest": "stylexport.verification",
    "train": "stylexport.training.loop",
    "StylexportError": "stylexport.common.errors",
}
# the extra without which a name cannot be imported
_EXTRAS = {"record": "tensorflow", "train": "train"}
__all__ = [
    "AttFind",
    "Discriminator",
    "Encoder",
    "Generator",
    "MobileNetV1",
    "StylEx",
    "StylexportError",
    "__version__",
    "convert",
    "inspect",
    "load",
    "record",
    "selftest",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if name not in _EXTRAS or (error.name or "").split(".")[0] == __name__:
            raise
        remedy = f"pip install 'stylexport[{_EXTRAS[name]}]'"
        raise ModuleNotFoundError(f"{__name__}.{name} needs {error.name}: {remedy}", name=error.name) from error


def __dir__() -> list[str]:
    return __all__
