"""Errors of joints as the public analysis code names them (github.com/matteorr/coco-analyze), which stopped in 2020.

    python3 tests/support/public_analysis.py CHECKOUT annotations.json results.json

Prints JSON: of each matched entry of the results, by its place, the joints of each kind; and AP by kind mended, one
after another. What the code needs of packages that are gone, or that it only draws with, is stood in for here.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import _mask

KINDS = ("good", "jitter", "inversion", "swap", "miss")


def analyse(checkout: Path, annotations: Path, results: Path) -> dict[str, Any]:
    """Run it over people of all sizes."""
    for name in ("scipy", "scipy.optimize", "skimage", "skimage.io", "colour"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["skimage"].io = sys.modules["skimage.io"]  # type: ignore[attr-defined]
    sys.modules["scipy.optimize"].linear_sum_assignment = None  # type: ignore[attr-defined]
    sys.modules["colour"].Color = str  # type: ignore[attr-defined]
    np.float = float  # type: ignore[attr-defined]
    linspace = np.linspace
    np.linspace = lambda low, high, count, **more: linspace(low, high, int(count), **more)  # type: ignore[assignment]
    for name in [name for name in sys.modules if name.partition(".")[0] == "pycocotools"]:
        del sys.modules[name]  # its own pycocotools has other parameters; the compiled part is the same
    sys.path.insert(0, str(checkout))
    package = importlib.import_module("pycocotools")
    sys.modules["pycocotools._mask"] = _mask
    package._mask = _mask  # type: ignore[attr-defined]
    with contextlib.redirect_stdout(sys.stderr):
        truth = importlib.import_module("pycocotools.coco").COCO(str(annotations))
        found = truth.loadRes(str(results))
        analysis = importlib.import_module("pycocotools.cocoanalyze").COCOanalyze(truth, found, "keypoints")
        analysis.params.areaRng, analysis.params.areaRngLbl = [[0, 1e10]], ["all"]
        analysis.analyze(check_kpts=True, check_scores=False, check_bckgd=False)
        labels = {
            entry["id"] - 1: {kind: np.flatnonzero(entry[kind]).tolist() for kind in KINDS}
            for entry in analysis.corrected_dts["all"]
            if "good" in entry
        }
        analysis.params.err_types = ["miss", "swap", "inversion", "jitter"]
        analysis.summarize()
    precision: dict[str, list[float]] = {}
    for row in analysis.stats:
        precision.setdefault(row["err"], []).append(row["auc"])
    return {"labels": labels, "AP": {kind: float(np.mean(values)) for kind, values in precision.items()}}


if __name__ == "__main__":
    print(json.dumps(analyse(*map(Path, sys.argv[1:]))))
