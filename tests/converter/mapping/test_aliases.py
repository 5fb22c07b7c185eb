"""A user's table that gives a known network's variables under other names reads that network, its sizes from their shapes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stylexport.checkpoints import EMBEDDED
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.mapping.recognise import recognise
from tests.conftest import run


@pytest.mark.parametrize("role", ["generator", "encoder", "discriminator"])
def test_a_known_network_under_other_names_is_the_same_network(tmp_path: Path, converted: Path, role: str) -> None:
    released = open_artefact(EMBEDDED / f"{role}.savedmodel.zip")
    (network,), _ = recognise(released)
    arrays, rows = {}, []
    for number, binding in enumerate(network.bindings):
        name = f"Model/part_{number}/v"
        arrays[name] = released.read(binding.variable)
        rows.append({"tf": name, "torch": binding.rule.torch})
    np.savez(tmp_path / "other.npz", **arrays)
    (tmp_path / "table.yaml").write_text(json.dumps({"network": role, "tensors": rows}))
    ran = run("convert", tmp_path / "other.npz", "-o", tmp_path / "out", "--mapping", tmp_path / "table.yaml")
    assert ran.code == 0, ran.err
    written = (tmp_path / "out" / role / "model.safetensors").read_bytes()
    assert written == (converted / role / "model.safetensors").read_bytes()
    ledger = json.loads((tmp_path / "out" / role / "conversion.json").read_text())
    assert {row["variable"] for row in ledger["tensors"]} == arrays.keys()
    short = json.dumps({"network": role, "tensors": rows[1:]})
    (tmp_path / "table.yaml").write_text(short)
    error = run("convert", tmp_path / "other.npz", "-o", tmp_path / "out", "--mapping", tmp_path / "table.yaml")
    assert error.code in (2, 3)
