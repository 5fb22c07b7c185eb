"""AttFind in one object, from Python as from the command line (Lang et al. 2021, "Explaining in Style", section 3.3).

explainer = AttFind("converted")
explainer.effects("dlatents.pkl", out="run")
explainer.select("run", top=8)
explainer.render("run")                # run/show/index.html
explainer.evaluate("run")              # run/evaluation.html
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from stylexport.attfind.arguments import check_counts, label_tuple, preprocessing_changes
from stylexport.attfind.effects.create_run import SHARE, Settings
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject, checked, with_run_networks
from stylexport.attfind.effects.random_latents import RandomLatents
from stylexport.attfind.effects.sources import Source, latents_source, pictures_source
from stylexport.attfind.evaluate.evaluate import evaluate
from stylexport.attfind.evaluate.evaluation_report import remarks_on, to_json, write_json, write_page
from stylexport.attfind.measure_run import Measurement, measure_run
from stylexport.attfind.model import Classify, Explained
from stylexport.attfind.networks import PathLike, classifier_for, network_facts, opened, own_labels, with_classifier
from stylexport.attfind.select.attributes import Selection, read_attributes, write_attributes
from stylexport.attfind.select.goals import check, label_of
from stylexport.attfind.select.network_checks import discriminator_of, logits_of_styles
from stylexport.attfind.select.rules import AUTHORS, Rules, Strategy
from stylexport.attfind.select.select import select
from stylexport.attfind.show.gallery import write_gallery
from stylexport.attfind.show.show import FRAMES
from stylexport.attfind.stylex_model import StylExModel
from stylexport.attfind.trained_against import remark_on_classifier, trained_against
from stylexport.common.errors import BadInput
from stylexport.common.locks import made
from stylexport.common.types import Array, Progress
from stylexport.torch_models.execution import compile_networks, processes
from stylexport.torch_models.stylex import StylEx


class AttFind:
    """Finds the attributes of images that change a classifier's decision.

    `model` is a StylEx, the folder of a converted one, or anything `Explained` (an `Autoencoder`). `classifier` gives raw logits
    [N, labels]: a module or function of images [N, 3, R, R] in the model's range, or a name as `--classifier` takes it (a converted folder,
    "torchvision:NAME", "package:build"), filled from the file `weights`; by default the StylEx's own. `preprocessing` changes what images
    go through before a classifier (keys size, range, channels, mean, std); `labels` name its logits. Models from a folder are put on
    `device`; modules stay where they are. A module that classifies is put in evaluation mode, the StylEx's own is frozen as well.

    Every other method takes `run`, a run's folder or its `Effects`. Without a model, or without a classifier, they use those that the run
    names, and refuse others than it was measured with. Raises BadInput where model or classifier cannot be opened.

    Example:
        >>> import tempfile
        >>> from stylexport.attfind import Autoencoder
        >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
        >>> explainer = AttFind(model, lambda images: images.flatten(1)[:, :2], labels=("red", "green"))
        >>> latents = np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.5], [0.4, 0.7, 0.3]])
        >>> effects = explainer.effects(latents, out=tempfile.mkdtemp())
        >>> [(a.direction, a.coordinate) for a in explainer.select(effects, "red", top=1)]
        [(1, 0)]

    """

    def __init__(
        self,
        model: StylEx | Explained | PathLike | None = None,
        classifier: nn.Module | Classify | PathLike | None = None,
        *,
        weights: PathLike | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        labels: Sequence[str] = (),
        device: str = "cpu",
    ) -> None:
        self.labels = label_tuple(labels)
        changes = preprocessing_changes(preprocessing)
        if weights is not None and classifier is None:
            raise BadInput(f"weights {os.fspath(weights)}: are for a classifier that is named; the StylEx's own brings its own")
        self._team = processes(device)
        self._folder = Path(model) if isinstance(model, (str, os.PathLike)) else None
        self.model: Explained | None = opened(model, self._team.device)
        self.classify: Classify | None = None
        if classifier is not None:
            if self.model is None:
                raise BadInput("a classifier is given and no model; name the converted folder too")
            self.classify = classifier_for(classifier, self.model, weights, changes)
            self.model = with_classifier(self.model, self.classify)
        self._preprocessing = changes  # of the StylEx's own classifier
        # Whether another classifier than that of the StylEx's training is meant: a module, or weights of another name.
        known = trained_against(self.model).get("weights") if self.model is not None else None
        by_name = classifier is None or isinstance(classifier, (str, os.PathLike))
        self._chosen = not by_name or (weights is not None and os.fspath(weights) != known)

    def effects(
        self,
        latents: Array | Tensor | PathLike | RandomLatents | None = None,
        *,
        images: Array | Tensor | PathLike | None = None,
        out: PathLike,
        interesting: str | None = None,
        limit: int | None = None,
        shift: float = 1.0,
        search: str = "exhaustive",
        share: float = SHARE,
        precision: str = "fp32",
        batch: int | None = None,
        compiled: bool = False,
        progress: Progress | None = None,
    ) -> Effects:
        """The effects of moving each style coordinate of each image to its minimum and maximum (Lang et al. 2021, algorithm 1).

        Images are given as `latents` [N, D] or as `images` [N, 3, R, R] in the model's range, either as an array or by path: a file of
        latents, a folder of pictures. `RandomLatents(N)` are N random images of a StyleGAN2. The run is kept in the folder `out`; a run of
        the same settings that is there goes on where it was interrupted. `interesting` ("misclassified", "boundary", "flips") and `limit`
        choose images; `shift` is how much of the way a coordinate goes; `search` "screened" (experimental) spends `share` of the
        exhaustive search's passes; `precision` fp32, fp16 or bf16; `batch` None is found by trying; `compiled` compiles model and
        classifier. `progress(what, done, in all)` is called as it goes. Raises BadInput.

        Example:
            >>> import tempfile
            >>> from stylexport.attfind import Autoencoder
            >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
            >>> explainer = AttFind(model, lambda images: images.flatten(1)[:, :2], labels=("red", "green"))
            >>> images = np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.5]]).reshape(2, 3, 1, 1)
            >>> found = explainer.effects(images=images, out=tempfile.mkdtemp())
            >>> found.effects.shape, found.labels
            ((2, 2, 3, 2), ('red', 'green'))

        """
        settings = Settings(interesting, limit, self.labels, shift, precision, search, batch, share)
        if remark := self.remark():
            warnings.warn(remark, stacklevel=2)
        self.measure(latents, settings, images=images, out=out, compiled=compiled, progress=progress)
        return Effects.load(out)

    def remark(self) -> str | None:
        """What a user should know of the classifier: that the StylEx was trained against another. None where there is nothing to say.

        Raises BadInput where it is another by mistake: its weights were forgotten, or have changed.
        """
        if self.model is None:
            return None
        return remark_on_classifier(self.model, self._classifier(self.model), self._chosen)

    def _classifier(self, model: Explained) -> Classify:
        """The classifier that is explained: the one given, else the StylEx's own. Raises BadInput where there is none."""
        return self.classify or classifier_for(None, model, None, self._preprocessing)

    def measure(
        self,
        latents: Array | Tensor | PathLike | RandomLatents | None,
        settings: Settings,
        *,
        images: Array | Tensor | PathLike | None = None,
        out: PathLike,
        compiled: bool = False,
        progress: Progress | None = None,
    ) -> Measurement | None:
        """As `effects`, for runs that need not fit into memory: only measures, and says what was done.

        None in a process that `accelerate launch` started beside the main one.
        """
        if (latents is None) == (images is None):
            raise BadInput("name the images by latents or by images, one of the two")
        if self.model is None:
            raise BadInput("effects are measured on a model; AttFind(model) names it")
        model = self.model
        classify = self._classifier(model)
        remark_on_classifier(model, classify, self._chosen)
        settings = replace(settings, labels=settings.labels or own_labels(model, classify))
        if compiled and isinstance(model, StylExModel) and isinstance(classify, nn.Module):
            compile_networks(model.generator, classify)

        def source() -> Source:
            if latents is not None:
                return latents_source(latents if isinstance(latents, RandomLatents) else _array_or_path(latents), model)
            assert images is not None
            return pictures_source(_array_or_path(images), model, classify, progress)

        facts = network_facts(model, self._folder, classify)
        return measure_run(Path(out), model, classify, source, settings, facts, self._team, progress)

    def select(
        self,
        run: Effects | PathLike,
        target: int | str | None = None,
        *,
        top: int = 10,
        strategy: Strategy = "global",
        image: int | None = None,
        discriminator: bool = False,
        add_effects: bool = False,
        rules: Rules = AUTHORS,
    ) -> Selection:
        """The attributes that move images of other classes towards `target` (a label's name or number), the strongest first.

        `strategy`, `image` and the default target are those of `find_attributes`. With `discriminator` what makes unreal images is left
        out. `subset` renders coordinates together, unless `add_effects`. For a run in a folder RUN/attributes.json is written. Raises
        BadInput where the question has no answer.

        Example:
            >>> import tempfile
            >>> from stylexport.attfind import Autoencoder
            >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
            >>> explainer = AttFind(model, lambda images: images.flatten(1)[:, :2], labels=("red", "green"))
            >>> run = tempfile.mkdtemp()
            >>> _ = explainer.effects(np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.5], [0.4, 0.7, 0.3]]), out=run)
            >>> [(a.layer, a.coordinate, a.target) for a in explainer.select(run, "green", strategy="subset", image=0)]
            [('latent', 1, 1)]

        """
        check_counts(top=top)
        needs_networks = discriminator or (strategy == "subset" and not add_effects)
        subject = self._subject(run) if needs_networks else None
        effects = subject.effects if subject is not None else run if isinstance(run, Effects) else Effects.load(run)
        found = select(
            effects,
            label_of(effects, target) if isinstance(target, str) else target,
            top=top,
            strategy=strategy,
            image=image,
            discriminator=discriminator_of(subject) if subject is not None and discriminator else None,
            logits=logits_of_styles(subject) if subject is not None and strategy == "subset" and not add_effects else None,
            rules=rules,
        )
        if not isinstance(run, Effects):
            write_attributes(run, found)
        return found

    def render(
        self,
        run: Effects | PathLike,
        selection: Selection | None = None,
        *,
        out: PathLike | None = None,
        formats: Sequence[str] = ("html",),
        top: int | None = None,
        images: int = 6,
        frames: int = FRAMES,
        batch: int = 32,
        progress: Progress | None = None,
    ) -> list[Path]:
        """Pictures of the selected attributes where they work best, as files in `out` (RUN/show).

        `selection` is by default RUN's. `formats`: "html", one page; "png", a contact sheet an attribute; "gif", an animation an
        attribute. `top` is how many attributes, `images` how many images of each, `frames` how many pictures in a sweep. Raises BadInput.

        Example:
            >>> import tempfile
            >>> from stylexport.attfind import Autoencoder
            >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
            >>> explainer = AttFind(model, lambda images: images.flatten(1)[:, :2], labels=("red", "green"))
            >>> run = tempfile.mkdtemp()
            >>> _ = explainer.effects(np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.5], [0.4, 0.7, 0.3]]), out=run)
            >>> [path.name for path in explainer.render(run, explainer.select(run), formats=["png"], top=2)]
            ['attribute-01.png', 'attribute-02.png']

        """
        check_counts(top=top, images=images, batch=batch)
        check_counts(2, frames=frames)
        selection, folder = _selection(run, selection), _folder(run, out, "show")
        subject = self._subject(run)
        check(subject.effects, selection)
        with made(folder):
            return write_gallery(subject, selection, folder, formats, top=top, images=images, frames=frames, batch=batch, progress=progress)

    def evaluate(
        self,
        run: Effects | PathLike,
        selection: Selection | None = None,
        *,
        target: int | str | None = None,
        top: int | None = None,
        random: int = 5,
        seed: int = 0,
        batch: int = 32,
        lpips: bool = True,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """How many images change their class when the first 1, 2, ... attributes move together (Lang et al. 2021, section 4.3).

        `selection` is by default RUN's, of which `target` takes one list. As many coordinates drawn at `random`, and those that vary
        most, are counted as well. Returns what evaluation.json holds (docs/attfind.md); for a run in a folder evaluation.json and
        evaluation.html are written. `lpips` measures the perceptual change too, where its weights are to be had. Raises BadInput.

        Example:
            >>> import tempfile
            >>> from stylexport.attfind import Autoencoder
            >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
            >>> explainer = AttFind(model, lambda images: images.flatten(1)[:, :2], labels=("red", "green"))
            >>> run = tempfile.mkdtemp()
            >>> _ = explainer.effects(np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.5], [0.4, 0.7, 0.3]]), out=run)
            >>> found = explainer.evaluate(run, explainer.select(run), lpips=False)
            >>> [row["share"] for row in found["sufficiency"]["attributes"]["all"]]
            [0.6666666666666666]

        """
        from stylexport.attfind.evaluate.distance import lpips_or_why

        check_counts(top=top, random=random, batch=batch)
        check_counts(0, seed=seed)
        selection = _selection(run, selection)
        subject = self._subject(run)
        check(subject.effects, selection)
        lists = selection.lists(label_of(subject.effects, target) if isinstance(target, str) else target, subject.effects.label)
        distance, missing = lpips_or_why("alex", subject.model.device, subject.model.image_range) if lpips else (None, "")
        options: dict[str, Any] = {"top": top, "random": random, "seed": seed, "batch": batch, "distance": distance}
        found = evaluate(subject, lists, **options, progress=progress)
        remarks = [*remarks_on(subject.effects, selection, len(lists)), *([missing] if missing else [])]
        values = to_json(found, subject, seed=seed, remarks=remarks)
        if not isinstance(run, Effects):
            write_json(values, Path(run) / "evaluation.json")
            write_page(values, Path(run) / "evaluation.html")
        return values

    def _subject(self, run: Effects | PathLike) -> Subject:
        """The run with its networks: those given, else those that it names. Raises BadInput where they are not the run's."""
        name = "the effects" if isinstance(run, Effects) else os.fspath(run)
        effects = run if isinstance(run, Effects) else Effects.load(run)
        if self.model is not None and self.classify is not None:
            return checked(Subject(effects, self.model, self.classify), name)
        return with_run_networks(effects, name, self.model, self._team.device)


def _array_or_path(values: Array | Tensor | PathLike) -> Array | Path:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    return Path(values) if isinstance(values, (str, os.PathLike)) else np.asarray(values)


def _selection(run: Effects | PathLike, selection: Selection | None) -> Selection:
    if selection is not None:
        return selection
    if isinstance(run, Effects):
        raise BadInput("effects alone have no selection; give what `select` returned")
    return read_attributes(run)


def _folder(run: Effects | PathLike, out: PathLike | None, name: str) -> Path:
    if out is None and isinstance(run, Effects):
        raise BadInput("effects alone have no folder; name one by out")
    return Path(out) if out is not None else Path(str(run)) / name
