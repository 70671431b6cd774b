"""The commands of ModelZoo's later page and the guide's atc line, word for word, through the strict stand-ins.

ACL_PyTorch/contrib/cv/pose_estimation/HigherHRNet/README.md of github.com/Ascend/ModelZoo-PyTorch at 16d05e61: one call
of ais_bench over a flat tree of all shapes; preprocessing takes --layout flat for it, the rest is as it stands there.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.ascend_host import Host
from tests.support.datasets import TINY_CONFIG, TINY_RESULTS, write_dataset

PROFILES = (
    "1024,512;960,512;896,512;832,512;768,512;704,512;640,512;576,512;512,512;512,576;512,640;512,704;512,768;512,832;"
    "512,896;512,960;512,1024"
)
ATC_LATER = f"""atc --framework=5 --model=higher_hrnet_dynamic.onnx --output=higher_hrnet_dynamic --input_format=ND
    --input_shape="input:1,3,-1,-1" --dynamic_dims="{PROFILES}" --out_nodes="Conv_770:0;Conv_795:0"
    --soc_version=Ascend310P3"""
ATC_GUIDE = f"""atc --framework=5 --model=models/pose_higher_hrnet_w32_512_bs1_dynamic.onnx
    --output=models/pose_higher_hrnet_w32_512_bs1_dynamic --input_format=NCHW --input_shape="input:1,3,-1,-1"
    --dynamic_image_size="{PROFILES}" --out_nodes="Conv_1818:0;Conv_1851:0" --soc_version=Ascend310P3"""
IMAGES = ((64, 48), (50, 50))
SIZE = ("--cfg", str(TINY_CONFIG), "DATASET.INPUT_SIZE", "512", "DATASET.MAX_NUM_PEOPLE", "3")


def tool(line: str) -> str:
    """Run a line of the page with the stand-ins; what it printed."""
    words = [sys.executable if word == "python3" else word for word in shlex.split(line)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ap(out: str) -> str:
    (line,) = re.findall(r"^\| pose_hig.*$", out, re.MULTILINE)
    return line


@pytest.fixture
def page(
    tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Host:
    """A folder with the data set and the checkpoint, as both pages start."""
    write_dataset(tmp_path / "data/coco", IMAGES)
    (tmp_path / "models").mkdir()
    for name in ("pose_higher_hrnet_w32_512.pth", "models/pose_higher_hrnet_w32_512.pth"):
        shutil.copy(tiny_weights, tmp_path / name)
    return Host(tmp_path, monkeypatch, capsys)


def ours(host: Host, name: str, *arguments: str) -> str:
    outcome = host.script(name, *arguments, *(SIZE if name != "gen_dataset_info" else ()))
    assert outcome.status == 0, outcome.err
    return outcome.out


def our_stage_between(page: Host) -> str:
    """Ours in place of the page's two calls; its postprocessing would find the same files, name and byte."""
    stage = ("--layout", "flat", "--info", "prep_dir", "--info_flip", "prep_flip_dir", "--result", "flat")
    page.forget_calls()
    ours(
        page,
        "HigherHRNet_benchmark",
        *(*stage, "--backend", "ais_bench", "--model", "higher_hrnet_dynamic.om", "--dynamic", "dims"),
    )
    assert len(page.calls("__main__")) == 2
    for theirs, made in (("output_dir", "dumpOutput_device0_bs1"), ("output_flip_dir", "dumpOutput_device0_bs1_flip")):
        names = sorted(path.name for path in Path(theirs).iterdir())
        assert names == [f"{i:012d}_{k}.npy" for i in range(2) for k in (0, 1)]
        assert all(Path(theirs, name).read_bytes() == Path("flat", made, name).read_bytes() for name in names)
    dumps = ("--dump_dir", "flat/dumpOutput_device0_bs1", "--dump_dir_flip", "flat/dumpOutput_device0_bs1_flip")
    table = ours(page, "HigherHRNet_performance", "--result", "flat")
    assert re.findall(r"^\(\d+,\d+\)", table, re.MULTILINE) == ["(512,512)", "(512,704)"]
    return ap(ours(page, "HigherHRNet_postprocess", *dumps, "--workers", "1", "--overwrite"))


