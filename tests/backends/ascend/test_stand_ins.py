"""The stand-ins refuse what the tools refuse: else the other tests would prove nothing.

Each runs here, in this process. The rules are those of ATC in graphengine at 12e7b59b (2022; ge/offline/main.cc,
ge/ir_build, ge/session/omg.cc) and of CANN 8's reference of ATC, and of ais_bench and aclruntime of June 2023
(github.com/Ascend/tools at 9d6da90) and September 2024 (github.com/Yanguan619/aclruntime at b00a6c5e); the benchmark
tool is closed, and its rules are those that its users' scripts keep.
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest

from higherhrnet.backends.ascend import cann_benchmark
from tests.support.ascend_host import STAND_INS, Host, dump_bytes

pytestmark = pytest.mark.slow

GOOD_ATC = {
    "--framework": "5",
    "--model": "models/tiny_bs1_dynamic.onnx",
    "--output": "models/out",
    "--input_format": "NCHW",
    "--input_shape": "input:1,3,-1,-1",
    "--dynamic_image_size": "256,128;128,256",
    "--out_nodes": "Conv_1818:0;Conv_1851:0",
    "--soc_version": "Ascend310P3",
}


GEARS = "--dynamic_image_size"
DIMS: dict[str, str | None] = {GEARS: None, "--dynamic_dims": "256,128;128,256", "--input_format": "ND"}


def write_aipp(folder: Path) -> None:
    """One that goes with dynamic shapes, and one that does not."""
    values = {"aipp_mode": "static", "input_format": "RGB888_U8", "csc_switch": "false"}
    values |= {f"min_chn_{c}": "0" for c in range(3)} | {f"var_reci_chn_{c}": "1" for c in range(3)}
    for name, side in (("aipp", 0), ("sized", 128)):
        lines = values | {"src_image_size_w": side, "src_image_size_h": side}
        text = "".join(f"  {key}: {value}\n" for key, value in lines.items())
        (folder / f"{name}.cfg").write_text(f"aipp_op {{\n{text}}}\n")


def call(host: Host, program: str, *arguments: str) -> tuple[int, str]:
    """The status of a stand-in, a file or a module, and all that it says."""
    host.patch.setattr(sys, "argv", [program, *arguments])
    status, said = 0, ""
    try:
        if Path(program).is_file():
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__")
    except SystemExit as e:
        status = int(e.code or 0)
    except RuntimeError as e:
        status, said = 1, f"RuntimeError: {e}"
    out, err = host.capture.readouterr()
    return status, out + err + said


def atc(host: Host, change: dict[str, str | None]) -> tuple[int, str]:
    """ATC with the good options but for some; None omits one."""
    options = {key: value for key, value in (GOOD_ATC | change).items() if value is not None}
    return call(host, str(STAND_INS / "atc"), *(f"{key}={value}" for key, value in options.items()))


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"--fraemwork": "5"}, 1, "unknown command line flag 'fraemwork'"),
        ({"--auto_tune_mode": "RL,GA"}, 1, "unknown command line flag 'auto_tune_mode'"),
        ({"--framework": "3"}, 255, "E10001"),
        ({"--soc_version": "310P3"}, 255, "E10001"),
        ({"--model": "models/none.onnx"}, 255, "E19000"),
        ({"--output": "my models/out"}, 255, "E10001"),
        ({"--input_shape": "image:1,3,-1,-1"}, 255, "E10016"),
        ({"--input_shape": "input:-1,3,-1,-1"}, 255, "E10019"),
        ({"--dynamic_image_size": "256,128,3;1,2"}, 255, "E10020"),
        ({"--dynamic_image_size": "256,128"}, 255, "E10035"),
        ({"--dynamic_image_size": "256,0;1,2"}, 255, "E10038"),
        ({"--dynamic_image_size": "256,128;256,128"}, 255, "E10039"),
        ({"--dynamic_dims": "256,128;128,256"}, 255, "E10009"),
        ({"--out_nodes": "Conv_1818;Conv_1851:0"}, 255, "E10001"),
        ({"--out_nodes": "output1:0;output2:0"}, 255, "E10016"),
        ({"--framework": None}, 255, "E10004: Value for [--framework] is empty"),
        ({"--model": None}, 255, "E10004: Value for [--model] is empty"),
        ({"--output": None}, 255, "E10004: Value for [--output] is empty"),
        ({GEARS: ";".join(f"{32 * i},32" for i in range(1, 102))}, 255, "E10036"),
        ({"--input_format": "ND"}, 255, "must be NCHW or NHWC with dynamic_image_size"),
        ({GEARS: None, "--dynamic_dims": "256,128;128,256"}, 255, "input_format must be ND"),
        ({**DIMS, "--insert_op_conf": "aipp.cfg"}, 255, "dynamic dims function does not support aipp"),
        ({"--insert_op_conf": "sized.cfg"}, 255, "src_image_size must be 0 with dynamic_image_size"),
        ({"--insert_op_conf": "aipp.cfg", "--input_fp16_nodes": "input"}, 255, "E10034"),
        ({"--input_fp16_nodes": "image"}, 255, "E10016"),
        ({"--input_shape": "input:2,3,-1,-1"}, 255, "the model's batch is 1"),
        ({"--output_type": "FP64"}, 255, "E10001"),
        ({"--op_select_implmode": "fast"}, 255, "E10001"),
        ({"--precision_mode": "fp16"}, 255, "E10001"),
        ({"--precision_mode": "cube_fp16in_fp32out"}, 255, "E10001"),  # CANN 8 takes it
        ({"--precision_mode_v2": "fp16"}, 1, "unknown command line flag 'precision_mode_v2'"),  # and this
        ({"--soc_version": "Ascend910B4-1"}, 255, "E10001"),  # and this
        ({"--fusion_switch_file": "none.cfg"}, 255, "no such file"),
    ],
)
def test_atc(bare_host: Host, change: dict[str, str | None], status: int, text: str):
    write_aipp(bare_host.directory)
    done = atc(bare_host, change)
    assert done[0] == status, done[1]
    assert text in done[1]
    assert ("ATC run failed" in done[1]) == (status == 255)
    assert not list(bare_host.directory.glob("models/*.om"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"--precision_mode_v2": "force_fp16"}, "E10001"),
        ({"--precision_mode_v2": "fp16", "--precision_mode": "force_fp16"}, "precision_mode is set too"),
        ({"--auto_tune_mode": "RL,GA"}, "unknown command line flag 'auto_tune_mode'"),
        ({"--soc_version": "Ascend950PR"}, "E10001"),  # the name without the NPU's
    ],
)
def test_atc_of_cann_8(bare_host: Host, change: dict[str, str | None], text: str):
    bare_host.patch.setenv("STAND_IN_CANN", "8")
    status, said = atc(bare_host, change)
    assert status != 0
    assert text in said
    assert ("[PID: " in said) == (status == 255)  # its codes come with the time
    assert not list(bare_host.directory.glob("models/*.om"))


def test_atc_takes_what_its_version_knows(bare_host: Host):
    write_aipp(bare_host.directory)
    Path("off.cfg").write_text("")
    old: tuple[dict[str, str | None], ...] = (
        {},
        DIMS,
        {"--soc_version": "Ascend310P3Vir01"},
        {"--insert_op_conf": "aipp.cfg", "--fusion_switch_file": "off.cfg"},
        {"--input_fp16_nodes": "input", "--output_type": "FP16", "--precision_mode": "must_keep_origin_dtype"},
    )
    new: tuple[dict[str, str | None], ...] = (
        {"--precision_mode_v2": "mixed_float16"},
        {"--precision_mode": "cube_fp16in_fp32out", "--soc_version": "Ascend910B4-1"},
        {"--soc_version": "Ascend950PR_9599"},
    )
    for version, changes in (("", old), ("8", new)):
        bare_host.patch.setenv("STAND_IN_CANN", version)
        for change in changes:
            status, said = atc(bare_host, change)
            assert status == 0, said
            Path("models/out.om").unlink()


def good_benchmark(host: Host) -> dict[str, str]:
    return {
        "-model_type": "vision",
        "-device_id": "0",
        "-batch_size": "1",
        "-om_path": "models/tiny_bs1_dynamic.om",
        "-input_width": "192",
        "-input_height": "128",
        "-input_text_path": str(host.directory / "prep_bin_128x192.info"),
        "-output_binary": "True",
        "-useDvpp": "False",
    }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"-loop": "1"}, "unknown command line flag 'loop'"),
        ({"-useDvpp": "0"}, "illegal value"),
        ({"-input_width": "128", "-input_height": "192"}, "192 128 is not input_width 128 input_height 192"),
        ({"-batch_size": "2"}, "input size mismatch"),
        ({"-device_id": "9"}, "aclrtSetDevice failed"),
        ({"-om_path": "models/tiny_bs1_dynamic.onnx"}, "load model models/tiny_bs1_dynamic.onnx failed"),
        ({"-input_text_path": "/dev/null"}, "is empty"),
        ({"-useDvpp": "True"}, "ready tensors need -useDvpp=False"),
        ({"-input_width": "100", "-input_height": "100"}, "aclmdlSetDynamicHWSize failed for 100,100"),
    ],
)
def test_benchmark(host: Host, change: dict[str, str], text: str):
    tool = f"./{cann_benchmark.file_name()}"
    status, said = call(host, tool, *(f"{key}={value}" for key, value in (good_benchmark(host) | change).items()))
    assert status != 0
    assert text in said


def test_benchmark_dumps_whole_buffers_with_garbage_at_their_end(host: Host):
    tool = f"./{cann_benchmark.file_name()}"
    arguments = [f"{key}={value}" for key, value in good_benchmark(host).items()]
    assert call(host, tool, *arguments)[0] == 0
    first = dump_bytes(Path("result/dumpOutput_device0"))
    assert call(host, tool, *arguments)[0] == 0
    second = dump_bytes(Path("result/dumpOutput_device0"))
    sizes = {"1": (34 * 64 * 32 * 4, 34 * 32 * 48 * 4), "2": (17 * 128 * 64 * 4, 17 * 64 * 96 * 4)}
    assert len(first) == 6
    for name, content in first.items():
        whole, exact = sizes[name[-5]]
        assert len(content) == whole
        assert content[:exact] == second[name][:exact]
        assert content[exact:] != second[name][exact:]


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"--dymHW": "192,128"}, 1, "not match"),  # a gear, but of other bytes than the file's
        ({"--dymHW": "100,100"}, 1, "the dymHW parameter is not correct"),
        ({"--auto_set_dymdims_mode": "1"}, 1, "the dynamic_dims parameter is not specified"),
        ({"--device": "9"}, 1, "acl open device 9 failed"),
        ({"--flag": "1"}, 2, "unrecognized arguments"),
        ({"--input": "link"}, 2, "is a soft link"),
        ({"--output": "open"}, 2, "output path:open is illegal"),
        ({"--model": "models/tiny bs1.om"}, 2, "illegal char"),
        ({"--output_dirname": "/tmp/x"}, 1, "RuntimeError"),
        ({"--output": None}, 1, "RuntimeError"),
        ({"--dymHW": "128x256"}, 2, "is not a legal string"),
        ({"--dymHW": None, "--dymDims": "input:1,3,128,256"}, 1, "the dynamic_dims parameter is not specified"),
        ({"--input": "none"}, 2, "input path:none is illegal"),
        ({"--input": "empty"}, 1, "of input args not find valid file"),
        ({"--input": "shared"}, 1, "input data:shared/a.bin is illegal"),
        ({"--input": "two"}, 1, "not match"),  # files of two sizes
        ({"--model": "dims.om"}, 1, "the dynamic_image_size parameter is not specified"),
        ({"--model": "dims.om", "--dymHW": None}, 1, "check failed dym gearcount"),
        ({"--model": "dims.om", "--dymHW": None, "--dymDims": "input:2,3,128,256"}, 1, "check dynamic dims failed"),
        ({"--model": "dims.om", "--dymHW": None, "--auto_set_dymdims_mode": "1"}, 1, "gearcount"),  # .bin has no shape
    ],
)
def test_ais_bench(host: Host, change: dict[str, str | None], status: int, text: str):
    write_dims(host)
    source = Path((host.directory / "prep_bin_128x256.info").read_text().split()[1])
    (host.directory / "in").mkdir()
    (host.directory / "in/a.bin").write_bytes(source.read_bytes())
    (host.directory / "in/a.bin").chmod(0o640)
    (host.directory / "in").chmod(0o750)
    (host.directory / "models/tiny_bs1_dynamic.om").chmod(0o640)
    (host.directory / "link").symlink_to("in")
    for name, mode in (("empty", 0o640), ("shared", 0o660), ("two", 0o640)):
        (host.directory / name).mkdir(mode=0o750)
        if name != "empty":
            (host.directory / name / "a.bin").write_bytes(source.read_bytes())
            (host.directory / name / "a.bin").chmod(mode)
    (host.directory / "two/b.bin").write_bytes(bytes(1000))
    (host.directory / "two/b.bin").chmod(0o640)
    (host.directory / "open").mkdir(mode=0o755)
    (host.directory / "out").mkdir(mode=0o750)
    good = {
        "--model": "models/tiny_bs1_dynamic.om",
        "--input": "in",
        "--output": "out",
        "--output_dirname": "d",
        "--dymHW": "128,256",
        "--device": "0",
    }
    options = {key: value for key, value in (good | change).items() if value is not None}
    found, said = call(host, "ais_bench", *(part for pair in options.items() for part in pair))
    assert found == status, said
    assert text in said


def write_dims(host: Host) -> None:
    """dims.om, of the same network and profiles."""
    om = importlib.import_module("om")
    with zipfile.ZipFile("models/tiny_bs1_dynamic.om") as archive:
        options = om.Options(**json.loads(archive.read("options.json")) | {"kind": "dynamic_dims"})
        om.write(host.directory / "dims.om", archive.read("model.onnx"), options)
    (host.directory / "dims.om").chmod(0o640)


class Library:
    """The stand-ins of aclruntime and of the front end above it, loaded as of one year."""

    def __init__(self, patch: pytest.MonkeyPatch, *, old: bool) -> None:
        """Load them afresh."""
        patch.setenv("STAND_IN_AIS_OLD", "1" if old else "")
        for name in list(sys.modules):
            if name == "aclruntime" or name.partition(".")[0] == "ais_bench":
                del sys.modules[name]
        self.interface = importlib.import_module("ais_bench.infer.interface")
        self.runtime: ModuleType = self.interface.aclruntime
        self.said: list[str] = []
        patch.setattr(self.runtime, "say", self.said.append)  # C's buffer, else

    def session(self, *, dims: bool = False, device: int = 0) -> Any:
        """A session of aclruntime's own."""
        model = "dims.om" if dims else "models/tiny_bs1_dynamic.om"
        return self.runtime.InferenceSession(model, device, self.runtime.session_options())

    def feed(self, count: int = 3 * 128 * 192) -> Any:
        """An input of that many float32."""
        self._kept = np.zeros(count, np.float32)
        return self.runtime.BaseTensor(self._kept.__array_interface__["data"][0], self._kept.nbytes)


