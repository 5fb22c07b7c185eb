"""What the proof found: plain values, which `stylexport.parity.report` turns into report.json, junit.xml and a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stylexport.common.types import Array
from stylexport.parity.verdict import EXACT, EXIT_CODES, proof_verdict


@dataclass(frozen=True)
class Layer:
    """One layer of the port against its tensor of the original.

    `name` is the module's path, `tf` the variable scope or node. Errors are |x - S64| / |S64| (L2 norms): `alone` of T64 fed with the
    original's own inputs, `error64` and `error32` of T64 and T32 in the chain, `floor` of the original's float32 (at least 2^-24);
    `ratio` is error32 / floor. `max_abs` is the largest |T32 - S64|, `snr_db` its signal-to-noise ratio in decibels. None where a
    judgement was not made, NaN or infinite where the port's values are; no `ratio` where the original's own float32 is wrong (its
    `floor` is then that mistake). `allowed64` is what error64 may be in the chain, `allowed_alone` what
    `alone` may be. `vacuous` lists what these weights cannot show.
    """

    network: str
    name: str
    tf: str
    node: str
    stage: str
    shape: tuple[int, ...]
    verdict: str
    alone: float | None
    error64: float | None
    error32: float | None
    floor: float
    ratio: float | None
    max_abs: float | None
    snr_db: float | None
    allowed64: float
    vacuous: tuple[str, ...] = ()
    allowed_alone: float = EXACT


@dataclass(frozen=True)
class Tried:
    """One hypothesis at a layer: the error that is left when it is put right."""

    cause: str
    residual: float
    detail: str = ""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a layer, in words.

    `cause` is an identifier of `stylexport.parity.explain.causes`; `detail` says which tensor, channel, element or value; `remedy` what
    to do. `error` is the
    layer's own error (alone), `residual` what is left of it with the cause put right, `runner_up` the next best other cause.
    """

    network: str
    layer: str
    cause: str
    detail: str
    remedy: str
    error: float
    residual: float
    runner_up: Tried | None = None


@dataclass(frozen=True)
class Gate:
    """A behaviour that must hold whatever the layers say: same argmax, probabilities within 1e-4, PSNR above 100 dB."""

    network: str
    name: str
    value: float
    limit: float
    passed: bool


@dataclass(frozen=True)
class Maps:
    """Where the first fault lies, for pictures.

    `border` [H, W] is the mean square error a pixel over samples and channels, `worst` [H, W] the absolute error of the worst channel
    `channel` in the first sample; both None for a layer whose output has no two spatial axes. `channels` [C] are relative errors.
    """

    layer: str
    channel: int
    channels: Array
    border: Array | None
    worst: Array | None


@dataclass(frozen=True)
class Pictures:
    """Outputs side by side: images [N, 3, R, R] in [-1, 1] and probabilities [N, labels]; None where there is no such network."""

    images_tf: Array | None = None
    images_torch: Array | None = None
    probabilities_tf: Array | None = None
    probabilities_torch: Array | None = None
    maps: Maps | None = None


@dataclass(frozen=True)
class Loss:
    """A layer under a lower precision: its error alone in that format over the format's own rounding."""

    network: str
    layer: str
    error: float
    ratio: float


@dataclass(frozen=True)
class KernelFault:
    """Where the original's own float32 disagrees with its float64 replay by more than rounding explains.

    `tensor` is the first recorded one that depends on the wrong kernel, `layer` the layer that answers for it ("" where no name gives
    one), `error` its |S32 - S64| / |S64|; `detail` names the node and its operation. That layer and those behind are judged by float64
    alone.
    """

    network: str
    layer: str
    tensor: str
    detail: str
    error: float


@dataclass(frozen=True)
class Report:
    """The whole proof. `unmatched` names the original's tensors that no layer answers for; `faults` stand in order of execution.

    `taps` counts the declared tensors of the original, `matched` those that a layer answers for. `about` is the recording's own
    description, with the versions of PyTorch and of this tool.

    Example:
        >>> gate = Gate("generator", "PSNR of the image in dB", 62.5, 100.0, passed=False)
        >>> report = Report((), 42, 42, (), (), (gate,), "fp32", "cpu", {})
        >>> report.verdict, report.exit_code
        ('numeric', 1)

    """

    layers: tuple[Layer, ...]
    taps: int
    matched: int
    unmatched: tuple[str, ...]
    faults: tuple[Fault, ...]
    gates: tuple[Gate, ...]
    precision: str
    device: str
    about: Mapping[str, Any]
    losses: tuple[Loss, ...] = ()
    remarks: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    kernel_faults: tuple[KernelFault, ...] = ()
    pictures: Pictures = field(default_factory=Pictures)

    @property
    def verdict(self) -> str:
        """`pass`, `numeric`, `fault` or `incomplete` (`stylexport.parity.verdict`)."""
        return proof_verdict(
            [layer.verdict for layer in self.layers],
            faults=len(self.faults),
            covered=self.matched >= self.taps,
            gates_hold=all(gate.passed for gate in self.gates),
        )

    @property
    def first_fault(self) -> Fault | None:
        """The first in the order of execution."""
        return self.faults[0] if self.faults else None

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fault or numeric, 3 incomplete."""
        return EXIT_CODES[self.verdict]
