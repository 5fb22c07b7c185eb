"""The training of a classifier, from settings to a folder that AttFind and the training of a StylEx open."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from stylexport.attfind.command_line import naming_options
from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.torch_models.classifiers.open import Classifier
from stylexport.torch_models.execution import computing
from stylexport.torch_models.mobilenet import MobileNetV1
from stylexport.training.accelerator import open_accelerator
from stylexport.training.classifier.architectures import new_classifier
from stylexport.training.classifier.calibration import calibration_metrics
from stylexport.training.classifier.classifier_config import ClassifierTraining
from stylexport.training.classifier.state import WEIGHTS, claim, finish, restore, save
from stylexport.training.data.images import UNLABELLED, Images
from stylexport.training.data.open import open_data
from stylexport.training.data.sampler import EndlessSampler
from stylexport.training.logging.divergence import Stopped

CHECK_EVERY = 50  # steps between checks that the loss is finite


def train_classifier(
    config: ClassifierTraining, out: Path, *, device: str = "cpu", resume: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Trains a classifier into the folder `out` and returns its metrics.json.

    `device` is "cpu" or "cuda". With `resume` an interrupted training continues after its last finished epoch, on a CPU to the same bytes.
    Under `accelerate launch` the processes share each batch. Raises BadInput, or Stopped where the loss is NaN or infinite.

    Example (bright and dark pictures, one epoch):
        >>> import tempfile
        >>> from PIL import Image
        >>> from stylexport.training.data.open import DataConfig
        >>> folder = Path(tempfile.mkdtemp())
        >>> for i in range(12):
        ...     place = folder / "pictures" / ("dark", "light")[i % 2]
        ...     place.mkdir(parents=True, exist_ok=True)
        ...     Image.new("RGB", (16, 16), (180 * (i % 2) + i,) * 3).save(place / f"{i}.png")
        >>> data = DataConfig("folder", folder / "pictures", resolution=16, held_out=0.3, workers=0)
        >>> found = train_classifier(ClassifierTraining(data, width=0.0625, batch=4, epochs=1), folder / "out")
        >>> found["images"], sorted(found["by_label"])
        (4, ['dark', 'light'])

    """
    main = int(os.environ.get("RANK", "0")) == 0
    with claim(out, config.to_json(), resume, main) as done:
        return _train(config, out, device, progress) if done is None else done


