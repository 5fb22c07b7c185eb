"""One step of StylEx's training (Lang et al. 2021, section 3.2): the generator's phase, the discriminator's, and the lazy penalties.

Images of the generator's phase serve the discriminator's phase as they are: they are made once. The lazy penalties are phases of their own,
weighted by how seldom they come (Karras et al. 2020, StyleGAN2, appendix B).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from stylexport.training.config import LossConfig, TrainConfig
from stylexport.training.losses.adversarial import GAMES
from stylexport.training.losses.agreement import kl, same_answer
from stylexport.training.losses.path_length import path_lengths, path_penalty, running_mean
from stylexport.training.losses.penalties import r1, wgan_gp
from stylexport.training.losses.reconstruction import image_l1, w_l1
from stylexport.training.networks import Networks

Distance = Callable[[Tensor, Tensor], Tensor]
Losses = dict[str, Tensor]


class Painted(NamedTuple):
    """One part of a batch after the generator's phase: real images, their label probabilities, generated images without graph."""

    real: Tensor
    probabilities: Tensor
    fake: Tensor


@dataclass
class Step:
    """Everything that a step needs. `optimisers` are "generator" (with the encoder) and "discriminator"; `path_mean` has no axes."""

    config: TrainConfig
    accelerator: Accelerator
    networks: Networks
    classifier: nn.Module
    optimisers: Mapping[str, Any]
    path_mean: Tensor
    lpips: Distance | None = None
    compiled: Mapping[str, nn.Module] | None = None

    def __call__(self, number: int, images: Tensor) -> Losses:
        """Step `number` (from 0) on this process's `images` [N, 3, R, R] in [-1, 1]; its losses, unweighted, means over the parts.

        All randomness comes from the run's seed, the step's number and the process, so a run that goes on draws what it would have drawn.
        """
        torch.manual_seed(self._seed(number))
        found: dict[str, list[Tensor]] = {}
        painted = [self._paint_and_learn(part, self._encodes(number), found) for part in images.chunk(self.config.run.accumulate)]
        self._update("generator", "encoder")
        if self._now(number, "path_length"):
            self._lazy("path_length", self._path_length, painted, found, "generator")
        if "discriminator" in self.networks:
            with self._only("discriminator"):
                for part in painted:
                    self._discriminate(part, found)
                self._update("discriminator")
                for name, penalty in (("r1", self._r1), ("gradient_penalty", self._gradient_penalty)):
                    if self._now(number, name):
                        self._lazy(name, penalty, painted, found, "discriminator")
        return {name: torch.stack(values).mean() for name, values in found.items()}

    # -- phases

    def _paint_and_learn(self, real: Tensor, encodes: bool, found: dict[str, list[Tensor]]) -> Painted:
        """The generator's losses on one part, backwards."""
        losses = self.config.losses
        with self._only("generator", "encoder"), self.accelerator.autocast():
            with torch.no_grad():
                logits = self.classifier(real)
                probabilities = self._probabilities(logits)
            w = self._network("encoder")(real) if encodes else self._mapped(len(real))
            fake = self._synthesise(w, probabilities, mixes=not encodes)
            own: Losses = {}
            if "discriminator" in self.networks:
                own["adversarial"] = GAMES[losses.adversarial].generator(self._network("discriminator")(fake, probabilities))
            if encodes:
                own |= self._reconstruction(real, fake, w)
            agreement = "agreement" if encodes else "agreement_random"
            teaches = self._weight(agreement) > 0
            if encodes or teaches:
                with torch.set_grad_enabled(teaches):
                    again = self.classifier(fake)
                own[agreement] = kl(logits, again)
            weighed = [self._weight(name) * value for name, value in own.items() if self._weight(name)]
        if weighed:
            self._backward(sum(weighed[1:], weighed[0]))
        if encodes:
            own["same_answer"] = same_answer(logits, again)
            own["one_answer"], own["commonest_answer"] = _one_answer(again), _one_answer(logits)
        self._track(w)
        for name, value in own.items():
            found.setdefault(name, []).append(value.detach())
        return Painted(real, probabilities, fake.detach())

    def _reconstruction(self, real: Tensor, fake: Tensor, w: Tensor) -> Losses:
        losses = self.config.losses
        own = {"image_l1": image_l1(real, fake)}
        if losses.lpips and self.lpips is not None:
            own["lpips"] = self.lpips(real, fake).mean()
        if losses.w_l1:
            own["w_l1"] = w_l1(w, self._network("encoder")(fake))
        return own

    def _discriminate(self, part: Painted, found: dict[str, list[Tensor]]) -> None:
        losses, discriminator = self.config.losses, self._network("discriminator")
        with self.accelerator.autocast():
            real, fake = discriminator(part.real, part.probabilities), discriminator(part.fake, part.probabilities)
            loss = GAMES[losses.adversarial].discriminator(real, fake)
        self._backward(loss * losses.adversarial_weight)
        for name, value in (("discriminator", loss), ("score_real", real.mean()), ("score_fake", fake.mean())):
            found.setdefault(name, []).append(value.detach())

    def _r1(self, part: Painted) -> Tensor:
        return r1(lambda x: self.networks["discriminator"](x, part.probabilities), part.real)

    def _gradient_penalty(self, part: Painted) -> Tensor:
        share = torch.rand(len(part.real), 1, 1, 1, device=part.real.device)
        return wgan_gp(lambda x: self.networks["discriminator"](x, part.probabilities), part.real, part.fake, share)

    def _path_length(self, part: Painted) -> Tensor:
        count = max(len(part.real) // self.config.losses.path_length_shrink, 1)
        real, probabilities = part.real[:count], part.probabilities[:count]
        generator: Any = self.networks["generator"]
        w = self.networks["encoder"](real) if self.config.regimen == "encoder" else self._mapped(count)
        dlatent = torch.cat([w, probabilities], 1)
        lengths = path_lengths(lambda d: generator(d, self.config.run.noise), dlatent, torch.randn_like(real))
        decay = 0.99 ** (1 / self.config.run.accumulate)
        self.path_mean.copy_(running_mean(self.path_mean, self.accelerator.reduce(lengths.detach().mean(), "mean"), decay))
        return path_penalty(lengths, self.path_mean)

    def _lazy(self, name: str, penalty: Callable[[Painted], Tensor], painted: Iterable[Painted], found: Any, network: str) -> None:
        """A penalty in full precision, without compilation, which has no second derivative."""
        every = getattr(self.config.losses, f"{name}_every")
        with self._only(network):
            for part in painted:
                value = penalty(part)
                self._backward(value * (self._weight(name) * every))
                found.setdefault(name, []).append(value.detach())
            self._update(network)

    # -- what the phases share

    def _encodes(self, number: int) -> bool:
        """Whether this step reconstructs; the alternating regimen begins with it."""
        regimen = self.config.regimen
        return regimen == "encoder" or (regimen == "alternating" and number % 2 == 0)

    def _now(self, number: int, name: str) -> bool:
        losses: LossConfig = self.config.losses
        return bool(getattr(losses, name)) and number % getattr(losses, f"{name}_every") == 0

    def _weight(self, name: str) -> float:
        """A loss's weight; without the classifier in the loop what it says is measured and weighs nothing."""
        if name.startswith("agreement") and not self.config.classifier.in_loop:
            return 0.0
        value = getattr(self.config.losses, "adversarial_weight" if name == "adversarial" else name)
        return float(value)

    def _probabilities(self, logits: Tensor) -> Tensor:
        """The classifier's, [N, labels]; without it in the loop every label is as probable as another."""
        logits = logits.float()
        return logits.softmax(1) if self.config.classifier.in_loop else torch.full_like(logits, 1 / logits.shape[1])

    def _mapped(self, count: int) -> Tensor:
        generator: Any = self.networks["generator"]
        z = torch.randn(count, generator.config.z, device=self.path_mean.device)
        return generator.mapping(z)

    def _synthesise(self, w: Tensor, probabilities: Tensor, mixes: bool) -> Tensor:
        """Images of w and probabilities; with style mixing the later layers see another w (StyleGAN, section 3.1)."""
        generator: Any = self.networks["generator"]
        styles = generator.style_vectors(torch.cat([w, probabilities], 1))
        if mixes and self.config.run.style_mixing and torch.rand(()) < self.config.run.style_mixing:
            other = generator.style_vectors(torch.cat([self._mapped(len(w)), probabilities], 1))
            cut = int(torch.randint(1, len(styles.conv), ()))
            styles = type(styles)(
                tuple(a if i < cut else b for i, (a, b) in enumerate(zip(styles.conv, other.conv, strict=True))),
                tuple(a if 2 * i < cut else b for i, (a, b) in enumerate(zip(styles.torgb, other.torgb, strict=True))),
            )
        return self._network("synthesis")(styles, self.config.run.noise)

    def _network(self, name: str) -> nn.Module:
        """A network as it runs fastest; the synthesis network is the generator's part."""
        if self.compiled and name in self.compiled:
            return self.compiled[name]
        generator: Any = self.networks["generator"]
        return generator.synthesis if name == "synthesis" else self.networks[name]

    def _track(self, w: Tensor) -> None:
        """The running mean of w over all processes, 0.995 a step as in StyleGAN2."""
        generator: Any = self.networks["generator"]
        mean = self.accelerator.reduce(w.detach().float().mean(0), "mean")
        generator.w_avg.lerp_(mean.to(generator.w_avg.dtype), 0.005 / self.config.run.accumulate)

    def _backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss / self.config.run.accumulate)

    @contextmanager
    def _only(self, *names: str) -> Any:
        """Gradients for these networks' weights alone."""
        before = {name: network for name, network in self.networks.items() if name not in names}
        for network in before.values():
            network.requires_grad_(False)
        try:
            yield
        finally:
            for network in before.values():
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

    def _seed(self, number: int) -> int:
        return (self.config.run.seed * 1_000_003 + number) * 1_009 + self.accelerator.process_index


def _one_answer(logits: Tensor) -> Tensor:
    """The share of samples that get the commonest answer: 1 where a classifier says the same of everything."""
    labels = torch.arange(logits.shape[1], device=logits.device)
    return (logits.argmax(1, keepdim=True) == labels).float().mean(0).max()  # bincount would wait for a GPU
