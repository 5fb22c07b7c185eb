"""A pickle is data here: tensors come out under their names, and nothing that it names is ever looked up."""

from __future__ import annotations

import collections
import importlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.converter.formats.pickled.pickles import looks_like_pickle, open_pickle
from tests.converter.formats.damage import read_all, refusals

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3) - 1.5
BIAS = np.float64([0.25, -7, 3])
LARGE = np.arange(5000, dtype=np.int16).reshape(50, 100)


def write(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
    return path


class _Called:
    """Pickles as a call of `function` with `args`, whose state is then set."""

    def __init__(self, function: Any, args: tuple[Any, ...], state: Any = None) -> None:
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self.parts


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_in_containers_are_read_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    value = {
        "g": [KERNEL, (BIAS.astype(">f8"), np.asfortranarray(KERNEL))],
        "odict": collections.OrderedDict(z=LARGE, a=np.float32(4)),
    }
    path = write(tmp_path / "w.bin", value, protocol)
    assert looks_like_pickle(path)
    opened = open_pickle(path)
    assert [variable.key for variable in opened.variables] == ["g[0]", "g[1][0]", "g[1][1]", "odict/z", "odict/a"]
    for array, expected in zip(read_all(opened).values(), [KERNEL, BIAS, KERNEL, LARGE, np.float32(4)], strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype


def test_pairs_give_names_and_plain_numbers_are_tensors(tmp_path: Path) -> None:
    value = [("G/w:0", KERNEL), ["G/b", BIAS], ("steps", 7), ("epsilons", [0.5, 2.0]), ("remark", "text")]
    opened = open_pickle(write(tmp_path / "w.pkl", value))
    assert [(v.name, v.key, v.shape) for v in opened.variables] == [
        ("G/w", "[0]", (2, 3)),
        ("G/b", "[1]", (3,)),
        ("steps", "[2]", ()),
        ("epsilons", "[3]", (2,)),
    ]
    assert opened.facts.notes == ("[4] is str, not a tensor, and is left out",)


def test_a_dictionary_of_variables_by_name_gives_their_names(tmp_path: Path) -> None:
    opened = open_pickle(write(tmp_path / "w.pkl", {"G/w:0": KERNEL, "D": {"b:0": BIAS}}))
    assert [(v.name, v.key) for v in opened.variables] == [("G/w", "G/w:0"), ("D/b", "D/b:0")]


def test_bfloat16_and_scalars_are_read(tmp_path: Path) -> None:
    values = read_all(open_pickle(write(tmp_path / "w.pkl", {"b": KERNEL.astype(ml_dtypes.bfloat16), "s": np.float64(0.1)})))
    np.testing.assert_array_equal(values["b"].astype(np.float32), KERNEL)
    assert values["s"] == 0.1


def test_arrays_are_read_only_and_not_copied_again(tmp_path: Path) -> None:
    opened = open_pickle(write(tmp_path / "w.pkl", [LARGE]))
    values = opened.read(opened.variables[0])
    opened.close()
    np.testing.assert_array_equal(values, LARGE)
    assert not values.flags.writeable
    assert not values.flags.owndata


def test_python_2_pickles_are_read(tmp_path: Path) -> None:
    raw = KERNEL.tobytes()
    old = (
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02K\x03\x86"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U"
        + bytes([len(raw)])
        + raw
        + b"tbs."
    )
    np.testing.assert_array_equal(read_all(open_pickle(write(tmp_path / "w.pkl", old)))["w"], KERNEL)


def test_a_network_of_nvidias_tf_releases_gives_its_variables_and_its_code_is_not_run(tmp_path: Path) -> None:
    part = {
        "name": "G_mapping",
        "variables": [("Dense0/weight", KERNEL)],
        "components": {},
        "build_module_src": "raise SystemExit",
    }
    whole = {"name": "G", "variables": [("lod", BIAS)], "components": part, "build_module_src": "raise SystemExit"}

    def network(state: dict[str, Any]) -> bytes:
        return b"cdnnlib.tflib.network\nNetwork\n)\x81" + pickle.dumps(state, 2)[2:-1] + b"b"

    data = b"\x80\x02" + network(whole | {"components": {}}) + network(part) + b"\x86."
    opened = open_pickle(write(tmp_path / "w.pkl", data))
    assert [(v.name, v.key) for v in opened.variables] == [("G/lod", "[0]/G[0]"), ("G_mapping/Dense0/weight", "[1]/G_mapping[0]")]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (_Called(os.system, ("touch {}",)), "system"),
        (_Called(eval, ("1",)), r"builtins\.eval|__builtin__\.eval"),
        (collections.Counter("ab"), r"collections\.Counter"),
        (np.random.default_rng, "numpy.random"),
    ],
)
def test_what_would_run_code_is_named_and_not_run(tmp_path: Path, call: Any, named: str) -> None:
    if isinstance(call, _Called) and "touch" in str(call.parts[1]):
        call = _Called(os.system, (f"touch {tmp_path / 'ran'}",))
    for protocol in (0, 2, 4):
        with pytest.raises(HostileFile, match=named) as caught:
            open_pickle(write(tmp_path / "w.pkl", [KERNEL, call], protocol))
        assert "numpy.savez" in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_names_that_are_known_are_not_called_either(tmp_path: Path) -> None:
    partial = b"cfunctools\npartial\n"
    for data in (
        partial + partial + b"\x85R.",
        partial + b"c_codecs\nencode\n\x85R)R.",
        b"c_codecs\nencode\n(U\x02abU\x04utf8tR.",
    ):
        with pytest.raises(BadInput):
            open_pickle(write(tmp_path / "w.pkl", b"\x80\x02" + data))