@pytest.fixture(params=["2024", "2023"])
def library(host: Host, request: pytest.FixtureRequest) -> Iterator[Library]:
    write_dims(host)
    (host.directory / "models/tiny_bs1_dynamic.om").chmod(0o640)
    with mock.patch.dict(sys.modules):
        yield Library(host.patch, old=request.param == "2023")


@pytest.mark.parametrize(
    ("does", "text"),
    [
        (lambda it: it.session(device=9), "acl open device 9 failed"),
        (lambda it: it.runtime.InferenceSession("no.om", 0, None), "load model from file failed"),
        (lambda it: it.session().run([], [it.feed(3 * 256 * 128)]), "dymtype:0 not set"),  # no profile, largest input
        (lambda it: it.session().set_dynamic_hw(192, 100), "the dymHW parameter is not correct"),
        (
            lambda it: it.session(dims=True).set_dynamic_hw(128, 192),
            "the dynamic_image_size parameter is not specified",
        ),
        (lambda it: it.session().set_dynamic_dims("input:1,3,128,192"), ""),  # said without a line's end
        (lambda it: it.session(dims=True).set_dynamic_dims("input:2,3,128,192"), "dynamic_dims parameter is not corr"),
        (lambda it: it.session(dims=True).set_dynamic_dims("image:1,3,128,192"), "dynamic_dims parameter is not corr"),
        (lambda it: it.session(dims=True).set_dynamic_dims("input:1,3,128,100"), "dynamic_dims parameter is not corr"),
        (lambda it: set_and_run(it, [it.feed(), it.feed()]), "intensors in:2 need:1 not match"),
        (lambda it: set_and_run(it, [it.feed(3 * 128 * 128)]), "in size:196608 needsize:294912 not match"),
        (lambda it: set_and_run(it, [it.feed()], "output9"), "outnames output9 not valid"),
    ],
)
def test_aclruntime(library: Library, does: Callable[[Library], object], text: str):
    with pytest.raises(RuntimeError):
        does(library)
    assert any(text in line for line in library.said)


