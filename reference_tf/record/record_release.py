"""Recording: the original graphs run in float32 and in float64, and every tensor that a layer of the port answers for in one file."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stylexport.common.digests import sha256_each
from stylexport.common.errors import BadInput
from stylexport.common.types import Array, Progress
from stylexport.converter.calls.calls import flow_of
from stylexport.converter.calls.given_inputs import check_given
from stylexport.converter.calls.inputs import Inputs
from stylexport.converter.calls.sources import Source, find, samples_to_run
from stylexport.converter.calls.user_inputs import UserInputs, read_user_inputs
from stylexport.converter.formats.base import Artefact
from stylexport.converter.output.ledger import TOOL
from stylexport.converter.output.recording import RecordedNetwork, Recorder, Recording
from stylexport.reference_tf.record.from_weights import sources_of_weights
from stylexport.reference_tf.record.record_network import STORE, record_network


def record(
    release: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    inputs: str | Path | Mapping[str, Array] | None = None,
    images: str | Path | None = None,
    latents: str | Path | Array | None = None,
    seed: int = 0,
    samples: int | None = None,
    mapping: str | Path | None = None,
    networks: Collection[str] = (),
    store: int | None = None,
    averages: bool = False,
    progress: Progress | None = None,
) -> Recording:
    """Runs the original graphs of a release and writes what every layer gave to the file `out`, which is whole or absent.

    `release`: a folder like the bucket's, SavedModels (folders or zips), or one SavedModel or frozen graph of any network. The networks
    run on `inputs` (tensors by name [N, ...], or an npz or safetensors file of them), on `images` (a folder of pictures), on `latents`
    (dlatents [M, D], or a file of them), of which at most one is given; what these lack is drawn by `seed`. `samples`: how many, by default
    8 up to 64 pixels, else 4, or all rows of `inputs`; `mapping`: a table of your own network (docs/mapping.md); `networks`: only these;
    `store`: larger tensors keep one sample, by default 2^21 elements; `averages`: as in
    `convert`; `progress(network, nodes done, nodes in all)`.

    Returns the opened recording. Raises StylexportError (stylexport.common.errors) where something cannot be read or run. docs/recording.md
    describes the file; the rules of the two precisions are DESIGN.md's "Rules of the proof".

    Example:
        >>> import tempfile
        >>> from stylexport.checkpoints import EMBEDDED
        >>> file = Path(tempfile.mkdtemp()) / "classifier.recording"
        >>> recording = record(EMBEDDED, file, networks=["classifier"], samples=2)
        >>> recording.tensor(recording.networks["classifier"].outputs["logits"]).shape
        (2, 2)
        >>> max(tap.floor for tap in recording.networks["classifier"].taps) < 1e-5  # float32 and float64 agree to rounding
        True

    """
    sources = [release] if isinstance(release, (str, Path)) else list(release)
    table, out = Path(mapping) if mapping is not None else None, Path(out)
    if store is not None and store < 1:
        raise BadInput(f"--store {store}: at least one element is kept")
    if out.is_dir():
        raise BadInput(f"{out}: is a folder; -o names the file to write")
    user = read_user_inputs(_path(inputs), _path(images), _path(latents), seed)
    with contextlib.ExitStack() as opened:
        found = (sources_of_weights(sources, networks, opened) if table is None else []) or find(sources, table, networks, opened, averages)
        check_given(user, found)
        count, given = samples_to_run(samples, user, found), Inputs(user)
        recorded: dict[str, RecordedNetwork] = {}
        with Recorder(out) as recorder, tf.device("CPU"):  # a GPU's TF32 is not float32
            for source in found:
                own, origin, done = _samples_of(source, user, count), _origin(source.origin), _nodes_done(source, progress)
                recorded[source.name] = record_network(source, given, own, recorder, origin, done, store or STORE)
                source.origin.finish()
            recorder.finish(recorded, **_about(user, count, store or STORE, table, recorded))
    return Recording(out)


def summary(recording: Recording) -> dict[str, Any]:
    """A recording in few words: its file, its size, and of each network samples, taps, outputs and the largest rounding floor.

    Example:
        >>> from stylexport.checkpoints import EMBEDDED_RECORDING
        >>> summary(Recording(EMBEDDED_RECORDING))["networks"]["encoder"]["outputs"]
        ['w']

    """
    networks = {
        name: {
            "source": network.source["file"],
            "samples": network.samples,
            "taps": len(network.taps),
            "declared": sum(tap.declared for tap in network.taps),
            "outputs": list(network.outputs),
            "largest_floor": max((tap.floor for tap in network.taps), default=0.0),
            "unused": [name for name, weight in network.weights.items() if not weight.used],
            "remarks": list(network.remarks),
        }
        for name, network in recording.networks.items()
    }
    return {"recording": str(recording.path), "bytes": recording.path.stat().st_size, "networks": networks}


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value


def _samples_of(source: Source, user: UserInputs, count: int) -> int:
    """How many samples a network runs on: where its graph takes one number only, that. Raises BadInput where the user gave fewer."""
    fixed = source.procedure.samples
    if fixed is not None and user.rows is not None and user.rows < fixed:
        raise BadInput(f"the {source.name}'s graph takes {fixed} samples and no other number; --{user.kind} holds {user.rows}")
    return count if fixed is None else fixed


def _origin(artefact: Artefact) -> dict[str, Any]:
    """Where a network came from, as its ledger describes it (docs/files.md)."""
    return {
        "file": artefact.path.name,
        "format": artefact.format,
        "versions": dict(artefact.facts.versions),
        "verified": artefact.facts.verified,
        "sha256": sha256_each(artefact.path, artefact.facts.files),
    }


def _about(user: UserInputs, samples: int, store: int, mapping: Path | None, recorded: Mapping[str, RecordedNetwork]) -> dict[str, Any]:
    """How the file was made. No date and no path of the machine: same release and settings, same bytes."""
    return {
        "tool": TOOL,
        "versions": {"tensorflow": tf.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "settings": {
            "inputs": user.kind,
            "seed": user.seed,
            "samples": samples,
            "store": store,
            "mapping": mapping.name if mapping else None,
        },
        "release": {network.source["file"]: network.source["sha256"] for network in recorded.values()},
        "inputs": dict(user.digests),
    }


def _nodes_done(source: Source, progress: Progress | None) -> Callable[[int, int], None]:
    """The nodes of all calls of a network counted as one, reported about a hundred times. Each call counts from one."""
    sizes = [len(flow_of(call.function).inputs) for call in source.procedure.calls]
    total, number, reported = sum(sizes), -1, -1

    def report(done: int, of: int) -> None:
        nonlocal number, reported
        number += done == 1
        behind = sum(sizes[:number]) + sizes[number] * done // of
        if progress and (behind * 100 // total > reported or behind == total):
            reported = behind * 100 // total
            progress(source.name, behind, total)

    return report
