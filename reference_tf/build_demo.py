"""Building the embedded release, checkpoints/demo: 32 px, in the bucket's layout, with what TensorFlow gave on fixed inputs.

As a command: python -m reference_tf.build_demo checkpoints/demo [--record-only] [--check] [--mnist FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from converter.errors import BadInput, StylexportError
from reference_tf import digit_classifier, digit_stylex, run
from reference_tf.digit_classifier import accuracy
from reference_tf.digits import Digits, as_images, eights_and_nines
from reference_tf.release import FILES, export_release
from reference_tf.variables import load_variables
from torch_models.config import (
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
    MobileNetV1Config,
    NetworkConfig,
    mobilenet_layers,
)

Array = NDArray[Any]

SEED = 9
CHANNELS = (40, 32, 24, 12)
CLASSIFIER = MobileNetV1Config(mobilenet_layers(0.125), labels=2, resolution=32, dropout=0.001, momentum=0.05)
GENERATOR = GeneratorConfig(32, CHANNELS, latent=32, labels=2, z=32)
ENCODER = EncoderConfig(32, CHANNELS, hidden=48, latent=32)
DISCRIMINATOR = DiscriminatorConfig(32, CHANNELS, hidden=48, labels=2)
CONFIGS: dict[str, NetworkConfig] = {c.network: c for c in (GENERATOR, ENCODER, DISCRIMINATOR, CLASSIFIER)}
RECORDED = "recorded.safetensors"
DIGITS = "digits.npz"
DLATENTS = 100  # the first held-out digits, whose latents dlatents.pkl holds
LEAST_ACCURACY = 0.99

DTYPES = ("float32", "float64")
# A second run in float32 may differ by so many times the rounding floor (DESIGN, "Rules of the proof"): float32's distance
# from float64, and never less than 2^-24.
TIMES_FLOOR = 8
FLOAT64_TOLERANCE = 1e-12
LOGITS_TOLERANCE = 3e-6  # of the held-out digits, which are recorded in float32 alone


def build_demo(folder: Path, mnist: Path | None = None) -> None:
    """Train classifier, encoder and generator, draw the discriminator, and write the release with its recordings into `folder`.

    Raises BadInput where there are no digits, or where the trained classifier is worse than 99 % on the held-out ones.
    """
    training, held_out = eights_and_nines(mnist)
    classifier = digit_classifier.train(CLASSIFIER, training, SEED)
    logits = digit_logits(classifier, held_out.images)
    if (share := accuracy(logits, held_out.labels)) < LEAST_ACCURACY:
        raise BadInput(f"the classifier is right on {share:.2%} of the held-out digits, less than {LEAST_ACCURACY:.0%}")
    trained = digit_stylex.train(GENERATOR, ENCODER, CLASSIFIER, classifier, training, SEED)
    w = run.encode(run.load(ENCODER, trained["encoder"]), _channels_first(held_out.images[:DLATENTS]))
    dlatents = np.concatenate([w, run.softmax(logits[:DLATENTS])], axis=1)
    export_release(folder, CONFIGS, SEED, variables=trained | {"classifier": classifier}, dlatents=dlatents)
    variables = released(folder)
    (folder / RECORDED).write_bytes(save(record(variables, inputs(held_out))))
    save_digits(folder / DIGITS, held_out, logits)


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


def inputs(held_out: Digits) -> dict[str, Array]:
    """The fixed inputs of the recording: z [8, 32], probabilities [8, 2], image [8, 3, 32, 32] (four digits, four of noise)."""
    rng = np.random.default_rng(SEED)
    digits = _channels_first(held_out.images[:4])
    noise = np.tanh(rng.standard_normal((4, 3, 32, 32)) + rng.standard_normal((4, 3, 1, 1)))
    return {
        "z": rng.standard_normal((8, 32)).astype(np.float32),
        "probabilities": run.softmax(2 * rng.standard_normal((8, 2))).astype(np.float32),
        "image": np.concatenate([digits, noise]).astype(np.float32),
    }


def record(variables: Mapping[str, Mapping[str, Array]], given: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs as `inputs.NAME`, and every network's outputs as `float32.NETWORK.NAME` and `float64.NETWORK.NAME`."""
    result = {f"inputs.{name}": value for name, value in given.items()}
    for dtype in DTYPES:
        for network, config in CONFIGS.items():
            for name, value in run.outputs(config, variables[network], given, dtype).items():
                result[f"{dtype}.{network}.{name}"] = np.ascontiguousarray(value)
    return result


