"""Conversion to .om, against the stand-in of ATC."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from higherhrnet.artifacts import claim, lock
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.work import OmWork
from tests.support.ascend_host import Host
from tests.support.programs import Outcome, error

pytestmark = pytest.mark.slow


def om(host: Host) -> Path:
    return host.directory / "models/tiny_bs1_dynamic.om"


def convert(host: Host, *more: object) -> Outcome:
    return host.benchmark("--convert_only", *more)


def test_convert_only_converts_even_if_there_is_one_and_keeps_the_log(host: Host):
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


def test_a_warning_after_the_success_line_is_no_failure(bare_host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_ATC_WARN", "1")
    assert convert(bare_host).status == 0
    log = (bare_host.directory / "models/tiny_bs1_dynamic.atc.log").read_text()
    assert log.rstrip().splitlines()[-1].startswith("W11001")


def test_a_failure_shows_code_and_last_lines_and_keeps_the_old_om(host: Host, monkeypatch: pytest.MonkeyPatch):
    content = om(host).read_bytes()
    monkeypatch.setenv("STAND_IN_ATC_FAIL", "E19010")
    outcome = convert(host)
    error(outcome)
    assert outcome.err.startswith("error: atc ended with status 255 with E19010: ")
    assert "No parser is registered for Op [Conv_3]" in outcome.err
    assert "all it printed: models/tiny_bs1_dynamic.atc.log" in outcome.err
    assert om(host).read_bytes() == content
    monkeypatch.delenv("STAND_IN_ATC_FAIL")
    assert host.benchmark("--print_commands").out.count("atc ") == 0  # and it is still the one to use
    assert convert(host).status == 0
    assert om(host).read_bytes() == content


def test_a_run_that_is_killed_leaves_no_half_om(host: Host, monkeypatch: pytest.MonkeyPatch):
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


@pytest.mark.parametrize("left", ["no", "empty"])
def test_success_without_an_om_is_a_failure(bare_host: Host, left: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_ATC_NO_OM", left)
    outcome = convert(bare_host)
    an = {"no": "no", "empty": "an empty"}[left]
    assert f"atc ended with status 0, but left {an} models/tiny_bs1_dynamic.om" in error(outcome)
    assert not om(bare_host).exists()


def test_a_name_with_system_and_machine_is_found(bare_host: Host, monkeypatch: pytest.MonkeyPatch):
    bare_host.install_benchmark()
    bare_host.only("128x128")
    monkeypatch.setenv("STAND_IN_ATC_SUFFIX", f"_linux_{os.uname().machine}")
    outcome = bare_host.benchmark()
    assert outcome.status == 0, outcome.err
    assert f"model models/tiny_bs1_dynamic_linux_{os.uname().machine}.om" in outcome.out


def test_other_settings_or_another_onnx_convert_again(host: Host):
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
    whole = om(host).read_bytes()
    claim.write(om(host), made)
    om(host).write_bytes(whole[:-1])
    assert "atc " in why(), "cut after it was made"
    om(host).write_bytes(whole)
    assert "atc " not in why()
    claim.record_of(om(host)).unlink()
    assert "atc " not in why()  # made by hand: its age is all that is known
    onnx = om(host).with_suffix(".onnx")
    os.utime(onnx, ns=(0, om(host).stat().st_mtime_ns + 1))
    assert "atc " in why()


def test_without_atc_it_says_what_to_do(bare_host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    outcome = convert(bare_host)
    assert "atc is not on PATH; source the toolkit's set_env.sh, or convert on another host" in outcome.err


@pytest.mark.parametrize("has_flag", [True, False])
def test_auto_tune(bare_host: Host, has_flag: bool, monkeypatch: pytest.MonkeyPatch):
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


def test_a_failing_aoe_is_an_error(bare_host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_AOE_STATUS", "7")
    outcome = convert(bare_host, "--auto_tune")
    assert "aoe ended with status 7: " in outcome.err
    assert not list(bare_host.directory.glob("models/*.om*"))  # what AOE left is no .om of ATC's


def test_a_failing_aoe_keeps_the_old_om(host: Host, monkeypatch: pytest.MonkeyPatch):
    """AOE leaves its own .om at the same place."""
    content = om(host).read_bytes()
    monkeypatch.setenv("STAND_IN_AOE_STATUS", "7")
    assert convert(host, "--auto_tune").status == 1
    assert om(host).read_bytes() == content
    assert "atc " not in host.benchmark("--print_commands").out


def test_two_conversions_do_not_run_in_one_folder(host: Host):
    content = om(host).read_bytes()
    with lock.held(host.directory / "models", instead=""):
        outcome = convert(host)
    assert "another run is working in models; wait for it, or copy the model to another folder" in outcome.err
    assert om(host).read_bytes() == content


def test_the_model_must_not_lie_in_a_folder_with_a_blank(host: Host):
    folder = host.directory / "my models"
    folder.mkdir()
    shutil.copy(host.directory / "models/tiny_bs1_dynamic.onnx", folder)
    outcome = convert(host, "--model", "my models/tiny_bs1_dynamic.onnx")
    assert "ATC does not take the path" in outcome.err
    chinese = host.directory / "模型"
    folder.rename(chinese)
    assert convert(host, "--model", "模型/tiny_bs1_dynamic.onnx").status == 0
    assert (chinese / "tiny_bs1_dynamic.om").exists()


def test_an_om_cannot_be_converted(host: Host):
    assert "give an .onnx" in convert(host, "--model", "models/tiny_bs1_dynamic.om").err


def test_a_host_without_the_onnx_uses_the_om(host: Host):
    host.only("128x128")
    om(host).with_suffix(".onnx").unlink()
    outcome = host.benchmark()
    assert outcome.status == 0, outcome.err
    assert "model models/tiny_bs1_dynamic.om" in outcome.out
