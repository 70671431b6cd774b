"""The stand-ins refuse what the tools refuse: else the other tests would prove nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from higherhrnet.backends.ascend import cann_benchmark
from tests.support.ascend_host import Host, dump_bytes

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


def call(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


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
    ],
)
def test_atc(bare_host: Host, change: dict[str, str], status: int, text: str):
    done = call("atc", *(f"{key}={value}" for key, value in (GOOD_ATC | change).items()))
    assert done[0] == status, done[1]
    assert text in done[1]
    assert ("ATC run failed" in done[1]) == (status == 255)
    assert not list(bare_host.directory.glob("models/*.om"))


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
        ({"-om_path": "models/tiny_bs1_dynamic.onnx"}, ""),
        ({"-input_text_path": "/dev/null"}, "is empty"),
    ],
)
def test_benchmark(host: Host, change: dict[str, str], text: str):
    tool = f"./{cann_benchmark.file_name()}"
    status, said = call(tool, *(f"{key}={value}" for key, value in (good_benchmark(host) | change).items()))
    assert status != 0
    assert text in said


def test_benchmark_dumps_whole_buffers_with_garbage_at_their_end(host: Host):
    tool = f"./{cann_benchmark.file_name()}"
    arguments = [f"{key}={value}" for key, value in good_benchmark(host).items()]
    assert call(tool, *arguments)[0] == 0
    first = dump_bytes(Path("result/dumpOutput_device0"))
    assert call(tool, *arguments)[0] == 0
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
    ],
)
def test_ais_bench(host: Host, change: dict[str, str], status: int, text: str):
    source = Path((host.directory / "prep_bin_128x256.info").read_text().split()[1])
    (host.directory / "in").mkdir()
    (host.directory / "in/a.bin").write_bytes(source.read_bytes())
    (host.directory / "in/a.bin").chmod(0o640)
    (host.directory / "in").chmod(0o750)
    (host.directory / "models/tiny_bs1_dynamic.om").chmod(0o640)
    (host.directory / "link").symlink_to("in")
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
    arguments = [part for pair in (good | change).items() for part in pair]
    found, said = call(sys.executable, "-m", "ais_bench", *arguments)
    assert found == status, said
    assert text in said
