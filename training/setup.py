"""Getting ready: data, classifier, networks and optimisers, as the settings and a release say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor
from torch.utils.data import DataLoader

from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.torch_models.classifiers.open import Classifier, open_classifier
from stylexport.torch_models.stylex import StylEx
from stylexport.training import ema
from stylexport.training.config import ClassifierConfig, LossConfig, RunConfig, TrainConfig
from stylexport.training.data.images import Images
from stylexport.training.data.open import open_data
from stylexport.training.data.sampler import EndlessSampler
from stylexport.training.logging.divergence import Divergence
from stylexport.training.metrics import Explanation, Meters, explained, measure, open_meters
from stylexport.training.networks import Networks, Reuse, build, compile_networks, equalise_label_columns
from stylexport.training.optimisers import build_optimisers
from stylexport.training.step import Distance, Step

SAMPLE = 1024  # images that the blank image is the median of


@dataclass
class Trainer:
    """A run that is ready to step: everything that it was built of, and with `step` and `divergence` everything that changes.

    `averages` are of generator and encoder; `ramp` is as for `ema.decay`. `reuses` says what each network took from a release, `remarks`
    what cannot be measured here, `began_from` the release that the run began with (None: without one; empty: not known).
    """

    config: TrainConfig
    accelerator: Accelerator
    data: Images
    held_out: Images
    classifier: Classifier
    labels: tuple[str, ...]
    meters: Meters
    step: Step
    averages: dict[str, Any]
    divergence: Divergence
    reuses: Mapping[str, Reuse]
    remarks: list[str]
    ramp: float | None = 0.05
    began_from: Mapping[str, Any] | None = field(default_factory=dict)

    @property
    def networks(self) -> Networks:
        """The networks that are trained."""
        return self.step.networks

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

    def batches(self, start: int) -> DataLoader[Any]:
        """The parts of the batches that are this process's, from step `start` on, without end."""
        data, run, accelerator = self.config.data, self.config.run, self.accelerator
        world = accelerator.num_processes
        flip = self.data.flippable and data.flip is not False
        order = EndlessSampler(len(self.data), run.seed, accelerator.process_index, world, start=start * run.batch, flip=flip)
        return DataLoader(
            self.data,
            run.batch // world,
            sampler=order,
            num_workers=data.workers,
            generator=torch.Generator(),  # else it draws its workers' seeds from the steps' random numbers
            pin_memory=accelerator.device.type == "cuda",
            persistent_workers=data.workers > 0,
        )

    def measure(self, stylex: StylEx) -> tuple[dict[str, float], Explanation | None]:
        """The metrics on held-out images (docs/perceptual.md), and what AttFind found; nothing of a StylEx without an encoder."""
        if stylex.encoder is None:
            return {}, None
        own, in_loop = self.config.metrics, self.config.classifier.in_loop
        images = self.held_out.stacked(max(own.images, own.sufficiency_images))
        found = measure(stylex, images[: own.images], self.classifier, meters=self.meters, in_loop=in_loop)
        if not own.sufficiency_images:
            return found, None
        explanation = explained(stylex, images[: own.sufficiency_images], self.classifier, top=own.top, in_loop=in_loop)
        return found | explanation.shares(), explanation

    def state(self) -> dict[str, Any]:
        """The numbers, beside tensors, that the next step depends on, ready for JSON."""
        scaler = self.accelerator.scaler  # the loss scale of fp16
        return {
            "path_mean": float(self.step.path_mean),
            "watch": self.divergence.state(),
            "scaler": scaler and {name: v.item() if isinstance(v, Tensor) else v for name, v in scaler.state_dict().items()},
            "ramp": self.ramp,
            "began_from": self.began_from,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` returned."""
        self.step.path_mean.fill_(state["path_mean"])
        self.divergence.restore(state["watch"])
        if state["scaler"] and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.ramp = state["ramp"]
        self.began_from = state.get("began_from", {})


def prepare(config: TrainConfig, accelerator: Accelerator, release: Path | None, progress: Progress | None = None) -> Trainer:
    """Everything that a run needs, on the accelerator's device; `release` is a converted folder to begin from. Raises BadInput."""
    _check_batch(config.run, config.losses, accelerator)
    device = accelerator.device
    data, held_out = (open_data(config.data, part, progress) for part in ("train", "held_out"))
    source = _open_release(release)
    classifier = _open_classifier(config.classifier, source, device)
    count = _count_labels(classifier, data, device)
    torch.manual_seed(config.run.seed)
    networks, reuses = _build_networks(config, count, source, accelerator)
    averages: dict[str, Any] = {name: ema.copy_of(networks[name]) for name in ("generator", "encoder") if name in networks}
    optimisers = build_optimisers(config.optimiser, config.losses, networks)
    step = Step(
        config.losses,
        config.run,
        config.regimen,
        config.classifier.in_loop,
        accelerator,
        networks,
        classifier,
        optimisers={name: accelerator.prepare(own) for name, own in optimisers.items()},
        path_mean=torch.zeros((), device=device),
        lpips=_open_lpips(config.losses, device),
        compiled=compile_networks(networks) if config.run.compile else None,
    )
    meters, remarks = open_meters(device, between=config.metrics.distribution)
    return Trainer(
        config,
        accelerator,
        data,
        held_out,
        classifier,
        _names_of_labels(count, config.classifier.labels, classifier.labels, source.labels if source else (), data.labels),
        meters,
        step,
        averages,
        Divergence(config.run.stuck_after, _blank_l1(data)),
        reuses,
        remarks,
        None if reuses else Trainer.ramp,
    )


def _check_batch(run: RunConfig, losses: LossConfig, accelerator: Accelerator) -> None:
    """Raises BadInput where the batch does not divide among processes and parts, or into the discriminator's groups."""
    parts = accelerator.num_processes * run.accumulate
    if run.batch % parts:
        raise BadInput(f"run.batch: {run.batch} images are not {accelerator.num_processes} processes times {run.accumulate} equal parts")
    part = run.batch // parts
    if losses.adversarial_weight and part > 4 and part % 4:
        raise BadInput(
            f"run.batch: parts of {part} images are not groups of 4, which the discriminator compares; choose a multiple of {4 * parts}"
        )


def _open_release(folder: Path | None) -> StylEx | None:
    if folder is None:
        return None
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; --from names one that `stylexport convert` wrote")
    return StylEx.from_pretrained(folder)


def _open_classifier(own: ClassifierConfig, source: StylEx | None, device: torch.device) -> Classifier:
    if own.spec is None and (source is None or source.classifier is None):
        raise BadInput("classifier.spec: which classifier is to be explained? Name one, or begin --from a release that has one")
    return open_classifier(own.spec, own=source.classifier if source else None, weights=own.weights, device=device)


@torch.no_grad()
def _count_labels(classifier: Classifier, data: Images, device: torch.device) -> int:
    """How many logits the classifier gives, so that it is known to fit before anything long begins. Raises BadInput where it does not."""
    try:
        return int(classifier(data.stacked(2).to(device)).shape[1])
    except (RuntimeError, ValueError) as error:
        raise BadInput(f"classifier.spec: it does not take images of {data.resolution} pixels ({str(error).splitlines()[0]})") from error


def _names_of_labels(count: int, *sources: tuple[str, ...]) -> tuple[str, ...]:
    """The labels' names from the first source that has `count` real ones; else their numbers."""
    numbers = tuple(str(i) for i in range(count))
    return next((tuple(names) for names in sources if len(names) == count and tuple(names) != numbers), numbers)


def _build_networks(config: TrainConfig, labels: int, source: StylEx | None, accelerator: Accelerator) -> tuple[Networks, dict[str, Reuse]]:
    """The networks that this run trains, the same in every process, on its device."""
    needed = {"generator": True, "encoder": config.regimen != "random", "discriminator": config.losses.adversarial_weight > 0}
    names = tuple(name for name, own in needed.items() if own)
    try:
        networks, reuses = build(config.model, config.data.resolution, labels, names, source)
    except ValueError as error:
        raise BadInput(f"model: {error}") from error
    if not config.classifier.in_loop:
        equalise_label_columns(networks)
    for network in networks.values():
        network.to(accelerator.device)
        for tensor in (*network.parameters(), *network.buffers()):
            if accelerator.num_processes > 1:
                tensor.data.copy_(broadcast(tensor.data))
    return networks, reuses


def _open_lpips(losses: LossConfig, device: torch.device) -> Distance | None:
    if not losses.lpips:
        return None
    from stylexport.attfind.evaluate.distance import lpips

    return lpips(losses.lpips_net, device, (-1.0, 1.0))


def _blank_l1(data: Images) -> float:
    """The L1 error of one image for all, each pixel's median."""
    images = data.stacked(SAMPLE)
    return float((images - images.median(0).values).abs().mean())
