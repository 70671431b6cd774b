"""Speed beside a run's dumps: which figures are of it, and which dumps are not the results'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from higherhrnet.artifacts import claim, figures, perf
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.figures import Figure, FigureFacts, FigureWork
from higherhrnet.artifacts.work import DumpsWork, PeopleWork
from higherhrnet.errors import UserError
from higherhrnet.report import speed
from tests.support.works import DUMPS

SHAPES = {(512, 512): 40.0, (512, 704): 20.0}
FACTS = FigureFacts("a CPU", "here", "2026-01-02T03:04:05+00:00", 7)


def result(folder: Path, made: DumpsWork | None = DUMPS) -> Path:
    """A folder of dumps, their record beside them."""
    dumps = folder / "dumpOutput_device0_bs1"
    dumps.mkdir(parents=True)
    if made is not None:
        claim.write(dumps, Record(made, complete=True))
    return dumps


def keep(folder: Path, *, model: str = DUMPS.model, batch: int = 1) -> None:
    work = FigureWork(model, DUMPS.backend, DUMPS.runtime, batch, 0, "float32", figures.RANDOM)
    for shape, rate in SHAPES.items():
        file = perf.path(folder, batch, 0, shape)
        figures.keep(file, perf.execute_only(rate), Figure(work, FACTS), instead="", overwrite=False)


def results(folder: Path, made: DumpsWork | None = DUMPS) -> Path:
    """A results file and, of ``made``, its record."""
    file = folder / "results.json"
    file.write_text("[]")
    if made is not None:
        work = PeopleWork.of(made, dataset="d" * 64, images=7, shard=made.shard, options={}, version=2)
        assert made.inputs is not None
        claim.write(file, Record(work, Facts(pictures=made.inputs.pictures), complete=True))
    return file


def test_the_figures_of_the_dumps_network_are_a_column(tmp_path: Path) -> None:
    dumps = result(tmp_path)
    keep(tmp_path)
    keep(tmp_path, batch=8)  # another run's
    found = speed.beside(dumps, results(tmp_path))
    (column,) = found.columns
    assert (column.batch, dict(column.figures)) == (1, SHAPES)
    assert column.avg_min_max == (30.0, 20.0, 40.0)
    assert found.notes == []


def test_figures_of_another_model_are_not_its_speed(tmp_path: Path) -> None:
    dumps = result(tmp_path)
    keep(tmp_path, model="9" * 64)
    found = speed.beside(dumps, results(tmp_path))
    assert found.columns == []
    assert found.notes == [f"no speed: the performance files in {tmp_path} are of another model or backend"]


def test_a_folder_without_figures_says_so(tmp_path: Path) -> None:
    found = speed.beside(result(tmp_path), results(tmp_path))
    assert found.columns == []
    assert found.notes[0].startswith("no speed: ")


def test_files_without_a_record_count_and_are_said(tmp_path: Path) -> None:
    """As other programs leave them."""
    dumps = result(tmp_path, made=None)
    perf.path(tmp_path, 1, 0, (512, 512)).write_text(perf.execute_only(25.0))
    found = speed.beside(dumps, results(tmp_path, made=None))
    assert [dict(column.figures) for column in found.columns] == [{(512, 512): 25.0}]
    assert found.notes == [f"{tmp_path}: no record says what 1 of 1 performance files are of"]


def test_dumps_that_the_results_are_not_of_are_refused(tmp_path: Path) -> None:
    """Another network, another data set, other pictures under the same names, or only some of them."""
    file = results(tmp_path)
    assert DUMPS.inputs is not None
    source = DUMPS.inputs
    for place, (made, what) in enumerate(
        (
            (replace(DUMPS, model="9" * 64), "another model (bbbbbbbbbbbb, not 999999999999)"),
            (replace(DUMPS, backend="torch cpu float32"), "another backend"),
            (replace(DUMPS, batch=8), "another batch (1, not 8)"),
            (replace(DUMPS, inputs=replace(source, work=replace(source.work, dataset="e" * 64))), "another data set"),
            (
                replace(DUMPS, inputs=replace(source, work=replace(source.work, images=4))),
                "another number of images (7, not 4)",
            ),
            (replace(DUMPS, inputs=replace(source, pictures="c" * 64)), "another content of the pictures"),
        )
    ):
        dumps = result(tmp_path / str(place), made)
        with pytest.raises(UserError) as caught:
            speed.beside(dumps, file)
        assert f"{file} was not made from {dumps}: {what}" in str(caught.value)
        assert str(caught.value).endswith("give the dumps that these results are of")
    with pytest.raises(UserError, match="does not exist; correct --dumps"):
        speed.beside(tmp_path / "none", file)


def test_dumps_of_a_shard_are_of_the_merged_results(tmp_path: Path) -> None:
    assert DUMPS.inputs is not None
    made = replace(DUMPS, shard="1/2", inputs=replace(DUMPS.inputs, pictures="c" * 64))
    assert speed.beside(result(tmp_path, made), results(tmp_path)).columns == []
