"""Building the embedded release, checkpoints/demo, in the bucket's layout, from a StylEx that `stylexport train` made.

As a command, in three steps:

    python -m stylexport.reference_tf.release.digit_classifier CLASSIFIER
    stylexport train training/configs/mnist.yaml -o RUN classifier.spec=CLASSIFIER
    python -m stylexport.reference_tf.release.build_demo checkpoints/demo --stylex RUN

and for a release that exists: --record-only [--check].
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from stylexport.checkpoints.mnist import Digits
from stylexport.common.distance import relative_error
from stylexport.common.errors import BadInput, StylexportError
from stylexport.common.json_files import read_json
from stylexport.common.types import Array
from stylexport.converter.output.recording import Recording
from stylexport.reference_tf.networks import forward
from stylexport.reference_tf.networks.saved_model import export_network
from stylexport.reference_tf.networks.variables import load_variables
from stylexport.reference_tf.record import record
from stylexport.reference_tf.release.digit_classifier import CLASSIFIER, SEED, accuracy
from stylexport.reference_tf.release.digits import as_images, eights_and_nines
from stylexport.reference_tf.release.export import export_folder
from stylexport.reference_tf.release.random_release import DLATENTS, FILES, pickle_dlatents, zip_folder
from stylexport.torch_models.kinds import config_from_json

STORE = 1024  # elements of a tensor that the recording keeps with all samples
DIGITS = "digits.npz"
LATENTS = 100  # the first held-out digits, whose latents dlatents.pkl holds
LEAST_ACCURACY = 0.99

# How far a second run may differ: in float32 so many times the rounding floor (DESIGN, "Rules of the proof"), in float64 what a recording
# resolves.
TIMES_FLOOR = 8
FLOAT64_TOLERANCE = 2**-32
LOGITS_TOLERANCE = 3e-6  # for the held-out digits, which are stored in float32 only


def build_demo(folder: Path, stylex: Path, mnist: Path | None = None) -> None:
    """Write the four networks of the run `stylex` as a release into `folder`, with latents, digits and the recording.

    Raises BadInput where there are no digits, or where the classifier is worse than 99 % on the held-out ones.
    """
    _, held_out = eights_and_nines(mnist)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        paths = export_folder(stylex, Path(work) / "released")
        # As it was trained, with its dropout, which a converted network does not have.
        export_network("classifier", CLASSIFIER, load_variables(paths["classifier"]), paths["classifier"])
        for path in paths.values():
            zip_folder(path, folder / f"{path.name}.zip")
    variables = released(folder)
    configs = {name: config_from_json(read_json(stylex / name / "config.json")) for name in FILES}
    logits = digit_logits(variables["classifier"], held_out.images)
    if (share := accuracy(logits, held_out.labels)) < LEAST_ACCURACY:
        raise BadInput(f"the classifier is right on {share:.2%} of the held-out digits, less than {LEAST_ACCURACY:.0%}")
    w = forward.encode(forward.load(configs["encoder"], variables["encoder"]), _channels_first(held_out.images[:LATENTS]))
    dlatents = np.concatenate([w, forward.softmax(logits[:LATENTS])], axis=1)
    (folder / DLATENTS).write_bytes(pickle_dlatents(dlatents))
    save_digits(folder / DIGITS, held_out, logits)
    record_release(folder, recording_of(folder), inputs(held_out, w.shape[1]))


def recording_of(folder: Path) -> Path:
    """Where the recording of the release in `folder` lies: beside it, because a release does not contain one."""
    return folder.with_name(f"{folder.name}.recording.safetensors")


def released(folder: Path) -> dict[str, dict[str, Array]]:
    """The four networks' variables, as TensorFlow reads them from the zips in `folder`. Raises BadInput where one is missing."""
    found = {}
    for network, name in FILES.items():
        path = folder / f"{name}.zip"
        if not path.is_file():
            raise BadInput(f"{path}: no such file; an embedded release holds {', '.join(FILES.values())}, each zipped")
        with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(path) as archive:
            archive.extractall(work)
            found[network] = load_variables(Path(work) / name)
    return found


def inputs(held_out: Digits, size: int) -> dict[str, Array]:
    """The fixed inputs of the recording: z [8, size], probabilities [8, 2], image [8, 3, 32, 32] (four of noise, four digits).

    Of large tensors the recording keeps only the first sample: that one has colours, so that a wrong order of them is seen.
    """
    rng = np.random.default_rng(SEED)
    digits = _channels_first(held_out.images[:4])
    noise = np.tanh(rng.standard_normal((4, 3, 32, 32)) + rng.standard_normal((4, 3, 1, 1)))
    return {
        "z": rng.standard_normal((8, size)).astype(np.float32),
        "probabilities": forward.softmax(2 * rng.standard_normal((8, 2))).astype(np.float32),
        "image": np.concatenate([noise, digits]).astype(np.float32),
    }


