"""The state of a full training, and its step.

All that is random is drawn from the training's seed and a place: an epoch's order, shifts, flips and crops
from (seed, epoch), and what a step draws besides (dropout, stochastic depth, augmentation by a policy) from
(seed, epoch, step, part of the batch). So a training that goes on from a checkpoint needs its place, and no
generator's state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from search_space import InputError
from trainers.device_data import DeviceImages, EpochPlan
from trainers.finetuning import Freezing
from trainers.optimisation import MovingAverage, create_recipe_optimiser, fill_state
from trainers.proxy import TrainingDivergedError
from trainers.ranks import ALONE, Ranks, without_exchange
from trainers.recipe import Recipe

CHECKED_EVERY = 20  # steps on a GPU between two looks at the losses, for which the host waits

Augment = Callable[[Tensor, torch.Generator], Tensor]


class NotFiniteError(TrainingDivergedError):
    """A step's loss is no finite number.

    Attributes:
        epoch: from 1.
        step: of the epoch, from 1.
        indices: of the step's images among the training images.
        rate: the step's learning rate.
    """

    def __init__(self, loss: float, epoch: int, step: int, indices: list[int], rate: float) -> None:
        super().__init__(
            f"the loss is {loss} in epoch {epoch}, step {step}, at a rate of {rate:.3g}; a lower "
            "learning_rate or a longer warm-up may help"
        )
        self.loss, self.epoch, self.step, self.indices, self.rate = loss, epoch, step, indices, rate

    def __reduce__(self) -> tuple[Any, ...]:
        """From another process it comes as it is."""
        return type(self), (self.loss, self.epoch, self.step, self.indices, self.rate)


def seed_at(*place: int) -> int:
    """A seed of 63 bits for a place."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)


def check_split(recipe: Recipe, workers: int) -> None:
    """Refuse a batch that so many processes cannot share.

    Raises:
        InputError: the batch, and what it must be divisible into.
    """
    parts = recipe.accumulate * workers
    if recipe.batch % parts or recipe.batch // parts < 2:
        raise InputError(
            f"recipe.batch must be divisible into {workers} workers times {recipe.accumulate} "
            f"accumulated parts of 2 images or more, got {recipe.batch}"
        )


