"""Getting ready: data, classifier, networks and optimisers, as the settings and a release say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.data import DataLoader

from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.torch_models.classifiers.open import Classifier, open_classifier
from stylexport.torch_models.stylex import StylEx
from stylexport.training import ema
from stylexport.training.config import TrainConfig
from stylexport.training.data.images import Images
from stylexport.training.data.open import open_data
from stylexport.training.data.sampler import EndlessSampler
from stylexport.training.metrics import Explanation, Meters, explained, measure, open_meters
from stylexport.training.networks import Networks, Reuse, blind, build
from stylexport.training.optimisers import optimisers
from stylexport.training.step import Distance, Step

SAMPLE = 1024  # images that the blank image is the median of


@dataclass
class Job:
    """A run that is ready to step. `averages` are of generator and encoder; `ramp` see `ema.decay`, `blank_l1`
    `stylexport.training.logging.divergence`.
    """

    config: TrainConfig
    accelerator: Accelerator
    data: Images
    held_out: Images
    step: Step
    networks: Networks
    averages: dict[str, Any]
    classifier: Classifier
    labels: tuple[str, ...]
    blank_l1: float
    reuses: Mapping[str, Reuse]
    meters: Meters
    remarks: list[str]
    ramp: float | None = 0.05

    @property
    def stylex(self) -> StylEx:
        """The averages, the discriminator and the classifier's module as one StylEx, with the names of its labels."""
        return StylEx(
            self.averages["generator"],
            self.averages.get("encoder"),
            self.networks.get("discriminator"),  # type: ignore[arg-type]
            self.classifier.module,
            labels=self.labels,
            metadata={"trained": {"regimen": self.config.regimen, "classifier": self.classifier.to_json()}},
        )

    def measured(self, stylex: StylEx) -> tuple[dict[str, float], Explanation | None]:
        """The metrics of a checkpoint on held-out images (stylexport.training.metrics), and AttFind's answer; none of a StylEx without an
        encoder.
        """
        if stylex.encoder is None:
            return {}, None
        own, in_loop = self.config.metrics, self.config.classifier.in_loop
        images = self.held_out.stacked(max(own.images, own.sufficiency_images))
        found = measure(stylex, images[: own.images], self.classifier, meters=self.meters, in_loop=in_loop)
        if not own.sufficiency_images:
            return found, None
        explanation = explained(stylex, images[: own.sufficiency_images], self.classifier, top=own.top, in_loop=in_loop)
        return found | explanation.shares(), explanation

    def batches(self, start: int) -> DataLoader[Any]:
        """The parts of the batches that are this process's, from step `start` on, without end."""
        config, accelerator = self.config, self.accelerator
        world = accelerator.num_processes
        flip = self.data.flippable and config.data.flip is not False
        order = EndlessSampler(len(self.data), config.run.seed, accelerator.process_index, world, start=start * config.run.batch, flip=flip)
        workers = config.data.workers
        return DataLoader(
            self.data,
            config.run.batch // world,
            sampler=order,
            num_workers=workers,
            generator=torch.Generator(),  # else it draws its workers' seeds from the steps' random numbers
            pin_memory=accelerator.device.type == "cuda",
            persistent_workers=workers > 0,
        )


def begin(config: TrainConfig, accelerator: Accelerator, release: Path | None, progress: Progress | None = None) -> Job:
    """Everything that a run needs, on the accelerator's device. Raises BadInput."""
    _check(config, accelerator)
    data, held_out = (open_data(config.data, part, progress) for part in ("train", "held_out"))
    source = _released(release)
    classifier = _classifier(config, source, accelerator.device)
    logits = _logits(classifier, data, accelerator.device)
    torch.manual_seed(config.run.seed)
    networks, reuses = _networks(config, logits.shape[1], source)
    if not config.classifier.in_loop:
        blind(networks)
    for network in networks.values():
        network.to(accelerator.device)
        for tensor in (*network.parameters(), *network.buffers()):
            if accelerator.num_processes > 1:
                tensor.data.copy_(broadcast(tensor.data))
    averages: dict[str, Any] = {name: ema.copy_of(networks[name]) for name in ("generator", "encoder") if name in networks}
    prepared = {name: accelerator.prepare(own) for name, own in optimisers(config, networks).items()}
    step = Step(
        config=config,
        accelerator=accelerator,
        networks=networks,
        classifier=classifier,
        optimisers=prepared,
        path_mean=torch.zeros((), device=accelerator.device),
        lpips=_lpips(config, accelerator.device),
        compiled=_compiled(networks) if config.run.compile else None,
    )
    labels = _labels(config, source, classifier, data, logits.shape[1])
    meters, remarks = open_meters(accelerator.device, between=config.metrics.distribution)
    ramp = None if reuses else Job.ramp
    return Job(
        config, accelerator, data, held_out, step, networks, averages, classifier, labels, _blank_l1(data), reuses, meters, remarks, ramp
    )