def record_release(folder: Path, out: Path, given: Mapping[str, Array]) -> None:
    """Writes the recording of the four zips in `folder` on these inputs."""
    record([folder / f"{name}.zip" for name in FILES.values()], out, inputs=given, seed=SEED, store=STORE)


def recorded_inputs(recording: Recording) -> dict[str, Array]:
    """What went into a recording, by name: z, dlatent, image, probabilities."""
    return {name: recording.tensor(tensor) for network in recording.networks.values() for name, tensor in network.inputs.items()}


def digit_logits(classifier: Mapping[str, Array], digits: Array) -> Array:
    """The classifier's float32 logits [N, 2] for digits uint8 [N, 28, 28]."""
    return forward.logits(forward.load(CLASSIFIER, classifier), as_images(digits))


def save_digits(path: Path, digits: Digits, logits: Array) -> None:
    """The held-out digits with what TensorFlow's float32 gave: images, labels, index (in MNIST's test part), logits."""
    np.savez_compressed(path, images=digits.images, labels=digits.labels, index=digits.index, logits=logits)


def record_again(folder: Path) -> None:
    """Record the released networks again, on the recorded inputs and the stored digits, and replace the recording and the logits."""
    record_release(folder, recording_of(folder), recorded_inputs(Recording(recording_of(folder))))
    with np.load(folder / DIGITS) as digits:
        held_out = Digits(digits["images"], digits["labels"], digits["index"])
    save_digits(folder / DIGITS, held_out, digit_logits(released(folder)["classifier"], held_out.images))


def check(folder: Path) -> list[str]:
    """Record the release again on the recorded inputs. Returns a line for each tensor that differs from the stored one beyond rounding."""
    stored = Recording(recording_of(folder))
    with tempfile.TemporaryDirectory() as work:
        record_release(folder, Path(work) / "recording", recorded_inputs(stored))
        before, now = (dict(_values(recording)) for recording in (stored, Recording(Path(work) / "recording")))
    faults = [f"{name}: only in one of the two" for name in sorted(before.keys() ^ now.keys())]
    for name in [
        name for name in before if name in now
    ]:  # the smaller tolerance of the two, so that a wrong run cannot allow its own error
        faults += _disagreement(name, before[name][0], now[name][0], min(before[name][1], now[name][1]))
    with np.load(folder / DIGITS) as digits:
        logits = digit_logits(released(folder)["classifier"], digits["images"])
        faults += _disagreement(f"{DIGITS}: logits", digits["logits"], logits, LOGITS_TOLERANCE)
    return faults


def _values(recording: Recording) -> Iterator[tuple[str, tuple[Array, float]]]:
    """Each tensor of a recording: what it is, its value, and the relative error that another run may have."""
    for name, network in recording.networks.items():
        for tap in network.taps:
            yield f"{name} {tap.layer} ({tap.stage})", (recording.exact(tap.tensor), FLOAT64_TOLERANCE)
        for (output, tensor), tap in zip(network.outputs.items(), network.taps[-len(network.outputs) :], strict=True):
            yield f"{name} {output} in float32", (recording.tensor(tensor), TIMES_FLOOR * max(tap.floor, 2**-24))
        for kind, tensors in (("input", network.inputs), ("weight", {key: weight.tensor for key, weight in network.weights.items()})):
            for key, tensor in tensors.items():
                yield f"{name} {kind} {key}", (recording.tensor(tensor), 0.0)


def _channels_first(digits: Array) -> Array:
    return as_images(digits).transpose(0, 3, 1, 2)


def _disagreement(name: str, stored: Array, again: Array, tolerance: float) -> list[str]:
    if stored.shape != again.shape:
        return [f"{name}: stored {stored.shape}, now {again.shape}"]
    share = relative_error(again, stored.astype(np.float64))
    return [] if share <= tolerance else [f"{name}: differs by {share:.2g} of its norm, allowed are {tolerance:.2g}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns 0, 1 where a check found a disagreement, or 2 for a bad input."""
    parser = argparse.ArgumentParser(prog="python -m stylexport.reference_tf.release.build_demo", description="Build the embedded release.")
    parser.add_argument("folder", type=Path, help="the release's folder, checkpoints/demo")
    parser.add_argument("--stylex", type=Path, metavar="RUN", help="the StylEx that it is made of: a finished run, with its classifier")
    parser.add_argument("--record-only", action="store_true", help="keep the networks, record them again")
    parser.add_argument("--check", action="store_true", help="write no recording: compare with the stored one")
    parser.add_argument("--mnist", type=Path, help="a folder with MNIST's four raw idx files, instead of fetching them")
    given = parser.parse_args(arguments)
    try:
        if given.stylex:
            build_demo(given.folder, given.stylex, given.mnist)
        elif not given.record_only:
            parser.error("name a run by --stylex, or give --record-only")
        elif not given.check:
            record_again(given.folder)
        else:
            faults = check(given.folder)
            print("\n".join(faults) if faults else f"{given.folder}: TensorFlow gives what was recorded")
            return 1 if faults else 0
    except (StylexportError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
