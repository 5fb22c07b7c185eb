"""numpy's own files are read without numpy's pickles, and a flipped bit in an .npz is found."""

from __future__ import annotations

import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.converter.formats.numpy_files import looks_like_npy, looks_like_npz, open_npy, open_npz
from tests.converter.formats.damage import read_all, refusals

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 8
BIAS = np.int64([3, -1])
WEIGHTS = {"pnet": {"conv1": {"weights": KERNEL, "biases": BIAS}}}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_under_their_names_in_the_order_of_the_archive(tmp_path: Path, save) -> None:  # type: ignore[no-untyped-def]
    save(
        tmp_path / "w.npz",
        **{"z/kernel:0": KERNEL, "a": np.asfortranarray(KERNEL[0]), "big": BIAS.astype(">i8"), "s": np.float32(2)},
    )
    assert looks_like_npz(tmp_path / "w.npz")
    opened = open_npz(tmp_path / "w.npz")
    assert [(v.name, v.key, v.dtype) for v in opened.variables] == [
        ("z/kernel", "z/kernel:0", "float32"),
        ("a", "a", "float32"),
        ("big", "big", "int64"),
        ("s", "s", "float32"),
    ]
    with zipfile.ZipFile(tmp_path / "w.npz") as archive:
        assert opened.variables[0].checksum == f"crc32:{archive.getinfo('z/kernel:0.npy').CRC:08x}"
    arrays = [opened.read(variable) for variable in opened.variables]
    opened.close()
    for array, expected in zip(arrays, [KERNEL, KERNEL[0], BIAS, np.float32(2)], strict=True):
        np.testing.assert_array_equal(array, expected)
        assert not array.flags.writeable


def test_a_flipped_bit_in_a_stored_array_is_found(tmp_path: Path) -> None:
    large = np.arange(600_000, dtype=np.float32)  # more than opening reads to see the header
    np.savez(tmp_path / "w.npz", w=large)
    data = bytearray((tmp_path / "w.npz").read_bytes())
    data[data.index(large[-9:].tobytes())] ^= 16
    (tmp_path / "w.npz").write_bytes(data)
    opened = open_npz(tmp_path / "w.npz")
    with pytest.raises(DamagedFile, match=r"read array 'w' .*CRC-32"):
        opened.read(opened.variables[0])


def test_one_array_is_named_by_its_file_and_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "dlatent_avg.npy", KERNEL)
    assert looks_like_npy(tmp_path / "dlatent_avg.npy")
    opened = open_npy(tmp_path / "dlatent_avg.npy")
    assert (opened.variables[0].name, opened.variables[0].shape) == ("dlatent_avg", (2, 3, 4))
    values = opened.read(opened.variables[0])
    np.testing.assert_array_equal(values, KERNEL)
    assert not values.flags.owndata


def test_bfloat16_is_known_by_numpys_way_of_writing_it(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", KERNEL.astype(ml_dtypes.bfloat16))
    opened = open_npy(tmp_path / "b.npy")
    assert opened.variables[0].dtype == "bfloat16"
    np.testing.assert_array_equal(opened.read(opened.variables[0]).astype(np.float32), KERNEL)
    assert "taken as bfloat16" in opened.facts.notes[0]


def test_a_pickled_dictionary_of_weights_is_read_alone_and_in_an_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", WEIGHTS, allow_pickle=True)  # type: ignore[arg-type]
    values = read_all(open_npy(tmp_path / "w.npy"))
    assert list(values) == ["pnet/conv1/weights", "pnet/conv1/biases"]
    np.testing.assert_array_equal(values["pnet/conv1/weights"], KERNEL)
    np.savez(tmp_path / "w.npz", plain=BIAS, nested=np.array(WEIGHTS, dtype=object))
    values = read_all(open_npz(tmp_path / "w.npz"))
    assert list(values) == ["plain", "nested/pnet/conv1/weights", "nested/pnet/conv1/biases"]
    np.testing.assert_array_equal(values["nested/pnet/conv1/biases"], BIAS)


def test_an_object_array_that_would_run_code_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([np.random.default_rng], dtype=object), allow_pickle=True)
    with pytest.raises(HostileFile, match=r"asks for numpy\.random"):
        open_npy(tmp_path / "w.npy")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"(2, 3, 4), ", b"(2, 3, 400)", "declares 9600 bytes"),
        (b"(2, 3, 4), ", b"(-2, -3, 4)", "shape"),
        (b"'<f4'", b"'<f8'", "declares 192 bytes"),
        (b"'<f4'", b"'<q!'", "header"),
        (b"{'descr'", b"[[[[[[[[", "header"),
    ],
)
def test_a_lying_header_is_damage(tmp_path: Path, old: bytes, new: bytes, why: str) -> None:
    np.save(tmp_path / "w.npy", KERNEL)
    data = (tmp_path / "w.npy").read_bytes()
    assert old in data
    (tmp_path / "w.npy").write_bytes(data.replace(old, new.ljust(len(old))))
    with pytest.raises(DamagedFile, match=why):
        open_npy(tmp_path / "w.npy")


def test_tables_and_archives_of_other_things_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.zeros(2, [("a", "f4"), ("b", "i4")]))
    with pytest.raises(BadInput, match="a table of several types"):
        open_npy(tmp_path / "t.npy")
    with zipfile.ZipFile(tmp_path / "o.npz", "w") as archive:
        archive.writestr("readme", b"text")
    assert not looks_like_npz(tmp_path / "o.npz")
    with pytest.raises(BadInput, match="holds no arrays"):
        open_npz(tmp_path / "o.npz")


def test_damage_is_answered_with_a_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", w=KERNEL, nested=np.array(WEIGHTS, dtype=object))
    assert len(refusals(tmp_path / "w.npz", 300, 13, lambda path: read_all(open_npz(path)))) > 200
    np.save(tmp_path / "w.npy", KERNEL)
    assert len(refusals(tmp_path / "w.npy", 300, 14, lambda path: read_all(open_npy(path)))) > 100
