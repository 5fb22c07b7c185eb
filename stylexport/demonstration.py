"""The demo: convert the embedded release, run it in PyTorch, and compare with what TensorFlow gave on the same inputs.

TensorFlow's outputs were recorded when the release was made (`make demo-tf` records them anew), so the demo needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import checkpoints
from converter.convert import convert
from converter.errors import BadInput
from converter.safetensors_file import read

if TYPE_CHECKING:
    from torch_models import StylEx

Array = NDArray[Any]
RELEASE = Path(checkpoints.__file__).parent / "demo"
LABELS = ("8", "9")
SHOWN = 10  # digits that are shown recoded
# The largest absolute error over the output's standard deviation that float32 rounding explains.
ROUNDING = {"image": 1e-4, "logits": 1e-4, "score": 1e-4, "w": 1e-5, "conv_styles": 1e-5, "torgb_styles": 1e-5}


@dataclass(frozen=True)
class Row:
    """One output of one network: how far PyTorch is from TensorFlow (both float32), over TensorFlow's standard deviation."""

    network: str
    output: str
    shape: tuple[int, ...]
    error: float
    limit: float

    @property
    def agrees(self) -> bool:
        """Whether the error is rounding. NaN is not."""
        return self.error < self.limit


@dataclass(frozen=True)
class Demonstration:
    """All that the demo found.

    `images_tf` and `images_torch` are generated from the same z, [N, 3, R, R]; `digits` are the held-out ones, [M, 28, 28], with
    both sides' logits; `originals`, `reconstructed` and `turned` are the first of them through PyTorch's StylEx, as they are and with
    the label probabilities turned round.
    """

    rows: tuple[Row, ...]
    digits: Array
    digit_labels: Array
    digit_logits_tf: Array
    digit_logits_torch: Array
    images_tf: Array
    images_torch: Array
    originals: Array
    reconstructed: Array
    turned: Array

    @property
    def same_answers(self) -> int:
        """On how many held-out digits both classifiers say the same."""
        return int((self.digit_logits_tf.argmax(1) == self.digit_logits_torch.argmax(1)).sum())

    @property
    def right_answers(self) -> int:
        """On how many held-out digits the converted classifier is right."""
        return int((self.digit_logits_torch.argmax(1) == self.digit_labels).sum())

    @property
    def passed(self) -> bool:
        """Whether every output agrees and every digit gets TensorFlow's answer."""
        return all(row.agrees for row in self.rows) and self.same_answers == len(self.digits)


def demonstrate(out: Path, progress: Callable[[str, int, int], None] | None = None) -> Demonstration:
    """Converts the embedded release to `out`/converted, and compares. Raises StylexportError where the release is damaged."""
    recorded = read(RELEASE / "recorded.safetensors")
    try:
        with np.load(RELEASE / "digits.npz") as file:
            digits = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise BadInput(f"{RELEASE / 'digits.npz'}: {error}; install the package again") from error
    out.mkdir(parents=True, exist_ok=True)
    convert(RELEASE, out / "converted", labels=LABELS, progress=progress)
    ours = _run(out / "converted", recorded, digits["images"])
    rows = []
    for name, theirs in recorded.items():
        kind, _, rest = name.partition(".")
        network, _, output = rest.partition(".")
        if kind == "float32":
            largest = float(np.abs(ours[rest] - theirs).max() / theirs.std())
            rows.append(Row(network, output, theirs.shape, largest, ROUNDING[output]))
    return Demonstration(
        tuple(rows),
        digits["images"],
        digits["labels"],
        digits["logits"],
        ours["digits"],
        np.asarray(recorded["float32.generator.image"]),
        ours["generator.image"],
        ours["originals"],
        ours["reconstructed"],
        ours["turned"],
    )


def _run(folder: Path, recorded: Mapping[str, Array], digits: Array) -> dict[str, Array]:
    """The converted networks' outputs under the recording's names, the logits of every held-out digit, and some digits recoded."""
    import torch

    from torch_models import StylEx

    stylex = StylEx.from_pretrained(folder)
    with torch.no_grad():
        extra = {
            "digits": torch.cat([stylex.classify(chunk) for chunk in digits_as_images(digits).split(256)]),
            **_recode(stylex, digits_as_images(digits[:SHOWN])),
        }
    given = {name.removeprefix("inputs."): value for name, value in recorded.items() if name.startswith("inputs.")}
    return {**outputs(stylex, given), **{name: value.numpy() for name, value in extra.items()}}


def outputs(stylex: StylEx, given: Mapping[str, Array]) -> dict[str, Array]:
    """What each network gives, as "network.output", for `z` [N, z], `probabilities` [N, labels] and `image` [N, 3, R, R]."""
    import torch

    generator, encoder, discriminator = stylex.generator, stylex.encoder, stylex.discriminator
    assert generator is not None
    assert encoder is not None
    assert discriminator is not None
    z, probabilities, image = (torch.tensor(given[name]) for name in ("z", "probabilities", "image"))
    with torch.no_grad():
        w = generator.mapping(z)
        styles = generator.style_vectors(torch.cat([w, probabilities], 1))
        found = {
            "generator.w": w,
            "generator.conv_styles": torch.cat(list(styles.conv), 1),
            "generator.torgb_styles": torch.cat(list(styles.torgb), 1),
            "generator.image": generator.synthesis(styles),
            "encoder.w": encoder(image),
            "discriminator.score": discriminator(image, probabilities),
            "classifier.logits": stylex.classify(image),
        }
    return {name: value.numpy() for name, value in found.items()}


def _recode(stylex: Any, images: Any) -> dict[str, Any]:
    """Images through encoder and generator, with the classifier's probabilities as they are and turned round."""
    dlatent = stylex.encode(images)
    turned = dlatent.clone()
    turned[:, -2:] = dlatent[:, -2:].flip(1)
    return {"originals": images, "reconstructed": stylex.decode(dlatent), "turned": stylex.decode(turned)}


def digits_as_images(digits: Array) -> Any:
    """Digits [N, 28, 28] uint8 as the classifier takes them: [N, 3, 32, 32] in [-1, 1], padded by two dark pixels on each side."""
    import torch

    gray = torch.tensor(np.pad(digits, ((0, 0), (2, 2), (2, 2)))).float() / 127.5 - 1
    return gray[:, None].expand(-1, 3, -1, -1)
