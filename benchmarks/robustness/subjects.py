"""What is mutated: a small file of every format that StylExport reads, and the command that reads it.

`corpus/` holds what TensorFlow wrote (write_corpus.py); the rest is made here, the same bytes each time.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from stylexport.attfind.authors import to_authors
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.select.attributes import Attribute, Selection, write_attributes
from stylexport.checkpoints import EMBEDDED
from stylexport.checkpoints.registry import REGISTRY
from stylexport.converter.formats.pickled.dlatents import read_dlatents
from stylexport.converter.output.convert import convert

CORPUS = Path(__file__).parent / "corpus"
TABLE = """\
# The small network of write_corpus.py: conv, norm, head.
network: small
config: {labels: 2}
tensors:
  - {tf: conv/kernel, torch: conv.weight, layout: conv, shape: [3, 2, 3, 3]}
  - {tf: conv/bias, torch: conv.bias}
  - {tf: "norm/{name}", torch: "norm.{to}", for: {name: [gamma], to: [weight]}}
  - {tf: norm/beta, torch: norm.bias}
  - {tf: norm/moving_mean, torch: norm.running_mean}
  - {tf: norm/moving_variance, torch: norm.running_var}
  - {tf: head/kernel, torch: head.weight, layout: {dense_after_hwc: [2, 2]}}
  - {tf: head/bias, torch: head.bias}
"""
READERS = "benchmarks.robustness.readers"
SETTINGS = "data: {kind: mnist, digits: [8, 9]}\nlosses: {image_l1: 5.0, r1_every: 16}\nrun: {steps: 100, batch: 4, precision: fp32}\n"
ANSWERS = (
    "study,kind,participant,question,answer,shown_s,answered_s\r\nc1,classification,p1,q01,A,1.0,2.0\r\nc1,classification,p1,q02,B,1,2\r\n"
)
FACTS = {"direction": 1, "coordinate": 72, "layer": "b8.conv0", "channel": 32, "target": 0}
QUESTIONS = [{"id": f"q0{i}", "kind": "attribute", "answer": letter, "A": FACTS, "B": FACTS} for i, letter in enumerate("AB", 1)]


@dataclass(frozen=True)
class Subject:
    """`files` of the folder `folder` are mutated; `command` reads them there (OUT is a folder that it may write).

    `sealed` files are under checksums of their format from end to end: changed bytes must not give other numbers. `values` gives what came
    out, from the folder and what was printed.
    """

    folder: str
    files: tuple[str, ...]
    command: tuple[str, ...]
    sealed: tuple[str, ...] = ()
    values: Callable[[Path, str], str] = lambda out, printed: printed


def _converted(out: Path, printed: str) -> str:
    """The digest of every tensor and every configuration that were written."""
    found = hashlib.sha256()
    for path in sorted(out.rglob("*")):
        if path.name in ("model.safetensors", "config.json"):
            found.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def _verdict(out: Path, printed: str) -> str:
    report = json.loads(printed)
    return json.dumps([report["verdict"], report["coverage"]["taps"]])


def _run(out: Path, printed: str) -> str:
    effects = Effects.load(out)
    return hashlib.sha256(effects.effects.tobytes() + effects.base_logits.tobytes() + effects.latents.tobytes()).hexdigest()


def _inspected(out: Path, printed: str) -> str:
    found = json.loads(printed)
    return json.dumps([found.get("variables"), found.get("networks"), found.get("artefacts")])


def _source(name: str, *files: str, sealed: tuple[str, ...] = (), table: bool = True, command: str = "convert") -> dict[str, Subject]:
    """A network's file, or folder of `files`: converted by the table, or only looked at."""
    own = files or (name,)
    path = name.removesuffix(".index")
    if command == "inspect":
        return {f"inspect {path}": Subject("sources", own, ("inspect", path, "--json"), sealed, _inspected)}
    mapping = ("--mapping", "table.yaml") if table else ()
    return {path: Subject("sources", own, ("convert", path, "-o", "OUT", *mapping), sealed, _converted)}


