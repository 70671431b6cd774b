"""Write the golden files that README.md says are made here: inputs.json, figures.json and people.json.

    python3 -m tests.golden.make inputs figures people

The first two come from what the official code does, written down again with nothing of this project in it but the
drawn scenes; people.json from this project's decode. To be run after a change that is meant to give other bytes: other
ones are written only for a larger VERSION.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from higherhrnet import decode
from higherhrnet.image import transform
from tests.support import golden

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


# lib/utils/transforms.py of the official code at aa23881, and tools/valid.py's torchvision transforms.


def get_multi_scale_size(
    image: np.ndarray, input_size: int, current_scale: float, min_scale: float
) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """Width and height of the input, center and scale of the image."""
    h, w, _ = image.shape
    center = np.array([int(w / 2.0 + 0.5), int(h / 2.0 + 0.5)])
    smallest = int((min_scale * input_size + 63) // 64 * 64)
    if w < h:
        w_resized = int(smallest * current_scale / min_scale)
        h_resized = int(int((smallest / w * h + 63) // 64 * 64) * current_scale / min_scale)
        scale_w, scale_h = w / 200.0, h_resized / w_resized * w / 200.0
    else:
        h_resized = int(smallest * current_scale / min_scale)
        w_resized = int(int((smallest / h * w + 63) // 64 * 64) * current_scale / min_scale)
        scale_h, scale_w = h / 200.0, w_resized / h_resized * h / 200.0
    return (w_resized, h_resized), center, np.array([scale_w, scale_h])


def get_affine_transform(center: np.ndarray, scale: np.ndarray, output_size: tuple[int, int]) -> np.ndarray:
    """The map [2, 3] from image to input, without rotation and shift."""
    src_w, (dst_w, dst_h) = (scale * 200.0)[0], output_size
    src, dst = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    src[0] = center
    src[1] = center + np.array([0, src_w * -0.5])
    dst[0] = [dst_w * 0.5, dst_h * 0.5]
    dst[1] = np.array([dst_w * 0.5, dst_h * 0.5]) + np.array([0, dst_w * -0.5], np.float32)
    for points in (src, dst):
        direct = points[0] - points[1]
        points[2] = points[1] + np.array([-direct[1], direct[0]], np.float32)
    return cv2.getAffineTransform(src, dst)


def official_input(path: Path, input_size: int, current_scale: float, min_scale: float) -> np.ndarray:
    """The network's input float32 [3, H, W] of an image file."""
    image = cv2.cvtColor(_pixels(path), cv2.COLOR_BGR2RGB)
    size, center, scale = get_multi_scale_size(image, input_size, current_scale, min_scale)
    resized = cv2.warpAffine(image, get_affine_transform(center, scale, size), size)
    tensor = resized.transpose(2, 0, 1).astype(np.float32) / np.float32(255)  # ToTensor
    return (tensor - np.array(_MEAN, np.float32)[:, None, None]) / np.array(_STD, np.float32)[
        :, None, None
    ]  # Normalize


def _pixels(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert pixels is not None, path
    return pixels


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def inputs(folder: Path) -> dict[str, Any]:
    """The hashes of the drawn pictures' inputs at all scales, of the plain pass and of the mirrored one."""
    rows = []
    for index in range(golden.PICTURES):
        path = golden.draw(folder, index)
        for factors in ([1], [2, 1, 0.5]):
            for factor in factors:
                tensor = official_input(path, 512, factor, min(factors))
                rows.append(
                    {
                        "picture": index,
                        "factor": factor,
                        "smallest": min(factors),
                        "shape": list(tensor.shape),
                        "sha256": _sha256(tensor),
                        "sha256_flip": _sha256(tensor[:, :, ::-1]),
                    }
                )
    pixels = [_sha256(_pixels(golden.draw(folder, index))) for index in range(golden.PICTURES)]
    return {"version": transform.VERSION, "pixels": pixels, "rows": rows}


def figures(folder: Path) -> dict[str, Any]:
    """The ten figures that COCOeval gives, called as lib/dataset/COCODataset.py calls it."""
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    annotations = golden.annotate(folder)
    results = folder / "results.json"
    results.write_text(json.dumps(golden.results(annotations)))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), "keypoints")
        evaluation.params.useSegm = None
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ["AP", "Ap .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)"]
    return {name: float(value) for name, value in zip(names, evaluation.stats, strict=True)}


def people(_: Path) -> dict[str, Any]:
    """Hashes of the people of every case, decoded in both ways."""
    return {"version": decode.VERSION, **golden.people_hashes()}


def main() -> int:
    """Write the files named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    makers = {"inputs": inputs, "figures": figures, "people": people}
    parser.add_argument("names", nargs="+", choices=makers, metavar="NAME", help=", ".join(makers))
    for name in parser.parse_args().names:
        with tempfile.TemporaryDirectory() as folder:
            content = makers[name](Path(folder))
        before = golden.read(f"{name}.json")
        if before != content and before.get("version") == content.get("version"):
            print(f"error: {name}.json would change, but VERSION is still {content.get('version')}", file=sys.stderr)
            return 1
        (golden.GOLDEN / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
