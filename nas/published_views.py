"""The published tables on the command line, and what is published beside a network."""

from __future__ import annotations

from typing import Any

from nas.console import out, print_table
from results.published import (
    EDITIONS,
    GEOMETRIC_MEANS,
    LATEST,
    PublishedTransfer,
    TransferResult,
    nearest_published,
    published_models,
    published_of,
    published_scaled,
    published_transfer,
    scaling_of,
    source_of,
)
from results.scaled_table import SCALED_EDITION
from results.transfer_table import TRANSFER_EDITION
from results.wording import count
from search_space import Architecture

_NEAR = 1.5
PUBLISHED_COLUMNS = ("published", "its MACs", "its top-1 / top-5")


def print_published(edition: str = LATEST) -> None:
    """Print models, scaled baselines and transfer results, each a table with its source.

    Args:
        edition: of the table of models; see `results.published.EDITIONS`.

    Raises:
        InputError: no such edition.
    """
    models = published_models(edition)
    groups = any(not model.efficientnet for model in models)
    rows: list[list[str]] = []
    for model in models:
        if groups and model.efficientnet and rows:
            rows.append([""] * 7)
        rows.append(
            [
                model.name,
                as_printed(model.accuracy),
                as_printed(model.top5),
                count(model.params),
                _ratio(model.params_ratio),
                count(model.macs),
                _ratio(model.macs_ratio),
            ]
        )
    columns = ("model", "top-1", "top-5", "params", "x EfficientNet", "MACs", "x EfficientNet")
    print_table(columns, rows, title=f"Models on ImageNet: {source_of(2, edition)}")
    out.print()
    _print_scaled()
    out.print()
    print_transfer()
    out.print("MACs are multiply-adds, which the paper calls FLOPS.", soft_wrap=True)


def _print_scaled() -> None:
    """Tables 3 and 7."""
    rows = [
        [
            row.name,
            *("-" if by is None else f"{by:g}" for by in (row.depth, row.width, row.resolution)),
            count(row.macs),
            as_printed(row.accuracy),
            row.table,
        ]
        for row in published_scaled()
    ]
    title = f"Scaled baselines on ImageNet: tables 3 and 7 of {EDITIONS[SCALED_EDITION]}"
    print_table(("model", "depth", "width", "resolution", "MACs", "top-1", "table"), rows, title=title)


def print_transfer() -> None:
    """Table 5: to public models above, to reported ones below."""
    rows = []
    for number, what in enumerate(("public", "reported")):
        for row in published_transfer():
            rows.append(_transfer_row(row, row.public if what == "public" else row.reported, what))
        rows.append(["geometric mean", what, *[""] * 6, _ratio(GEOMETRIC_MEANS[number])])
    print_table(
        (
            "data set",
            "best",
            "model",
            "accuracy",
            "params",
            "beside it",
            "its accuracy",
            "its params",
            "ratio",
        ),
        rows,
        title=f"Transfer: {source_of(5, TRANSFER_EDITION)}",
    )


def _transfer_row(row: PublishedTransfer, result: TransferResult, what: str) -> list[str]:
    return [
        row.dataset,
        what,
        result.model,
        as_printed(result.accuracy),
        count(result.params),
        result.own,
        as_printed(result.own_accuracy),
        count(result.own_params),
        _ratio(result.ratio),
    ]


def published_json(edition: str = LATEST) -> dict[str, Any]:
    """The same tables for ``--json``: accuracies from 0 to 1, parameters and multiply-adds in full.

    Raises:
        InputError: no such edition.
    """
    return {
        "edition": edition,
        "models": {
            "source": source_of(2, edition),
            "rows": [model.to_json() for model in published_models(edition)],
        },
        "scaled": {
            "sources": [source_of(table, SCALED_EDITION) for table in (3, 7)],
            "rows": [row.to_json() for row in published_scaled()],
        },
        "transfer": {
            "source": source_of(5, TRANSFER_EDITION),
            "geometric_means": dict(zip(("public", "reported"), GEOMETRIC_MEANS, strict=True)),
            "rows": [row.to_json() for row in published_transfer()],
        },
    }


def published_facts(architecture: Architecture, macs: float, edition: str = LATEST) -> dict[str, Any]:
    """What is published beside a network, for ``--json``.

    The published model that this network is; else the row of the scaled baselines that it is; else the model
    with the nearest multiply-adds, by their ratio.

    Args:
        architecture: the network.
        macs: multiply-adds of one image, above 0.
        edition: of the table of models.

    Returns:
        ``name``; ``same``, whether it is this network; ``macs``, ``top1`` and ``top5`` as printed (None where
        they are not), and ``source``.

    Raises:
        ValueError: `macs` is not above 0.
        InputError: no such edition.
    """
    model = published_of(architecture, edition)
    row = scaling_of(architecture)
    if model is None and row is not None:
        source = source_of(row.table, SCALED_EDITION)
        return _facts(row.name, True, row.macs, row.accuracy, None, source)
    same = model is not None
    model = model or nearest_published(macs, edition)
    return _facts(model.name, same, model.macs, model.accuracy, model.top5, source_of(2, edition))


def _facts(
    name: str, same: bool, macs: float | None, top1: float, top5: float | None, source: str
) -> dict[str, Any]:
    return {"name": name, "same": same, "macs": macs, "top1": top1, "top5": top5, "source": source}


def published_cells(architecture: Architecture, macs: float, edition: str = LATEST) -> tuple[str, str, str]:
    """The same as cells of a table, under `PUBLISHED_COLUMNS`: name, multiply-adds, top-1 and top-5.

    A model that is only near has a ``~`` before its name; one that has not even two thirds of the network's
    multiply-adds, or more than one and a half times, is no neighbour.

    Raises:
        ValueError: `macs` is not above 0.
        InputError: no such edition.
    """
    facts = published_facts(architecture, macs, edition)
    if not facts["same"] and not 1 / _NEAR <= facts["macs"] / macs <= _NEAR:
        return "-", "-", "-"
    name = facts["name"] if facts["same"] else f"~{facts['name']}"
    return (
        name,
        count(facts["macs"]),
        f"{as_printed(facts['top1'])} / {as_printed(facts['top5'])}",
    )


def as_printed(share: float | None) -> str:
    """With the one decimal that the paper prints."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _ratio(ratio: float | None) -> str:
    """As the paper prints it: 1, 4.9, 11."""
    if ratio is None:
        return "-"
    return f"{ratio:.0f}" if ratio >= 10 or ratio == 1 else f"{ratio:.1f}"
