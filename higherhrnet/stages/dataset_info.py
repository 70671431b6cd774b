"""Stage 2: lists of inputs for the benchmark tool."""

from __future__ import annotations

from pathlib import Path

import cv2
from tqdm import tqdm

from higherhrnet import preprocess
from higherhrnet.errors import UserError
from higherhrnet.files import info, inputs, record

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def list_inputs(tree: Path, name: str) -> list[Path]:
    """Write NAME.info and NAME_{H}x{W}.info for a tree of inputs, in index order; return the paths written.

    Raises
    ------
    UserError : a missing, empty or unfinished tree, or a file of the wrong size
    """
    made = record.read(tree, record.InputsRecord)
    if made is not None and not made.complete:
        raise UserError(f"input tree {tree} is unfinished; run HigherHRNet_preprocess.py again, it goes on by itself")
    found = inputs.find(tree, inputs.FLOAT32 if made is None else made.dtype)
    if made is not None and len(found) != made.images:
        raise UserError(
            f"input tree {tree} holds {len(found)} inputs, its record says {made.images}; "
            f"run HigherHRNet_preprocess.py again"
        )
    entries = [info.Entry(item.path, width=item.shape[1], height=item.shape[0]) for item in found]
    return info.write_all(name, entries, by_shape=True)


def list_images(folder: Path, name: str) -> list[Path]:
    """Write NAME.info for a folder of images, by file name; return the path written, in a list.

    Raises
    ------
    UserError : a missing folder, one without images, or a file that does not decode
    """
    if not folder.is_dir():
        raise UserError(f"image folder {folder} does not exist; give the folder of the .jpg files")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in _IMAGE_SUFFIXES)
    if not files:
        raise UserError(f"image folder {folder} holds no .jpg, .jpeg or .png files; give the folder of the images")
    cv2.setNumThreads(1)
    entries = []
    for file in tqdm(files, desc="images", unit="image", disable=None):
        height, width = preprocess.read_image(file).shape[:2]
        entries.append(info.Entry(file, width=width, height=height))
    return info.write_all(name, entries, by_shape=False)
