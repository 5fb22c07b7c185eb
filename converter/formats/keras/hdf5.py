"""Keras models and weights in HDF5, of Keras 0 to 3, and any other HDF5 file as a list of its datasets.

Keras (`keras/src/legacy/saving/legacy_h5_format.py`) writes a whole model as root attributes `keras_version`, `backend`,
`model_config` (JSON) and `training_config`, with the groups `model_weights` and `optimizer_weights`; weights alone lie at the
root. A weights group lists its layers in the attribute `layer_names`, each layer its variables in `weight_names`, and the dataset
of a variable lies at `<layer>/<weight name>`: a nested model is one layer with all its variables. Keras 3's `.weights.h5`
has `vars/0`, `vars/1` ... a layer instead, and no names (see `keras_names`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.formats.base import Facts, TensorsOnly, Variable
from stylexport.converter.formats.damage import json_object
from stylexport.converter.formats.keras import h5file
from stylexport.converter.formats.keras.keras_names import VARS, v3_names
from stylexport.converter.formats.slots import optimizer_slot

looks_like_hdf5 = h5file.looks_like_h5

_UNVERIFIED = "the structure only: HDF5 files of this kind carry no checksums"
_NOT_LISTED = "datasets that no weight_names lists; they are given under their HDF5 paths: "


def open_hdf5(path: str | os.PathLike[str]) -> Hdf5File:
    """Opens a Keras `.h5`, a Keras 3 `.weights.h5` or any HDF5 file. Raises BadInput, DamagedFile or HostileFile."""
    path = Path(path)
    h5 = h5file.open_h5(path)
    try:
        return _opened(h5)
    except BaseException:
        h5.close()
        raise


class Hdf5File(TensorsOnly):
    """An HDF5 file as named variables; `key` is the dataset's path."""

    def __init__(self, h5: h5file.H5, format: str, facts: Facts, variables: tuple[Variable, ...]) -> None:
        self.path, self.format, self.facts, self._variables, self._h5 = h5.path, format, facts, variables, h5

    @property
    def variables(self) -> tuple[Variable, ...]:
        """In the order of the layers, then the optimiser's, then what no list names."""
        return self._variables

    def read(self, variable: Variable) -> Array:
        """The tensor, read-only; mapped, not copied, where it lies in one piece. Raises DamagedFile."""
        return h5file.load(self._h5, h5file.dataset_at(self._h5, variable.key), variable.key)

    def close(self) -> None:
        """Closes the file. Arrays that were read stay valid."""
        self._h5.close()


def variable_at(h5: h5file.H5, key: str, name: str, slot: str | None = None) -> Variable:
    """The facts of the dataset at `key`, its storage checked."""
    shape, dtype, nbytes = h5file.describe(h5, h5file.dataset_at(h5, key), key)
    return Variable(name.removesuffix(":0"), key, shape, "string" if dtype.kind == "S" else dtype.name, nbytes, slot=slot)


def v3_variables(h5: h5file.H5, config: Any, version: str | None) -> tuple[Variable, ...]:
    """The variables of a Keras 3 weights file, named by the model's configuration or, without one, by what the file says."""
    # Object headers are laid down as Keras walks the model, so their addresses tell the order of the layers.
    found = {key: h5file.address(h5, dataset) for key, dataset in h5file.datasets(h5)}
    layer_names: dict[str, str | None] = {}
    for key in found:
        parts = key.split("/")
        for depth in range(len(parts)):
            group = "/".join([*parts[:depth], "vars"])
            if group not in layer_names and h5file.holds(h5, h5.root, group):
                layer_names[group] = h5file.text(h5, h5file.resolve(h5, h5.root, group), "name")
    in_order = {key: variable_at(h5, key, key) for key in sorted(found, key=found.__getitem__)}
    names = v3_names({key: variable.shape for key, variable in in_order.items()}, layer_names, config, version)
    return tuple(replace(in_order[key], name=it.name, slot=it.slot, path=it.path) for key, it in names.items())


