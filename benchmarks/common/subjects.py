"""Models to measure AttFind on: the embedded release, its generator under other classifiers, and StylExes that are trained here.

Everything comes from the digits of the embedded release; a nine turned upside down is a six, the third class. A generator is trained for
a few hundred steps to decode the digits' principal components and the classifier's probabilities: it makes blurred digits that the
classifier answers as it answers the originals. One model has random weights throughout, as a case that nobody would want explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.common.releases import embedded_stylex
from stylexport.attfind.stylex_model import StylExModel
from stylexport.checkpoints import EMBEDDED
from stylexport.converter.formats.pickled.dlatents import read_dlatents
from stylexport.torch_models import Generator, MobileNetV1
from stylexport.torch_models.config import GeneratorConfig, MobileNetV1Config, mobilenet_layers
from stylexport.torch_models.stylex import StylEx

SPREAD = 2.0  # standard deviation of a random classifier's logits; trained ones have 2 to 5


@dataclass(frozen=True)
class Subject:
    """A model, a classifier and latents [N, D] that AttFind runs on."""

    name: str
    model: StylExModel
    classify: Callable[[Tensor], Tensor]
    latents: Tensor


def subjects(images: int = 100) -> Iterator[Subject]:
    """Seven trained models and one of random weights, with at most `images` latents each."""
    base = embedded(images)
    yield base
    yield with_classifier(base, seed=1, width=8)
    yield trained(seed=3, resolution=16, channels=(128, 96, 64), images=images)
    yield trained(seed=4, resolution=16, channels=(160, 96, 48), images=images, classes=3)
    yield trained(seed=5, resolution=32, channels=(96, 80, 64, 32), images=images)
    yield trained(seed=6, resolution=16, channels=(192, 128, 64), images=images, latent=48)
    yield trained(seed=7, resolution=32, channels=(128, 96, 48, 16), images=images, latent=16)
    yield of_random_weights(8, 32, (96, 64, 48, 16), images)


def embedded(images: int = 100) -> Subject:
    """The embedded release (32 px, 108 coordinates) and its latents, 100 at most."""
    stylex = embedded_stylex().requires_grad_(False)
    latents = torch.from_numpy(read_dlatents(EMBEDDED / "dlatents.pkl").values[:images].copy())
    return Subject("the embedded release", StylExModel(stylex), stylex.classify, latents)


def with_classifier(base: Subject, seed: int, width: int) -> Subject:
    """The embedded generator and another classifier."""
    network = small_network(*digits(32, 2), seed, width)
    return Subject(f"its generator, another classifier ({width} to {4 * width} channels)", base.model, network, base.latents)


def trained(
    seed: int, resolution: int, channels: tuple[int, ...], images: int, classes: int = 2, latent: int = 24, steps: int = 300
) -> Subject:
    """A generator and a classifier that are trained here."""
    pictures, labels = digits(resolution, classes)
    network = small_network(pictures, labels, seed, 8)
    flat = pictures[:, 0].flatten(1)
    centred = flat - flat.mean(0)
    _, scale, axes = torch.linalg.svd(centred[:1000], full_matrices=False)
    codes = centred @ axes[:latent].t() / scale[:latent] * 1000**0.5
    with torch.no_grad():
        latents = torch.cat([codes, network(pictures).softmax(1)], 1)
    torch.manual_seed(seed)
    generator = Generator(GeneratorConfig(resolution, channels, latent, classes, z=latent))
    optimiser = torch.optim.Adam([*generator.style_vectors.parameters(), *generator.synthesis.parameters()], 5e-3, betas=(0.5, 0.99))
    for _ in range(steps):
        rows = torch.randint(len(latents), (32,))
        decoded = generator(latents[rows])
        divergence = F.kl_div(network(decoded).log_softmax(1), latents[rows, latent:], reduction="batchmean")
        loss = F.mse_loss(decoded, pictures[rows]) + 0.1 * divergence
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    generator.eval().requires_grad_(False)
    chosen = torch.linspace(0, len(latents) - 1, images).long()
    name = f"a generator trained here ({resolution} px, {classes} classes, latent {latent}, seed {seed})"
    return Subject(name, StylExModel(StylEx(generator=generator)), network, latents[chosen])


def of_random_weights(seed: int, resolution: int, channels: tuple[int, ...], images: int, latent: int = 32) -> Subject:
    """A generator and a MobileNet of random weights; BatchNorm is set to what it sees, and the logits are centred and scaled."""
    torch.manual_seed(seed)
    generator = Generator(GeneratorConfig(resolution, channels, latent, z=latent)).eval().requires_grad_(False)
    classifier = MobileNetV1(MobileNetV1Config(mobilenet_layers(0.25), 2, resolution, momentum=0.2)).requires_grad_(False)
    latents = torch.cat([generator.mapping(torch.randn(images, latent)), torch.randn(images, 2).mul(2).softmax(1)], 1)
    model = StylExModel(StylEx(generator=generator))
    pictures = model.decode(latents)
    for _ in range(30):
        classifier.train()(pictures)
    logits = classifier.eval()(pictures)
    centre, scale = logits.mean(0), SPREAD / logits.std()
    return Subject(f"random weights ({resolution} px)", model, lambda image: (classifier(image) - centre) * scale, latents)


def digits(resolution: int, classes: int) -> tuple[Tensor, Tensor]:
    """The held-out digits [N, 3, R, R] in [-1, 1] with their labels [N]: eight, nine, and of three classes six."""
    with np.load(EMBEDDED / "digits.npz") as file:
        gray = torch.from_numpy(np.pad(file["images"], ((0, 0), (2, 2), (2, 2)))).float()[:, None] / 127.5 - 1
        labels = torch.from_numpy(file["labels"]).long()
    if classes == 3:
        turned = (labels == 1) & (torch.arange(len(labels)) % 2 == 0)
        gray[turned] = gray[turned].flip(2, 3)
        labels[turned] = 2
    return F.avg_pool2d(gray, 32 // resolution).expand(-1, 3, -1, -1), labels


def small_network(pictures: Tensor, labels: Tensor, seed: int, width: int, steps: int = 150) -> nn.Module:
    """A classifier of three convolutions, trained here."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for i, o in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(i, o, 3, stride=2, padding=1), nn.SiLU()]
    side = pictures.shape[-1] // 8
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * side**2, int(labels.max()) + 1))
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(steps):
        rows = torch.randint(len(labels), (64,))
        loss = F.cross_entropy(network(pictures[rows]), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval().requires_grad_(False)
