"""What code made a file: fingerprints for the records, so that results of two versions never mix."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2

_PACKAGE = Path(__file__).resolve().parent
_INPUTS = ("geometry.py", "preprocess.py")
_PEOPLE = ("geometry.py", "joints.py", "coco.py", "scales.py", "decode")


def inputs_code() -> str:
    """Of all that decides the bytes of network inputs: the sources from image to input, and OpenCV's version."""
    return f"{_digest(_INPUTS)} opencv {cv2.__version__}"


def people_code() -> str:
    """Of all that decides people, given dumps: the sources from maps to results entries."""
    return _digest(_PEOPLE)


def _digest(names: tuple[str, ...]) -> str:
    """SHA-256, shortened, over the sources of modules and packages."""
    digest = hashlib.sha256()
    for name in names:
        place = _PACKAGE / name
        for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
