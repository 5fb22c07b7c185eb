"""A recording: what an original TensorFlow graph gave on fixed inputs, tensor by tensor, in float32 and in float64.

`reference_tf` writes it and `parity` reads it; neither knows the other. It is one safetensors file. Its metadata, key "stylexport", is
a JSON object with everything but the numbers (docs/verify.md); the numbers are

    NETWORK/inputs/NAME            float32: what went in, the same in both precisions
    NETWORK/taps/N.hi, .lo         a tap's first `rows` samples in float64, as the nearest float32 and what that leaves in bfloat16
    NETWORK/outputs/NAME           float32: what the original's own precision gave
    NETWORK/weights/TENSOR         the original's variable in the layout of the PyTorch tensor

Two numbers of 24 and 8 bits hold a float64 to 2^-33, in six bytes instead of eight; the finest threshold of the proof is 2^-24.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.json_files import from_json
from stylexport.common.types import Array
from stylexport.converter.formats.checkpoint.checksums import as_bytes, crc32c
from stylexport.converter.graph.tensor_proto import BFLOAT16
from stylexport.converter.output.safetensors_file import Appender, read_with_metadata

FORMAT = 1
KEY = "stylexport"
UNIT = 2.0**-24  # float32's
REMEDY = "record the release again"


@dataclass(frozen=True)
class RecordedTap:
    """One tensor of the original graph.

    `layer` is the PyTorch module that answers for it ("" where no rule names one, "output" for an output of the network). `stage`:
    "parameters" (all of the layer's variables have gone in), "piece" (a part of them, which the port's layer joins with others),
    "activation" (behind the pointwise operations that follow), "join" (where branches meet), "variable" (a variable that is itself
    data), "output". `declared`: coverage fails without an answer. `tf` is the variable scope (or the node's), `node` and `op` the place
    in the graph. `layout`: "NCHW", "NHWC", or "" where it is of no rank 4 or not known. `shape` with all samples, of which the first
    `rows` are stored as `tensor`. `constants` counts the rounded constants on the way, `coarse_constants` those that are rounded to 16
    bits; `unit` is the unit of rounding of the coarsest arithmetic there: 2^-24 of float32, 2^-11 of float16, 2^-8 of bfloat16. `floor`
    is |S32 - S64| / |S64| over the stored rows (L2 norms), `max32` the largest |S32 - S64|. `kernel_fault` is a sentence where
    TensorFlow's own float32 kernel computes something else than its operation's definition: it stands on the first tap that depends on
    such a node, and on all taps that depend on one `kernel_fault_upstream` is true; their `floor` measures that mistake. `unseen` says
    what the inputs do not show of the operations before it. `piece` numbers a piece in the order in which the port's layer joins them,
    from 1.
    """

    layer: str
    stage: str
    declared: bool
    tf: str
    node: str
    op: str
    layout: str
    shape: tuple[int, ...]
    rows: int
    constants: int
    floor: float
    max32: float
    tensor: str
    kernel_fault: str = ""
    kernel_fault_upstream: bool = False
    coarse_constants: int = 0
    unit: float = UNIT
    unseen: tuple[str, ...] = ()
    constants_alone: int = 0
    coarse_constants_alone: int = 0
    piece: int = 0


@dataclass(frozen=True)
class RecordedWeight:
    """A variable as the PyTorch tensor of that name has it: its TensorFlow name, its tensor in the file, whether any call uses it."""

    tf: str
    tensor: str
    used: bool


@dataclass(frozen=True)
class RecordedRange:
    """What an input was drawn from: `low` to `high`, over all its elements; `whole` numbers only or not; `why` says what told it."""

    low: float
    high: float
    whole: bool
    why: str


@dataclass(frozen=True)
class RecordedNetwork:
    """One network of the release.

    `config` is its config.json (None for a user's own network), `inputs` and `outputs` map names to tensors of the file, `taps` stand in
    the order of execution, `weights` by PyTorch name. `layouts` gives each input's layout ("NHWC", "NCHW" or ""), `dtypes` the data type
    of those that the graph takes as integers or booleans. `ranges` describes the inputs that were drawn from a range that the graph told.
    """

    network: str
    source: Mapping[str, Any]
    config: Mapping[str, Any] | None
    samples: int
    inputs: Mapping[str, str]
    layouts: Mapping[str, str]
    outputs: Mapping[str, str]
    taps: tuple[RecordedTap, ...]
    weights: Mapping[str, RecordedWeight]
    remarks: tuple[str, ...] = field(default=())
    dtypes: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, RecordedRange] = field(default_factory=dict)


@dataclass(frozen=True)
class _About:
    """What the header says of the tensors: their networks, and a checksum of each."""

    networks: Mapping[str, RecordedNetwork]
    crc32c: Mapping[str, str]


_USUAL = {field.name: field.default for field in dataclasses.fields(RecordedTap) if field.default is not dataclasses.MISSING}


class Recorder:
    """A recording that grows: tensors are appended as they come, and the file is put in place when the `with` block ends well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = Appender(path)
        self._checksums: dict[str, str] = {}
        self._metadata: dict[str, Any] = {}

    def add(self, name: str, value: Array) -> str:
        """Append a tensor of a floating dtype. Returns its name."""
        value = np.asarray(value, order="C")
        self._file.add(name, value)
        self._checksums[name] = _checksum(value)
        return name

    def add_exact(self, name: str, value: Array) -> str:
        """Append float64 values as float32 and what that leaves in bfloat16: `name`.hi and `name`.lo. Returns `name`."""
        hi = value.astype(np.float32)
        self.add(f"{name}.hi", hi)
        self.add(f"{name}.lo", (value - hi).astype(BFLOAT16))
        return name

    def finish(self, networks: Mapping[str, RecordedNetwork], **about: Any) -> None:
        """What the header is to say: the networks, and whatever else (versions, settings, release, inputs)."""
        self._metadata = {
            "format": FORMAT,
            **about,
            "networks": {name: _as_json(network) for name, network in networks.items()},
            "crc32c": self._checksums,
        }

    def __enter__(self) -> Recorder:
        self._file.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._file.finish({KEY: json.dumps(self._metadata, separators=(",", ":"))})
        self._file.__exit__(kind, error, trace)


class Recording:
    """An opened recording. Tensors are read, and their checksums verified, when asked for.

    Example:
        >>> from stylexport.checkpoints import EMBEDDED_RECORDING
        >>> recording = Recording(EMBEDDED_RECORDING)
        >>> encoder = recording.networks["encoder"]
        >>> encoder.samples, encoder.taps[0].layer, recording.tensor(encoder.outputs["w"]).shape
        (8, 'b32.fromrgb', (8, 32))

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        metadata, self._tensors = read_with_metadata(path, REMEDY)
        try:
            self.about: dict[str, Any] = json.loads(metadata[KEY])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise BadInput(f"{path}: is not a recording; `stylexport record RELEASE -o FILE` writes one") from error
        if not isinstance(self.about, dict) or self.about.get("format") != FORMAT:
            raise BadInput(f"{path}: is a recording of another format than {FORMAT}; {REMEDY} with this version")
        try:
            about = from_json(_About, {name: self.about.pop(name, None) for name in ("networks", "crc32c")})
        except ValueError as error:
            raise DamagedFile(path, f"its description cannot be followed ({error})", REMEDY) from error
        self._checksums, self.networks = about.crc32c, dict(about.networks)

    def tensor(self, name: str) -> Array:
        """A tensor as stored, read-only. Raises DamagedFile where it is absent or its checksum is another."""
        if name not in self._tensors:
            raise DamagedFile(self.path, f"holds no tensor {name}", REMEDY)
        value = self._tensors[name]
        if _checksum(value) != self._checksums.get(name):
            raise DamagedFile(self.path, f"{name} does not match its checksum", REMEDY)
        return value

    def exact(self, name: str) -> Array:
        """A tensor that `add_exact` stored, in float64."""
        hi, lo = self.tensor(f"{name}.hi"), self.tensor(f"{name}.lo")
        if hi.shape != lo.shape:
            raise DamagedFile(self.path, f"the halves of {name} have shapes {list(hi.shape)} and {list(lo.shape)}", REMEDY)
        value = hi.astype(np.float64)
        value += lo.astype(np.float32)
        return value


def _as_json(network: RecordedNetwork) -> dict[str, Any]:
    """As a recording holds it. What earlier versions do not know is not mentioned where it says nothing."""
    values = dataclasses.asdict(network)
    for tap in values["taps"]:
        for name in [name for name, usual in _USUAL.items() if tap[name] == usual]:
            del tap[name]
    for name in ("dtypes", "ranges"):
        if not values[name]:
            del values[name]
    return values


def _checksum(value: Array) -> str:
    return f"crc32c:{crc32c(as_bytes(value)):08x}"
