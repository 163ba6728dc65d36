"""The section ``latency`` of a search: where the latency of its networks comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from nas.config_sections import Section, optional
from search_space import Adapted, Architecture, FieldError, InputError
from search_space.latency_model import LatencyModel, load_latency_model
from trainers import Evaluator, LatencyProtocol

if TYPE_CHECKING:
    from typing_extensions import Self


def _model(given: object) -> LatencyModel | None:
    """From a file that ``nas latency fit`` wrote, or from its contents."""
    if given is None or isinstance(given, LatencyModel):
        return given
    if isinstance(given, str):
        return load_latency_model(given)
    if not isinstance(given, dict):
        raise FieldError("", f"must be a file that nas latency fit wrote, got {given!r}")
    return LatencyModel.from_dict(given)


class LatencyConfig(Section):
    """Latency is predicted by a model, or measured where each network is trained; one of the two.

    Attributes:
        model: what ``nas latency fit`` learnt, known before a network is trained; a configuration gives the
            file (relative to its own), a run keeps its contents.
        measured: how each network is measured, before it is trained.
        device_name: the name of the device that measures must hold this text, such as ``H200``; another
            machine is refused, and of a cluster a candidate on another device fails. None takes any.
        reference_ms: what the reference network takes on a quiet device of this kind, ms. The latency is then
            the ratio to the reference, measured beside it, times this: other work on the device slows both.
            None measures it when the run begins, on this machine. Without a reference the times are taken as
            they are measured.
    """

    model: Annotated[
        LatencyModel | None, PlainValidator(_model), PlainSerializer(lambda m: m and m.to_dict())
    ] = None
    measured: Annotated[
        LatencyProtocol | None, optional(LatencyProtocol), PlainSerializer(lambda p: p and asdict(p))
    ] = None
    device_name: str | None = None
    reference_ms: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.model is None) == (self.measured is None):
            have = "both are" if self.model is not None else "neither is"
            raise FieldError("model", f"is one way and measured another to know latency; {have} given")
        for name in ("device_name", "reference_ms"):
            if self.model is not None and getattr(self, name) is not None:
                raise FieldError(name, "is for measured latency, and a model is given")
        if self.reference_ms is not None and not (self.measured and self.measured.reference):
            raise FieldError("reference_ms", "needs measured.reference, the network that takes so long")
        return self


def predicted(
    latency: LatencyConfig | None, architecture: Architecture, classes: int, channels: int
) -> float | None:
    """The latency (ms) that is known without measuring; None where it is not, as of another image size."""
    if latency is None or latency.model is None:
        return None
    try:
        return latency.model.predict(architecture, classes, channels)
    except FieldError:
        return None


def check_predicted(
    latency: LatencyConfig | None, baselines: Sequence[Adapted], evaluator: Evaluator
) -> None:
    """Whether the model predicts the baselines, which may have operators that its space has not.

    Raises:
        InputError: it refuses one.
    """
    if latency is None or latency.model is None:
        return
    for network, _ in baselines:
        try:
            latency.model.predict(network, evaluator.num_classes, evaluator.in_channels)
        except FieldError as error:
            raise InputError(f"baselines: latency.model cannot predict {network.name}: {error}") from None


def check_latency(config: Any) -> None:
    """Whether objective, limits and evaluator of a search fit what is known of latency.

    Raises:
        FieldError: latency is asked for and nothing gives it, or a table is to measure it.
    """
    latency, table = config.latency, config.evaluator is not None
    if latency is not None and latency.measured is not None and table:
        raise FieldError("latency.measured", "is for proxy training, and the evaluator is a table")
    if config.limits.latency_ms is not None and (latency is None or latency.model is None):
        raise FieldError(
            "limits.latency_ms",
            "needs latency.model: a measured latency is not known before a network is trained",
        )
