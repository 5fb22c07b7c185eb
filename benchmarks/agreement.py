"""How far a converted full-size release is from TensorFlow, output by output.

    python -m benchmarks.agreement [RELEASE] [--samples 4] [--seed 0] [--json]

RELEASE is a folder of SavedModel folders with the released names; without one, a full-size release (256 px, random weights) is made
first. TensorFlow gives its outputs from the release's own variables; the release is converted and PyTorch gives its own on the same
inputs, both in float32. Printed for each output: the largest absolute error over the output's standard deviation, and the limit that
rounding explains. Exit code 1 where a limit is passed. Needs the extra [tensorflow].
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common.releases import random_release
from stylexport.common.json_files import read_json
from stylexport.common.types import Array
from stylexport.converter.output.convert import convert
from stylexport.loading import load
from stylexport.torch_models.kinds import config_from_json

if TYPE_CHECKING:
    from stylexport.torch_models import StylEx

# The largest absolute error over the output's standard deviation that float32 rounding explains.
EXACT = {"image": 1e-4, "logits": 1e-4, "score": 1e-4, "w": 1e-5, "conv_styles": 1e-5, "torgb_styles": 1e-5}


def inputs(folder: Path, samples: int, seed: int) -> dict[str, Array]:
    """Random z, label probabilities and images that fit the converted networks."""
    config = read_json(folder / "generator" / "config.json")
    rng = np.random.default_rng(seed)
    side = config["resolution"]
    return {
        "z": rng.normal(size=(samples, config["z"])).astype(np.float32),
        "probabilities": rng.dirichlet(np.ones(config["labels"]), samples).astype(np.float32),
        "image": rng.uniform(-1, 1, (samples, config["image_channels"], side, side)).astype(np.float32),
    }


def by_pytorch(stylex: StylEx, given: Mapping[str, Array]) -> dict[str, Array]:
    """PyTorch's values by network and output."""
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


def by_tensorflow(release: Path, folder: Path, given: Mapping[str, Array]) -> dict[str, Array]:
    """TensorFlow's values by network and output, from the release's variables as TensorFlow reads them."""
    # TensorFlow after PyTorch: a PyTorch that has triton cannot load it once TensorFlow's LLVM is there.
    from stylexport.reference_tf.networks import forward
    from stylexport.reference_tf.networks.variables import load_variables
    from stylexport.reference_tf.release.random_release import FILES

    found = {}
    for network, name in FILES.items():
        config = config_from_json(read_json(folder / network / "config.json"))
        outputs = forward.outputs(config, load_variables(release / name), given)
        found.update({f"{network}.{output}": value for output, value in outputs.items()})
    return found


def main() -> None:
    """Convert, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", nargs="?", type=Path)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "converted"
        release = arguments.release or random_release(Path(temporary) / "release")
        convert(release, folder)
        given = inputs(folder, arguments.samples, arguments.seed)
        ours, theirs = by_pytorch(load(folder), given), by_tensorflow(release, folder, given)
    errors = {name: float(np.abs(ours[name] - theirs[name]).max() / theirs[name].std()) for name in ours}
    good = {name: error < EXACT[name.split(".")[1]] for name, error in errors.items()}
    if arguments.json:
        print(json.dumps({"errors": errors, "good": good}))
    else:
        for name, error in errors.items():
            print(f"{name:24}{error:9.1e}  (limit {EXACT[name.split('.')[1]]:.0e})  {'agrees' if good[name] else 'DIFFERS'}")
    sys.exit(0 if all(good.values()) else 1)


if __name__ == "__main__":
    main()
