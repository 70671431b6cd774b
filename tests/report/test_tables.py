"""report: the guide's table. published: its figures, and where its own arithmetic is off."""

from __future__ import annotations

import csv
import io
import json

import pytest

from higherhrnet.artifacts.perf import Perf
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.report import performance, published, tables
from higherhrnet.report.performance import Source
from higherhrnet.report.tables import Column

GUIDE = published.load()
# The guide's rows in its order.
ROWS = [
    (512, 512), (512, 1024), (1024, 512), (512, 576), (512, 640), (512, 704), (512, 768), (512, 832), (512, 896),
    (512, 960), (576, 512), (640, 512), (704, 512), (768, 512), (832, 512), (896, 512), (960, 512),
]  # fmt: skip


def guide_columns() -> list[Column]:
    columns = [Column(c.name, c.cells) for c in GUIDE.columns.values()]
    return tables.with_ratios(columns, [ratio.of for ratio in GUIDE.ratios])


def test_rows_come_in_the_guide_s_order():
    assert tables.guide_order(geometry.shape_grid(512)) == ROWS
    assert all(list(c.cells) == ROWS for c in GUIDE.columns.values())


def test_the_guide_s_table():
    """Its columns in its order, every figure, and averages, smallest and largest as it prints them."""
    rows = tables.table(guide_columns())
    names = ["310", "310P", "310P/310", "310P_tuned", "310P_tuned/310", "T4", "310P_tuned/T4"]
    assert rows[0] == ["Input Shape", *names]
    assert [row[0] for row in rows[1:]] == [*(f"({h},{w})" for h, w in ROWS), "avg/min/max"]
    assert rows[1] == ["(512,512)", "196", "172", "0.88", "262", "1.34", "39", "6.72"]
    for i, name in enumerate(names, start=1):
        if name in GUIDE.columns:
            assert [row[i] for row in rows[1:-1]] == [f"{v:.0f}" for v in GUIDE.columns[name].cells.values()]
            assert rows[-1][i] == GUIDE.columns[name].avg_min_max
    assert rows[-1] == [
        *("avg/min/max", "124/87/196", "106/86/172", "0.88/0.64/1.23", "179/126/262", "1.45/1.34/1.59"),
        *("27/20/39", "6.65/6.24/7.15"),
    ]


def test_where_the_guide_s_own_arithmetic_is_off():
    """Cells that differ from the ratio of the figures beside them; all others are equal to the second decimal."""
    found = [(s.of, s.shape, s.printed, s.computed) for s in published.slips(GUIDE)]
    a, b = ("310P_tuned", "310"), ("310P_tuned", "T4")
    assert found == [
        (a, (512, 512), "1.33", "1.34"),
        (a, (512, 960), "1.41", "1.42"),
        (a, (960, 512), "1.38", "1.39"),
        (b, (512, 512), "6.71", "6.72"),
        (b, (512, 1024), "6.29", "6.30"),
        (b, (1024, 512), "7.14", "7.15"),
        (b, (512, 576), "6.95", "6.94"),
        (b, (512, 768), "6.63", "6.62"),
        (b, (512, 896), "6.45", "6.43"),
        (b, (512, 960), "6.48", "6.50"),
        (b, (576, 512), "6.76", "6.77"),
        (b, (640, 512), "6.23", "6.24"),
        (b, (704, 512), "6.72", "6.71"),
        (b, (768, 512), "6.84", "6.85"),
        (b, (832, 512), "6.27", "6.28"),
        (b, (896, 512), "6.63", "6.65"),
        (b, (960, 512), "6.35", "6.36"),
    ]


def test_the_guide_divided_before_it_rounded():
    """Every ratio it prints is one of figures that round to those it prints."""
    for ratio in GUIDE.ratios:
        above, below = (GUIDE.columns[name].cells for name in ratio.of)
        for shape, printed in ratio.cells.items():
            lowest, highest = (above[shape] - 0.5) / (below[shape] + 0.5), (above[shape] + 0.5) / (below[shape] - 0.5)
            assert lowest <= printed + 0.005 and printed - 0.005 <= highest, (ratio.of, shape)


def test_the_guide_s_ratio_summaries_are_those_of_its_cells():
    """So its least and largest ratios are off where their cells are: 1.33, 6.23 and 7.14."""
    for ratio in GUIDE.ratios:
        values = list(ratio.cells.values())
        three = sum(values) / len(values), min(values), max(values)
        assert "/".join(f"{v:.2f}" for v in three) == ratio.avg_min_max


def test_another_name_of_a_published_column_is_refused():
    with pytest.raises(UserError, match="--published V100: the guide's columns are 310, 310P, 310P_tuned, T4"):
        GUIDE.column("V100")


def test_slow_devices_keep_decimals_and_missing_shapes_show():
    a = Column("a", {(512, 512): 1.234, (512, 576): 2.0})
    b = Column("b", {(512, 512): 20.4})
    assert tables.table(tables.with_ratios([a, b], [("b", "a")]))[1:] == [
        ["(512,512)", "1.23", "20", "16.53"],
        ["(512,576)", "2.00", "-", "-"],
        ["avg/min/max", "1.62/1.23/2.00", "20/20/20", "16.53/16.53/16.53"],
    ]


def test_a_ratio_of_columns_without_a_common_shape_is_no_column():
    columns = [Column("a", {(512, 512): 1.0}), Column("b", {(512, 576): 2.0})]
    assert tables.with_ratios(columns, [("a", "b")]) == columns


