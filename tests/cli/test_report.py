"""higherhrnet report, and --report of HigherHRNet_postprocess.py: what they say, write and refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import reports
from tests.support.datasets import TINY_CONFIG, TINY_RESULTS
from tests.support.programs import FLIP, PLAIN, Outcome, error
from tests.support.reports import Files

pytestmark = pytest.mark.slow

Script = Callable[..., Outcome]
REPORT = ("higherhrnet.__main__", "report")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Not to be changed."""
    return reports.write(tmp_path_factory.mktemp("report"), images=4)


@pytest.mark.usefixtures("no_charts")
def test_the_paths_and_notes_are_printed(
    files: Files, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = ("--results", files.results, "--against", files.against)
    where = ("--cfg", TINY_CONFIG, "DATASET.ROOT", files.root)
    outcome = script(*REPORT, *results, "--json", "all.json", "--pictures", 1, *where)
    assert outcome.status == 0, outcome
    assert outcome.out.splitlines()[-2:] == ["=> all.json", "=> report.html"]
    assert (
        f"note: {files.results} has no record of which images it is over; all of the data set are taken" in outcome.out
    )
    assert json.loads((tmp_path / "all.json").read_text())["counts"]["images"] == 4
    (tmp_path / "report.html").write_text("mine")
    message = error(script(*REPORT, *results, *where))
    assert "report.html is a file that this command did not make; give another path with --output" in message
    assert "are one file" in error(script(*REPORT, *results[:3], files.results, *where))
    assert "--dumps names 2 directories" in error(script(*REPORT, *results[:2], "--dumps", "a", "b", *where))
    assert script(*REPORT, *where).status == 2


@pytest.mark.usefixtures("no_charts")
def test_dumps_of_other_pictures_are_refused(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As records say it: whole directories of two runs, of data sets that are called the same."""
    monkeypatch.chdir(work)
    where = ("--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    dumps = ("--dump_dir", PLAIN, "--dump_dir_flip", FLIP, "--workers", 1)
    outcome = script("HigherHRNet_postprocess", *dumps, "--report", "page.html", *where)
    assert outcome.status == 0, outcome
    assert outcome.out.splitlines()[-1] == "=> page.html explains these figures"
    said = (work / "page.html").read_text()
    assert "Over all 7 images." in said
    assert 'id="speed"' in said, "performance files lie beside the dumps"
    refused = script(
        "HigherHRNet_postprocess", *dumps, "--report", tiny_data / "images/val2017/000000001000.jpg", *where
    )
    assert "give another path with --report" in error(refused)
    shutil.copytree(PLAIN, "other/dumps")
    record = work / "other/dumps/record.json"
    made = json.loads(record.read_text())
    made["work"]["inputs"]["pictures"] = "c" * 64
    record.write_text(json.dumps(made))
    message = error(script(*REPORT, "--results", TINY_RESULTS, "--dumps", "other/dumps", *where))
    assert "was not made from other/dumps: another content of the pictures" in message


@pytest.mark.usefixtures("no_charts")
def test_a_report_without_figures_has_its_own(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--no_eval is for those without pycocotools, which the report does not need; it needs sound annotations."""
    monkeypatch.chdir(work)
    content = json.loads((tiny_data / "annotations/person_keypoints_val2017.json").read_text())
    content["annotations"][0]["area"] = 0
    (work / "people.json").write_text(json.dumps(content))
    dumps = ("--dump_dir", PLAIN, "--dump_dir_flip", FLIP, "--workers", 1, "--no_eval", "--report", "page.html")
    where = ("--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    message = error(script("HigherHRNet_postprocess", *dumps, *where, "DATASET.ANNOTATIONS", "people.json"))
    assert "expected an area above 0" in message
    assert not (work / TINY_RESULTS).exists(), "refused before the work"
    outcome = script("HigherHRNet_postprocess", *dumps, *where)
    assert outcome.status == 0, outcome
    assert "=> no figures (--no_eval)" in outcome.out
    assert outcome.out.splitlines()[-1] == "=> page.html explains these figures"
