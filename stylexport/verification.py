"""The proof from Python: a network against its original, which is recorded first in a separate process where no recording is at hand.

The rooms do the work (`stylexport.reference_tf.record`, `stylexport.parity`); here they are put together, for programs and for the
commands `stylexport verify` and `stylexport selftest`.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylexport.common.errors import BadInput
from stylexport.common.locks import temporary_folder
from stylexport.common.types import Array, Progress
from stylexport.converter.calls.user_inputs import read_user_inputs
from stylexport.converter.output.safetensors_file import Appender
from stylexport.subprocess_record import recorded

if TYPE_CHECKING:
    from torch import nn

    from stylexport.parity.result import Report
    from stylexport.parity.selftest.selftest import Selftest

PathOrName = str | os.PathLike[str]


def verify(
    network: PathOrName | nn.Module,
    *,
    against: PathOrName | None = None,
    release: PathOrName | Sequence[PathOrName] = (),
    mapping: PathOrName | None = None,
    averages: bool = False,
    inputs: PathOrName | Mapping[str, Array] | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    seed: int = 0,
    samples: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Proves, layer by layer, that a network in PyTorch is the same function as its TensorFlow original (docs/verify.md).

    `network` is a converted folder, or a module of your own. Of a module the code is judged, in a copy that is filled with the original's
    weights by the names in the recording; the weights that it holds are neither judged nor changed.

    The original is `against`, a recording, which needs PyTorch alone; or `release`, the TensorFlow files, which are recorded first in a
    separate process: that needs the extra [tensorflow]. That recording is made on `inputs` (tensors [N, ...] by the names of the network's
    inputs, or an npz or safetensors file of them), or else on `samples` inputs drawn by `seed`; `mapping` is the table of your own network
    (docs/mapping.md), `averages` takes the original's moving averages in place of its weights. `device` is "cpu" or "cuda", `precision`
    one of "fp32", "tf32", "fp16", "bf16"; `progress(name, done, total)`.

    `verdict` of the report is "pass", "numeric" or "fault", `exit_code` 0, 1 or 3 (a tensor of the original that no layer answers for),
    `first_fault` what is wrong and what to do. Raises BadInput where an input is missing, damaged or of another network.

    Example:
        >>> import tempfile
        >>> from stylexport import convert, verify
        >>> from stylexport.checkpoints import EMBEDDED, EMBEDDED_RECORDING
        >>> folder = tempfile.mkdtemp()
        >>> _ = convert(EMBEDDED / "encoder.savedmodel.zip", folder)
        >>> report = verify(folder, against=EMBEDDED_RECORDING)
        >>> [layer.verdict for layer in report.layers if layer.network == "encoder" and layer.verdict != "pass"]
        []

    """
    releases = _one_original(against, release)
    if isinstance(network, str | os.PathLike):
        _folder(network)
    elif releases and mapping is None:
        raise BadInput("a module of your own and a release need `mapping`, the table from the release's variables to the module's tensors")
    options = ["--seed", str(seed)]
    options += ["--samples", str(samples)] if samples else []
    options += ["--mapping", os.fspath(mapping)] if mapping is not None else []
    options += ["--averages"] if averages else []
    with contextlib.ExitStack() as kept:
        if inputs is not None:
            options += ["--inputs", _inputs_file(against, inputs, kept)]
        recording = kept.enter_context(recorded(against, releases, options, _recording(progress)))
        from stylexport.parity import proof

        if isinstance(network, str | os.PathLike):
            return proof.verify(Path(network), recording, device=device, precision=precision, progress=progress)
        return proof.verify_module(copy.deepcopy(network), recording, device=device, precision=precision, progress=progress)


def selftest(
    folder: PathOrName,
    *,
    against: PathOrName | None = None,
    release: PathOrName | Sequence[PathOrName] = (),
    networks: Collection[str] = (),
    device: str = "cpu",
    seed: int = 0,
    progress: Progress | None = None,
) -> Selftest:
    """Tests the proof: puts one fault at a time into a copy of the converted networks in `folder` and asks what `verify` says of it.

    `against`, `release`, `device`, `seed` and `progress` as for `verify`; `networks` are those to try, by default all. `passed` of the
    answer says whether every fault was found and its layer named, 90 % of the causes named, and every clean network passed. Raises
    BadInput as `verify` does.

    Example:
        >>> from stylexport import selftest
        >>> selftest("nowhere", against="recording.safetensors")
        Traceback (most recent call last):
        stylexport.common.errors.BadInput: nowhere: no such folder; name one that `stylexport convert` wrote

    """
    releases = _one_original(against, release)
    _folder(folder)
    with recorded(against, releases, ["--seed", str(seed)], _recording(progress)) as recording:
        from stylexport.parity.selftest.selftest import selftest as inject

        return inject(Path(folder), recording, only=networks, device=device, progress=progress)


def _one_original(against: PathOrName | None, release: PathOrName | Sequence[PathOrName]) -> list[PathOrName]:
    """The release's paths. Raises BadInput where there is neither a release nor a recording, or both."""
    releases = [release] if isinstance(release, str | os.PathLike) else list(release)
    if (against is None) == (not releases):
        raise BadInput("name the original once: a recording by `against`, or the release by `release`")
    return releases


def _inputs_file(against: PathOrName | None, inputs: PathOrName | Mapping[str, Array], kept: contextlib.ExitStack) -> str:
    """The file of `inputs`; arrays are written to one that exists as long as `kept` does. Raises BadInput beside a recording."""
    if against is not None:
        raise BadInput("`inputs` goes with `release`; a recording holds the inputs that it was made with")
    if isinstance(inputs, str | os.PathLike):
        return os.fspath(inputs)
    file = kept.enter_context(temporary_folder()) / "inputs.safetensors"
    with Appender(file) as tensors:
        for name, value in read_user_inputs(inputs, None, None, 0).tensors.items():
            tensors.add(name, value)
        tensors.finish({})
    return str(file)


def _recording(progress: Progress | None) -> Progress | None:
    """The same, with names that differ from the proof's own."""
    return progress and (lambda name, done, total: progress(f"recording {name}", done, total))


def _folder(path: PathOrName) -> None:
    if not os.path.isdir(path):
        raise BadInput(f"{os.fspath(path)}: no such folder; name one that `stylexport convert` wrote")
