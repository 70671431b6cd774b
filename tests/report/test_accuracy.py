"""The table of AP against speed, and its chart."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from higherhrnet.artifacts import outputs
from higherhrnet.report import accuracy

ROWS = (
    accuracy.Row("onnxruntime", "onnxruntime 1", 0.842, 0.0, {(512, 512): 8.0, (512, 640): 6.0}, 3.5, 200, 7.5, 0, 100),
    accuracy.Row("openvino cpu int8", "openvino 2", 0.8402, 0.0018, {(512, 640): 12.0}, 5.25, 150, 2.2, 7, 100),
)


def test_cells():
    header, first, second = accuracy.table(ROWS)
    assert len(header) == len(first) == len(second)
    assert first[:6] == ["onnxruntime", "0.8420", "+0.0000", "8.00", "7.00", "3.50"]
    assert second[1:] == ["0.8402", "+0.0018", "-", "12.00", "5.25", "150", "2.2", "7 of 100"]


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_notes_and_meaning_stand_below(form: str):
    said = accuracy.formatted(ROWS, ["a CPU"], form, foot="what it means")
    assert said.endswith("note: a CPU\nwhat it means")
    assert said.count("openvino cpu int8") == 1


def test_machines_read_it_too():
    (first, second) = csv.DictReader(io.StringIO(accuracy.formatted(ROWS, [], "csv", foot="")))
    assert first["512x512 images/s"] == "8"
    assert second["512x512 images/s"] == ""
    assert second["people changed"] == "7"
    content = json.loads(accuracy.formatted(ROWS, ["n"], "json", foot="f"))
    assert content["rows"][1]["rates"] == {"512x640": 12.0}
    assert content["notes"] == ["n", "f"]


def test_the_chart_has_a_point_a_row(tmp_path: Path):
    pytest.importorskip("matplotlib")
    made = accuracy.figure(ROWS)
    (axes,), (legend,) = made.axes, made.legends
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines] == [(7.0, 0.842), (12.0, 0.8402)]  # type: ignore[index]
    assert [text.get_text() for text in legend.get_texts()] == [
        "onnxruntime: AP 0.842, 7.0 images/s",
        "openvino cpu int8: AP 0.840, 12.0 images/s",
    ]
    low, high = axes.get_ylim()
    assert high - low >= 0.04 - 1e-9  # a loss of 0.0018 is drawn as a small one
    accuracy.draw(ROWS, tmp_path / "x.png")
    assert outputs.marked(accuracy.KIND)(tmp_path / "x.png")