def set_and_run(library: Library, feeds: list[Any], *names: str) -> Any:
    session = library.session()
    session.set_dynamic_hw(128, 192)
    return session.run(list(names), feeds)


def test_aclruntime_s_memory_and_contexts(library: Library):
    """Outputs are the device's until they are copied; in 2023 a thread has one device's context."""
    old = library.runtime.OLD
    first = library.session()
    (name, _) = [output.name for output in first.get_outputs()]
    first.set_dynamic_hw(128, 192)
    (output,) = first.run([name], [library.feed()])
    with pytest.raises(RuntimeError, match="tensor is in npu"):
        output.host()

    failed: list[BaseException] = []

    def elsewhere() -> None:
        try:
            first.run([name], [library.feed()])
        except RuntimeError as e:
            failed.append(e)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert bool(failed) == old
    library.session(device=1)  # takes this thread's context
    for use in (lambda: first.run([name], [library.feed()]), output.to_host):
        if old:
            with pytest.raises(RuntimeError):
                use()
            assert "107002" in library.said[-1]
        else:
            use()
    first.free_resource()
    with pytest.raises(RuntimeError):
        first.get_inputs() and first.run([name], [library.feed()])
    assert "the session was released" in library.said[-1]


def test_the_front_end_in_process(library: Library, host: Host):
    (host.directory / "models/tiny bs1.om").write_bytes(b"")
    (host.directory / "open.om").write_bytes(Path("models/tiny_bs1_dynamic.om").read_bytes())
    (host.directory / "open.om").chmod(0o666)
    batch = np.zeros((1, 3, 128, 192), np.float32)
    make = library.interface.InferSession
    if library.runtime.OLD:  # checks no paths, and knows no mode dymhw: that sets no profile
        assert make(0, "open.om").get_inputs()
        with pytest.raises(RuntimeError):
            make(0, "models/tiny_bs1_dynamic.om").infer([batch], mode="dymhw")
        return
    for error, device, model, text in (
        (RuntimeError, 0, "models/tiny bs1.om", "illegal char"),
        (RuntimeError, 0, "open.om", "is illegal"),
        (ValueError, 256, "models/tiny_bs1_dynamic.om", "legal value range"),
    ):
        with pytest.raises(error, match=text):
            make(device, model)
    session = make(0, "models/tiny_bs1_dynamic.om")
    assert [output.shape for output in session.infer([batch], mode="dymhw")] == [(1, 34, 32, 48), (1, 17, 64, 96)]
    with pytest.raises(RuntimeError, match="wrong infer_mode:hw"):
        session.infer([batch], mode="hw")
