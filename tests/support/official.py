"""A checkout of the official code, with HigherHRNet.patch applied, as a process to ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

Outputs = tuple[np.ndarray, np.ndarray]

STAND_IN = "lib/torchvision_stand_in.py"
"""A file that only the patch makes."""


class ReferenceError(RuntimeError):
    """The official code failed, or is not there."""


class Reference:
    """The official code in a process of its own: its modules have top-level names, ``core``, ``utils``, ``models``."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        """Start it; arrays pass through ``folder``, which exists and is empty.

        Raises
        ------
        ReferenceError : no checkout, or an unpatched one
        """
        if not (checkout / "lib/core/inference.py").is_file():
            raise ReferenceError(f"{checkout} is not a checkout of the official code")
        if not (checkout / STAND_IN).is_file():
            raise ReferenceError(f"{checkout} is not patched; in it, run: patch -p1 < HigherHRNet.patch")
        self._folder = folder
        self._log = (folder / "reference.log").open("w+")
        paths = [str((checkout / "lib").resolve()), str(Path(__file__).resolve().parent)]
        paths += [path for path in (os.environ.get("PYTHONPATH"),) if path]
        # One thread: on busy cores more would wait for each other.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "official_worker"],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Reference:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def configure(self, config: Path, options: list[str]) -> None:
        """Load a configuration with KEY VALUE overrides, and forget all people."""
        self._ask("configure", config=str(config.resolve()), options=options)

    def parameters(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of every entry of the configured network's state_dict, in order."""
        return [(name, tuple(shape)) for name, shape in self._ask("parameters")]

    def load(self, weights: Path) -> None:
        """Give the network its weights."""
        self._ask("load", weights=str(weights.resolve()))

    def inputs(self, image: Path, scales: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Network input and flip input, float32 [3, H, W], at each scale, largest first."""
        self._ask("inputs", folder=str(self._folder), image=str(image.resolve()))
        return [(self._load(f"input{i}"), self._load(f"flip{i}")) for i in range(scales)]

    def forward(self, scales: int) -> list[list[Outputs]]:
        """The network's outputs of the inputs last made: by scale, of both passes."""
        self._ask("forward", folder=str(self._folder), scales=scales)
        return [
            [(self._load(f"outputs{i}_{p}_0"), self._load(f"outputs{i}_{p}_1")) for p in (0, 1)] for i in range(scales)
        ]

    def people(self, image: Path, outputs: list[list[Outputs]]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Fused heat [K, H, W], tags [K or 1, H, W, T] and people, each [K, 3 + T]: x, y, value, tags."""
        for i, passes in enumerate(outputs):
            for p, arrays in enumerate(passes):
                for k, array in enumerate(arrays):
                    np.save(self._folder / f"outputs{i}_{p}_{k}.npy", array)
        count = self._ask("people", folder=str(self._folder), image=str(image.resolve()))
        return self._load("heat"), self._load("tags"), [self._load(f"people{n}") for n in range(count)]

    def scores(self) -> np.ndarray:
        """The scores [P] of the people last found."""
        return self._load("scores")

    def evaluate(self) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """The figures over all people since ``configure``, and the results file's entries."""
        figures = self._ask("evaluate", folder=str(self._folder))
        (results,) = (self._folder / "results").glob("keypoints_*_results.json")
        return figures, json.loads(results.read_text())

    def _load(self, name: str) -> np.ndarray:
        return np.load(self._folder / f"{name}.npy")

    def _ask(self, operation: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"op": operation, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            text = (self._folder / "reference.log").read_text().strip().splitlines()
            raise ReferenceError(f"the official code failed in {operation}: {' | '.join(text[-8:])}")
        return json.loads(line)
