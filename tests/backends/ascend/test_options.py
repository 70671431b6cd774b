"""ATC's options that a user chooses: what is taken or refused, what decides an .om, and a run in float16 throughout."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import claim, dumps
from higherhrnet.artifacts.work import OmWork
from higherhrnet.backends.ascend import chip, options
from higherhrnet.backends.ascend.options import AtcOptions
from higherhrnet.errors import UserError
from tests.support.ascend_host import Host, dump_bytes, prepare
from tests.support.datasets import TINY_CONFIG
from tests.support.programs import FLIP, PLAIN, error

pytestmark = pytest.mark.slow

WIDE = "128x192"
FLOAT16 = ("--input_fp16_nodes", "input", "--output_type", "FP16")


def test_options_are_read_as_a_shell_reads_them():
    text = "--op_select_implmode=high_precision --fusion_switch_file 'my file.cfg' --x=\"a;b $HOME\""
    assert options.parse(text) == (
        ("op_select_implmode", "high_precision"),
        ("fusion_switch_file", "my file.cfg"),
        ("x", "a;b $HOME"),
    )
    assert options.parse("") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--soc_version=Ascend310", "is set by this program; give --soc_version instead"),
        ("--precision_mode force_fp32", "give --precision_mode instead"),
        ("--out_nodes=a:0", "is set by this program; omit it"),
        ("--insert_op_conf=x.cfg", "give --aipp instead"),
        ("--mode=1", "ATC makes no .om that could be used here"),
        ("--dynamic_batch_size=1,2", "ATC makes no .om that could be used here"),
        ("--x=1 --x=2", "is given twice"),
        ("--x='1", "No closing quotation"),
        ("x=1", "found 'x=1', expected options with values"),
        ("-x=1", "found '-x=1'"),
        ("--x", "found '--x'"),
        ("--x=", "found '--x='"),
        ("--x --y=1", "found '--x'"),
        ("--x=1 rest", "found 'rest'"),
    ],
)
def test_what_is_set_here_or_is_no_option_is_refused(text: str, said: str):
    with pytest.raises(UserError) as refused:
        options.parse(text)
    assert str(refused.value).startswith("--atc_args")
    assert said in str(refused.value)


def test_contradictions_are_refused():
    with pytest.raises(UserError, match=r"--input_fp16_nodes does not go with --aipp"):
        options.check(AtcOptions(input_fp16_nodes="input"), aipp=True)
    both = AtcOptions("force_fp32", others=(("precision_mode_v2", "fp16"),))
    with pytest.raises(UserError, match=r"--precision_mode does not go with --precision_mode_v2"):
        options.check(both, aipp=False)
    options.check(AtcOptions("force_fp32", "input", "FP16"), aipp=False)


def test_a_record_holds_what_decides_an_om_and_files_by_content(tmp_path: Path):
    file = tmp_path / "switch.cfg"
    file.write_text("a")
    chosen = AtcOptions(others=(("log", "info"), ("fusion_switch_file", str(file)), ("buffer_optimize", "off")))
    assert set(chosen.settings()) == {"log", "fusion_switch_file", "buffer_optimize"}
    before = chosen.recorded()
    assert before["buffer_optimize"] == "off"
    assert "log" not in before
    file.write_text("b")
    assert chosen.recorded()["fusion_switch_file"] != before["fusion_switch_file"]
    assert AtcOptions().recorded() == {}


@pytest.mark.parametrize("name", ["Ascend910B4", "Ascend910B4-1", "Ascend910_9382"])
def test_chips_without_aoe(name: str):
    with pytest.raises(UserError, match="AOE does not tune for"):
        chip.check_tunes(name)


@pytest.mark.parametrize("name", ["Ascend310", "Ascend310P3", "Ascend310B4", "Ascend910A"])
def test_chips_with_aoe(name: str):
    chip.check_tunes(name)


@pytest.mark.slow
def test_another_setting_converts_again(bare_host: Host):
    host = bare_host
    (host.directory / "switch.cfg").write_text("{}")

    def converted(*more: object) -> str:
        host.forget_calls()
        outcome = host.benchmark("--backend", "benchmark", "--print_commands", *more)
        assert outcome.status == 0, outcome.err
        return outcome.out

    given = ("--precision_mode", "force_fp32", "--atc_args", "--fusion_switch_file=switch.cfg")
    outcome = host.benchmark("--convert_only", *given)
    assert outcome.status == 0, outcome.err
    (call,) = host.calls("atc")
    assert {"--precision_mode=force_fp32", "--fusion_switch_file=switch.cfg"} <= set(call)
    made = claim.read(host.directory / "models/tiny_bs1_dynamic.om", OmWork)
    assert made is not None
    assert made.work.settings["precision_mode"] == "force_fp32"
    assert "atc " not in converted(*given)
    assert "atc " not in converted(*given[:3], given[3] + " --log=info")  # which decides nothing
    assert "atc " in converted(*given[:2])
    assert "atc " in converted("--output_type", "FP16", *given)
    (host.directory / "switch.cfg").write_text("{ }")
    assert "atc " in converted(*given)


@pytest.mark.slow
def test_what_atc_refuses_or_does_not_go_together_is_said(bare_host: Host, monkeypatch: pytest.MonkeyPatch):
    host = bare_host
    host.install_benchmark()
    refused = host.benchmark("--convert_only", "--precision_mode", "allow_fp32_to_bf16")
    assert "atc ended with status 255 with E10001" in error(refused)
    assert "the input of models/tiny_bs1_dynamic.onnx is called input; give that name" in error(
        host.benchmark("--convert_only", "--input_fp16_nodes", "image")
    )
    assert "does not go with --dtype float32" in error(host.benchmark("--output_type", "FP16", "--dtype", "float32"))
    assert "give --dtype float16 to HigherHRNet_preprocess.py, or no --input_fp16_nodes to this script" in error(
        host.benchmark("--input_fp16_nodes", "input")
    )
    assert "AOE does not tune for Ascend910B4" in error(
        host.benchmark("--convert_only", "--auto_tune", "--soc_version", "910B4")
    )
    assert host.calls("aoe") == []
    monkeypatch.setenv("STAND_IN_CANN", "8")
    outcome = host.benchmark("--convert_only", "--precision_mode", "allow_fp32_to_bf16")
    assert outcome.status == 0, outcome.err
    outcome = host.benchmark("--convert_only", "--atc_args=--no_such_option=1")
    assert "unknown command line flag 'no_such_option'" in error(outcome)
    flags = ("--model", "models/tiny_bs1_dynamic.om")
    assert "--precision_mode is for converting, but" in error(host.benchmark(*flags, "--precision_mode", "force_fp32"))
    assert "--atc_args is for converting, but" in error(host.benchmark(*flags, "--atc_args", "--x=1"))
    assert "was made without --output_type FP16" in error(host.benchmark(*flags, "--output_type", "FP16"))


@pytest.fixture(scope="module")
def small_half_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As small_inputs, in float16."""
    work = tmp_path_factory.mktemp("half")
    prepare(work, "--dtype", "float16")
    return work


