"""Made-up reports: four networks of a 256 px StylEx that pass, and the same with faults."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from stylexport.parity.result import Fault, Gate, Layer, Maps, Pictures, Report, Tried
from stylexport.parity.verdict import CARRIED, FAULT, MISSING, PASS

RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256)
FAULTY, SECOND = "synthesis.b32.conv0", "b64.skip"


def names() -> Iterator[tuple[str, str]]:
    """(network, layer) of a StylEx at 256 px with a small classifier, in the order of execution."""
    yield from (("generator", f"mapping.fc{i}") for i in range(8))
    parts = [(r, part) for r in RESOLUTIONS for part in ("conv0", "conv1", "torgb") if (r, part) != (4, "conv0")]
    yield from (("generator", f"style_vectors.b{r}.{part}") for r, part in parts)
    for r, part in parts:
        if r == 4 and part == "conv1":
            yield "generator", "synthesis.b4"
        yield "generator", f"synthesis.b{r}.{part}"
        if r > 4 and part == "torgb":
            yield "generator", f"synthesis.b{r}"
    yield "generator", "output"
    for network in ("encoder", "discriminator"):
        yield network, "b256.fromrgb"
        for r in RESOLUTIONS[:0:-1]:
            yield from ((network, f"b{r}.{part}") for part in ("skip", "conv0", "conv1"))
            yield network, f"b{r}"
        yield from ((network, name) for name in ("b4.conv", "b4.fc", "b4.out", "output"))
    for unit in ("conv0", *(f"b{i}.{half}" for i in range(1, 7) for half in ("depthwise", "pointwise"))):
        yield from (("classifier", f"{unit}.{part}") for part in ("conv", "bn", "act"))
    yield from (("classifier", name) for name in ("head", "output"))


def clean() -> Report:
    """Everything passes; some weights cannot show all."""
    random = np.random.default_rng(5)
    layers = []
    for depth, (network, name) in enumerate(names()):
        floor = 6e-8 * float(1 + depth % 60 / 12 + random.random())
        ratio = float(random.uniform(0.7, 2.4))
        vacuous = ("bias is all zeros", "noise_strength is zero: the noise is not seen") if name.endswith("b8.conv1") else ()
        layers.append(
            Layer(
                network=network,
                name=name,
                tf=f"{network}/{name.replace('.', '/')}",
                node=f"StatefulPartitionedCall/{network}/{name}/add:0",
                stage="output" if name == "output" else "activation",
                shape=(4, 32, 2 + depth % 31, 5),
                verdict=PASS,
                alone=float(10 ** random.uniform(-10, -8.6)),
                error64=floor * 0.03 * float(1 + random.random()),
                error32=floor * ratio,
                floor=floor,
                ratio=ratio,
                max_abs=floor * 9,
                snr_db=-20 * math.log10(floor * ratio),
                allowed64=1e-7 + depth % 60 * 2**-24 / 4,
                vacuous=vacuous,
            )
        )
    gates = (
        Gate("generator", "PSNR of the image in dB", 137.25, 100.0, True),
        Gate("classifier", "inputs with another answer", 0.0, 0.0, True),
        Gate("classifier", "largest difference of a probability", 3.7e-7, 1e-4, True),
    )
    about: dict[str, Any] = {
        "tool": {"name": "stylexport", "version": "0.2.0"},
        "versions": {"tensorflow": "2.21.0", "numpy": "2.4.6", "python": "3.11.14"},
        "settings": {"seed": 7, "samples": 4, "inputs": ["latents", "images"]},
        "release": {"generator.savedmodel.zip": "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592"},
    }
    return Report(
        layers=tuple(layers),
        taps=len(layers),
        matched=len(layers),
        unmatched=(),
        faults=(),
        gates=gates,
        precision="fp32",
        device="cpu (x86_64)",
        about=about,
        labels=("old", "young"),
        pictures=_pictures(random, 3e-7),
    )


def faulty() -> Report:
    """Two faults, a layer that gives NaN, a tensor without an answer, a gate that does not hold."""
    report = clean()
    found, behind = [], False
    for layer in report.layers:
        name, network = layer.name, layer.network
        if (network, name) == ("generator", FAULTY):
            found.append(
                dataclasses.replace(layer, verdict=FAULT, alone=0.83, error64=0.83, error32=0.83, ratio=0.83 / layer.floor, snr_db=1.6)
            )
            behind = True
        elif network == "generator" and behind and name.startswith(("synthesis", "output")):
            found.append(dataclasses.replace(layer, verdict=CARRIED, error64=0.71, error32=0.71, ratio=0.71 / layer.floor, snr_db=3.0))
        elif (network, name) == ("encoder", SECOND):
            nan = math.nan
            found.append(
                dataclasses.replace(layer, verdict=FAULT, alone=nan, error64=nan, error32=math.inf, ratio=nan, max_abs=nan, snr_db=nan)
            )
        else:
            found.append(layer)
    missing = dataclasses.replace(found[-1], name="style", tf="classifier/style", verdict=MISSING, alone=None, error64=None, error32=None)
    missing = dataclasses.replace(missing, ratio=None, max_abs=None, snr_db=None)
    border = np.zeros((16, 24))
    border[0], border[:, 0], border[3, 7] = 0.5, 0.25, 0.125
    faults = (
        Fault(
            "generator",
            FAULTY,
            "kernel_flipped",
            "weight is flipped in both axes",
            "do not flip the kernel",
            0.83,
            3.4e-10,
            Tried("kernel_transposed_hw", 0.41, "height and width"),
        ),
        Fault("encoder", SECOND, "unknown", "the output is not finite", "look for a division by zero", math.nan, math.inf),
    )
    return dataclasses.replace(
        report,
        layers=(*found, missing),
        taps=len(found) + 1,
        matched=len(found),
        unmatched=("classifier: style (classifier/style, BiasAdd [4, 2])",),
        faults=faults,
        gates=(*report.gates[:2], Gate("classifier", "largest difference of a probability", math.nan, 1e-4, False)),
        remarks=("the generator's w_avg is in no graph",),
        pictures=dataclasses.replace(
            _pictures(np.random.default_rng(6), 0.2), maps=Maps(FAULTY, 5, np.array([0, 3e-9, 0.2, 0.1, 0, 0.9]), border, np.sqrt(border))
        ),
    )


def _pictures(random: np.random.Generator, size: float) -> Pictures:
    across = np.linspace(-1, 1, 64)
    images = np.stack([[np.sin(3 * across[:, None] * (i + 1) + c) * np.cos(2 * across + i) for c in range(3)] for i in range(5)])
    probabilities = np.array([[0.91, 0.09], [0.27, 0.73], [0.502, 0.498], [0.03, 0.97]])
    shift = np.array([[size, -size]]) / 4
    return Pictures(images, images + random.normal(0, size, images.shape), probabilities, probabilities + shift)
