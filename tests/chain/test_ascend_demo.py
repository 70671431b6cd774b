"""Ascend in process on the demo set: AP and people are the onnxruntime backend's, however the work is shared out.

The network and the AP are real (of drawn scenes), the card is a stand-in that computes with ONNX Runtime.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from demo import scenes
from tests.support.ascend_host import Host
from tests.support.datasets import DEMO_CONFIG
from tests.support.programs import CPU

pytestmark = pytest.mark.slow

SIZE = ("DATASET.INPUT_SIZE", "128")  # of 512 that it was trained at: AP is less, and so is the time
CONFIG = ("--cfg", str(DEMO_CONFIG))
ALONE = ("--workers", "1")
SOC = ("--soc_version", "Ascend310P3")
MOST_DISK = 0.4  # MB, at any time of a run: the dumps of one image in one pass would be more
IMAGES = 3


class Demo(Host):
    """A host with the demo set in data/coco and its network as a model of any batch size."""

    def ours(self, name: str, *arguments: object) -> str:
        outcome = self.script(name, *arguments)
        assert outcome.status == 0, outcome.err
        return outcome.out

    def scripts(self, result: str, *arguments: str) -> dict[int, tuple[str, bytes]]:
        """By batch size the AP line and the people of the last two scripts."""
        self.ours("HigherHRNet_benchmark", "--bs", "1,4", "--result", result, *arguments, *CONFIG, *SIZE)
        found = {}
        for batch in (1, 4):
            plain, flip = (f"{result}/dumpOutput_device0_bs{batch}{end}" for end in ("", "_flip"))
            out = f"{result}{batch}"
            folders = ("--dump_dir", plain, "--dump_dir_flip", flip, "OUTPUT_DIR", out)
            said = self.ours("HigherHRNet_postprocess", *folders, *ALONE, *CONFIG, *SIZE)
            found[batch] = ap(said), people(Path(out))
        return found


def ap(said: str) -> str:
    (line,) = re.findall(r"^\| pose_hig.*$", said, re.MULTILINE)
    return line


def people(folder: Path) -> bytes:
    (file,) = folder.rglob("keypoints_val2017_results.json")
    return file.read_bytes()


@pytest.fixture
def demo(
    tmp_path: Path, demo_onnx_of_any_batch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Demo:
    host = Demo(tmp_path, monkeypatch, capsys)
    scenes.write(Path("data/coco"), images=IMAGES, seed=1)
    Path("models").mkdir()
    shutil.copy(demo_onnx_of_any_batch, "models")
    host.ours("HigherHRNet_preprocess", "--output", "bins", "--output_flip", "bins_flip", *ALONE, *CONFIG, *SIZE)
    for tree, name in (("bins", "prep_bin"), ("bins_flip", "prep_bin_flip")):
        host.ours("gen_dataset_info", "bin", tree, name)
    return host


def test_ap_and_people_are_onnxruntime_s(demo: Demo):
    expected = demo.scripts("ort", *CPU)
    for _, found in expected.values():
        assert len(found) > 1000
    assert float(expected[1][0].split("|")[2]) > 0.1
    ascend = ("--backend", "ascend", *SOC, "--device_id", "0", "--device_ids")
    for devices in ("0", "2,0,1"):
        assert demo.scripts(f"npu{devices}", *ascend, devices) == expected

    for batch, devices in ((1, "0,1,2"), (4, "0"), (4, "0,1,2")):
        out = f"run{batch}_{devices}"
        more = ("--bs", batch, "--backend", "ascend", *SOC, "--device_ids", devices, *ALONE, "OUTPUT_DIR", out)
        said = demo.ours("higherhrnet.__main__", "run", *more, *CONFIG, *SIZE)
        assert float(re.findall(r"peak on disk (\S+) MB", said)[0]) < MOST_DISK
        assert (ap(said), people(Path(out))) == expected[batch]

    for batch in (1, 4):
        poses = []
        for backend in (CPU, ("--backend", "ascend")):
            out = f"poses{batch}_{backend[1]}"
            more = ("--bs", batch, *backend, "--output", out, *CONFIG, "--set", *SIZE)
            demo.ours("higherhrnet.__main__", "predict", "data/coco/images/val2017", *more)
            poses.append(Path(out, "poses.json").read_bytes())
        assert poses[0] == poses[1]
        assert len(poses[0]) > 1000
    assert {call[1] for call in demo.calls("InferSession")} == {"0", "1", "2"}
