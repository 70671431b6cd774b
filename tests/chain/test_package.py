"""What pyproject.toml says of the package, against the tree; that it installs is shown by its commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from higherhrnet.config import loader
from higherhrnet.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
W48 = "coco/higher_hrnet/w48_640_adam_lr1e-3.yaml"


def _settings() -> dict:
    tomllib = pytest.importorskip("tomllib", reason="new in Python 3.11")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_of_modules_is_packaged() -> None:
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "higherhrnet").rglob("__init__.py")}
    assert {*_settings()["tool"]["setuptools"]["packages"]} == found | {"higherhrnet.experiments"}


def test_every_file_that_is_no_module_is_packaged() -> None:
    setuptools = _settings()["tool"]["setuptools"]
    folders = {name: name.replace(".", "/") for name in setuptools["packages"]} | setuptools["package-dir"]
    packaged = {
        path
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for path in (ROOT / folders[package]).glob(pattern)
    }
    present = {
        path
        for folder in ("higherhrnet", "experiments")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".py" and path.parent.name != "__pycache__"
    }
    assert packaged == present
    assert len(packaged) > 6


def test_the_extras_all_and_dev_leave_nothing_out() -> None:
    extras = {
        k: set(v["file"]) for k, v in _settings()["tool"]["setuptools"]["dynamic"]["optional-dependencies"].items()
    }
    files = {f"requirements/{path.name}" for path in (ROOT / "requirements").glob("*.txt")}
    assert extras["dev"] == files
    assert extras["all"] == files - {"requirements/dev.txt"}
    assert set().union(*extras.values()) == files


def test_a_version_range_has_one_home() -> None:
    """Files that pyproject.toml reads hold ranges and, as setuptools asks, no -r; the others hold nothing but -r."""
    homes = {ROOT / "requirements-base.txt", *(ROOT / "requirements").glob("*.txt")}
    ranges = [line for path in homes for line in _lines(path)]
    assert not [line for line in ranges if line.startswith("-")]
    names = [re.split(r"[=<>]", line)[0].lower() for line in ranges]
    assert len(names) == len(set(names)) > 10
    composed = [line.split() for path in {*ROOT.glob("requirements*.txt")} - homes for line in _lines(path)]
    bound = ["numpy<2"]  # of requirements-ascend.txt, within the range: what CANN 8's Python parts take
    assert composed.count(bound) == 1
    assert all(option == "-r" and (ROOT / file).is_file() for option, file in (c for c in composed if c != bound))


def _lines(path: Path) -> list[str]:
    return [line for line in (line.split("#")[0].strip() for line in path.read_text().splitlines()) if line]


def test_shipped_configurations_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (f"experiments/{W48}", W48, str(ROOT / "experiments" / W48)):
        assert loader.load(path).file == ROOT / "experiments" / W48


def test_a_file_of_the_current_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / W48
    own.parent.mkdir(parents=True)
    own.write_text((ROOT / "experiments" / W48).read_text().replace("INPUT_SIZE: 640", "INPUT_SIZE: 512"))
    assert loader.load(W48).plan.short_side == 512
    assert loader.load(f"experiments/{W48}").plan.short_side == 640
    own.unlink()
    own.symlink_to("nowhere")  # said to be broken, not replaced in silence
    with pytest.raises(UserError, match="cannot read config coco/"):
        loader.load(W48)


@pytest.mark.parametrize("path", ["experiments", "coco", "nowhere.yaml", "../experiments/demo/w16_512.yaml", "/coco"])
def test_what_names_no_shipped_file_is_an_error(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="cannot read config"):
        loader.load(path)
