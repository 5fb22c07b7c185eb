"""TFRecords are read with their checksums verified, as TensorFlow reads and writes them."""

from __future__ import annotations

import gzip
import importlib
from pathlib import Path

import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.effects_file import Effects, read_effects, write_effects
from stylexport.converter.formats.tfrecord import (
    TfRecordFile,
    looks_like_tfrecord,
    make_example,
    parse_example,
    read_records,
    write_records,
)
from tests.converter.formats.damage import read_all, refusals

RECORDS = [b"first", b"", b"third" * 1000]


def example(image: int) -> bytes:
    return make_example({"base_prob": np.float32([image, -1]), "id": np.int64([image + 5]), "name": [b"face"]})


def small_effects() -> Effects:
    """Two images, three coordinates, two labels: every entry another number."""
    return Effects(
        np.float32([[0.5, -1], [2, 3]]),
        np.arange(10, dtype=np.float32).reshape(2, 5),
        np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2) / 16,
    )


def test_records_come_back_in_order_and_gzip_is_told_by_its_bytes(tmp_path: Path) -> None:
    assert write_records(tmp_path / "r.bin", RECORDS) == 3
    assert list(read_records(tmp_path / "r.bin")) == RECORDS
    assert looks_like_tfrecord(tmp_path / "r.bin")
    (tmp_path / "z.bin").write_bytes(gzip.compress((tmp_path / "r.bin").read_bytes()))
    assert list(read_records(tmp_path / "z.bin")) == RECORDS
    assert looks_like_tfrecord(tmp_path / "z.bin")


def test_other_files_are_not_taken_for_it(tmp_path: Path) -> None:
    for name, data in {
        "text": b"no record, but long enough",
        "short": b"ab",
        "empty": b"",
        "gz": gzip.compress(b"x" * 99),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert not looks_like_tfrecord(tmp_path / name)
    assert not looks_like_tfrecord(tmp_path / "absent")


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def records():  # type: ignore[no-untyped-def]
        yield b"one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(tmp_path / "r.bin", records())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("at", "why"),
    [(0, "length of record 0"), (9, "length of record 0"), (13, "checksum of record 0"), (18, "checksum of record 0")],
)
def test_a_flipped_bit_is_found_wherever_it_lies(tmp_path: Path, at: int, why: str) -> None:
    write_records(tmp_path / "r.bin", RECORDS)
    data = bytearray((tmp_path / "r.bin").read_bytes())
    data[at] ^= 64
    (tmp_path / "r.bin").write_bytes(data)
    with pytest.raises(DamagedFile, match=why):
        list(read_records(tmp_path / "r.bin"))


def test_a_cut_file_is_found_even_at_the_last_byte(tmp_path: Path) -> None:
    write_records(tmp_path / "r.bin", RECORDS)
    data = (tmp_path / "r.bin").read_bytes()
    for size in (5, 14, 40, len(data) - 1):
        (tmp_path / "r.bin").write_bytes(data[:size])
        with pytest.raises(DamagedFile, match="ends inside"):
            list(read_records(tmp_path / "r.bin"))


def test_examples_keep_types_and_values(tmp_path: Path) -> None:
    features = parse_example("r", 0, make_example({"f": np.float32([1.5, -2]), "i": np.int64([2**40, -3]), "b": [b"\xff", b""]}))
    np.testing.assert_array_equal(features["f"], np.float32([1.5, -2]))
    np.testing.assert_array_equal(features["i"], np.int64([2**40, -3]))
    assert features["b"] == [b"\xff", b""]
    with pytest.raises(DamagedFile, match=r"record 4 is not a valid Example"):
        parse_example("r", 4, b"\x0a\xff\xff")


