"""gen_dataset_info.py: lists of inputs and of images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support.programs import Outcome, error

Script = Callable[..., Outcome]


def test_lists_hold_every_input_in_index_order(tiny_inputs: Path):
    lines = (tiny_inputs / "prep_bin.info").read_text().splitlines()
    assert len(lines) == 7
    assert lines[0] == f"0 {tiny_inputs}/bins/shape_128x192/000000000000.bin 192 128"
    assert lines[1] == f"1 {tiny_inputs}/bins/shape_192x128/000000000001.bin 128 192"
    assert (tiny_inputs / "prep_bin_128x192.info").read_text().splitlines() == [
        lines[0],
        lines[6].replace("6 ", "1 ", 1),
    ]
    by_shape = [p.read_text().splitlines() for p in tiny_inputs.glob("prep_bin_[0-9]*.info")]
    assert sorted(line.split()[1] for text in by_shape for line in text) == sorted(line.split()[1] for line in lines)


def test_lists_of_images(tiny_data: Path, script: Script, tmp_path: Path):
    folder = tiny_data / "images/val2017"
    assert script("gen_dataset_info", "jpg", folder, tmp_path / "list").status == 0
    lines = (tmp_path / "list.info").read_text().splitlines()
    assert lines[1] == f"1 {folder}/000000001007.jpg 480 640"
    assert len(lines) == 7


def test_what_is_not_listed_is_counted_and_named(tiny_data: Path, script: Script, tmp_path: Path):
    """Other formats, which the guide's original passes over too, and folders."""
    folder = tmp_path / "pictures"
    (folder / "more.jpg").mkdir(parents=True)
    picture = next((tiny_data / "images/val2017").iterdir())
    for name in ("a.jpg", "b.bmp", "c.tiff", "d.webp", "e.txt", "f.jpg.part"):
        shutil.copy(picture, folder / name)
    outcome = script("gen_dataset_info", "jpg", folder, tmp_path / "list")
    assert outcome.out.splitlines() == [
        f"6 other files and folders of {folder} are not listed: b.bmp, c.tiff, d.webp, e.txt, f.jpg.part, ...",
        f"{tmp_path}/list.info",
    ]
    assert len((tmp_path / "list.info").read_text().splitlines()) == 1


def test_gen_dataset_info_refuses_wrong_input(tiny_inputs: Path, script: Script, tmp_path: Path):
    def listing(kind: str, tree: Path) -> Outcome:
        return script("gen_dataset_info", kind, tree, tmp_path / "list")

    assert "does not exist" in error(listing("bin", tmp_path / "none"))
    assert "holds no shape_HxW" in error(listing("bin", tmp_path))
    assert "holds no .jpg" in error(listing("jpg", tmp_path))
    tree = tmp_path / "bins"
    shutil.copytree(tiny_inputs / "bins", tree)
    (tree / "shape_128x192/000000000006.bin").unlink()
    assert "holds 6 inputs, its record says 7" in error(listing("bin", tree))
    (tree / "shape_128x192/000000000000.bin").write_bytes(b"short")
    assert "found 5 bytes, expected 294912 for shape 128x192" in error(listing("bin", tree))
    assert not list(tmp_path.glob("*.info"))
    outcome = script("gen_dataset_info", "bin", tiny_inputs / "bins", tree / "record.json/list")
    assert "record.json is no folder; give another path with NAME" in error(outcome)
