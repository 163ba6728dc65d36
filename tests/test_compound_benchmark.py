"""The table of scaled networks beside the paper's numbers: what docs/compound-scaling.md quotes."""

import re
from pathlib import Path

import pytest

from benchmarks import compound_scaling
from benchmarks.compound_scaling import (
    FAMILY,
    OFF,
    SCALED,
    by_other_rules,
    giga,
    interval,
    printing_both,
    said,
)
from nas import cost, load_architecture

TRUE = {
    "efficientnet_b0": (385_814_752, 1_575_132_640, 1_449_958_848, 1_537_537_408, 1_800_091_280),
    "mobilenet_v1": (568_740_352, 2_216_465_408, 2_271_889_408, 2_469_723_976),
    "mobilenet_v2": (300_774_272, 1_219_587_776, 1_137_428_224, 1_199_257_088, 1_442_045_088),
    "resnet_50": (4_089_184_256, 14_570_749_952, 16_116_613_120, 16_350_593_024, 15_861_640_344),
}


@pytest.mark.parametrize("name", TRUE)
def test_scaled_networks_take_what_the_docs_say(name: str) -> None:
    rows = [row for row in SCALED if row.network == name]
    assert tuple(cost(row.member().architecture).macs for row in rows) == TRUE[name]


def test_the_docs_quote_every_row() -> None:
    text = (Path(__file__).parents[1] / "docs" / "compound-scaling.md").read_text(encoding="utf-8")
    for row in SCALED:
        member, true = row.member(), row.true()
        factors = re.sub(r" (?=[wr])", ", ", said(row.factors)).replace("as it is", "")
        assumed = " (assumed)" if row.assumed else ""
        ratio = true / row.macs
        numbers = f"{true:.3f} | {true / giga(load_architecture(row.network)):.2f} | {member.nominal:.2f}"
        star = " *" if abs(ratio - 1) > OFF else ""
        line = f"| {factors}{assumed} | {numbers} | {row.macs:g} | {ratio:.3f}{star} |"
        assert line.replace("|  |", "| |") in text


def test_the_family_is_within_a_twentieth_of_table_2() -> None:
    for member, printed in FAMILY.items():
        macs, params = cost(load_architecture(f"efficientnet_{member}"))
        assert params / 1e6 == pytest.approx(printed.params, rel=0.02)
        assert macs / 1e9 == pytest.approx(printed.macs, rel=0.05)


def test_these_rows_differ_by_more_than_a_tenth() -> None:
    off = [(row.network, said(row.factors)) for row in SCALED if abs(row.true() / row.macs - 1) > OFF]
    assert off == [
        ("efficientnet_b0", "d 4"),
        ("efficientnet_b0", "w 2"),
        ("efficientnet_b0", "r 2"),
        ("mobilenet_v2", "d 1.4 w 1.2 r 1.3"),
        ("resnet_50", "d 4"),
    ]


def test_resnet_50_comes_out_where_depth_and_width_are_exchanged() -> None:
    deep, wide = SCALED[15], SCALED[16]
    assert (said(deep.factors), said(wide.factors)) == ("d 4", "w 2")
    assert deep.true() == pytest.approx(wide.macs, rel=0.01)
    assert wide.true() == pytest.approx(deep.macs, rel=0.01)


def test_b0_by_one_dimension_would_need_larger_factors() -> None:
    assert [interval(row, dimension) for dimension, row in enumerate(SCALED[1:4])] == [
        (4.01, 4.5),
        (2.19, 2.24),
        (2.15, 2.21),
    ]


def test_one_triple_in_tenths_prints_both_rows_without_coefficients() -> None:
    assert printing_both([row for row in SCALED if row.assumed]) == [(1.9, 1.1, 1.3), (2.0, 1.1, 1.3)]


def test_other_rules_differ_only_in_what_they_say() -> None:
    for row in SCALED:
        base = load_architecture(row.network)
        assert by_other_rules(base, row.factors).key == row.member().architecture.key
    v2 = load_architecture("mobilenet_v2")
    assert giga(by_other_rules(v2, (1.4, 1.2, 1.3), keep_one_layer=True)) == pytest.approx(1.246, abs=1e-3)


def test_it_prints_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    compound_scaling.main()
    printed = capsys.readouterr().out
    assert "b7      66.348     66  1.005    37.7459     37  1.020" in printed
    assert "mobilenet_v2     d 1.4 w 1.2 r 1.3 ?   1.4420    4.79    3.41     1.3  1.109 *" in printed
    assert "exchanged  d 4 0.991   w 2 0.995" in printed
    assert "in tenths, one triple for both rows: d 1.9 w 1.1 r 1.3 or d 2 w 1.1 r 1.3" in printed
