"""How long a report of many images takes, how much memory, and how large its page is.

    python3 -m benchmarks.report --images 5000

Draws annotated people and results with errors, about three people an image, and one picture that all images share.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from higherhrnet.dataset import coco
from higherhrnet.report import writer
from tests.support import crowd


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, metavar="N")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        results, people, found = _write(root, args.images)
        begin, cpu = time.perf_counter(), time.process_time()
        job = writer.ReportJob(coco.Location(str(root), "val2017"), results, root / "report.html")
        page = writer.run(job).files[0]
        print(
            f"{args.images} images, {people} annotated and {found} found people: "
            f"{time.perf_counter() - begin:.1f} s, {time.process_time() - cpu:.1f} s of CPU, "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB at most, "
            f"a page of {page.stat().st_size / 1e6:.1f} MB"
        )


def _write(root: Path, images: int) -> tuple[Path, int, int]:
    rng = np.random.default_rng(0)
    content = crowd.drawn(images, seed=0)
    content["annotations"] = [row for row in content["annotations"] if rng.random() < 0.8]
    entries = crowd.spoil(content, crowd.exact(content, rng, noise=0.3), rng).entries
    (root / "annotations").mkdir()
    (root / "images/val2017").mkdir(parents=True)
    (root / "annotations/person_keypoints_val2017.json").write_text(json.dumps(content))
    (root / "results.json").write_text(json.dumps(entries))
    first = root / "images/val2017/1.jpg"
    noise = rng.integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(first), cv2.resize(noise, crowd.SIDE, interpolation=cv2.INTER_CUBIC))
    for number in range(2, images + 1):
        os.link(first, first.with_name(f"{number}.jpg"))
    return root / "results.json", len(content["annotations"]), len(entries)


if __name__ == "__main__":
    main()