def stored_inputs(stored: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs of a stored recording, by their names."""
    return {name.removeprefix("inputs."): value for name, value in stored.items() if name.startswith("inputs.")}


def digit_logits(classifier: Mapping[str, Array], digits: Array) -> Array:
    """The classifier's float32 logits [N, 2] for digits uint8 [N, 28, 28]."""
    return run.logits(run.load(CLASSIFIER, classifier), as_images(digits))


def save_digits(path: Path, digits: Digits, logits: Array) -> None:
    """The held-out digits with what TensorFlow's float32 gave: images, labels, index (in MNIST's test part), logits."""
    np.savez_compressed(path, images=digits.images, labels=digits.labels, index=digits.index, logits=logits)


def record_anew(folder: Path) -> None:
    """Replace the recorded outputs and logits by what the released networks give now, for the stored inputs and digits."""
    variables = released(folder)
    recording = record(variables, stored_inputs(load_file(folder / RECORDED)))
    with np.load(folder / DIGITS) as digits:
        held_out = Digits(digits["images"], digits["labels"], digits["index"])
    (folder / RECORDED).write_bytes(save(recording))
    save_digits(folder / DIGITS, held_out, digit_logits(variables["classifier"], held_out.images))


def check(folder: Path) -> list[str]:
    """Run the released networks anew on the stored inputs and digits, and say what disagrees beyond rounding, a line each."""
    variables = released(folder)
    stored = load_file(folder / RECORDED)
    again = record(variables, stored_inputs(stored))
    faults = [f"{name}: only in one of the two" for name in sorted(set(stored) ^ set(again))]
    for name in sorted(set(stored) & set(again)):
        faults += _disagreement(name, stored[name], again[name], _tolerance(name, stored, again))
    with np.load(folder / DIGITS) as digits:
        logits = digit_logits(variables["classifier"], digits["images"])
        faults += _disagreement(f"{DIGITS}: logits", digits["logits"], logits, LOGITS_TOLERANCE)
    return faults


def _tolerance(name: str, *runs: Mapping[str, Array]) -> float:
    dtype, _, output = name.partition(".")
    if dtype == "float32":  # the better run's floor: a run at fault must not excuse itself
        return TIMES_FLOOR * max(min(_distance(run[name], run[f"float64.{output}"]) for run in runs), 2**-24)
    return {"float64": FLOAT64_TOLERANCE}.get(dtype, 0.0)  # inputs are the same bytes


def _distance(found: Array, expected: Array) -> float:
    exact = expected.astype(np.float64)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _channels_first(digits: Array) -> Array:
    return as_images(digits).transpose(0, 3, 1, 2)


def _disagreement(name: str, stored: Array, again: Array, tolerance: float) -> list[str]:
    if stored.shape != again.shape:
        return [f"{name}: stored {stored.shape}, now {again.shape}"]
    share = _distance(again, stored)
    return [] if share <= tolerance else [f"{name}: differs by {share:.2g} of its norm, allowed are {tolerance:.2g}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns 0, 1 where a check found a disagreement, or 2 for a bad input."""
    parser = argparse.ArgumentParser(prog="python -m reference_tf.build_demo", description="Build the embedded release.")
    parser.add_argument("folder", type=Path, help="the release's folder, checkpoints/demo")
    parser.add_argument("--record-only", action="store_true", help="keep the networks, record their outputs anew")
    parser.add_argument("--check", action="store_true", help="write no recording: compare with the stored one")
    parser.add_argument("--mnist", type=Path, help="a folder with MNIST's four raw idx files, instead of fetching them")
    given = parser.parse_args(arguments)
    try:
        if not given.record_only and not given.check:
            build_demo(given.folder, given.mnist)
        elif not given.check:
            record_anew(given.folder)
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
