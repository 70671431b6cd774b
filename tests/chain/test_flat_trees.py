"""HigherHRNet_benchmark.py --layout flat: ModelZoo's later flow between our stages, over the strict stand-ins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import dumps, inputs, perf
from higherhrnet.backends.ascend import cann_benchmark
from tests.support.ascend_host import SHAPES, Host
from tests.support.programs import CPU, FLIP, PLAIN, error

pytestmark = pytest.mark.slow

TREES = ("--layout", "flat", "--info", "prep_dir", "--info_flip", "prep_flip_dir")
AIS = (*TREES, "--backend", "ais_bench", "--dynamic", "dims", "--soc_version", "Ascend310P3")


@pytest.fixture
def flat(host: Host, small_inputs: Path) -> Host:
    """A host with flat trees as the original preprocessing leaves them: np.save, without a record."""
    (host.directory / cann_benchmark.file_name()).unlink()
    for source, tree in (("bins", "prep_dir"), ("bins_flip", "prep_flip_dir")):
        (host.directory / tree).mkdir()
        for entry in inputs.find(small_inputs / source):
            tensor = np.fromfile(entry.path, np.float32).reshape(1, 3, *entry.shape)
            np.save(inputs.flat_path(host.directory / tree, entry.index), tensor)
    return host


def values(directory: Path) -> dict[str, bytes]:
    """The values of all dumps, as the benchmark tool's files are named."""
    found = {}
    for file in directory.iterdir():
        if dumps.is_dump(file):
            name, _, number = file.stem.partition("_")
            array = np.load(file)
            assert array.shape[0] == 1
            found[f"{name}_{int(number) + 1}.bin"] = array.tobytes()
    return found


def same_as(host: Host, expected: Path) -> None:
    for name in (PLAIN, FLIP):
        wanted = {file.name: file.read_bytes() for file in (expected / name).glob("*.bin")}
        assert values(host.result / name) == wanted
        assert len(wanted) == 16


def test_one_call_a_device_for_all_shapes(flat: Host, expected: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_FAULT", "crash:2:device2")
    outcome = flat.benchmark(*AIS, "--device_ids", "0,2")
    assert "device 2, shape all: ais_bench ended with status 3, 2 of " in error(outcome)
    assert "logs/ais_bench_bs1_device_2_all.log" in outcome.err
    monkeypatch.delenv("STAND_IN_FAULT")
    assert len(flat.calls("__main__")) == 2
    assert not (flat.result / FLIP).exists()
    outcome = flat.benchmark(*AIS)
    assert outcome.status == 0, outcome.err
    assert " of 16 dumps were there" in outcome.out
    same_as(flat, expected)
    call = flat.calls("__main__")[-1]  # the flipped pass: all five shapes
    assert call[1:] == [
        *("--model", "model.om", "--input", "in", "--output", "out", "--output_dirname", "dumps"),
        *("--outfmt", "NPY", "--device", "0", "--auto_set_dymdims_mode", "1", "--batchsize", "1"),
    ]
    assert "16 of 16 dumps were there" in flat.benchmark(*AIS).out
    lines = flat.benchmark(*AIS, "--print_commands", "--result", "by_hand").out.splitlines()
    assert sum("--auto_set_dymdims_mode 1" in line for line in lines) == 2


@pytest.mark.parametrize("backend", ["onnxruntime", "ascend"])
def test_in_process_backends_take_flat_trees_too(flat: Host, expected: Path, backend: str):
    more = CPU if backend == "onnxruntime" else ("--backend", "ascend")
    outcome = flat.benchmark(*TREES, *more)
    assert outcome.status == 0, outcome.err
    same_as(flat, expected)
    if backend == "ascend":
        return
    # Back to lists: the dumps are replaced, not mixed.
    outcome = flat.benchmark(*CPU)
    assert outcome.status == 0, outcome.err
    assert "dumps of other work were removed first" in outcome.err + outcome.out
    flat.same_as(expected)
    assert not list((flat.result / PLAIN).glob("*.npy"))


def test_half_precision_and_what_does_not_fit(flat: Host):
    outcome = flat.benchmark(*AIS, "--dtype", "float16")
    assert outcome.status == 0, outcome.err
    assert {f"{h}x{w}" for h, w in (figure.shape for figure in perf.find(flat.result))} == set(SHAPES)
    found = [np.load(file) for file in (flat.result / PLAIN).glob("*.npy")]
    assert {array.dtype for array in found} == {np.dtype("float16")}
    assert len(found) == 16
    assert "give --dynamic dims and --bs 1" in error(flat.benchmark(*TREES, "--backend", "ais_bench"))
    refused = error(flat.benchmark(*TREES, "--backend", "benchmark"))
    assert "--layout is for --backend ascend or ais_bench" in refused
    refused = error(flat.benchmark(*CPU, "--layout", "flat", "--info", "nothing"))
    assert "found no inputs such as nothing/000000000000.npy; run HigherHRNet_preprocess.py --layout flat" in refused
    assert "prep_dir is a flat tree, which --layout flat reads" in error(flat.benchmark(*CPU, "--info", "prep_dir"))
    refused = error(flat.benchmark(*CPU, "--layout", "flat", "--info", "prep_dir", "--info_flip", "bins"))
    assert "found no inputs such as bins/000000000000.npy" in refused
    last = flat.directory / "prep_dir/000000000007.npy"
    for bad, said in (
        (np.zeros((1, 3, 128, 128)), "found float64, expected float32"),
        (np.zeros((3, 128, 128), np.float32), "found [3, 128, 128], expected [1, 3, H, W]"),
        (np.asfortranarray(np.zeros((1, 3, 128, 128), np.float32)), "its values are not in C order"),
    ):
        np.save(last, bad)
        assert said in error(flat.benchmark(*TREES, *CPU))
    last.write_bytes(last.read_bytes()[:1000])
    assert "is no input of a flat tree" in error(flat.benchmark(*TREES, *CPU))
