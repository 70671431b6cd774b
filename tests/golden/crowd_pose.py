"""The nine figures that CrowdPose's own package gives: run where that is installed, with NumPy below 1.24.

python3 tests/golden/crowd_pose.py ANNOTATIONS.json RESULTS.json

Prints them as JSON. The two files are tests/support/crowd_pose.py's.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys


def main() -> None:
    """Call the package as lib/dataset/CrowdPoseDataset.py of the official code calls it."""
    from crowdposetools.coco import COCO  # type: ignore[import-not-found]  # noqa: PLC0415
    from crowdposetools.cocoeval import COCOeval  # type: ignore[import-not-found]  # noqa: PLC0415

    annotations, results = sys.argv[1:]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(annotations)
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.useSegm = None
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = {"AP": 0, "Ap .5": 1, "AP .75": 2, "AR": 5, "AR .5": 6, "AR .75": 7}
    names |= {"AP (easy)": 8, "AP (medium)": 9, "AP (hard)": 10}
    print(json.dumps({name: float(evaluation.stats[place]) for name, place in names.items()}))


if __name__ == "__main__":
    main()
