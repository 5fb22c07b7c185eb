"""Recording: the original graphs run in float32 and in float64, and every tensor that a layer of the port answers for in one file.

As a command, for programs: python -m stylexport.reference_tf.record.record RELEASE... -o FILE [--seed N] ... prints JSON lines on
standard output:
{"network", "done", "total"} as it goes, and at the end a summary with "recording", or "error" and "exit_code". docs/recording.md
describes the file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stylexport.common.digests import sha256_each
from stylexport.common.errors import BadInput, StylexportError
from stylexport.common.types import Progress
from stylexport.converter.calls.calls import flow_of
from stylexport.converter.calls.inputs import Given, Inputs, read_given
from stylexport.converter.calls.sources import Source, find, samples
from stylexport.converter.output.ledger import TOOL
from stylexport.converter.output.recording import RecordedNetwork, Recorder
from stylexport.reference_tf.record.record_network import STORE, observe


def record(
    sources: Sequence[str | Path],
    out: Path,
    given: Given | None = None,
    *,
    count: int | None = None,
    mapping: Path | None = None,
    networks: Collection[str] = (),
    store: int = STORE,
    progress: Progress | None = None,
) -> dict[str, RecordedNetwork]:
    """Writes the recording `out` of the networks in `sources`, and returns their descriptions.

    `given`: the inputs or their seed; `count`: how many samples; `mapping`: a user's own table (docs/mapping.md); `networks`: only
    these; `store`: a tap with more elements keeps one sample; `progress(network, nodes so far, nodes in all)`. Raises StylexportError
    (stylexport.common.errors); then nothing is written.
    """
    given = given or Given()
    if store < 1:
        raise BadInput(f"--store {store}: at least one element is kept")
    if out.is_dir():
        raise BadInput(f"{out}: is a folder; -o names the file to write")
    with contextlib.ExitStack() as opened:
        found = find(sources, mapping, networks, opened)
        number = samples(count, given, found)
        inputs = Inputs(given, number)
        recorded: dict[str, RecordedNetwork] = {}
        with Recorder(out) as recorder, tf.device("CPU"):  # a GPU's TF32 is no float32
            for source in found:
                origin = _origin(source)
                own, steps = _own(inputs, source), _steps(source, progress)
                recorded[source.name], inputs = observe(source, own, recorder, origin, steps, store)
                inputs = Inputs(given, number, inputs.made)
                source.artefact.finish()
            recorder.finish(recorded, **_about(given, number, store, mapping, recorded))
    return recorded


def _own(inputs: Inputs, source: Source) -> Inputs:
    """With the number of samples that the network's graph insists on. Raises BadInput where the user gave fewer."""
    fixed = source.procedure.samples
    if fixed is None:
        return inputs
    if inputs.given.rows is not None and inputs.given.rows < fixed:
        raise BadInput(
            f"the {source.name}'s graph takes {fixed} samples and no other number; --{inputs.given.kind} holds {inputs.given.rows}"
        )
    return Inputs(inputs.given, fixed, inputs.made)


def _origin(source: Source) -> dict[str, Any]:
    """Where a network came from, as its ledger tells it (docs/files.md)."""
    artefact = source.artefact
    return {
        "file": artefact.path.name,
        "format": artefact.format,
        "versions": dict(artefact.facts.versions),
        "verified": artefact.facts.verified,
        "sha256": sha256_each(artefact.path, artefact.facts.files),
    }


def _about(given: Given, number: int, store: int, mapping: Path | None, recorded: Mapping[str, RecordedNetwork]) -> dict[str, Any]:
    """What the file says of its making. No date and no path of the machine: same release and settings, same bytes."""
    return {
        "tool": TOOL,
        "versions": {"tensorflow": tf.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "settings": {
            "inputs": given.kind,
            "seed": given.seed,
            "samples": number,
            "store": store,
            "mapping": mapping.name if mapping else None,
        },
        "release": {network.source["file"]: network.source["sha256"] for network in recorded.values()},
        "inputs": dict(given.digests),
    }


def _steps(source: Source, progress: Progress | None) -> Callable[[int, int], None]:
    """The nodes of all calls of a network counted as one, told a hundred times or so. A call's own count begins anew at one."""
    sizes = [len(flow_of(call.function).inputs) for call in source.procedure.calls]
    total, number, told = sum(sizes), -1, -1

    def step(done: int, of: int) -> None:
        nonlocal number, told
        number += done == 1
        behind = sum(sizes[:number]) + sizes[number] * done // of
        if progress and (behind * 100 // total > told or behind == total):
            told = behind * 100 // total
            progress(source.name, behind, total)

    return step


def main(arguments: Sequence[str] | None = None) -> int:
    """The command for programs. Returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m stylexport.reference_tf.record.record", description="Record a release, with progress as JSON lines."
    )
    parser.add_argument("release", nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--latents", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--store", type=int, default=STORE)
    parser.add_argument("--mapping", type=Path)
    parser.add_argument("--network", action="append", default=[])
    chosen = parser.parse_args(arguments)
    try:
        given = read_given(chosen.inputs, chosen.images, chosen.latents, chosen.seed)
        found = record(
            chosen.release,
            chosen.output,
            given,
            count=chosen.samples,
            mapping=chosen.mapping,
            networks=chosen.network,
            store=chosen.store,
            progress=lambda network, done, total: _say(network=network, done=done, total=total),
        )
    except StylexportError as error:
        _say(error=str(error), exit_code=error.exit_code)
        return error.exit_code
    except (OSError, MemoryError) as error:
        _say(error=f"{type(error).__name__}: {error}", exit_code=2)
        return 2
    _say(**summary(found, chosen.output))
    return 0


def summary(found: Mapping[str, RecordedNetwork], out: Path) -> dict[str, Any]:
    """A recording in few words: its file, size, and each network's samples, taps and outputs."""
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
        for name, network in found.items()
    }
    return {"recording": str(out), "bytes": out.stat().st_size, "networks": networks}


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    sys.exit(main())