def test_both_pages_give_the_same_people(page: Host):
    # The later page.
    flat = ("--output", "prep_dir", "--output_flip", "prep_flip_dir")
    ours(page, "HigherHRNet_preprocess", *flat, "--layout", "flat", "--workers", "1")
    assert sorted(path.name for path in Path("prep_dir").glob("*.npy")) == [f"{i:012d}.npy" for i in range(2)]
    ours(
        page,
        "HigherHRNet_pth2onnx",
        *("--weights", "pose_higher_hrnet_w32_512.pth", "--onnx_path", "higher_hrnet_dynamic.onnx"),
    )
    assert "ATC run success" in tool(ATC_LATER)
    for inputs, outputs in (("prep_dir", "output_dir"), ("prep_flip_dir", "output_flip_dir")):
        Path(inputs).chmod(0o750)
        for file in Path(inputs).iterdir():
            file.chmod(0o640)
        page.directory.chmod(0o750)  # what the front ends since 2024 ask of --output=./
        tool(
            f"python3 -m ais_bench --model=higher_hrnet_dynamic.om --input=./{inputs} --output=./ "
            f"--output_dirname={outputs} --outfmt NPY --auto_set_dymdims_mode 1"
        )
    dumps = ("--dump_dir", "./output_dir", "--dump_dir_flip", "./output_flip_dir")
    later = ap(ours(page, "HigherHRNet_postprocess", *dumps, "--workers", "1"))
    people = Path(TINY_RESULTS).read_bytes()
    assert len(people) > 1000
    table = ours(page, "HigherHRNet_performance", "--result", "output_dir_summary.json")
    assert re.findall(r"^\(\d+,\d+\)", table, re.MULTILINE) == ["(512,512)", "(512,704)"]

    assert our_stage_between(page) == later
    assert Path(TINY_RESULTS).read_bytes() == people

    # The guide, with its atc line by hand.
    trees = ("--output", "prep_bin", "--output_flip", "prep_bin_flip")
    ours(page, "HigherHRNet_preprocess", *trees, "--workers", "1")
    ours(page, "gen_dataset_info", "bin", "prep_bin", "./prep_bin")
    ours(page, "gen_dataset_info", "bin", "prep_bin_flip", "./prep_bin_flip")
    ours(page, "HigherHRNet_pth2onnx", "--weights", "models/pose_higher_hrnet_w32_512.pth")
    assert "ATC run success" in tool(ATC_GUIDE)
    page.install_benchmark()
    page.forget_calls()
    out = ours(page, "HigherHRNet_benchmark", "--bs", "1")
    assert "backend benchmark" in out
    assert page.calls("atc") == []  # the .om that was made by hand is used
    dumps = ("--dump_dir", "result/dumpOutput_device0_bs1", "--dump_dir_flip", "result/dumpOutput_device0_bs1_flip")
    assert ap(ours(page, "HigherHRNet_postprocess", *dumps, "--workers", "1", "--overwrite")) == later
    assert Path(TINY_RESULTS).read_bytes() == people
    assert "(512,512)" in ours(page, "HigherHRNet_performance")

    # And ONNX Runtime.
    onnx = ("--backend", "onnxruntime", "--threads", "1", "--result", "ort")
    ours(page, "HigherHRNet_benchmark", *onnx)
    dumps = ("--dump_dir", "ort/dumpOutput_device0_bs1", "--dump_dir_flip", "ort/dumpOutput_device0_bs1_flip")
    assert ap(ours(page, "HigherHRNet_postprocess", *dumps, "--workers", "1", "--overwrite")) == later
    assert Path(TINY_RESULTS).read_bytes() == people

    # A flat tree is what preprocessing in folders makes.
    for file in Path("prep_bin").glob("shape_*/*.bin"):
        tensor = np.load(Path("prep_dir", f"{file.stem}.npy"))
        assert tensor.tobytes() == file.read_bytes()
        assert f"shape_{tensor.shape[2]}x{tensor.shape[3]}" == file.parent.name
    refused = page.script("gen_dataset_info", "bin", "prep_dir", "./flat")
    assert "is of --layout flat, which ais_bench reads without lists" in refused.err
    assert json.loads(Path("output_dir_summary.json").read_text())["filesinfo"]["0"]["infiles"]
