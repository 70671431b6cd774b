"""ATC's and AOE's commands, and converting with their stand-ins."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ascend_host import Host, Outcome, bare_host, host, small_inputs, small_models  # noqa: F401
from higherhrnet.artifacts import claim, lock, models
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.work import OmWork
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


def om(host: Host) -> Path:  # noqa: F811
    return host.directory / "models/tiny_bs1_dynamic.om"


def convert(host: Host, *more: object) -> Outcome:  # noqa: F811
    return host.benchmark("--convert_only", *more)


def test_convert_only_converts_even_if_there_is_one_and_keeps_the_log(host: Host):  # noqa: F811
    for file in host.directory.glob("*.info"):
        file.unlink()  # conversion needs no inputs
    before = om(host).stat().st_mtime_ns
    outcome = convert(host)
    assert outcome.status == 0, outcome.err
    assert om(host).stat().st_mtime_ns > before
    assert "ATC run success" in (host.directory / "models/tiny_bs1_dynamic.atc.log").read_text()
    assert "310P3" in (host.directory / "models/tiny_bs1_dynamic.npu-smi.log").read_text()
    assert not host.result.exists()
    assert not list(host.directory.glob("models/.*"))


def test_a_warning_after_the_success_line_is_no_failure(bare_host: Host, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setenv("STAND_IN_ATC_WARN", "1")
    assert convert(bare_host).status == 0
    log = (bare_host.directory / "models/tiny_bs1_dynamic.atc.log").read_text()
    assert log.rstrip().splitlines()[-1].startswith("W11001")


@pytest.mark.tries("fault")
def test_a_failure_shows_code_and_last_lines_and_keeps_the_old_om(host: Host, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    content = om(host).read_bytes()
    monkeypatch.setenv("STAND_IN_ATC_FAIL", "E19010")
    outcome = convert(host)
    assert outcome.status == 1
    assert outcome.err.startswith("error: atc ended with status 255 with E19010: ")
    assert "No parser is registered for Op [Conv_3]" in outcome.err
    assert "all it printed: models/tiny_bs1_dynamic.atc.log" in outcome.err
    assert om(host).read_bytes() == content
    monkeypatch.delenv("STAND_IN_ATC_FAIL")
    assert host.benchmark("--print_commands").out.count("atc ") == 0  # and it is still the one to use
    assert convert(host).status == 0
    assert om(host).read_bytes() == content


@pytest.mark.tries("fault")
def test_a_run_that_is_killed_leaves_no_half_om(host: Host, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    content = om(host).read_bytes()
    monkeypatch.setenv("STAND_IN_ATC_HALF", "1")
    outcome = convert(host)
    assert "atc was killed by SIGKILL" in outcome.err
    assert om(host).read_bytes() == content
    # Where we are killed too, half an .om stays, but its record says so.
    claim.write(om(host), Record(OmWork("", {}, "")))
    monkeypatch.delenv("STAND_IN_ATC_HALF")
    outcome = host.benchmark("--print_commands")
    assert "atc --framework=5" in outcome.out


@pytest.mark.tries("fault")
def test_success_without_an_om_is_a_failure(bare_host: Host, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setenv("STAND_IN_ATC_NO_OM", "1")
    outcome = convert(bare_host)
    assert outcome.status == 1
    assert "atc ended with status 0, but left no models/tiny_bs1_dynamic.om" in outcome.err


def test_a_name_with_system_and_machine_is_found(bare_host: Host, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    bare_host.install_benchmark()
    bare_host.only("128x128")
    monkeypatch.setenv("STAND_IN_ATC_SUFFIX", f"_linux_{os.uname().machine}")
    outcome = bare_host.benchmark()
    assert outcome.status == 0, outcome.err
    assert f"model models/tiny_bs1_dynamic_linux_{os.uname().machine}.om" in outcome.out


def test_other_settings_or_another_onnx_convert_again(host: Host):  # noqa: F811
    def why(*more: object) -> str:
        outcome = host.benchmark("--backend", "benchmark", "--print_commands", *more)
        assert outcome.status == 0, outcome.err
        return outcome.out

    assert "atc " not in why()
    assert "atc " in why("--soc_version", "Ascend310")
    made = claim.read(om(host), OmWork)
    assert made is not None
    assert made.complete
    claim.write(om(host), replace(made, work=replace(made.work, onnx="other")))
    assert "atc " in why()
    claim.record_of(om(host)).unlink()
    assert "atc " not in why()  # made by hand: its age is all that is known
    onnx = om(host).with_suffix(".onnx")
    os.utime(onnx, ns=(0, om(host).stat().st_mtime_ns + 1))
    assert "atc " in why()


def test_without_atc_it_says_what_to_do(bare_host: Host, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setenv("PATH", "/nowhere")
    outcome = convert(bare_host)
    assert "atc is not on PATH; source the toolkit's set_env.sh, or convert on another host" in outcome.err


@pytest.mark.parametrize("has_flag", [True, False])
def test_auto_tune(bare_host: Host, has_flag: bool, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    if has_flag:
        monkeypatch.setenv("STAND_IN_ATC_AUTO_TUNE", "1")
    outcome = convert(bare_host, "--auto_tune", "--device_id", 2)
    assert outcome.status == 0, outcome.err
    tuned = [call for call in bare_host.calls() if "--auto_tune_mode=RL,GA" in call]
    jobs = [call[-2:] for call in bare_host.calls("aoe")]
    if has_flag:
        assert len(tuned) == 1
        assert jobs == []
    else:
        assert tuned == []
        assert jobs == [["--job_type=1", "--device=2"], ["--job_type=2", "--device=2"]]
        assert bare_host.calls()[-1][0] == "atc"
        assert "Performance improved" in (bare_host.directory / "models/tiny_bs1_dynamic.aoe2.log").read_text()


@pytest.mark.tries("fault")
def test_a_failing_aoe_is_an_error(bare_host: Host, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setenv("STAND_IN_AOE_STATUS", "7")
    outcome = convert(bare_host, "--auto_tune")
    assert "aoe ended with status 7: " in outcome.err
    assert not list(bare_host.directory.glob("models/*.om*"))  # what AOE left is no .om of ATC's


@pytest.mark.tries("fault")
def test_a_failing_aoe_keeps_the_old_om(host: Host, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """AOE leaves its own .om at the same place."""
    content = om(host).read_bytes()
    monkeypatch.setenv("STAND_IN_AOE_STATUS", "7")
    assert convert(host, "--auto_tune").status == 1
    assert om(host).read_bytes() == content
    assert "atc " not in host.benchmark("--print_commands").out


def test_two_conversions_do_not_run_in_one_folder(host: Host):  # noqa: F811
    content = om(host).read_bytes()
    with lock.held(host.directory / "models", instead=""):
        outcome = convert(host)
    assert "another run is working in models; wait for it, or copy the model to another folder" in outcome.err
    assert om(host).read_bytes() == content


def test_the_model_must_not_lie_in_a_folder_with_a_blank(host: Host):  # noqa: F811
    folder = host.directory / "my models"
    folder.mkdir()
    shutil.copy(host.directory / "models/tiny_bs1_dynamic.onnx", folder)
    outcome = convert(host, "--model", "my models/tiny_bs1_dynamic.onnx")
    assert "ATC does not take the path" in outcome.err
    chinese = host.directory / "模型"
    folder.rename(chinese)
    assert convert(host, "--model", "模型/tiny_bs1_dynamic.onnx").status == 0
    assert (chinese / "tiny_bs1_dynamic.om").exists()


def test_an_om_cannot_be_converted(host: Host):  # noqa: F811
    assert "give an .onnx" in convert(host, "--model", "models/tiny_bs1_dynamic.om").err


def test_a_host_without_the_onnx_uses_the_om(host: Host):  # noqa: F811
    host.only("128x128")
    om(host).with_suffix(".onnx").unlink()
    outcome = host.benchmark()
    assert outcome.status == 0, outcome.err
    assert "model models/tiny_bs1_dynamic.om" in outcome.out
