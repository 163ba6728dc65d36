"""Fine-tuning: weights that learnt one data set go on with another.

The classifier is new, since its classes are. What else learns from the first step on is the whole network,
nothing, or one part after the other from the output to the input (gradual unfreezing: Howard and Ruder 2018,
arXiv 1801.06146). A part that does not learn is left as it is: its weights, its batch norm's statistics, and
no stochastic depth in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from search_space import Architecture, InputError
from search_space.fields import as_floats, check_choice, check_float
from search_space.network import Network
from trainers.checkpoints import Checkpoint, CheckpointFacts
from trainers.data import Dataset

Unfreeze = Literal["whole", "staged", "head"]
STEM = "stem.0.weight"
FACTS = ("weights", "network", "data", "origin")  # of a start, besides what learns when


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuning:
    """What fine-tuning adds to a recipe.

    Attributes:
        unfreeze: ``whole`` (everything learns from the first step), ``head`` (the classifier alone), or
            ``staged``: the classifier first, then the convolution before it, the last stage, the one before,
            and at last the stem.
        stage_epochs: of ``staged``, epochs from one part's beginning to the next one's.
    """

    unfreeze: Unfreeze = "whole"
    stage_epochs: float = 1.0

    def __post_init__(self) -> None:
        check_choice("unfreeze", self.unfreeze, get_args(Unfreeze))
        check_float("stage_epochs", self.stage_epochs, 1e-3, 100_000.0)
        as_floats(self, "stage_epochs")

    def learning(self, parts: int, epoch: float) -> int:
        """How many of a network's parts learn, counted from the classifier.

        Args:
            parts: all there are.
            epoch: that have passed, with the fraction of the present one.
        """
        if self.unfreeze == "whole":
            return parts
        if self.unfreeze == "head":
            return 1
        return min(parts, 1 + int(epoch / self.stage_epochs + 1e-9))  # 3 * (1 / 3) is 1


def parts_of(network: Network) -> list[list[nn.Module]]:
    """The parts of a network that begin to learn together, from the classifier to the stem."""
    blocks = iter(network.blocks)
    repeats = [stage.repeats for stage in network.architecture.stages]
    stages: list[list[nn.Module]] = [[next(blocks) for _ in range(number)] for number in repeats]
    parts: list[list[nn.Module]] = [[network.classifier], [network.head], *reversed(stages), [network.stem]]
    return [part for part in parts if any(True for module in part for _ in module.parameters())]


def number_of_parts(architecture: Architecture) -> int:
    """How many parts the network of an architecture has (`parts_of`); no weights are made."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = architecture.build()
    assert isinstance(network, Network)
    return len(parts_of(network))