def _folder(name: str) -> tuple[str, ...]:
    return tuple(f"{name}/{file}" for file in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"))


def _checkpoint(name: str) -> tuple[str, ...]:
    return (f"{name}.index", f"{name}.data-00000-of-00001")


_ZIPS = {
    k: v
    for name in ("encoder", "mobilenet")
    for k, v in _source(f"{name}.savedmodel.zip", sealed=(f"{name}.savedmodel.zip",), table=False).items()
}
SUBJECTS: Mapping[str, Subject] = {
    **_source("keras2.h5"),
    **_source("weights.h5"),
    **_source("keras3.keras", sealed=("keras3.keras",)),
    **_source("keras3.weights.h5"),
    **_source("saved_model", *_folder("saved_model"), sealed=_folder("saved_model")[1:]),
    **_source("variables", *_checkpoint("variables"), sealed=_checkpoint("variables")),
    **_source("v2.ckpt", *_checkpoint("v2.ckpt"), "v2.ckpt.meta", sealed=_checkpoint("v2.ckpt")),
    **_source("v1.ckpt", sealed=("v1.ckpt",)),
    **_source("v1.tgz", sealed=("v1.tgz",)),
    **_ZIPS,
    **_source("frozen.pb", command="inspect"),
    **_source("arrays.npz", sealed=("arrays.npz",)),
    **_source("packed.npz", sealed=("packed.npz",)),
    **_source("array.npy", command="inspect"),
    **_source("protocol2.pkl"),
    **_source("protocol5.pkl"),
    **_source("dlatents.pkl", command="inspect"),
    **_source("examples.tfrecord", sealed=("examples.tfrecord",), command="inspect"),
    **_source("keras2.h5", command="inspect"),
    **_source("saved_model", *_folder("saved_model"), sealed=_folder("saved_model")[1:], command="inspect"),
    "table": Subject("sources", ("table.yaml",), ("convert", "keras2.h5", "-o", "OUT", "--mapping", "table.yaml"), (), _converted),
    "recording": Subject(
        "proof",
        ("small.recording.safetensors",),
        ("verify", "--module", "benchmarks.robustness.subjects:build", "--against", "small.recording.safetensors", "--json"),
        (),
        _verdict,
    ),
    "converted": Subject(
        "converted",
        ("stylex.json", "encoder/config.json", "encoder/model.safetensors", "encoder/conversion.json"),
        ("python", f"{READERS}:converted", "."),
    ),
    "run": Subject("run", ("effects.h5",), ("attfind", "select", ".", "--json")),
    "growing run": Subject("growing", ("run.json", "latents.npz", "parts/000001.npy"), ("python", f"{READERS}:run", ".")),
    "attributes": Subject("run", ("attributes.json",), ("python", f"{READERS}:attributes", ".")),
    "authors' effects": Subject(
        "sources", ("examples.tfrecord",), ("attfind", "import", "examples.tfrecord", "-o", "OUT"), ("examples.tfrecord",), _run
    ),
    "settings": Subject("texts", ("settings.yaml",), ("python", f"{READERS}:settings", "settings.yaml")),
    "registry": Subject("texts", ("registry.json",), ("fetch", "--list", "--registry", "registry.json", "--json")),
    "study": Subject("texts", ("key.json", "answers.csv"), ("study", "analyse", "answers.csv", "--key", "key.json", "--json")),
    "picture": Subject("texts", ("picture.png",), ("python", f"{READERS}:picture", "picture.png")),
    "latents": Subject("texts", ("latents.safetensors",), ("python", f"{READERS}:latents", "latents.safetensors")),
}


def build() -> nn.Module:
    """The small network in PyTorch, as verify's --module takes it."""
    return _Small()


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, eps=1e-3), nn.Linear(12, 2)
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.head(self.norm(self.conv(image)).flatten(1))
        return found


def lay_out(top: Path) -> None:
    """Writes every subject's folder below `top`, unharmed."""
    sources = top / "sources"
    shutil.copytree(CORPUS, sources)
    for name in ("encoder", "mobilenet"):
        shutil.copy(EMBEDDED / f"{name}.savedmodel.zip", sources)
    latents = read_dlatents(EMBEDDED / "dlatents.pkl")
    shutil.copy(EMBEDDED / "dlatents.pkl", sources)
    numbers = np.random.default_rng(7)
    shapes = {"conv/kernel": (3, 3, 2, 3), "conv/bias": (3,), "head/kernel": (12, 2), "head/bias": (2,)}
    shapes |= {f"norm/{name}": (3,) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    arrays = {name: numbers.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    np.savez(sources / "arrays.npz", **arrays)  # type: ignore[arg-type]
    np.savez_compressed(sources / "packed.npz", **arrays)  # type: ignore[arg-type]
    np.save(sources / "array.npy", arrays["conv/kernel"])
    for protocol in (2, 5):
        (sources / f"protocol{protocol}.pkl").write_bytes(pickle.dumps(arrays, protocol))
    proof = top / "proof"
    proof.mkdir()
    shutil.move(sources / "small.recording.safetensors", proof)
    convert([EMBEDDED / "encoder.savedmodel.zip"], top / "converted")

    count, size = 6, 12
    styles = numbers.normal(size=(count, size)).astype(np.float32)
    effects = Effects(
        numbers.normal(size=(count, 2, size, 2)).astype(np.float32),
        numbers.normal(size=(count, 2)).astype(np.float32),
        latents.values[:count],
        styles,
        styles.min(0),
        styles.max(0),
        np.ones(count, bool),
        (("b4.conv1", 5), ("b8.conv0", 4), ("b8.conv1", 3)),
        ("8", "9"),
        {"shift": 1.0, "format": 1},
    )
    for name in ("run", "growing"):
        (top / name).mkdir()
    effects.save(top / "run")
    chosen = (Attribute(1, 7, "b8.conv0", 2, 0.75, 0),)
    write_attributes(top / "run", Selection(chosen, {0: chosen, 1: tuple(a.reversed() for a in chosen)}))
    to_authors(effects, sources / "examples.tfrecord")
    about = {**effects.about, "layers": [list(layer) for layer in effects.layers], "labels": list(effects.labels)}
    (top / "growing" / "run.json").write_text(json.dumps(about))
    kept = ("latents", "styles", "base_logits", "style_min", "style_max")
    np.savez(top / "growing" / "latents.npz", **{name: getattr(effects, name) for name in kept})
    (top / "growing" / "parts").mkdir()
    for image in range(2):
        np.save(top / "growing" / "parts" / f"{image:06}.npy", effects.effects[image])
    _lay_texts(top / "texts", latents.values[:4])


def _lay_texts(folder: Path, latents: np.ndarray) -> None:
    from PIL import Image
    from safetensors.numpy import save_file

    folder.mkdir()
    (folder / "settings.yaml").write_text(SETTINGS)
    shutil.copy(REGISTRY, folder)
    (folder / "key.json").write_text(json.dumps({"study": "c1", "format": 1, "kind": "classification", "questions": QUESTIONS}))
    (folder / "answers.csv").write_text(ANSWERS)
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(folder / "picture.png")
    save_file({"latents": np.ascontiguousarray(latents)}, folder / "latents.safetensors")