class FullTraining:
    """A network in training.

    Args:
        model: to train, on the device of the images.
        images: to train on.
        recipe: how.
        image_size: pixels that the network is given.
        seed: of order, augmentation, dropout and stochastic depth.
        augmenter: changes raw images by a policy; None does not.
        ranks: this process among those of the training.
        freezing: keeps parts of the network as they are; None lets all of it learn.

    Attributes:
        model: what is trained.
        measured: what is to be measured: the model, or the moving average of its weights.
        steps: of an epoch.
        epoch: whole epochs that are done.
        step: steps of the next epoch that are done.
    """

    def __init__(
        self,
        model: nn.Module,
        images: DeviceImages,
        recipe: Recipe,
        image_size: int,
        seed: int,
        augmenter: Augment | None = None,
        ranks: Ranks = ALONE,
        freezing: Freezing | None = None,
    ) -> None:
        self.model, self.images, self.recipe, self.ranks = model, images, recipe, ranks
        self._freezing = freezing
        self._image_size, self._seed, self._augmenter = image_size, seed, augmenter
        device = images.device
        self._plan = EpochPlan.empty(len(images), recipe, device)
        self._parts = self._split(recipe, ranks)
        self.steps = len(self._plan.order)
        self.epoch = self.step = 0
        self._planned: int | None = None  # the epoch that the plan is of
        self._rates = recipe.learning_rates(self.steps * recipe.epochs, self.steps)
        self._rate = torch.zeros((), device=device)
        self._decay = torch.zeros((), device=device)
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._losses = torch.zeros(self.steps, device=device)
        self._optimiser = create_recipe_optimiser(model, recipe, self._rate)
        self._average = MovingAverage(model) if recipe.ema else None
        self.measured = self._average.model if self._average else model
        self._wrapped = ranks.wrapped(model)

    def _split(self, recipe: Recipe, ranks: Ranks) -> list[EpochPlan]:
        """The parts of every step that this process sees."""
        check_split(recipe, ranks.size)
        parts = recipe.accumulate * ranks.size
        images, first = recipe.batch // parts, ranks.rank * recipe.accumulate
        starts = [(first + part) * images for part in range(recipe.accumulate)]
        return [self._plan.part(start, start + images) for start in starts]

    @property
    def learning_rate(self) -> float:
        """Of the next step; after the last one, of that."""
        return float(self._rates[min(self.epoch * self.steps + self.step, len(self._rates) - 1)])

    @property
    def mean_loss(self) -> float:
        """Over the steps of this epoch that are done, of all processes; the host waits for the device."""
        return float(self._losses[: self.step].mean())

    def advance(self) -> None:
        """One step.

        Raises:
            NotFiniteError: a loss is no finite number. On a GPU it is noticed some steps later.
        """
        if self._planned != self.epoch:
            generator = torch.Generator().manual_seed(seed_at(self._seed, self.epoch))
            self._plan.draw(len(self.images), self.recipe, generator)
            self._planned = self.epoch
        self._to_train()
        self._row.fill_(self.step)
        self._rate.fill_(self.learning_rate)
        self._optimiser.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.images.device)
        for number, part in enumerate(self._parts):
            last = number == len(self._parts) - 1
            with nullcontext() if last else without_exchange(self._wrapped):
                place = (self.epoch, self.step, self.ranks.rank * len(self._parts) + number)
                loss += self._backward(part, seed_at(self._seed, *place))
        self.ranks.sum(loss)
        self._losses[self.step] = loss / self.ranks.size
        self._optimiser.step()
        self._follow()
        self.step += 1
        if self.images.device.type == "cpu" or self.step % CHECKED_EVERY == 0 or self.step == self.steps:
            self.check()

    def _to_train(self) -> None:
        """Put into training mode what learns at this moment."""
        self.model.train()
        if self._freezing is None:
            return
        if self._freezing.apply(self.epoch + self.step / self.steps):
            self._wrapped = self.ranks.wrapped(self.model)  # it exchanges the gradients there were when made
            fill_state(self._optimiser)

    def end_epoch(self) -> None:
        """Go to the next epoch, when `step` is `steps`."""
        self.epoch, self.step = self.epoch + 1, 0
        self._losses.zero_()

    def _backward(self, part: EpochPlan, seed: int) -> Tensor:
        """Add the gradients of a part of the step; its share of the loss."""
        recipe, device = self.recipe, self.images.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            x = self._augmented(part, torch.Generator().manual_seed(seed))
            labels = self.images.labels[part.order[self.step]]
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                logits = self._wrapped(x)
            loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            loss = loss / len(self._parts)
            loss.backward()
        return loss.detach()

    def _augmented(self, part: EpochPlan, generator: torch.Generator) -> Tensor:
        """The images of a part of the step, (B, C, H, W): cropped, then changed by the policy, as the
        reference does it."""
        raw = self.images.fetched(part.host_order[self.step])  # (B, H, W, C)
        raw = part.augmented(raw, self._row, self.recipe.shift)
        if part.crops is not None or raw.shape[1] != self._image_size:
            x = part.cropped(raw.permute(0, 3, 1, 2).float(), self._row, self._image_size)
            raw = x.permute(0, 2, 3, 1)
        if self._augmenter is not None:
            raw = self._augmenter(raw.round().clamp(0, 255).to(torch.uint8), generator)
        return self.images.normalised(raw).contiguous(memory_format=torch.channels_last)

    def _follow(self) -> None:
        """Move the average after the weights."""
        if self._average is not None:
            done = self.epoch * self.steps + self.step + 1
            self._decay.fill_(min(self.recipe.ema, (1 + done) / (10 + done)))
            self._average.update(self._decay)

    def check(self) -> None:
        """Refuse to go on after a loss that is no number.

        Raises:
            NotFiniteError: the first such step of the epoch.
        """
        losses = self._losses[: self.step].cpu()
        wrong = (~torch.isfinite(losses)).nonzero()
        if len(wrong):
            step = int(wrong[0])
            rate = float(self._rates[self.epoch * self.steps + step])
            indices = self._plan.host_order[step].tolist()
            raise NotFiniteError(float(losses[step]), self.epoch + 1, step + 1, indices, rate)

    # --- what a checkpoint keeps ---------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """What a training goes on from, besides its place and what is measured."""
        state = {"losses": self._losses}
        if self._average is not None:
            state |= {f"model/{name}": value for name, value in self.model.state_dict().items()}
        for number, parameter in enumerate(self._parameters()):
            for name, value in self._optimiser.state[parameter].items():
                state[f"optimiser/{number}/{name}"] = torch.as_tensor(value)
        return state

    def load(
        self, measured: Mapping[str, Tensor], state: Mapping[str, Tensor], epoch: int, step: int
    ) -> None:
        """Go on from a checkpoint.

        Args:
            measured: tensors of what was measured.
            state: see `state`.
            epoch, step: the place.

        Raises:
            RuntimeError, KeyError: they are of another network or optimiser.
        """
        self.measured.load_state_dict(measured)
        if self._average is not None:
            its = {name.removeprefix("model/"): v for name, v in state.items() if name.startswith("model/")}
            self.model.load_state_dict(its)
        for number, parameter in enumerate(self._parameters()):
            start = f"optimiser/{number}/"
            for name, value in state.items():
                if name.startswith(start):
                    self._optimiser.state[parameter][name.removeprefix(start)] = _alike(value, parameter)
        self._losses.copy_(state["losses"])
        self.epoch, self.step = epoch, step

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self._optimiser.param_groups for parameter in group["params"]]


def _alike(value: Tensor, parameter: Tensor) -> Tensor:
    """On the parameter's device, and in its memory format where it has its shape."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter).copy_(value)