def _train(config: ClassifierTraining, out: Path, device: str, progress: Progress | None) -> dict[str, Any]:
    training, held_out = (open_data(config.data, part, progress) for part in ("train", "held_out"))
    _check(training, config)
    accelerator = open_accelerator(device)
    if config.batch % accelerator.num_processes:
        raise BadInput(
            f"batch: {config.batch} images are not shared evenly by {accelerator.num_processes} processes; give a multiple of them"
        )
    torch.manual_seed(config.seed)
    classifier = new_classifier(config, training.labels)
    classifier.to(accelerator.device)
    _check_outputs(classifier, config, accelerator.device)
    optimiser = _optimiser(config, classifier)
    facts = restore(out, classifier.module, optimiser) or {"settings": config.to_json(), "epoch": 0, "curve": []}
    network, stepping = accelerator.prepare(classifier, optimiser)
    steps = max(len(training) // config.batch, 1)
    batches = iter(_loader(training, config, accelerator.process_index, accelerator.num_processes, facts["epoch"] * steps * config.batch))
    for epoch in range(facts["epoch"], config.epochs):
        losses = _epoch(config, epoch, steps, network, stepping, batches, accelerator, progress)
        facts = {**facts, "epoch": epoch + 1, "curve": [*facts["curve"], losses]}
        if accelerator.is_main_process:
            save(out, classifier.module, optimiser, facts)
    accelerator.wait_for_everyone()
    found = evaluated(classifier, held_out, config, accelerator.device)
    metrics = {**facts, **found, "remarks": _remarks(found), "classifier": classifier_record(classifier, out), "use": _use(classifier, out)}
    if accelerator.is_main_process:
        finish(out, classifier, metrics)
    accelerator.wait_for_everyone()
    return metrics


def evaluated(classifier: Classifier, data: Images, config: ClassifierTraining, device: torch.device) -> dict[str, Any]:
    """The metrics of `calibration_metrics` on all images of a part."""
    classifier.eval()
    logits, targets = [], []
    with torch.no_grad(), computing(device, config.precision):
        for images, own in DataLoader(data, config.batch, num_workers=config.data.workers, generator=torch.Generator()):
            logits.append(classifier(images.to(device)).float().cpu().numpy())
            targets.append(own.numpy())
    return calibration_metrics(np.concatenate(logits), np.concatenate(targets), data.labels)


def classifier_record(classifier: Classifier, out: Path) -> dict[str, Any]:
    """The classifier as `stylexport.torch_models.classifiers.open.recorded` takes it, now that it lies in `out`."""
    own = isinstance(classifier.module, MobileNetV1)
    place = {"spec": str(out), "weights": None} if own else {"weights": str(out / WEIGHTS)}
    return {**classifier.to_json(), **place}


def shifted(images: Tensor, shift: int, rng: np.random.Generator) -> Tensor:
    """Images [N, 3, R, R] moved together by up to `shift` pixels each way, the border repeated."""
    if not shift:
        return images
    down, right = rng.integers(0, 2 * shift + 1, 2).tolist()
    size = images.shape[-1]
    return F.pad(images, (shift,) * 4, mode="replicate")[..., down : down + size, right : right + size]


def _epoch(
    config: ClassifierTraining,
    epoch: int,
    steps: int,
    network: torch.nn.Module,
    optimiser: Any,
    batches: Iterator[Any],
    accelerator: Accelerator,
    progress: Progress | None,
) -> float:
    """One epoch's steps; the mean of their losses. Whatever is drawn in it comes from (seed, epoch) alone."""
    rng = np.random.default_rng((config.seed, epoch))
    torch.manual_seed(int(rng.integers(2**62)) + accelerator.process_index)
    network.train()
    total = torch.zeros((), device=accelerator.device)
    for step in range(steps):
        images, targets = (tensor.to(accelerator.device, non_blocking=True) for tensor in next(batches))
        for group in optimiser.param_groups:
            group["lr"] = _rate(config, epoch * steps + step, config.epochs * steps)
        with computing(accelerator.device, config.precision):
            logits = network(shifted(images, config.shift, rng))
        loss = F.cross_entropy(logits.float(), targets)
        optimiser.zero_grad()
        accelerator.backward(loss)
        optimiser.step()
        total += loss.detach()
        if step % CHECK_EVERY == CHECK_EVERY - 1:
            _check_finite(float(total), epoch)
        if progress:
            progress("training", (epoch * steps + step + 1) * config.batch, config.epochs * steps * config.batch)
    mean = float(accelerator.reduce(total / steps, "mean"))
    _check_finite(mean, epoch)
    return mean


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise Stopped(f"epoch {epoch + 1}: the loss became {loss}; earlier ones are kept. Try a smaller learning_rate in a new folder")


def _rate(config: ClassifierTraining, step: int, steps: int) -> float:
    """Half a cosine from the learning rate down to 0."""
    return config.learning_rate * (1 + math.cos(math.pi * step / steps)) / 2


def _use(classifier: Classifier, out: Path) -> str:
    """The options that name the classifier to other commands."""
    if isinstance(classifier.module, MobileNetV1):
        return shlex.join(["--classifier", str(out)])
    return shlex.join(naming_options(classifier, str(out / WEIGHTS), classifier.labels))


def _remarks(found: Mapping[str, Any]) -> list[str]:
    """What the figures show that a reader should not overlook."""
    answers = np.array(found["confusion"]).sum(0)
    if answers.max() < answers.sum():
        return []
    only = list(found["by_label"])[int(answers.argmax())]
    return [f"it says {only} of every image: it has learned nothing that a StylEx could explain; try another learning_rate, or more epochs"]


def _check_outputs(classifier: Classifier, config: ClassifierTraining, device: torch.device) -> None:
    """Raises BadInput where it does not give one logit a label for images of this size; a lone logit stands for two."""
    size = config.data.resolution
    try:
        with torch.no_grad():
            found = classifier(torch.zeros(2, 3, size, size, device=device)).shape[1]
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"architecture: {config.architecture} does not take images [N, 3, {size}, {size}] ({reason}); give size") from error
    if found != len(classifier.labels):
        raise BadInput(f"architecture: {config.architecture} gives {found} logits for {len(classifier.labels)} labels")


def _optimiser(config: ClassifierTraining, classifier: Classifier) -> torch.optim.Optimizer:
    if config.optimiser == "sgd":
        return torch.optim.SGD(classifier.parameters(), config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
    return torch.optim.AdamW(classifier.parameters(), config.learning_rate, weight_decay=config.weight_decay)


def _loader(data: Images, config: ClassifierTraining, rank: int, world: int, start: int) -> DataLoader[tuple[Tensor, int]]:
    sampler = EndlessSampler(len(data), config.seed, rank, world, start, flip=data.flippable)
    # Its own generator: what the loader draws for its workers must not move the training's.
    return DataLoader(data, config.batch // world, sampler=sampler, num_workers=config.data.workers, generator=torch.Generator())


def _check(data: Images, config: ClassifierTraining) -> None:
    if len(data.labels) < 2:
        what = f"the label {data.labels[0]} alone" if data.labels else "no labels"
        raise BadInput(f"{config.data.path}: has {what}; a classifier needs two: subfolders of their names, or a table (data.kind csv)")
    if UNLABELLED in data.targets:
        raise BadInput(f"{config.data.path}: some pictures have no label; give each one")