def _opened(h5: h5file.H5) -> Hdf5File:
    path, file, notes = h5.path, h5.root, list[str]()
    version = h5file.text(h5, file, "keras_version")
    config = h5file.text(h5, file, "model_config")
    keras = None if config is None else json_object(path, "the attribute model_config", config)
    if (backend := h5file.text(h5, file, "backend")) not in (None, "tensorflow"):
        notes.append(f"written by the Keras backend {backend!r}; its layouts may differ from TensorFlow's")
    format, listed = "hdf5", tuple[Variable, ...]()
    if h5file.texts(h5, file, "layer_names") is not None:
        format, listed = "keras_hdf5_weights", tuple(_layers(h5, ""))
    elif h5file.holds(h5, file, "model_weights"):
        format, listed = "keras_hdf5", (*_layers(h5, "model_weights/"), *_optimizer(h5))
        group = h5file.resolve(h5, file, "model_weights")
        version = version or h5file.text(h5, group, "keras_version")
    known = {variable.key for variable in listed}
    rest = [key for key, _ in h5file.datasets(h5) if key not in known]
    if format == "hdf5" and any(VARS.search(key) for key in rest):
        format, listed, rest = "keras_v3_weights", v3_variables(h5, None, version), []
    if format != "hdf5" and rest:
        notes.append(f"{len(rest)} {_NOT_LISTED}{', '.join(rest[:5])}")
    others = [variable for key in rest if (variable := _other(h5, key, notes.append))]
    if bare := sum(variable.dtype == "bfloat16" and not h5file.says_type(h5, variable.key) for variable in (*listed, *others)):
        notes.append(f"{bare} of its tensors have elements of two bytes without a type, as h5py writes bfloat16; taken as bfloat16")
    versions = {} if version is None else {"keras": version}
    facts = Facts(versions, {path.name: path.stat().st_size}, _UNVERIFIED, keras, tuple(notes))
    return Hdf5File(h5, format, facts, _with_averages((*listed, *others)))


def _layers(h5: h5file.H5, prefix: str) -> Iterator[Variable]:
    """The variables of the layers listed under `prefix`, then those of the model itself."""
    top = h5file.resolve(h5, h5.root, prefix)
    layers = h5file.texts(h5, top, "layer_names") or []
    if h5file.holds(h5, top, "top_level_model_weights") and "top_level_model_weights" not in layers:
        layers.append("top_level_model_weights")
    for layer in layers:
        for name in h5file.texts(h5, h5file.resolve(h5, top, layer), "weight_names") or []:
            yield variable_at(h5, f"{prefix}{layer}/{name}", name)


def _optimizer(h5: h5file.H5) -> Iterator[Variable]:
    if not h5file.holds(h5, h5.root, "optimizer_weights"):
        return
    for name in h5file.texts(h5, h5file.resolve(h5, h5.root, "optimizer_weights"), "weight_names") or []:
        yield variable_at(h5, f"optimizer_weights/{name}", name, optimizer_slot(name))


def _with_averages(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Keras 3's optimisers call the average of `net/conv/kernel` `adam/net_conv_kernel_average`."""
    keys = {variable.name.replace("/", "_"): variable.key for variable in variables if variable.slot is None}
    return tuple(
        replace(v, average_of=keys.get(v.name.rpartition("/")[2].removesuffix("_average"))) if (v.slot or "").endswith("/average") else v
        for v in variables
    )


def _other(h5: h5file.H5, key: str, note: Callable[[str], None]) -> Variable | None:
    """A dataset that no list names; one without numbers (text, tables) is left out with a note."""
    dtype = h5file.dtype_of(h5, h5file.dataset_at(h5, key), key)
    if dtype.kind in "OV" and dtype.itemsize != 2:
        note(f"dataset {key!r} holds {dtype}, not numbers, and is left out")
        return None
    slot = optimizer_slot(key.removeprefix("optimizer_weights/")) if key.startswith("optimizer_weights/") else None
    try:
        return variable_at(h5, key, key, slot)
    except BadInput as error:
        if type(error) is not BadInput:  # damaged or hostile
            raise
        note(str(error))
        return None
