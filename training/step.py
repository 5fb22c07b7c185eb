"""One step of StylEx's training (Lang et al. 2021, section 3.2): a table of phases (`Step.phases`), each with its own update.

The images of the generator's phase serve the phases behind it as they are: they are made once. The penalties are lazy, which means that
they come in every so many steps and are weighted by how seldom they come (Karras et al. 2020, StyleGAN2, appendix B).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.profiler import record_function

from stylexport.training.config import LossConfig, Regimen, RunConfig
from stylexport.training.losses.adversarial import ADVERSARIAL
from stylexport.training.losses.classifier_kl import classifier_kl, commonest_share, same_answer
from stylexport.training.losses.path_length import path_lengths, path_penalty, running_mean
from stylexport.training.losses.penalties import r1, wgan_gp
from stylexport.training.losses.reconstruction import image_l1, w_l1
from stylexport.training.networks import Networks

Distance = Callable[[Tensor, Tensor], Tensor]
Losses = dict[str, Tensor]


@dataclass
class Part:
    """One of the equal parts of a batch: real images [N, 3, R, R], and whether they are encoded or random w is taken.

    The generator's phase adds the label probabilities [N, labels] and the generated images [N, 3, R, R], without their graph.
    """

    real: Tensor
    encodes: bool
    probabilities: Tensor
    fake: Tensor


class Phase(NamedTuple):
    """One update. `loss` gives, of a part, what is differentiated (None: nothing) and what is logged; weight 0 leaves the phase out."""

    name: str
    learns: tuple[str, ...]
    loss: Callable[[Part], tuple[Tensor | None, Losses]]
    weight: float
    every: int


@dataclass
class Step:
    """Everything that a step needs. `optimisers` are "generator" (with the encoder) and "discriminator"; `path_mean` has no axes.

    `in_loop` false trains without the classifier in the loop: every label is as probable as another, and it only measures. `compiled`
    holds networks that run instead of those of the same name. `timer` is entered for every phase and update, with its name; by default
    PyTorch's profiler shows them.
    """

    losses: LossConfig
    run: RunConfig
    regimen: Regimen
    in_loop: bool
    accelerator: Accelerator
    networks: Networks
    classifier: nn.Module
    optimisers: Mapping[str, Any]
    path_mean: Tensor
    lpips: Distance | None = None
    compiled: Mapping[str, nn.Module] | None = None
    timer: Callable[[str], AbstractContextManager[Any]] = record_function

    def phases(self) -> tuple[Phase, ...]:
        """What a step does, in order. A phase whose networks are not trained in this run is left out."""
        weights = self.losses
        return (
            Phase("generator", ("generator", "encoder"), self.generator_loss, 1.0, 1),
            Phase("path_length", ("generator",), self.path_length_penalty, weights.path_length, weights.path_length_every),
            Phase("discriminator", ("discriminator",), self.discriminator_loss, weights.adversarial_weight, 1),
            Phase("r1", ("discriminator",), self.r1_penalty, weights.r1, weights.r1_every),
            Phase("gradient_penalty", ("discriminator",), self.gradient_penalty, weights.gradient_penalty, weights.gradient_penalty_every),
        )

    def __call__(self, number: int, images: Tensor) -> Losses:
        """Step `number` (from 0) on this process's `images` [N, 3, R, R] in [-1, 1]; its losses, unweighted, means over the parts.

        All randomness comes from the run's seed, the step's number and the process, so a run that goes on draws what it would have drawn.
        """
        torch.manual_seed((self.run.seed * 1_000_003 + number) * 1_009 + self.accelerator.process_index)
        nothing = images.new_empty(0)
        parts = [Part(real, self.encodes(number), nothing, nothing) for real in images.chunk(self.run.accumulate)]
        logged = defaultdict[str, list[Tensor]](list)
        for phase in self.phases():
            if not phase.weight or number % phase.every or phase.learns[0] not in self.networks:
                continue
            with self.timer(phase.name), self._gradients_for(*phase.learns):
                for part in parts:
                    loss, found = phase.loss(part)
                    if loss is not None:
                        self.accelerator.backward(loss * (phase.weight * phase.every) / self.run.accumulate)
                    for name, value in found.items():
                        logged[name].append(value.detach())
                with self.timer("update"):
                    self._update(*phase.learns)
        return {name: torch.stack(values).mean() for name, values in logged.items()}

    def encodes(self, number: int) -> bool:
        """Whether this step reconstructs; the alternating regimen begins with it."""
        return self.regimen == "encoder" or (self.regimen == "alternating" and number % 2 == 0)

    # -- the loss of each phase, of one part

    def generator_loss(self, part: Part) -> tuple[Tensor | None, Losses]:
        """Adversarial loss, reconstruction, and the classifier's answer, weighted; makes the images of all phases."""
        with self.accelerator.autocast():
            with torch.no_grad():
                logits = self.classifier(part.real)
                part.probabilities = self.probabilities(logits)
            w = self.network("encoder")(part.real) if part.encodes else self.random_w(len(part.real))
            fake = self.images(w, part.probabilities, mix=not part.encodes)
            found: Losses = {}
            if "discriminator" in self.networks:
                score = self.network("discriminator")(fake, part.probabilities)
                found["adversarial"] = ADVERSARIAL[self.losses.adversarial].generator(score)
            if part.encodes:
                found["image_l1"] = image_l1(part.real, fake)
                if self.losses.lpips and self.lpips is not None:
                    found["lpips"] = self.lpips(part.real, fake).mean()
                if self.losses.w_l1:
                    found["w_l1"] = w_l1(w, self.network("encoder")(fake))
            kl = "agreement" if part.encodes else "agreement_random"
            teaches = self.weight(kl) > 0
            if part.encodes or teaches:
                with torch.set_grad_enabled(teaches):
                    again = self.classifier(fake)
                found[kl] = classifier_kl(logits, again)
            weighted = [self.weight(name) * value for name, value in found.items() if self.weight(name)]
        if part.encodes:
            found["same_answer"] = same_answer(logits, again)
            found["one_answer"], found["commonest_answer"] = commonest_share(again), commonest_share(logits)
        self._follow_w(w)
        part.fake = fake.detach()
        return (sum(weighted[1:], weighted[0]) if weighted else None), found

    def discriminator_loss(self, part: Part) -> tuple[Tensor, Losses]:
        """The adversarial loss of real and generated images, given their label probabilities."""
        with self.accelerator.autocast():
            real, fake = (self.network("discriminator")(images, part.probabilities) for images in (part.real, part.fake))
            loss = ADVERSARIAL[self.losses.adversarial].discriminator(real, fake)
        return loss, {"discriminator": loss, "score_real": real.mean(), "score_fake": fake.mean()}

    # The penalties run in full precision, without compilation, which has no second derivative.

    def r1_penalty(self, part: Part) -> tuple[Tensor, Losses]:
        """R1 on the real images."""
        penalty = r1(lambda x: self.networks["discriminator"](x, part.probabilities), part.real)
        return penalty, {"r1": penalty}

    def gradient_penalty(self, part: Part) -> tuple[Tensor, Losses]:
        """WGAN-GP between real and generated images."""
        share = torch.rand(len(part.real), 1, 1, 1, device=part.real.device)
        penalty = wgan_gp(lambda x: self.networks["discriminator"](x, part.probabilities), part.real, part.fake, share)
        return penalty, {"gradient_penalty": penalty}

    def path_length_penalty(self, part: Part) -> tuple[Tensor, Losses]:
        """Path length regularisation on the first of the images; the running mean of lengths follows."""
        count = max(len(part.real) // self.losses.path_length_shrink, 1)
        real, probabilities = part.real[:count], part.probabilities[:count]
        w = self.networks["encoder"](real) if self.regimen == "encoder" else self.random_w(count)
        dlatent = torch.cat([w, probabilities], 1)
        lengths = path_lengths(lambda d: self.networks["generator"](d, self.run.noise), dlatent, torch.randn_like(real))
        decay = 0.99 ** (1 / self.run.accumulate)
        self.path_mean.copy_(running_mean(self.path_mean, self.accelerator.reduce(lengths.detach().mean(), "mean"), decay))
        penalty = path_penalty(lengths, self.path_mean)
        return penalty, {"path_length": penalty}

    # -- what the phases share

    def weight(self, name: str) -> float:
        """The weight of a loss of the generator's phase; without the classifier in the loop what it says weighs nothing."""
        if name.startswith("agreement") and not self.in_loop:
            return 0.0
        return float(getattr(self.losses, "adversarial_weight" if name == "adversarial" else name))

    def probabilities(self, logits: Tensor) -> Tensor:
        """The classifier's, [N, labels]; without it in the loop every label is as probable as another."""
        logits = logits.float()
        return logits.softmax(1) if self.in_loop else torch.full_like(logits, 1 / logits.shape[1])

    def random_w(self, count: int) -> Tensor:
        """W [count, latent] of normal z."""
        generator: Any = self.networks["generator"]
        w: Tensor = generator.mapping(torch.randn(count, generator.config.z, device=self.path_mean.device))
        return w

    def images(self, w: Tensor, probabilities: Tensor, mix: bool) -> Tensor:
        """Images of w and probabilities; with style mixing (`mix`) the later layers take another w (Karras et al. 2019, section 3.1)."""
        generator: Any = self.networks["generator"]
        styles = generator.style_vectors(torch.cat([w, probabilities], 1))
        if mix and self.run.style_mixing and torch.rand(()) < self.run.style_mixing:
            other = generator.style_vectors(torch.cat([self.random_w(len(w)), probabilities], 1))
            cut = int(torch.randint(1, len(styles.conv), ()))
            styles = type(styles)(
                tuple(a if i < cut else b for i, (a, b) in enumerate(zip(styles.conv, other.conv, strict=True))),
                tuple(a if 2 * i < cut else b for i, (a, b) in enumerate(zip(styles.torgb, other.torgb, strict=True))),
            )
        made: Tensor = self.network("synthesis")(styles, self.run.noise)
        return made

    def network(self, name: str) -> nn.Module:
        """A network as it runs fastest; "synthesis" is the generator's part."""
        if self.compiled and name in self.compiled:
            return self.compiled[name]
        generator: Any = self.networks["generator"]
        return generator.synthesis if name == "synthesis" else self.networks[name]

    def _follow_w(self, w: Tensor) -> None:
        """The running mean of w over all processes, 0.995 a step as in StyleGAN2."""
        generator: Any = self.networks["generator"]
        mean = self.accelerator.reduce(w.detach().float().mean(0), "mean")
        generator.w_avg.lerp_(mean.to(generator.w_avg.dtype), 0.005 / self.run.accumulate)

    @contextmanager
    def _gradients_for(self, *names: str) -> Iterator[None]:
        """Gradients for these networks' weights alone."""
        others = [network for name, network in self.networks.items() if name not in names]
        for network in others:
            network.requires_grad_(False)
        try:
            yield
        finally:
            for network in others:
                network.requires_grad_(True)

    def _update(self, *names: str) -> None:
        """One optimiser step on gradients that are the mean over all processes."""
        parameters = [p for name in names if name in self.networks for p in self.networks[name].parameters() if p.grad is not None]
        if self.accelerator.num_processes > 1 and parameters:
            flat = torch.cat([p.grad.flatten() for p in parameters])  # type: ignore[union-attr]
            flat = self.accelerator.reduce(flat, "mean")
            for p, grad in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                p.grad = grad.view_as(p)
        optimiser = self.optimisers[names[0]]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