class Freezing:
    """Keeps the parts of a network that do not learn yet as they are.

    Args:
        network: in training.
        finetuning: when which part begins.
    """

    def __init__(self, network: Network, finetuning: Finetuning) -> None:
        self._parts = parts_of(network)
        self._finetuning = finetuning
        self._learning = -1

    def apply(self, epoch: float) -> bool:
        """Freeze what does not learn at this moment, in a network in training mode; whether that changed."""
        learning = self._finetuning.learning(len(self._parts), epoch)
        frozen = [module for part in self._parts[learning:] for module in part]
        for module in frozen:
            module.eval()  # each time: `train` of the whole network takes it back
        if learning == self._learning:
            return False
        self._learning = learning
        for number, part in enumerate(self._parts):
            for module in part:
                module.requires_grad_(number < learning)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a training starts from, instead of drawn weights.

    Attributes:
        finetuning: what learns when.
        facts: what checkpoints of the training say of it (`FACTS`): ``weights``, the SHA-256 of the source's
            tensors, and its ``network``, ``data`` and ``origin``.
        tensors: of everything but the classifier; None where the training goes on from a checkpoint.
    """

    finetuning: Finetuning
    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor] | None

    def described(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {**self.facts, **asdict(self.finetuning)}


def start_from(checkpoint: Checkpoint, in_channels: int, finetuning: Finetuning) -> Start:
    """The start of a fine-tuning.

    A network of another number of image channels gets other weights of its first convolution.

    Grey images v, normalised by m and s (`normalised_as`), of a colour network with weights w_c: it saw
    (v - m_c) / s_c in channel c, and the new weights are the sum over c of w_c s / s_c. With one m_c and s_c
    that is timm's ``adapt_input_conv``, and the answer is the source's to v in all channels. Else it differs
    by the answer of w_c to (m - m_c) / s_c, the same for every image. The batch norm that follows takes that
    away while it normalises by the batch (but for the border, where the convolution sees zeros), and not
    where it normalises by the source's statistics: in evaluation until these have followed, and in a stem
    that does not learn. A grey network sees colour images by their mean over channels, exactly.

    Args:
        checkpoint: whose weights.
        in_channels: of the new network.
        finetuning: what learns when.

    Raises:
        InputError: the file is damaged, or its channels cannot become these.
    """
    tensors = checkpoint.tensors()
    digest = digest_of(tensors)
    tensors = {name: value for name, value in tensors.items() if not name.startswith("classifier.")}
    if STEM not in tensors:
        raise InputError(f"{checkpoint.path}: has no {STEM}, the weights of a first convolution")
    tensors[STEM] = _of_channels(tensors[STEM], in_channels, checkpoint)
    its = (digest, checkpoint.architecture.name, checkpoint.facts.data, checkpoint.facts.origin)
    facts = dict(zip(FACTS, its, strict=True))
    return Start(finetuning=finetuning, facts=facts, tensors=tensors)


def _of_channels(weight: Tensor, in_channels: int, checkpoint: Checkpoint) -> Tensor:
    """Weights (out, in, k, k) for images of other channels."""
    if weight.shape[1] == in_channels:
        return weight
    if in_channels == 1:
        facts = checkpoint.facts
        _, std = _grey(facts)
        scale = torch.tensor([std / its for its in facts.std], dtype=weight.dtype)  # (channels,)
        return (weight * scale[None, :, None, None]).sum(1, keepdim=True)
    if weight.shape[1] == 1:
        return weight.expand(-1, in_channels, -1, -1) / in_channels
    raise InputError(
        f"{checkpoint.path}: takes images of {weight.shape[1]} channels, which cannot become {in_channels}; "
        "prepare the data with 1 channel or as many as the network's"
    )


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a network's tensors: names, shapes, types and values."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def start_network(network: nn.Module, start: Start) -> None:
    """Put the weights of a start into a network with drawn ones; its classifier keeps those.

    Raises:
        InputError: they are of another network, or they are not there.
    """
    if start.tensors is None:
        raise InputError("the weights to start from are not there, and no checkpoint is there to go on from")
    state = network.state_dict()
    body = {name for name in state if not name.startswith("classifier.")}
    differing = body ^ set(start.tensors) or {
        name for name in body if state[name].shape != start.tensors[name].shape
    }
    if differing:
        raise InputError(f"the weights to start from are of another network: {min(differing)}")
    with torch.no_grad():
        for name, value in start.tensors.items():
            state[name].copy_(value)


def normalised_as(data: Dataset, checkpoint: Checkpoint) -> Dataset:
    """Data whose images are normalised as those that a checkpoint's network learnt from.

    Of other channels it is the mean over the checkpoint's channels.
    """
    facts, channels = checkpoint.facts, data.in_channels
    if len(facts.mean) == channels:
        return replace(data, mean=facts.mean, std=facts.std)
    mean, std = _grey(facts)
    return replace(data, mean=(mean,) * channels, std=(std,) * channels)


def _grey(facts: CheckpointFacts) -> tuple[float, float]:
    """Mean and deviation over a checkpoint's channels."""
    mean, std = (sum(values) / len(values) for values in (facts.mean, facts.std))
    return mean, std
