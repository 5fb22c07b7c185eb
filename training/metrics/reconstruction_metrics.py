"""Reconstructions against their images: pixels, LPIPS, the classifier's answers, and distances between the two distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from stylexport.attfind.evaluate.distance import Distance, lpips_or_why
from stylexport.common.errors import BadInput
from stylexport.torch_models.stylex import StylEx
from stylexport.training.losses.classifier_kl import classifier_kl, same_answer
from stylexport.training.losses.reconstruction import image_l1
from stylexport.training.metrics.distributions import fid, kid
from stylexport.training.metrics.encode import encoded
from stylexport.training.metrics.features import Features, inception, logits_and_features

Classify = Callable[[Tensor], Tensor]
Between = Literal["none", "fid", "kid"]
BETWEEN: dict[Between, Callable[[Tensor, Tensor], float]] = {"fid": fid, "kid": kid}


@dataclass(frozen=True)
class Meters:
    """What `measure` measures with beside the classifier: LPIPS, and for "fid" or "kid" (`between`) Inception's features."""

    distance: Distance | None = None
    inception: Features | None = None
    between: Between = "none"


def open_meters(
    device: str | torch.device = "cpu", image_range: tuple[float, float] = (-1.0, 1.0), *, net: str = "alex", between: Between = "none"
) -> tuple[Meters, list[str]]:
    """The meters that can be had here, and a line for each that is left out and why.

    `net` is LPIPS's ("alex" or "vgg"), `between` the distance of distributions ("fid", "kid" or "none").

    Example:
        >>> meters, remarks = open_meters(net="squeeze")
        >>> remarks
        ["LPIPS is left out: LPIPS by 'squeeze': there are alex and vgg"]

    """
    distance, remark = lpips_or_why(net, device, image_range)
    remarks = [remark] if remark else []
    features = None
    if between != "none":
        try:
            features = inception(device, image_range)
        except BadInput as error:
            remarks.append(f"{between.upper()} is left out: {error}")
    return Meters(distance, features, between if features else "none"), remarks


@torch.no_grad()
def measure(
    stylex: StylEx, images: Tensor, classify: Classify, *, meters: Meters = Meters(), in_loop: bool = True, batch: int = 64
) -> dict[str, float]:
    """What reconstructions of `images` [N, 3, R, R] are worth; `classify` gives raw logits, `in_loop` is as for `encoded`.

    | name | what |
    |---|---|
    | `image_l1` | mean absolute difference of a pixel, in the images' own range ([-1, 1]) |
    | `same_answer` | share of images whose largest logit stays the same label's |
    | `kl` | KL(classifier of the image || classifier of the reconstruction), mean over images, nats |
    | `kid_classifier` | KID on what enters the classifier's last layer; where the classifier is a module that has it |
    | `lpips` | LPIPS, mean over images; where the meters have it |
    | `fid` or `kid` | on Inception's features, images against their reconstructions; where the meters have it |

    Example (the embedded release on grey images):
        >>> import tempfile
        >>> from pathlib import Path
        >>> from stylexport import convert, load
        >>> from stylexport.checkpoints import EMBEDDED
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = convert(EMBEDDED, folder / "converted")
        >>> stylex = load(folder / "converted")
        >>> grey = torch.linspace(-1, 1, 4).view(4, 1, 1, 1).expand(4, 3, 32, 32)
        >>> sorted(measure(stylex, grey, stylex.classify))
        ['image_l1', 'kl', 'same_answer']

    """
    device = next(stylex.parameters()).device
    errors, distances, answers = [], [], []
    inner: list[tuple[Tensor | None, Tensor | None]] = []
    outer: list[tuple[Tensor, Tensor]] = []
    for real in images.split(batch):
        real = real.to(device)
        logits, own = logits_and_features(classify, real)
        fake = stylex.decode(encoded(stylex, real, logits, in_loop))
        again, other = logits_and_features(classify, fake)
        errors.append(image_l1(real, fake) * len(real))
        answers.append((logits.cpu().double(), again.cpu().double()))
        inner.append((own, other))
        if meters.distance:
            distances.append(meters.distance(real, fake))
        if meters.inception:
            outer.append((meters.inception(real), meters.inception(fake)))
    before, after = (torch.cat(column) for column in zip(*answers, strict=True))
    found = {
        "image_l1": float(torch.stack(errors).sum()) / len(images),
        "same_answer": float(same_answer(before, after)),
        "kl": float(classifier_kl(before, after)),
    }
    left, right = ([pair[i] for pair in inner] for i in (0, 1))
    if len(images) > 1 and all(part is not None for part in (*left, *right)):
        found["kid_classifier"] = kid(*(torch.cat([part for part in side if part is not None]) for side in (left, right)))
    if distances:
        found["lpips"] = float(torch.cat(distances).double().mean())
    if outer and meters.between != "none":
        found[meters.between] = BETWEEN[meters.between](*(torch.cat(column) for column in zip(*outer, strict=True)))
    return found
