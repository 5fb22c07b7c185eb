"""The reader of tensor bundles gives back what was written, and refuses what contradicts itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.checkpoint.find_checkpoint import Prefix, find_checkpoint, open_checkpoint
from stylexport.converter.graph import protos
from tests.converter.bundles import write_bundle

RNG = np.random.default_rng(5)
TENSORS = {
    "a/kernel": RNG.normal(size=(3, 2, 5)).astype(np.float32),
    "a/half": RNG.normal(size=(4,)).astype(np.float16),
    "b/brain": RNG.normal(size=(2, 3)).astype(ml_dtypes.bfloat16),
    "b/double": RNG.normal(size=()),
    "c/words": np.arange(7, dtype=np.uint16),
    "c/empty": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("compress", [False, True])
def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path, shards: int, compress: bool) -> None:
    bundle = open_checkpoint(write_bundle(tmp_path / "model", TENSORS, shards=shards, compress=compress))
    read = {v.key: bundle.read(v) for v in bundle.variables}
    assert set(read) == set(TENSORS)
    for key, array in TENSORS.items():
        assert read[key].dtype == array.dtype
        assert read[key].shape == array.shape
        assert read[key].tobytes() == array.tobytes()


def test_names_come_from_the_object_graph_and_slots_are_told_apart(tmp_path: Path) -> None:
    graph = protos.TrackableObjectGraph()
    for name, key in (
        ("net/kernel", "w/.ATTRIBUTES/VARIABLE_VALUE"),
        ("Adam/net/kernel/m", "w/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VALUE"),
    ):
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=name, checkpoint_key=key)
    optimiser = graph.nodes.add()
    optimiser.slot_variables.add(original_variable_node_id=0, slot_name="m", slot_variable_node_id=1)
    tensors = {attribute.checkpoint_key: np.float32([1, 2]) for node in graph.nodes for attribute in node.attributes}
    bundle = open_checkpoint(write_bundle(tmp_path / "model", tensors, graph=graph))
    assert {(v.name, v.slot) for v in bundle.variables} == {("net/kernel", None), ("Adam/net/kernel/m", "optimizer/m")}


def test_slots_of_a_name_based_checkpoint_are_told_apart(tmp_path: Path) -> None:
    names = ["net/w", "net/w/Adam", "net/w/Adam_1", "net/w/ExponentialMovingAverage", "net/Adam"]
    tensors: dict[str, Any] = {name: np.float32([[1, 2]]) for name in names}
    tensors |= {"beta1_power": np.float32(0.9), "global_step": np.int64(7)}
    slots = {v.name: v.slot for v in open_checkpoint(write_bundle(tmp_path / "model", tensors)).variables}
    assert slots == {
        "net/w": None,
        "net/w/Adam": "Adam",
        "net/w/Adam_1": "Adam_1",
        "net/w/ExponentialMovingAverage": "ExponentialMovingAverage",
        "net/Adam": None,  # no variable is called "net": a layer of that name, not a slot
        "beta1_power": "beta1_power",
        "global_step": "global_step",
    }


def test_an_optimiser_of_a_name_of_its_own_is_known_by_standing_below_several_variables(tmp_path: Path) -> None:
    shapes = {"a/w": 2, "a/b": 3, "c": 4}
    tensors: dict[str, Any] = {name: np.zeros(size, np.float32) for name, size in shapes.items()}
    tensors |= {f"{name}/{slot}": np.zeros(size, np.float32) for name, size in shapes.items() for slot in ("mine", "mine_1")}
    tensors |= {"c/scale": np.zeros(4, np.float32), "a/b/rows": np.zeros(5, np.float32)}
    bundle = open_checkpoint(write_bundle(tmp_path / "model", tensors))
    assert {v.name for v in bundle.variables if v.slot is None} == {*shapes, "c/scale", "a/b/rows"}


def test_any_of_its_files_or_its_folder_names_a_checkpoint(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model", TENSORS)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model"\n')
    for path in (prefix, Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001"), tmp_path, tmp_path / "checkpoint"):
        assert find_checkpoint(path) == Prefix(prefix.parent, prefix.name)


LIES = {
    "a shape that does not fill the bytes": {"shape": (3, 2, 6)},
    "a negative size": {"shape": (-3, -2, 5)},
    "an offset past the end": {"offset": 10**6},
    "an offset over another tensor": {"offset": 1},
    "a negative offset": {"offset": -4},
    "a shard that is not there": {"shard_id": 9},
    "a size past the end": {"size": 10**9, "shape": (250_000_000,)},
    "another checksum": {"crc32c": 1},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_entry_is_damage_that_names_the_tensor(tmp_path: Path, lie: str) -> None:
    prefix = write_bundle(tmp_path / "model", TENSORS, lies={"a/kernel": LIES[lie]})
    with pytest.raises(DamagedFile, match="a/"):
        [bundle.read(v) for bundle in [open_checkpoint(prefix)] for v in bundle.variables]


def test_swapped_shards_do_not_pass(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model", {"a": np.float32([1, 2]), "b": np.float32([3, 4])}, shards=2)
    first, second = (Path(f"{prefix}.data-0000{i}-of-00002") for i in (0, 1))
    swapped = second.read_bytes()
    second.write_bytes(first.read_bytes())
    first.write_bytes(swapped)
    bundle = open_checkpoint(prefix)
    with pytest.raises(DamagedFile, match="crc32c"):
        bundle.read(bundle.variables[0])


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model", TENSORS, shards=2)
    Path(f"{prefix}.data-00001-of-00002").unlink()
    with pytest.raises(BadInput, match=r"data-00001-of-00002: missing"):
        open_checkpoint(prefix)


def test_every_flipped_bit_of_an_index_is_found(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model", TENSORS)
    index = Path(f"{prefix}.index")
    whole = index.read_bytes()
    for at in range(len(whole)):
        index.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(BadInput):
            open_checkpoint(prefix)


def test_every_truncation_of_an_index_is_found(tmp_path: Path) -> None:
    prefix = write_bundle(tmp_path / "model", TENSORS)
    index = Path(f"{prefix}.index")
    whole = index.read_bytes()
    for size in range(len(whole)):
        index.write_bytes(whole[:size])
        with pytest.raises(BadInput):
            open_checkpoint(prefix)