def _check(config: TrainConfig, accelerator: Accelerator) -> None:
    """Raises BadInput where the batch does not divide among processes and parts, or into the discriminator's groups."""
    run = config.run
    parts = accelerator.num_processes * run.accumulate
    if run.batch % parts:
        raise BadInput(f"run.batch: {run.batch} images are not {accelerator.num_processes} processes times {run.accumulate} equal parts")
    part = run.batch // parts
    if config.losses.adversarial_weight and part > 4 and part % 4:
        raise BadInput(
            f"run.batch: parts of {part} images are no groups of 4, which the discriminator compares; choose a multiple of {4 * parts}"
        )


def _released(folder: Path | None) -> StylEx | None:
    if folder is None:
        return None
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; --from names one that `stylexport convert` wrote")
    try:
        return StylEx.from_pretrained(folder)
    except ValueError as error:
        raise BadInput(str(error) if str(folder) in str(error) else f"{folder}: {error}") from error


def _classifier(config: TrainConfig, source: StylEx | None, device: torch.device) -> Classifier:
    own = config.classifier
    if own.spec is None and (source is None or source.classifier is None):
        raise BadInput("classifier.spec: which classifier is to be explained? Name one, or begin --from a release that has one")
    return open_classifier(own.spec, own=source.classifier if source else None, weights=own.weights, device=device)


@torch.no_grad()
def _logits(classifier: Classifier, data: Images, device: torch.device) -> Tensor:
    """The classifier's logits of two images, so that it is known to fit before anything long begins. Raises BadInput where it does not."""
    images = data.stacked(2).to(device)
    try:
        found: Tensor = classifier(images)
    except (RuntimeError, ValueError) as error:
        raise BadInput(f"classifier.spec: it does not take images of {data.resolution} pixels ({str(error).splitlines()[0]})") from error
    return found


def _labels(config: TrainConfig, source: StylEx | None, classifier: Classifier, data: Images, count: int) -> tuple[str, ...]:
    """The names of the classifier's `count` answers: the settings', its own or the release's, the data's, or their numbers."""
    numbers = tuple(str(i) for i in range(count))
    given = (config.classifier.labels, classifier.labels, source.labels if source else (), data.labels)
    return next((tuple(own) for own in given if len(own) == count and tuple(own) != numbers), numbers)


def _networks(config: TrainConfig, labels: int, source: StylEx | None) -> tuple[Networks, dict[str, Reuse]]:
    needed = {"generator": True, "encoder": config.regimen != "random", "discriminator": config.losses.adversarial_weight > 0}
    names = tuple(name for name, own in needed.items() if own)
    try:
        return build(config.model, config.data.resolution, labels, names, source)
    except ValueError as error:
        raise BadInput(f"model: {error}") from error


def _lpips(config: TrainConfig, device: torch.device) -> Distance | None:
    if not config.losses.lpips:
        return None
    from stylexport.attfind.evaluate.distance import lpips

    return lpips(config.losses.lpips_net, device, (-1.0, 1.0))


def _compiled(networks: Networks) -> dict[str, nn.Module]:
    parts: dict[str, nn.Module] = {name: network for name, network in networks.items() if name != "generator"}
    generator: Any = networks["generator"]
    return {name: torch.compile(module) for name, module in (parts | {"synthesis": generator.synthesis}).items()}  # type: ignore[misc]


def _blank_l1(data: Images) -> float:
    """The L1 error of one image for all, each pixel's median."""
    images = data.stacked(SAMPLE)
    return float((images - images.median(0).values).abs().mean())
