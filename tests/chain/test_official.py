"""The official repository's configurations and architectures, HigherHRNet.patch, and parity where a checkout is given.

HIGHERHRNET_REFERENCE names a checkout at aa23881 with the patch applied; tests that need it skip without.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from higherhrnet.artifacts.dumps import Heads
from higherhrnet.config import loader
from higherhrnet.image import geometry
from higherhrnet.model import architecture, checkpoint, network
from tests import parity
from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.official import STAND_IN, Reference, ReferenceError

PATCH = ROOT / "HigherHRNet.patch"

# Of every entry of the official network's state_dict, in order, a line "name 3x4x...": the number of lines, of learnt
# values, and the lines' SHA-256. Computed from the official code at aa23881, patched: Reference.parameters() in
# tests/support/official.py. The 640 networks are those of 512, W32's and W48's.
W32, W48 = (
    (1810, 28645331, "cc478cf9c95dcf062c74fecfa89ca9c2c08af5aa95447c479462eb9cc9f532fd"),
    (
        1810,
        63827139,
        "327eadd909a3d17107de7e6328b8877278b888f346ccc6db9b7cea03aa105fc5",
    ),
)
W32_CROWD, W48_CROWD = (
    (1810, 28641962, "0fa05add0e80021b84892cc41092a5f76c608bccc089de3a2c5849052316b585"),
    (
        1810,
        63822090,
        "746b312f688e9f6ccc6acda898e2c1cf341bbdc68193e90b0c8c2090458a1b82",
    ),
)
CONFIGS = {
    "coco/higher_hrnet/w32_512_adam_lr1e-3.yaml": W32,
    "coco/higher_hrnet/w32_640_adam_lr1e-3.yaml": W32,
    "coco/higher_hrnet/w48_640_adam_lr1e-3.yaml": W48,
    "crowd_pose/higher_hrnet/w32_512_adam_lr1e-3.yaml": W32_CROWD,
    "crowd_pose/higher_hrnet/w32_640_adam_lr1e-3.yaml": W32_CROWD,
    "crowd_pose/higher_hrnet/w48_640_adam_lr1e-3.yaml": W48_CROWD,
}
OFFICIAL_ONLY = (
    "crowd_pose/higher_hrnet/w32_512_adam_lr1e-3_coco.yaml",
    "crowd_pose/higher_hrnet/w32_512_adam_lr1e-3_syncbn.yaml",
)
"""Other ways of training the CrowdPose W32-512: tested as that one is."""

CHANGED = {
    "lib/core/group.py": 1,
    "lib/dataset/COCODataset.py": 1,
    "lib/dataset/CrowdPoseDataset.py": 3,
    "lib/dataset/CrowdPoseKeypoints.py": 1,
    "lib/dataset/transforms/transforms.py": 1,
    "lib/models/pose_higher_hrnet.py": 1,
    STAND_IN: 1,
    "lib/utils/vis.py": 1,
    "tools/valid.py": 5,
}
"""Files and numbers of hunks of the patch."""


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The patched checkout of the official code."""
    path = os.environ.get("HIGHERHRNET_REFERENCE")
    if not path:
        pytest.skip("HIGHERHRNET_REFERENCE names no patched checkout of the official code")
    return Path(path)


def table(rows: list[tuple[str, tuple[int, ...]]]) -> tuple[int, int, str]:
    """As CONFIGS has them."""
    text = "".join(f"{name} {'x'.join(map(str, shape))}\n" for name, shape in rows)
    state = ("running_mean", "running_var", "num_batches_tracked")
    learnt = sum(int(np.prod(shape)) for name, shape in rows if not name.endswith(state))
    return len(rows), learnt, hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_the_official_network_s(name: str):
    config = loader.load(ROOT / "experiments" / name)
    with torch.device("meta"):
        net = network.HigherHRNet(architecture.Architecture.from_extra(config.extra, config.heads))
    assert table([(key, tuple(value.shape)) for key, value in net.state_dict().items()]) == CONFIGS[name]


def test_one_tag_map_makes_the_heads_smaller():
    config = loader.load(None, ["MODEL.TAG_PER_JOINT", "False"])
    assert config.heads == Heads(17, 1)
    with torch.device("meta"):
        net = network.HigherHRNet(architecture.Architecture.from_extra(config.extra, config.heads))
        output1, output2 = net(torch.zeros(1, 3, 128, 192))
    assert (output1.shape, output2.shape) == ((1, 18, 32, 48), (1, 17, 64, 96))


def test_short_side_640_has_21_shapes_from_640_to_1280():
    shapes = geometry.shapes(loader.load(ROOT / "experiments/coco/higher_hrnet/w48_640_adam_lr1e-3.yaml").plan)
    assert shapes == geometry.shape_grid(640)
    assert len(shapes) == 21
    assert {shape[0] for shape in shapes if shape[1] == 640} == set(range(640, 1281, 64))


