"""Networks by name: one of torchvision's classifiers, or whatever a function of the user's returns."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from stylexport.common.errors import BadInput

TORCHVISION = "torchvision:"


def build(name: str, option: str = "") -> nn.Module:
    """What the function `package:function` returns. The working directory is searched for the package first, as `python -m` does.

    `option` names the setting in the error's text. Raises BadInput that says which of package, function and module is missing, or what
    the function raised.

    Example:
        >>> build("torch.nn:Identity")
        Identity()

    """

    def refused(why: str) -> BadInput:
        return BadInput(f"{option} {name}: {why}".strip())

    package, colon, attribute = name.partition(":")
    if not (package and colon and attribute):
        raise refused("is not PACKAGE:BUILD, a module's import path and a function in it")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = getattr(importlib.import_module(package), attribute)()
    except ModuleNotFoundError as error:
        raise refused(f"{error}; install it, or run the command in its folder") from error
    except AttributeError as error:
        raise refused(str(error)) from error
    except (Exception, SystemExit) as error:  # the user's own code runs here, and may raise anything
        raise refused(f"raised {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(found, nn.Module):
        raise refused(f"returned a {type(found).__name__}, not a torch.nn.Module")
    return found


def torchvision_builder(spec: str, option: str = "--classifier", extra: str = "attfind") -> Callable[..., nn.Module]:
    """The function that builds `torchvision:NAME` with random weights; its keywords are the architecture's (`num_classes`).

    `option` and `extra` (which installs torchvision) are for the error's text. Raises BadInput where torchvision is not installed, or has
    no such classifier.

    Example:
        >>> torchvision_builder("torchvision:squeezenet1_1")(num_classes=3).num_classes
        3

    """
    try:
        from torchvision import models
    except ImportError as error:
        raise BadInput(f"{option} {spec}: needs torchvision; pip install 'stylexport[{extra}]'") from error
    name = spec.removeprefix(TORCHVISION)
    if name not in models.list_models(module=models):
        raise BadInput(f"{option} {spec}: torchvision has no {name!r} among its classifiers; its documentation lists them")
    return partial(models.get_model, name, weights=None)
