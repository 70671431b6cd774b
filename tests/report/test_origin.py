"""report: columns hold figures of one work, are named by what differs, and notes say in what they differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from higherhrnet.artifacts import figures, perf
from higherhrnet.artifacts.figures import Figure, FigureFacts, FigureWork
from higherhrnet.artifacts.perf import Perf
from higherhrnet.errors import UserError
from higherhrnet.report import performance, published, tables
from higherhrnet.report.performance import Source

GUIDE = published.load()
SQUARE, WIDE, TALL = (512, 512), (512, 576), (576, 512)
WORK = FigureWork("1f2e3d4c" * 8, "torch cuda float16", "torch 2.4", 1, 0, "float32", "cd" * 32, "ab" * 32)
FACTS = FigureFacts("a GPU", "here", "2026-01-02T03:04:05+00:00", 7)
A = Figure(WORK, FACTS)


def other(**fields: object) -> Figure:
    return Figure(dataclasses.replace(WORK, **fields), FACTS)  # type: ignore[arg-type]


def rated(rate: float, made: Figure | None, shape: tuple[int, int] = SQUARE, batch: int = 1) -> Perf:
    return Perf(batch, 0, shape, rate, made=made)


def table(*sources: Source) -> tuple[dict[str, dict], list[str]]:
    columns, notes = performance.columns(sources, GUIDE, chips={}, ratios=[])
    return {column.label: dict(column.figures) for column in columns}, notes


def test_equal_work_is_one_column_and_needs_no_word():
    again = Figure(WORK, dataclasses.replace(FACTS, date="2026-02-02T00:00:00+00:00", images=1))
    assert table(Source(None, [rated(10.0, A), rated(20.0, again, WIDE)])) == (
        {"bs1 device 0": {SQUARE: 10.0, WIDE: 20.0}},
        [],
    )


@pytest.mark.parametrize(
    ("made", "first", "second", "said"),
    [
        (other(model="5b" * 32), "model 1f2e3d4c", "model 5b5b5b5b", "another model (5b5b5b5b, not 1f2e3d4c)"),
        (
            other(data=figures.RANDOM, dataset=""),
            "data cdcdcdcd",
            "random input",
            "other data (random, not cdcdcdcd)",
        ),
        (
            other(backend="torch cuda float32"),
            "float16",
            "float32",
            "another backend (torch cuda float32, not torch cuda float16)",
        ),
        (
            other(runtime="torch 2.9"),
            "torch 2.4",
            "torch 2.9",
            "another version of the backend (torch 2.9, not torch 2.4)",
        ),
        (other(threads=4), "threads not set", "4 threads", "another number of threads (4, not 0)"),
        (other(dtype="float16"), "float32 input", "float16 input", "another dtype (float16, not float32)"),
        (
            Figure(WORK, dataclasses.replace(FACTS, device="a CPU")),
            "a GPU",
            "a CPU",
            "other hardware (a CPU, not a GPU)",
        ),
    ],
)
def test_other_work_in_one_directory_is_another_column(made: Figure, first: str, second: str, said: str):
    columns, notes = table(Source(None, [rated(10.0, A), rated(20.0, A, WIDE), rated(3.0, made, TALL)]))
    a, b = f"bs1 device 0 {first}", f"bs1 device 0 {second}"
    assert columns == {a: {SQUARE: 10.0, WIDE: 20.0}, b: {TALL: 3.0}}
    assert notes == [
        f"{b} is not of the work of {a}: {said}",
        f"the averages are not over the same shapes: {a} over 2, {b} over 1",
    ]


def test_all_that_differs_is_in_the_name():
    made = other(model="5b" * 32, runtime="torch 2.9")
    columns, _ = table(Source("x", [rated(10.0, A), rated(3.0, made, TALL)]))
    assert list(columns) == ["x model 1f2e3d4c, torch 2.4", "x model 5b5b5b5b, torch 2.9"]


def test_figures_without_a_record_stand_apart_where_others_have_one():
    columns, notes = table(Source("x", [rated(10.0, A), rated(50.0, None, WIDE), rated(60.0, None, TALL, batch=8)]))
    assert columns == {"x bs1": {SQUARE: 10.0}, "x bs1 no record": {WIDE: 50.0}, "x bs8 no record": {TALL: 60.0}}
    assert notes == [
        "x bs1 no record: no record says what these figures are of",
        "x bs8 no record: no record says what these figures are of",
        "the averages are not over the same shapes: x bs1 over 1, x bs1 no record over 1, x bs8 no record over 1",
    ]


def test_a_directory_of_figures_without_records_looks_as_it_always_did():
    columns, notes = performance.columns(
        [Source("vendor", [rated(10.0, None), rated(20.0, None, WIDE)])], GUIDE, chips={}, ratios=[]
    )
    assert ([column.label for column in columns], notes) == (["vendor"], [])
    assert tables.formatted(columns, notes, "text") == (
        "Input Shape    vendor\n"
        "---------------------\n"
        "(512,512)          10\n"
        "(512,576)          20\n"
        "---------------------\n"
        "avg/min/max  15/10/20"
    )


def test_columns_of_two_sources_say_in_what_they_differ():
    made = other(backend="onnxruntime", runtime="onnxruntime 1.20")
    sources = Source("a", [rated(10.0, A)]), Source("b", [rated(5.0, made)]), Source("c", [rated(2.0, None)])
    columns, notes = table(*sources)
    assert list(columns) == ["a", "b", "a/b", "c", "a/c"]
    assert notes == [
        "b is not of the work of a: another backend (onnxruntime, not torch cuda float16), another version of the "
        "backend (onnxruntime 1.20, not torch 2.4)",
        "c: no record says what these figures are of",
    ]


def test_batch_sizes_are_compared_with_their_like():
    """In one directory labels say the batch size; another source of another size is told apart in words."""
    eight = other(batch=8, model="8a" * 32)
    first = Source("a", [rated(10.0, A), rated(30.0, eight, batch=8)])
    assert table(first)[1] == ["a bs8 is not of the work of a bs1: another model (8a8a8a8a, not 1f2e3d4c)"]
    assert table(first, Source("b", [rated(20.0, eight, batch=8)]))[1] == table(first)[1]
    (line,) = table(Source("a", [rated(10.0, A)]), Source("b", [rated(30.0, other(batch=8), batch=8)]))[1]
    assert line == "b is not of the work of a: another batch size (8, not 1)"
    measured = Source("a", first.figures, note="measured on random input")
    assert table(measured)[1] == ["a: measured on random input"]


def test_hosts_of_one_column_are_named():
    there = Figure(WORK, dataclasses.replace(FACTS, host="there"))
    _, notes = table(Source("a", [rated(10.0, A), rated(20.0, there, WIDE)]))
    assert notes == ["a: measured on 2 hosts, here, there"]


def test_averages_over_other_shapes_are_marked():
    a = Source("a", [rated(10.0, A), rated(30.0, A, WIDE), rated(50.0, A, TALL)])
    b = Source("b", [rated(20.0, A), rated(10.0, A, TALL)])
    columns, notes = table(a, b)
    assert columns["a/b"] == {SQUARE: 0.5, TALL: 5.0}
    assert notes == ["the averages are not over the same shapes: a over 3, b over 2, a/b over 2"]


def test_what_cannot_be_a_figure_is_named_and_left_out():
    found = [
        Perf(1, 0, SQUARE, 10.0, file="a.txt"),
        Perf(1, 0, WIDE, 5e-324, file="b.txt"),
        Perf(0, 0, TALL, 10.0, file="c.txt"),
    ]
    assert performance.plausible(found, Path("result")) == (
        found[:1],
        [
            "result: no plausible figures: b.txt (4.94066e-324 images/s), c.txt (batch size 0); left out of the table "
            "and its averages"
        ],
    )
    assert performance.plausible(found[:1], Path("result")) == (found[:1], [])
    with pytest.raises(UserError, match=r"result: no plausible figures: b\.txt"):
        performance.plausible(found[1:], Path("result"))


def test_the_foot_says_what_a_figure_means():
    columns, notes = performance.columns([Source("a", [rated(10.0, A)])], GUIDE, chips={}, ratios=[])
    said = tables.formatted(columns, ["a note"], "markdown", foot=perf.MEANING).splitlines()
    assert said[-2:] == ["note: a note", f"images per second: {perf.MEANING}"]
    assert notes == []
