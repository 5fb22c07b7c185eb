"""StylEx: generator, encoder, discriminator and classifier as one (Lang et al. 2021, "Explaining in Style", figure 2)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import Tensor, nn

from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.json_files import read_index
from stylexport.torch_models.discriminator import Discriminator
from stylexport.torch_models.encoder import Encoder
from stylexport.torch_models.generator import Generator
from stylexport.torch_models.kinds import ROLES
from stylexport.torch_models.pretrained import AGAIN, PretrainedNetwork, open_network

MANIFEST = "stylex.json"


class StylEx(nn.Module):
    """The networks of one StylEx; any may be absent (None), and a method that needs it then says so.

    `labels` are the label names, `image_range` the range of an image, `metadata` whatever else `stylex.json` holds.

    Example:
        >>> from stylexport.torch_models.config import GeneratorConfig
        >>> stylex = StylEx(Generator(GeneratorConfig(resolution=8, channels=(6, 4), latent=5, labels=2)), labels=("old", "young"))
        >>> stylex.decode(torch.zeros(1, 7)).shape
        torch.Size([1, 3, 8, 8])

    """

    generator: Generator | None
    encoder: Encoder | None
    discriminator: Discriminator | None
    classifier: nn.Module | None

    def __init__(
        self,
        generator: Generator | None = None,
        encoder: Encoder | None = None,
        discriminator: Discriminator | None = None,
        classifier: nn.Module | None = None,
        *,
        labels: Sequence[str] = (),
        image_range: tuple[float, float] = (-1.0, 1.0),
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.encoder = generator, encoder
        self.discriminator, self.classifier = discriminator, classifier
        self.labels = tuple(labels)
        self.image_range = image_range
        self.metadata = dict(metadata or {})

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *, map_location: str | torch.device = "cpu", **download: Any
    ) -> StylEx:
        """The StylEx of a converted folder, or of a Hugging Face Hub repository, in eval mode.

        `download` goes to `huggingface_hub.snapshot_download` (revision, token, cache_dir, ...). Raises BadInput, naming the file, where
        `stylex.json` or a network that it names is missing or broken.

        Example:
            >>> import tempfile
            >>> from stylexport import convert
            >>> from stylexport.checkpoints import EMBEDDED
            >>> folder = tempfile.mkdtemp()
            >>> _ = convert(EMBEDDED, folder)
            >>> [name for name, _ in StylEx.from_pretrained(folder).named_children()]
            ['generator', 'encoder', 'discriminator', 'classifier']

        """
        folder = _folder(str(pretrained_model_name_or_path), download)
        path = folder / MANIFEST
        values = read_index(folder, AGAIN)
        places = values.pop("networks", None)
        if not isinstance(places, dict) or (places and not set(places) & set(ROLES)):
            raise DamagedFile(path, f"`networks` must name folders for some of {', '.join(ROLES)}, not {places!r}", AGAIN)
        places = {name: place for name, place in places.items() if name in ROLES}  # a user's own networks are not StylEx's
        labels = values.pop("labels", [])
        image_range = values.pop("image_range", [-1.0, 1.0])
        if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
            raise DamagedFile(path, f"`labels` must be a list of names, not {labels!r}", AGAIN)
        if not (isinstance(image_range, list) and len(image_range) == 2 and all(isinstance(v, int | float) for v in image_range)):
            raise DamagedFile(path, f"`image_range` must be two numbers, not {image_range!r}", AGAIN)
        networks: dict[str, Any] = {name: open_network(_inside(folder, place, path), name, map_location) for name, place in places.items()}
        low, high = image_range
        return cls(**networks, labels=labels, image_range=(low, high), metadata=values).eval()

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the layout that `from_pretrained` reads: a folder a network, and `stylex.json` last."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        present = {name: network for name in ROLES if (network := getattr(self, name)) is not None}
        for name, network in present.items():
            if not isinstance(network, PretrainedNetwork):
                raise TypeError(f"the {name} is a {type(network).__name__}, which has no configuration to save; only this project's have")
            network.save_pretrained(folder / name)
        values = {
            "networks": {name: name for name in present},
            "labels": list(self.labels),
            "image_range": list(self.image_range),
            **self.metadata,
        }
        with whole_file(folder / MANIFEST) as partial:
            partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")

    def encode(self, image: Tensor) -> Tensor:
        """`image` [N, 3, R, R] to its dlatent [N, latent + labels]: w, then the softmax of the classifier's logits."""
        w = self._need("encoder")(image)
        return torch.cat([w, self.classify(image).softmax(1).to(w.dtype)], 1)

    def decode(self, dlatent: Tensor) -> Tensor:
        """`dlatent` [N, latent + labels] to images [N, 3, R, R], clipped to `image_range`, with the constant noise."""
        return self._need("generator")(dlatent).clamp(*self.image_range)

    def classify(self, image: Tensor) -> Tensor:
        """`image` [N, 3, R, R] to the classifier's raw logits [N, labels]."""
        return self._need("classifier")(image)

    def forward(self, image: Tensor) -> Tensor:
        """The reconstruction of `image` [N, 3, R, R]: `decode(encode(image))`."""
        return self.decode(self.encode(image))

    def _need(self, name: str) -> nn.Module:
        """The network `name`. Raises ValueError where this StylEx has none."""
        network: nn.Module | None = getattr(self, name)
        if network is None:
            raise ValueError(f"this StylEx has no {name}: convert it too, or pass one to StylEx({name}=...)")
        return network


def _folder(name: str, download: dict[str, Any]) -> Path:
    """A local folder as it is, a Hub repository downloaded. Raises BadInput where neither is there."""
    if os.path.isdir(name):
        return Path(name)
    try:
        return Path(snapshot_download(name, **download))
    except (OSError, ValueError) as error:  # what huggingface_hub raises for a bad name, a missing repository, no connection
        raise BadInput(f"{name}: no such folder, and the Hugging Face Hub did not give it ({error})") from error


def _inside(folder: Path, place: object, manifest: Path) -> Path:
    """The sub-folder that the manifest names. Raises BadInput where it is not a folder, or lies outside the StylEx's folder."""
    if not isinstance(place, str) or not (folder / place).resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{manifest}: {place!r} is not a folder inside {folder}")
    if not (folder / place).is_dir():
        raise BadInput(f"{manifest}: names the folder {place}, which {folder} does not have; convert it again")
    return folder / place
