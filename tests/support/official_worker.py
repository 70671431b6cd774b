"""One process that runs the patched official code, an answer a request: ``python -m official_worker``.

Started by ``official.Reference`` with the checkout's ``lib`` on PYTHONPATH, since that has top-level names of its own
(``core``, ``models``, ``utils``). A request is a line of JSON on stdin, {"op": ..., "folder": ..., ...}; arrays pass as
.npy files in ``folder``. Calls are those of the official tools/valid.py, in its order.
"""

from __future__ import annotations

import contextlib
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import cv2
import models.pose_higher_hrnet  # type: ignore[import-not-found]
import numpy as np
import torch
from config import cfg, update_config  # type: ignore[import-not-found]
from core.group import HeatmapParser  # type: ignore[import-not-found]
from core.inference import aggregate_results, get_multi_stage_outputs  # type: ignore[import-not-found]
from dataset import make_test_dataloader  # type: ignore[import-not-found]
from utils.transforms import (  # type: ignore[import-not-found]
    get_final_preds,
    get_multi_scale_size,
    resize_align_multi_scale,
)

try:
    import torchvision  # type: ignore[import-not-found]
except ImportError:
    import torchvision_stand_in as torchvision  # type: ignore[import-not-found]


class Worker:
    """The official code's state between requests."""

    def __init__(self) -> None:
        self._model: torch.nn.Module | None = None
        self._predictions: list[Any] = []
        self._scores: list[Any] = []

    def configure(self, *, config: str, options: list[str]) -> None:
        """Load a configuration, as on the command line of tools/valid.py."""
        cfg.defrost()
        cfg.merge_from_other_cfg(_DEFAULTS)
        cfg.MODEL.EXTRA = _DEFAULTS.MODEL.EXTRA.clone()
        update_config(cfg, Namespace(cfg=config, opts=options))
        self._predictions, self._scores = [], []

    def parameters(self) -> list[list[Any]]:
        """Name and shape of every entry of the network's state_dict, in order."""
        network = models.pose_higher_hrnet.get_pose_net(cfg, is_train=False)
        return [[name, list(value.shape)] for name, value in network.state_dict().items()]

    def load(self, *, weights: str) -> None:
        """Make the network and load weights, as tools/valid.py does."""
        self._model = models.pose_higher_hrnet.get_pose_net(cfg, is_train=False)
        self._model.load_state_dict(torch.load(weights, map_location="cpu"), strict=True)
        self._model.eval()

    def inputs(self, *, folder: Path, image: str) -> None:
        """Leave input{i}.npy [3, H, W] and flip{i}.npy of every scale, largest first."""
        pixels = _read(image)
        for i, factor in enumerate(sorted(cfg.TEST.SCALE_FACTOR, reverse=True)):
            resized, _, _ = resize_align_multi_scale(pixels, cfg.DATASET.INPUT_SIZE, factor, min(cfg.TEST.SCALE_FACTOR))
            tensor = _TRANSFORMS(resized).unsqueeze(0)
            np.save(folder / f"input{i}.npy", tensor[0].numpy())
            np.save(folder / f"flip{i}.npy", torch.flip(tensor, [3])[0].numpy())

    def forward(self, *, folder: Path, scales: int) -> None:
        """Leave outputs{i}_{pass}_{k}.npy of input{i}.npy and flip{i}.npy."""
        assert self._model is not None
        for i in range(scales):
            for p, name in enumerate(("input", "flip")):
                with torch.no_grad():
                    outputs = self._model(torch.from_numpy(np.load(folder / f"{name}{i}.npy"))[None])
                for k, output in enumerate(outputs):
                    np.save(folder / f"outputs{i}_{p}_{k}.npy", output[0].numpy())

    def people(self, *, folder: Path, image: str) -> int:
        """From outputs{i}_{pass}_{k}.npy to heat.npy, tags.npy, people{n}.npy [K, 3 + T] and scores.npy."""
        pixels = _read(image)
        factors = sorted(cfg.TEST.SCALE_FACTOR, reverse=True)
        base_size, center, scale = get_multi_scale_size(pixels, cfg.DATASET.INPUT_SIZE, 1.0, min(factors))
        heat: Any = None
        tags_list: list[Any] = []
        for i, factor in enumerate(factors):
            resized, center, scale = resize_align_multi_scale(pixels, cfg.DATASET.INPUT_SIZE, factor, min(factors))
            tensor = _TRANSFORMS(resized).unsqueeze(0)
            _, heatmaps, tags = get_multi_stage_outputs(
                cfg, _Recorded(folder, i), tensor, cfg.TEST.FLIP_TEST, cfg.TEST.PROJECT2IMAGE, base_size
            )
            heat, tags_list = aggregate_results(cfg, factor, heat, tags_list, heatmaps, tags)
        heat = heat / float(len(factors))
        stacked = torch.cat(tags_list, dim=4)
        grouped, scores = HeatmapParser(cfg).parse(heat, stacked, cfg.TEST.ADJUST, cfg.TEST.REFINE)
        results = get_final_preds(grouped, center, scale, [heat.size(3), heat.size(2)])
        self._predictions.append(results)
        self._scores.append(scores)
        np.save(folder / "heat.npy", heat[0].numpy())
        np.save(folder / "tags.npy", stacked[0].numpy())
        np.save(folder / "scores.npy", np.array(scores, np.float32))
        for number, person in enumerate(results):
            np.save(folder / f"people{number}.npy", person)
        return len(results)

    def evaluate(self, *, folder: Path) -> dict[str, float]:
        """The ten figures of all people so far; the results file lies in ``folder``/results."""
        _, dataset = make_test_dataloader(cfg)
        figures, _ = dataset.evaluate(cfg, self._predictions, self._scores, str(folder))
        return {name: float(value) for name, value in figures.items()}


class _Recorded:
    """A network whose outputs are known: those of the input, then those of the mirrored one."""

    def __init__(self, folder: Path, scale: int) -> None:
        self._folder, self._scale, self._passes = folder, scale, 0

    def __call__(self, _image: torch.Tensor) -> list[torch.Tensor]:
        names = [f"outputs{self._scale}_{self._passes}_{k}.npy" for k in (0, 1)]
        self._passes += 1
        return [torch.from_numpy(np.load(self._folder / name))[None] for name in names]


def _read(image: str) -> np.ndarray:
    pixels = cv2.imread(image, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert pixels is not None, image
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


_DEFAULTS = cfg.clone()
_TRANSFORMS = torchvision.transforms.Compose(
    [
        torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


def main() -> None:
    """Answer requests until stdin ends."""
    worker = Worker()
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # the official code prints
        for line in sys.stdin:
            request = json.loads(line)
            operation = request.pop("op")
            if "folder" in request:
                request["folder"] = Path(request["folder"])
            print(json.dumps(getattr(worker, operation)(**request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
