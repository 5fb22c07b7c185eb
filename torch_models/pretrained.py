"""Networks on disk: `config.json` and `model.safetensors`, read strictly and written whole."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stylexport.common.atomic import settle, whole_file
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.json_files import read_json
from stylexport.common.text import listing, utf8_path
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import kind_from_json
from stylexport.torch_models.layers.resampling import Fir

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
AGAIN = "convert or download it again"
COUNTER = "num_batches_tracked"  # of PyTorch's BatchNorm: how often it was trained, which TensorFlow does not count
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

T = TypeVar("T", bound="PretrainedNetwork")


class PretrainedNetwork(nn.Module, PyTorchModelHubMixin, library_name="stylexport"):
    """A network that `from_pretrained`, `save_pretrained` and `push_to_hub` carry, built from a `config_class`."""

    config_class: ClassVar[type[NetworkConfig]]
    config: Any

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(f"{type(self).__name__} is built from a {self.config_class.__name__}, not from {type(config).__name__}")
        self.config = config

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls: type[T],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        map_location: str | torch.device = "cpu",
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> T:
        """The network of a folder, or of a repository on the Hugging Face Hub, in eval mode and in the dtypes of its file.

        The other arguments are the mixin's. Raises BadInput, with file, tensor and remedy, where either file is missing or
        broken, or where the tensors are not exactly this network's.

        Example:
            >>> import tempfile
            >>> from stylexport.torch_models import MobileNetV1
            >>> from stylexport.torch_models.config import MobileNetV1Config, mobilenet_layers
            >>> folder = tempfile.mkdtemp()
            >>> MobileNetV1(MobileNetV1Config(mobilenet_layers(0.25), labels=3)).save_pretrained(folder)
            >>> MobileNetV1.from_pretrained(folder).config.labels
            3

        """
        return cls._from_pretrained(
            model_id=str(pretrained_model_name_or_path),
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            map_location=map_location,
        )

    @classmethod
    def _from_pretrained(
        cls: type[T],
        *,
        model_id: str,
        map_location: str | torch.device = "cpu",
        **download: Any,
    ) -> T:
        """The mixin's hook: find the two files, in a folder or by download, and load them."""
        config, weights = (_find(model_id, name, download) for name in (CONFIG, WEIGHTS))
        return _load(cls, config, weights, map_location)

    def _save_pretrained(self, save_directory: Path) -> None:
        """The mixin's hook: write both files, each through a temporary one, the configuration last."""
        # One file lists one tensor once, so views and channels-last tensors are laid out plainly.
        tensors = {name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}
        with whole_file(save_directory / WEIGHTS) as partial:
            save_tensors(tensors, partial, {"format": "pt"})
        with whole_file(save_directory / CONFIG) as partial:
            partial.write_text(json.dumps(self.config.to_json(), indent=2) + "\n", encoding="utf-8")


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """What safetensors calls save_file, but it raises OSError where the file system refuses, a full disk too, as all other writers do.

    Example:
        >>> save_tensors({"w": torch.zeros(2)}, Path("no/such/folder/w.safetensors"))
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'no/such/folder/w.safetensors'

    """
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        if not (number := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def open_network(folder: Path, role: str, map_location: str | torch.device = "cpu") -> PretrainedNetwork:
    """The network in a folder, whatever architecture fills this role of a StylEx. Raises BadInput as `from_pretrained` does."""
    path = _find(str(folder), CONFIG, {})
    values = read_json(path, AGAIN)
    try:
        kind = kind_from_json(values, role)
        if kind.role != role:
            raise ValueError(f"this config.json is of a {kind.role}, not of a {role}")
    except ValueError as error:
        raise DamagedFile(path, f"is of another network ({error})", "convert it again") from error
    network: PretrainedNetwork = kind.module.load().from_pretrained(folder, map_location=map_location)
    return network


def _find(model_id: str, name: str, download: dict[str, Any]) -> Path:
    """The file `name` of a folder or a Hub repository. Raises BadInput where there is none."""
    if os.path.isdir(model_id):
        path = Path(model_id) / name
        settle(path.parent.parent)
        if not path.is_file():
            raise BadInput(f"{path}: missing; a converted network is a folder with {CONFIG} and {WEIGHTS}: convert or save it again")
        return path
    try:
        return Path(hf_hub_download(repo_id=model_id, filename=name, **download))
    except (OSError, ValueError) as error:  # what huggingface_hub raises for a bad name, a missing file and a failed connection
        raise BadInput(f"{model_id}: no such folder, and {name} could not be had from the Hugging Face Hub ({error})") from error


def _load(cls: type[T], config_path: Path, weights_path: Path, device: str | torch.device) -> T:
    """Build the network that `config_path` describes and fill it from `weights_path`."""
    values = read_json(config_path, AGAIN)
    wrong = f"does not describe a {cls.__name__}"
    try:
        config = cls.config_class.from_json(values)
    except ValueError as error:  # a field that is missing, unknown or of another type
        raise DamagedFile(config_path, f"{wrong} ({error})", "convert it again") from error
    try:
        # On the meta device, because every weight comes from the file: nothing is initialised in vain.
        with torch.device("meta"):
            model = cls(config)
    except (RuntimeError, ValueError) as error:  # a size that PyTorch refuses
        raise DamagedFile(config_path, f"{wrong} ({error})", "convert it again") from error
    tensors = _read_tensors(weights_path, device)
    for name in model.state_dict():
        if name.endswith(COUNTER):
            tensors.setdefault(name, torch.zeros((), dtype=torch.int64, device=device))
    _check(model, tensors, weights_path)
    model.load_state_dict(tensors, strict=True, assign=True)
    for module in model.modules():
        if isinstance(module, Fir):
            module.reset_kernel(device)
    return model.eval()


def _read_tensors(path: Path, device: str | torch.device) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises DamagedFile where the file is cut short or its header is wrong."""
    try:
        with utf8_path(path) as place, safe_open(place, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise DamagedFile(path, f"is not a whole safetensors file ({error})", AGAIN) from error


def _check(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Raises one BadInput that lists every tensor that is missing, left over, of another shape or not of a floating dtype."""
    expected = model.state_dict()
    faults = [f"{name}: missing, expected {list(t.shape)}" for name, t in expected.items() if name not in tensors]
    for name, tensor in tensors.items():
        if name not in expected:
            faults.append(f"{name}: {list(tensor.shape)}, which the network does not have")
        elif tensor.shape != expected[name].shape:
            faults.append(f"{name}: {list(tensor.shape)}, expected {list(expected[name].shape)}")
        elif tensor.dtype not in DTYPES and not name.endswith(COUNTER):
            faults.append(f"{name}: dtype {str(tensor.dtype).removeprefix('torch.')}, expected one of float16, bfloat16, float32, float64")
    if faults:
        raise BadInput(
            f"{path}: its tensors are not those of the {type(model).__name__} that {CONFIG} beside it describes:\n  "
            f"{listing(faults, 20, chr(10) + '  ')}\nBoth files must come from one conversion or one save_pretrained; convert again"
        )