def test_text_and_markdown_hold_the_same_cells():
    rows = tables.table([Column("310", {(512, 512): 196.0, (512, 1024): 87.0})])
    assert tables.as_markdown(rows).splitlines() == [
        "| Input Shape | 310 |",
        "|---|---|",
        "| (512,512) | 196 |",
        "| (512,1024) | 87 |",
        "| avg/min/max | 142/87/196 |",
    ]
    assert tables.as_text(rows).splitlines() == [
        "Input Shape         310",
        "-----------------------",
        "(512,512)           196",
        "(512,1024)           87",
        "-----------------------",
        "avg/min/max  142/87/196",
    ]


def test_csv_and_json_hold_the_figures_unrounded():
    own = Column("x", {(512, 512): 12.3456789, (512, 576): 10.0}, percentiles={(512, 512): {50: 80.0, 99: 90.5}})
    columns = tables.with_ratios([own, Column("T4 (published)", {(512, 512): 39}, published=True)],
                                 [("x", "T4 (published)")])  # fmt: skip
    assert list(csv.reader(io.StringIO(tables.as_csv(columns)))) == [
        ["shape HxW", "x", "T4 (published)", "x/T4 (published)", "x p50 ms", "x p99 ms"],
        ["512x512", "12.3457", "39", "0.316556", "80", "90.5"],
        ["512x576", "10", "", "", "", ""],
        ["avg", "11.1728", "39", "0.316556", "", ""],
        ["min", "10", "39", "0.316556", "", ""],
        ["max", "12.3457", "39", "0.316556", "", ""],
    ]
    content = json.loads(tables.as_json(columns, ["a remark"]))
    assert [c["kind"] for c in content["columns"]] == ["measured", "published", "ratio"]
    assert content["columns"][0]["figures"] == {"512x512": 12.3456789, "512x576": 10.0}
    assert content["columns"][0]["percentiles_ms"] == {"512x512": {"50": 80.0, "99": 90.5}}
    assert content["columns"][2]["of"] == ["x", "T4 (published)"]
    assert content["notes"] == ["a remark"]


def test_latencies_are_a_table_of_their_own():
    own = Column("x", {(512, 512): 10.0}, percentiles={(512, 512): {50: 80.0, 90: 85.25}})
    assert tables.latencies([own, Column("y", {(512, 512): 1.0})]) == [
        ["ms per batch", "x p50", "x p90", "x p99"],
        ["(512,512)", "80.00", "85.25", "-"],
    ]
    assert tables.latencies([Column("y", {(512, 512): 1.0})]) == []


SQUARE, WIDE = (512, 512), (512, 576)


@pytest.mark.parametrize(
    ("label", "of", "expected"),
    [
        (None, [(1, 0)], ["bs1 device 0"]),
        ("x", [(8, 3)], ["x"]),
        ("x", [(1, 0), (8, 0)], ["x bs1", "x bs8"]),
        ("x", [(1, 0), (1, 1)], ["x bs1 device 0", "x bs1 device 1"]),
    ],
)
def test_a_source_s_columns_are_told_apart(label: str | None, of: list[tuple[int, int]], expected: list[str]):
    source = Source(label, [Perf(batch, device, shape, 1.0) for batch, device in of for shape in (SQUARE, WIDE)])
    columns = source.columns()
    assert [column.label for column in columns] == expected
    assert [column.batch for column in columns] == [batch for batch, _ in of]
    assert all(list(column.figures) == [SQUARE, WIDE] for column in columns)


def test_the_first_source_is_divided_by_others_of_its_batch_size():
    """Cards of four chips; the guide's 512x512 of the T4 is 39, in batches of one."""
    first = Source("a", [Perf(1, 0, SQUARE, 19.5, {50: 51.0}), Perf(8, 0, SQUARE, 30.0)], note="measured today")
    second = Source("b", [Perf(1, 0, SQUARE, 6.5)])
    columns, notes = performance.columns(
        [first, second], GUIDE, [GUIDE.column("T4")], chips={"a bs1": 4, "b": 4}, ratios=[]
    )
    assert {column.label: column.figures for column in columns} == {
        "a bs1": {SQUARE: 78.0},
        "a bs8": {SQUARE: 30.0},
        "b": {SQUARE: 26.0},
        "a bs1/b": {SQUARE: 3.0},
        "T4 (published)": {SQUARE: 39.0},
        "a bs1/T4 (published)": {SQUARE: 2.0},
    }
    assert columns[0].percentiles == {SQUARE: {50: 51.0}}, "a card's latency is a chip's"
    assert notes == [
        "a: measured today",
        "a bs1: a card of 4 chips, 4 times the figures of one",
        "b: a card of 4 chips, 4 times the figures of one",
        "(published): figures of the guide, not measured here",
    ]


def test_ratios_asked_for_replace_those_by_default():
    sources = [Source(name, [Perf(1, 0, SQUARE, rate)]) for name, rate in (("a", 2.0), ("b", 6.0))]
    columns, _ = performance.columns(sources, GUIDE, [GUIDE.column("T4")], chips={}, ratios=[("T4", "b"), ("b", "a")])
    assert [column.label for column in columns] == ["a", "b", "b/a", "T4 (published)", "T4 (published)/b"]
    assert [column.figures[SQUARE] for column in columns] == [2.0, 6.0, 3.0, 39.0, 6.5]
