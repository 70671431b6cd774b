"""ATC's command, error codes and files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from higherhrnet.artifacts import models
from higherhrnet.backends.ascend import aipp, atc
from higherhrnet.errors import UserError
from higherhrnet.image import geometry, transform
from higherhrnet.system.processes import Command

GUIDE = (
    "1024,512;960,512;896,512;832,512;768,512;704,512;640,512;576,512;512,512;512,576;512,640;512,704;512,768;512,832;"
    "512,896;512,960;512,1024"
)


def conversion(**changes: object) -> atc.Conversion:
    values = {
        "input_name": "input",
        "batch": 1,
        "shapes": tuple(geometry.shape_grid(512)),
        "out_nodes": "Conv_1818:0;Conv_1851:0",
        "soc_version": "Ascend310P3",
    }
    return atc.Conversion(**(values | changes))  # type: ignore[arg-type]


def test_the_guide_s_command():
    model, output = Path("models/X_bs1_dynamic.onnx"), Path("models/X_bs1_dynamic")
    expected = [
        "atc",
        "--framework=5",
        "--model=models/X_bs1_dynamic.onnx",
        "--output=models/X_bs1_dynamic",
        "--input_format=NCHW",
        "--input_shape=input:1,3,-1,-1",
        f"--dynamic_image_size={GUIDE}",
        "--out_nodes=Conv_1818:0;Conv_1851:0",
        "--soc_version=Ascend310P3",
    ]
    assert list(conversion().atc(model, output).arguments) == expected
    tuned = [*expected[:-1], "--auto_tune_mode=RL,GA", expected[-1]]
    assert list(conversion().atc(model, output, auto_tune=True).arguments) == tuned
    aoe = [["aoe", *expected[1:-1], f"--job_type={job}", "--device=3"] for job in (1, 2)]
    assert [list(c.arguments) for c in conversion().aoe(model, output, device=3)] == aoe


def test_a_command_is_quoted_for_a_shell():
    line = conversion().atc(Path("m.onnx"), Path("m")).shell()
    assert "'--out_nodes=Conv_1818:0;Conv_1851:0'" in line
    assert Command(("a b", "c'd"), Path("/x y"), {"K": "v w"}).shell() == (
        """(cd '/x y' && env 'K=v w' 'a b' 'c'"'"'d')"""
    )


def test_aipp_normalises_as_preprocessing_does():
    text = aipp.configuration()
    values = dict(line.strip().split(": ") for line in text.splitlines()[1:-1])
    assert values["min_chn_0"] == "123.675"
    assert values["min_chn_1"] == "116.28"
    assert values["min_chn_2"] == "103.53"
    assert values["var_reci_chn_0"].startswith("0.0171247538316637")
    for c in range(3):
        for pixel in (0, 1, 127, 255):
            ours = (pixel / 255 - transform.MEAN[c]) / transform.STD[c]
            device = (pixel - float(values[f"min_chn_{c}"])) * float(values[f"var_reci_chn_{c}"])
            assert device == pytest.approx(ours, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("E10016: Opname [x] specified in [--out_nodes] is not found", "E10016"),
        ("EZ3003: [PID: 12] 2023-05-01-10:00:00.000 No supported Ops kernel\nE19999: Inner Error!", "EZ3003, E19999"),
        ("EC0010: Failed to import Python module [decorator]", "EC0010"),
        ("W11001: warning\nABE10001: x\nE1: y", ""),
    ],
)
def test_error_codes(text: str, codes: str):
    assert atc.failure(text) == codes


def test_characters_that_atc_refuses_are_refused_first(tmp_path: Path):
    folder = tmp_path / "模型"
    folder.mkdir()
    atc.check_paths(folder / "a.onnx", folder / "a", None)
    for wrong in (tmp_path / "my models/a", tmp_path / "a+b", tmp_path / "a,b"):
        with pytest.raises(UserError, match=r"ATC does not take the path .*; it|: it holds"):
            atc.check_paths(wrong.with_suffix(".onnx"), wrong, None)


def test_names_of_om_files(tmp_path: Path):
    onnx = tmp_path / "X_bs-1_dynamic.onnx"
    assert models.om_output(onnx, 4, aipp=False, dynamic_dims=False).name == "X_bs4_dynamic"
    assert models.om_output(onnx, 4, aipp=True, dynamic_dims=False).name == "X_bs4_dynamic_aipp"
    output = tmp_path / "X_bs1_dynamic"
    assert atc.find_om(output) is None
    plain, tied = atc.candidates(output)
    assert tied.name == f"X_bs1_dynamic_linux_{os.uname().machine}.om"
    tied.write_bytes(b"")
    assert atc.find_om(output) == tied
    plain.write_bytes(b"")
    assert atc.find_om(output) == plain