def test_a_checkpoint_of_mixed_precision_training_loads(tmp_path: Path):
    config = loader.load(TINY_CONFIG)
    tiny = architecture.Architecture.from_extra(config.extra, config.heads)
    net, other = network.HigherHRNet(tiny), network.HigherHRNet(tiny)
    path = tmp_path / "half.pth"
    torch.save({f"1.{name}": value for name, value in net.state_dict().items()}, path)
    checkpoint.load(path, other)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())


def hunks() -> dict[str, list[list[str]]]:
    """The patch's hunks by file, each its lines."""
    found: dict[str, list[list[str]]] = {}
    for line in PATCH.read_text().splitlines():
        if line.startswith("+++ "):
            current = found.setdefault(line.removeprefix("+++ b/"), [])
        elif line.startswith("@@"):
            current.append([])
        elif not line.startswith("--- "):
            current[-1].append(line)
    return found


def test_the_patch_changes_what_breaks_and_nothing_else():
    assert {file: len(parts) for file, parts in hunks().items()} == CHANGED
    removed = [line[1:].strip() for parts in hunks().values() for part in parts for line in part if line[0] == "-"]
    # What NumPy 2, PyTorch 2 and Python 3.8 took away, CUDA, and imports of packages that may be missing.
    breaks = re.compile(
        r"dtype=np\.float$|\(ind / w\)\.long\(\)| is '\*'|\.cuda\(\)|torch\.load\("
        r"|^(import|from) (torchvision|crowdposetools)"
    )
    assert [line for line in removed if not breaks.search(line)] == []
    context = [line for parts in hunks().values() for part in parts for line in part if line[:1] == " "]
    assert len(context) <= 2 * sum(CHANGED.values())  # a line on either side, so as little of others' code as can be
    assert not any(line.endswith((" ", "\t", "\r")) for line in removed)


def test_the_patch_applies_to_what_it_was_made_for(checkout: Path, tmp_path: Path):
    """Taken back from the patched checkout, it applies again, cleanly, and gives the same files."""
    pristine = tmp_path / "checkout"
    shutil.copytree(checkout, pristine, ignore=shutil.ignore_patterns(".git", "__pycache__", "output", "log"))
    for arguments in (["-R"], []):
        done = subprocess.run(
            ["patch", "-p1", *arguments, "-i", str(PATCH)], cwd=pristine, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        assert "fuzz" not in done.stdout
        assert "offset" not in done.stdout
        assert (pristine / STAND_IN).exists() is not bool(arguments)
    for file in CHANGED:
        assert (pristine / file).read_bytes() == (checkout / file).read_bytes(), file


@pytest.mark.parametrize("name", [*CONFIGS, *OFFICIAL_ONLY])
def test_official_files_load_unchanged(checkout: Path, name: str):
    official = loader.load(checkout / "experiments" / name)
    if name in CONFIGS:
        assert loader.tree(checkout / "experiments" / name) == loader.tree(ROOT / "experiments" / name)
    assert geometry.shapes(official.plan) == geometry.shape_grid(official.plan.short_side)


def test_parity(checkout: Path, coco_mini: Path, tmp_path: Path):
    rows = parity.Table()
    with Reference(checkout, tmp_path) as reference:
        for name, expected in CONFIGS.items():
            reference.configure(checkout / "experiments" / name, [])
            assert table(reference.parameters()) == expected, name
        parity.run(
            reference,
            rows,
            coco_mini,
            limit=1,
            drawn=1,
            modes=["single scale", "no flip", "multi-scale"],
        )
    assert {stage for stage, *_ in rows.rows} == set(parity.TOLERANCES)


def test_parity_stops_at_the_first_stage_beyond_its_tolerance(capsys: pytest.CaptureFixture[str]):
    rows = parity.Table()
    rows.add("people", "a case", "1 person", 0.0005)
    for difference in (0.002, float("nan")):
        with pytest.raises(parity.ParityError, match=r"people, a case: the largest difference is"):
            rows.add("people", "a case", "1 person", difference)
    assert capsys.readouterr().out.splitlines()[1].split()[-2:] == ["0.0005", "0.001"]


def test_a_folder_that_is_no_patched_checkout_is_refused(tmp_path: Path):
    with pytest.raises(ReferenceError, match="is not a checkout"):
        Reference(tmp_path, tmp_path)
    (tmp_path / "lib/core").mkdir(parents=True)
    (tmp_path / "lib/core/inference.py").touch()
    with pytest.raises(ReferenceError, match="is not patched"):
        Reference(tmp_path, tmp_path)