def bomb_in_layers() -> bytes:
    """Thirty lists, each holding the one before it twice: 2^30 leaves in 200 bytes."""
    return b"\x80\x04]\x94" + b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"e\x94" for n in range(30)) + b"."


BOMBS = {
    "bytes longer than the file": b"\x80\x04B\xff\xff\xff\x7fabc.",
    "bytes of 2^63": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"abc.",
    "a memo of 2^31 places": b"\x80\x04Nr\xff\xff\xff\x7f.",
    "a number of 2 GiB": b"\x80\x04\x8b\xff\xff\xff\x7f1.",
    "a number of many digits": b"L" + b"9" * 100_000 + b"L\n.",
    "lists in lists in lists": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "lists that share": bomb_in_layers(),
    "a frame beyond the end": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
    "no value": b"\x80\x04.",
    "no end": b"\x80\x04]",
    "a persistent name": b"\x80\x04\x8c\x01aQ.",
    "an extension": b"\x80\x04\x82\x01.",
    "appending to a number": b"\x80\x04K\x01K\x02a.",
    "a list that holds itself": b"\x80\x04]\x94h\x00a.",
    "a key that is a tuple": b"\x80\x04}))s.",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadInput, match=r"w\.pkl"):
        open_pickle(write(tmp_path / "w.pkl", BOMBS[kind]))


@pytest.mark.parametrize("shape", [b"K\x02K\x04", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f", b"J\xff\xff\xff\xffK\x06"])
def test_a_shape_that_its_bytes_do_not_fill_is_refused(tmp_path: Path, shape: bytes) -> None:
    good = pickle.dumps([KERNEL], 2)
    assert b"K\x02K\x03\x86" in good
    with pytest.raises((HostileFile, DamagedFile)):
        open_pickle(write(tmp_path / "w.pkl", good.replace(b"K\x02K\x03\x86", shape + b"\x86")))


def test_a_pickle_without_tensors_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="without tensors"):
        open_pickle(write(tmp_path / "w.pkl", {"text": "only"}))
    with pytest.raises(BadInput, match="empty"):
        open_pickle(write(tmp_path / "w.pkl", b""))
    with pytest.raises(BadInput, match="no such file"):
        open_pickle(tmp_path / "absent.pkl")


def test_damage_is_answered_with_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "w.pkl", {"g": [("w", KERNEL), ("b", BIAS)], "odict": collections.OrderedDict(z=np.float32(4))})
    messages = refusals(path, 600, 3, lambda path: read_all(open_pickle(path)))
    assert len(messages) > 300
    assert all("damaged.pkl" in message for message in messages)


@pytest.mark.tensorflow
def test_pickled_tensorflow_and_keras_variables_keep_their_names(tmp_path: Path) -> None:
    tf, keras = importlib.import_module("tensorflow"), importlib.import_module("keras")
    layer = keras.layers.Dense(2, name="out")
    layer.build((None, 3))
    net = importlib.import_module("tf_keras").Sequential([importlib.import_module("tf_keras").layers.Dense(2, name="old")])
    net.compile("adam", "mse")
    net.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    variables = [tf.Variable(KERNEL, name="G/w"), tf.constant(BIAS), *layer.weights, *net.weights, *net.optimizer.variables]
    opened = open_pickle(write(tmp_path / "w.pkl", variables))
    named = [(v.name, v.slot) for v in opened.variables]
    assert named[:6] == [
        ("G/w", None),
        ("[1]", None),
        ("out/kernel", None),
        ("out/bias", None),
        ("old/kernel", None),
        ("old/bias", None),
    ]
    assert ("Adam/m/old/kernel", "Adam/m") in named
    assert ("iteration", None) not in named[:6]
    for variable, values in zip(variables, read_all(opened).values(), strict=True):
        np.testing.assert_array_equal(values, variable.numpy())