@pytest.mark.slow
def test_float16_in_and_out_on_every_runner(bare_host: Host, small_half_inputs: Path, expected: Path):
    """Half the inputs and half the dumps; the values are ONNX Runtime's on the same inputs, rounded."""
    host = bare_host
    for file in small_half_inputs.glob("*.info"):
        shutil.copy(file, host.directory)
    host.only(WIDE)
    wanted = host.benchmark("--backend", "onnxruntime", "--dtype", "float16", "--threads", 1, "--result", "ort")
    assert wanted.status == 0, wanted.err
    tool = host.install_benchmark()
    for backend, more in (("benchmark", ()), ("ais_bench", ()), ("ascend", ()), ("ais_bench", ("--dynamic", "dims"))):
        shutil.rmtree(host.result, ignore_errors=True)
        outcome = host.benchmark("--backend", backend, *FLOAT16, *more)
        assert outcome.status == 0, (backend, outcome.err)
        host.same_as(host.directory / "ort")
    assert len(host.calls("atc")) == 2  # of each kind of profiles
    assert {"--input_fp16_nodes=input", "--output_type=FP16"} <= set(host.calls("atc")[0])
    tool.unlink()
    halves, wholes = dump_bytes(host.result / PLAIN), dump_bytes(expected / PLAIN)
    for name, half in halves.items():
        assert 2 * len(half) == len(wholes[name])
        np.testing.assert_allclose(
            np.frombuffer(half, np.float16).astype(np.float32),
            np.frombuffer(wholes[name], np.float32),
            atol=0.01 * np.abs(np.frombuffer(wholes[name], np.float32)).max(),  # inputs were rounded too
        )
    without = host.benchmark("--model", "models/tiny_bs1_dynamic.om")
    assert "was made with --input_fp16_nodes, says models/tiny_bs1_dynamic.om.json; give it" in error(without)
    done = host.script(
        *("HigherHRNet_postprocess", "--cfg", TINY_CONFIG, "--dump_dir", host.result / PLAIN, "--no_eval"),
        *("--dump_dir_flip", host.result / FLIP, "--workers", 1, "DATASET.INPUT_SIZE", "128"),
        *("DATASET.ROOT", small_half_inputs / "data/coco", "DATASET.MAX_NUM_PEOPLE", 3),
    )
    assert done.status == 0, done.err


@pytest.mark.slow
def test_an_om_of_float16_outputs_alone(host: Host, expected: Path):
    host.only(WIDE)
    outcome = host.benchmark("--output_type", "FP16")
    assert outcome.status == 0, outcome.err
    for name, content in dump_bytes(host.result / PLAIN).items():
        exact = np.frombuffer((expected / PLAIN / name).read_bytes(), np.float32)
        np.testing.assert_array_equal(np.frombuffer(content, np.float16), dumps.encode(exact, "float16", name))
