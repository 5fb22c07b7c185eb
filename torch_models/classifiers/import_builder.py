"""A network of a user's own, by the name of the function that builds it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from torch import nn


def build(name: str) -> nn.Module:
    """What `package:function` returns, the folder in which the program was started being looked in first, as `python -m` does.

    Raises ValueError that says which of package, function and module is not there, or what the function raised.
    """
    package, colon, attribute = name.partition(":")
    if not (package and colon and attribute):
        raise ValueError("is not PACKAGE:BUILD, a module's import path and a function in it")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = getattr(importlib.import_module(package), attribute)()
    except ModuleNotFoundError as error:
        raise ValueError(f"{error}; install it, or run the command in its folder") from error
    except AttributeError as error:
        raise ValueError(str(error)) from error
    except Exception as error:
        raise ValueError(f"raised {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(found, nn.Module):
        raise ValueError(f"returned a {type(found).__name__}, not a torch.nn.Module")
    return found