def test_each_feature_is_one_tensor(tmp_path: Path) -> None:
    write_records(tmp_path / "r.bin", [example(0), example(1), example(2)])
    opened = TfRecordFile(tmp_path / "r.bin")
    assert [(v.name, v.shape, v.dtype) for v in opened.variables] == [("base_prob", (3, 2), "float32"), ("id", (3, 1), "int64")]
    np.testing.assert_array_equal(opened.read(opened.variables[0]), [[0, -1], [1, -1], [2, -1]])
    assert "feature 'name' is bytes" in opened.facts.notes[1]


def test_effects_survive_the_round_trip_and_lie_as_the_authors_lay_them(tmp_path: Path) -> None:
    effects = small_effects()
    write_effects(tmp_path / "e.bin", effects)
    back = read_effects(tmp_path / "e.bin")
    for name in ("base_logits", "dlatents", "effects"):
        np.testing.assert_array_equal(getattr(back, name), getattr(effects, name))
    flat = parse_example("e", 1, list(read_records(tmp_path / "e.bin"))[1])["result"]
    image, direction, coordinate, label = 1, 0, 2, 1
    assert flat[(coordinate * 2 + direction) * 2 + label] == effects.effects[image, direction, coordinate, label]


@pytest.mark.parametrize(
    ("features", "why"),
    [
        ({"base_prob": np.float32([1, 2]), "dlatent": np.float32([1])}, "no float list 'result'"),
        ({"base_prob": np.float32([1, 2]), "dlatent": np.int64([1]), "result": np.float32([1] * 4)}, "no float list 'dlatent'"),
        ({"base_prob": np.float32([1, 2]), "dlatent": np.float32([1]), "result": np.float32([1] * 6)}, "6 effects for 2 labels"),
        (
            {"base_prob": np.float32([1, 2]), "dlatent": np.float32([1]), "result": np.float32([1] * 8)},
            "record 1 differs in its sizes",
        ),
    ],
)
def test_records_that_are_no_effects_are_named(tmp_path: Path, features: dict[str, np.ndarray], why: str) -> None:
    good = {"base_prob": np.float32([1, 2]), "dlatent": np.float32([1]), "result": np.float32([1, 2, 3, 4])}
    write_records(tmp_path / "e.bin", [make_example(good), make_example(features)])
    with pytest.raises(BadInput, match=why):
        read_effects(tmp_path / "e.bin")


def test_effects_whose_sizes_disagree_are_not_written(tmp_path: Path) -> None:
    effects = small_effects()
    with pytest.raises(BadInput, match="do not fit together"):
        write_effects(tmp_path / "e.bin", Effects(effects.base_logits[:1], effects.dlatents, effects.effects))
    assert not (tmp_path / "e.bin").exists()


def test_damage_is_answered_with_a_sentence(tmp_path: Path) -> None:
    write_records(tmp_path / "r.bin", [example(0), example(1)])
    # Only a cut between two records goes unseen: the format does not say how many there are.
    assert len(refusals(tmp_path / "r.bin", 200, 17, lambda path: read_all(TfRecordFile(path)))) >= 198
    (tmp_path / "z.bin").write_bytes(gzip.compress((tmp_path / "r.bin").read_bytes()))
    assert len(refusals(tmp_path / "z.bin", 200, 18, lambda path: read_all(TfRecordFile(path)))) > 150


@pytest.mark.tensorflow
def test_tensorflow_reads_what_is_written_and_writes_what_is_read(tmp_path: Path) -> None:
    tf = importlib.import_module("tensorflow")
    write_records(tmp_path / "ours.bin", RECORDS)
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(tmp_path / "ours.bin"))] == RECORDS
    for compression in ("", "GZIP"):
        with tf.io.TFRecordWriter(str(tmp_path / "theirs.bin"), compression) as writer:
            for record in RECORDS:
                writer.write(record)
        assert list(read_records(tmp_path / "theirs.bin")) == RECORDS
    theirs = tf.train.Example.FromString(example(3))
    assert list(theirs.features.feature["base_prob"].float_list.value) == [3, -1]
    features = parse_example("r", 0, theirs.SerializeToString())
    np.testing.assert_array_equal(features["id"], [8])
    assert features["name"] == [b"face"]
