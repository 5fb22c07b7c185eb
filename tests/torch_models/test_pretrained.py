"""Networks to disk and back: bit for bit, and strict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stylexport.common.atomic import whole_folder
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.torch_models import Discriminator, Encoder, Generator, MobileNetV1, pretrained
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.pretrained import PretrainedNetwork, save_tensors
from tests.torch_models.plain import DISCRIMINATOR, ENCODER, GENERATOR, MOBILENET, fill

NETWORKS: list[tuple[type[PretrainedNetwork], Any]] = [
    (Generator, GENERATOR),
    (Encoder, ENCODER),
    (Discriminator, DISCRIMINATOR),
    (MobileNetV1, MOBILENET),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    encoder = fill(Encoder(ENCODER))
    assert isinstance(encoder, Encoder)
    encoder.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.mark.parametrize(("network", "config"), NETWORKS)
def test_a_round_trip_keeps_every_bit_and_the_configuration(network: type[PretrainedNetwork], config: Any, tmp_path: Path):
    saved = fill(network(config))
    assert isinstance(saved, network)
    saved.save_pretrained(tmp_path)
    loaded = network.from_pretrained(str(tmp_path))
    assert loaded.config == config
    assert not loaded.training
    assert loaded.state_dict().keys() == saved.state_dict().keys()
    for name, tensor in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert all(p.requires_grad for p in loaded.parameters())


def test_a_loaded_network_computes_what_the_saved_one_did(tmp_path: Path):
    saved = fill(Generator(GENERATOR))
    assert isinstance(saved, Generator)
    saved.save_pretrained(tmp_path)
    dlatent = torch.linspace(-1, 2, 20).reshape(2, 10)
    assert torch.equal(Generator.from_pretrained(tmp_path)(dlatent), saved(dlatent))


def test_the_same_network_saves_the_same_bytes_whatever_its_memory_layout(folder: Path, tmp_path: Path):
    Encoder.from_pretrained(folder).to(memory_format=torch.channels_last).save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert json.loads((folder / "config.json").read_text())["network"] == "encoder"
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".model")]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_are_kept_tensor_by_tensor_and_run(folder: Path, dtype: torch.dtype):
    tensors = load_file(folder / "model.safetensors")
    tensors["b8.conv0.weight"] = tensors["b8.conv0.weight"].to(dtype)
    save_file(tensors, folder / "model.safetensors")
    encoder = Encoder.from_pretrained(folder)
    assert encoder.get_parameter("b8.conv0.weight").dtype == dtype
    assert encoder.get_parameter("b8.conv0.bias").dtype == torch.float32
    assert encoder(torch.ones(1, 3, 16, 16)).isfinite().all()


Tensors = dict[str, Tensor]


def without(tensors: Tensors) -> None:
    del tensors["b8.conv0.bias"], tensors["b4.out.weight"]


def more(tensors: Tensors) -> None:
    tensors["b8.conv0.scale"] = torch.ones(3)


def turned(tensors: Tensors) -> None:
    tensors["b4.fc.weight"] = tensors["b4.fc.weight"].t().contiguous()


def whole_numbers(tensors: Tensors) -> None:
    tensors["b8.skip.weight"] = tensors["b8.skip.weight"].int()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without, r"b4\.out\.weight: missing, expected \[8, 10\]"),
        (without, r"b8\.conv0\.bias: missing"),
        (more, r"b8\.conv0\.scale: \[3\], which the network does not have"),
        (turned, r"b4\.fc\.weight: \[112, 10\], expected \[10, 112\]"),
        (whole_numbers, r"b8\.skip\.weight: dtype int32, expected one of float16"),
    ],
)
def test_tensors_that_are_not_the_networks_are_one_error(folder: Path, change: Callable[[Tensors], None], message: str):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BadInput, match=rf"(?s)model\.safetensors: .*{message}.*convert again"):
        Encoder.from_pretrained(folder)


@pytest.mark.parametrize("keep", [0, 7, 500, -1])
def test_a_file_cut_short_is_refused(folder: Path, keep: int):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"model\.safetensors: is not a whole safetensors file .* download it again"):
        Encoder.from_pretrained(folder)


def test_a_header_that_lies_about_a_dtype_is_refused(folder: Path):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"dtype":"F32"', b'"dtype":"F16"', 1))
    with pytest.raises(BadInput, match=r"model\.safetensors: is not a whole safetensors file"):
        Encoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[1]", "holds a JSON list"),
        ('{"network": "generator"}', "of a generator, not of a encoder"),
        ('{"network": "encoder"}', "does not describe a Encoder .*resolution"),
        ('{"network": "encoder", "resolution": 16, "channels": [7, 6]}', "channel counts"),
        ('{"network": "encoder", "resolution": "16", "channels": [7, 6, 5]}', "does not describe a Encoder"),
        ('{"network": "encoder", "resolution": 16, "channels": [7, 6, 5], "depth": 3}', "unknown fields: depth"),
        ('{"network": "encoder", "resolution": 16, "channels": [7, 6, -5]}', "does not describe a Encoder"),
    ],
)
def test_a_broken_configuration_is_one_error_that_names_the_file(folder: Path, text: str, message: str):
    (folder / "config.json").write_text(text)
    with pytest.raises(BadInput, match=rf"config\.json: .*{message}.*again"):
        Encoder.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(BadInput, match=rf"{name}: missing"):
        Encoder.from_pretrained(folder)


def test_what_is_no_folder_is_asked_of_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, str, str | None]] = []

    def download(repo_id: str, filename: str, revision: str | None, **_: Any) -> str:
        asked.append((repo_id, filename, revision))
        return str(folder / filename)

    monkeypatch.setattr(pretrained, "hf_hub_download", download)
    encoder = Encoder.from_pretrained("someone/encoder", revision="v2")
    assert asked == [("someone/encoder", "config.json", "v2"), ("someone/encoder", "model.safetensors", "v2")]
    assert encoder.config == ENCODER


def test_what_neither_a_folder_nor_the_hub_has_is_one_error(tmp_path: Path):
    with pytest.raises(BadInput, match=r"absent: no such folder, and config\.json could not be had"):
        Encoder.from_pretrained(str(tmp_path / "absent"), local_files_only=True)


def test_a_write_that_fails_leaves_the_old_weights(folder: Path, monkeypatch: pytest.MonkeyPatch):
    before = (folder / "model.safetensors").read_bytes()

    def fail(tensors: Tensors, path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pretrained, "save_file", fail)
    with pytest.raises(BadInput, match=r"model\.safetensors: cannot be written \(disk full\)"):
        Encoder.from_pretrained(folder).save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".model")]


def test_a_network_is_built_from_its_own_configuration_only():
    with pytest.raises(TypeError, match="built from a EncoderConfig, not from GeneratorConfig"):
        Encoder(GENERATOR)  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), [("latent", "many"), ("gain", None), ("channels", [4, "x"]), ("labels", True)])
def test_a_configuration_of_other_types_is_the_files_fault_and_names_the_field(
    field: str, value: object, converted: Path, tmp_path: Path
) -> None:
    shutil.copytree(converted / "generator", tmp_path / "generator")
    config = tmp_path / "generator" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {field: value}))
    with pytest.raises(DamagedFile, match=f"config.json.*`{field}`"):
        Generator.from_pretrained(tmp_path / "generator")


def test_a_mistake_of_ours_in_building_a_network_is_not_the_files_fault(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generator, "__init__", lambda self, config: len(5))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="has no len"):
        Generator.from_pretrained(converted / "generator")


@dataclass(frozen=True)
class NormConfig(NetworkConfig):
    network: ClassVar[str] = "norm"
    architecture: ClassVar[str] = "norm"
    size: int = 3


class Norm(PretrainedNetwork):
    config_class = NormConfig

    def __init__(self, config: NormConfig) -> None:
        super().__init__(config)
        self.norm = nn.BatchNorm2d(config.size)


def test_pytorchs_own_batchnorm_counts_from_zero_where_the_file_has_no_count(tmp_path: Path) -> None:
    Norm(NormConfig()).save_pretrained(tmp_path)
    assert Norm.from_pretrained(tmp_path).norm.num_batches_tracked == 0
    tensors = {name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items() if "num_batches" not in name}
    save_file(tensors, tmp_path / "model.safetensors")
    assert Norm.from_pretrained(tmp_path).norm.num_batches_tracked == 0


def test_a_full_disk_is_the_systems_error_as_with_every_other_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(pretrained, "save_file", full)
    message = r"checkpoint: cannot be written \(No space left on device\); make room"
    with pytest.raises(BadInput, match=message), whole_folder(tmp_path / "checkpoint") as stage:
        save_tensors({"w": torch.zeros(2)}, stage / "w.safetensors")
    assert not list(tmp_path.glob("*"))
