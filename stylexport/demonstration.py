"""The demo: convert the embedded release, prove the port against the release's recording, and put digits through it.

The recording and TensorFlow's logits of the digits are part of the release (`make demo-tf` records them again and compares), so the demo
needs no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylexport.checkpoints import EMBEDDED, EMBEDDED_RECORDING
from stylexport.common.errors import BadInput
from stylexport.common.types import Array, Progress
from stylexport.converter.output.convert import convert

if TYPE_CHECKING:
    from stylexport.parity.result import Report
    from stylexport.torch_models import StylEx

LABELS = ("8", "9")
SHOWN = 10  # digits whose reconstructions are shown


@dataclass(frozen=True)
class Demonstration:
    """The results of the demo.

    `report` is the proof; `digits` are held-out ones, uint8 [M, 28, 28], with the logits of both frameworks, [M, 2]. `originals`,
    `reconstructed` and `swapped`, [10, 3, 32, 32], are the first digits, their reconstructions by PyTorch's StylEx, and the same with the
    two label probabilities swapped.
    """

    report: Report
    digits: Array
    digit_labels: Array
    digit_logits_tf: Array
    digit_logits_torch: Array
    originals: Array
    reconstructed: Array
    swapped: Array

    @property
    def same_answers(self) -> int:
        """For how many digits both classifiers give the same label."""
        return int((self.digit_logits_tf.argmax(1) == self.digit_logits_torch.argmax(1)).sum())

    @property
    def right_answers(self) -> int:
        """For how many digits the converted classifier is right."""
        return int((self.digit_logits_torch.argmax(1) == self.digit_labels).sum())

    @property
    def passed(self) -> bool:
        """Whether the proof holds and every digit gets the label that TensorFlow gives it."""
        return self.report.exit_code == 0 and self.same_answers == len(self.digits)


def demonstrate(out: Path, progress: Progress | None = None) -> Demonstration:
    """Converts the embedded release to `out`/converted, and proves it. `progress(network, networks done, networks in all)`.

    Raises StylexportError where the release is damaged.
    """
    from stylexport.parity.proof import verify
    from stylexport.torch_models import StylEx

    try:
        with np.load(EMBEDDED / "digits.npz") as file:
            digits = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise BadInput(f"{EMBEDDED / 'digits.npz'}: {error}; install the package again") from error
    out.mkdir(parents=True, exist_ok=True)
    convert(EMBEDDED, out / "converted", labels=LABELS)
    return Demonstration(
        report=verify(out / "converted", EMBEDDED_RECORDING, progress=progress),
        digits=digits["images"],
        digit_labels=digits["labels"],
        digit_logits_tf=digits["logits"],
        **_through(StylEx.from_pretrained(out / "converted"), digits_as_images(digits["images"])),
    )


def _through(stylex: StylEx, images: Any) -> dict[str, Array]:
    """Every digit's logits, and reconstructions of the first ones, with the classifier's probabilities as they are and swapped."""
    import torch

    with torch.no_grad():
        logits = torch.cat([stylex.classify(chunk) for chunk in images.split(256)])
        dlatent = stylex.encode(images[:SHOWN])
        swapped = torch.cat([dlatent[:, :-2], dlatent[:, -2:].flip(1)], 1)
        found = {
            "digit_logits_torch": logits,
            "originals": images[:SHOWN],
            "reconstructed": stylex.decode(dlatent),
            "swapped": stylex.decode(swapped),
        }
    return {name: value.numpy() for name, value in found.items()}


def digits_as_images(digits: Array) -> Any:
    """Digits, uint8 [N, 28, 28], as the networks take them: float32 [N, 3, 32, 32] in [-1, 1], padded by two dark pixels on each side."""
    import torch

    gray = torch.tensor(np.pad(digits, ((0, 0), (2, 2), (2, 2)))).float() / 127.5 - 1
    return gray[:, None].expand(-1, 3, -1, -1)
