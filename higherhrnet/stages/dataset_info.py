"""Stage 2: lists of inputs for the benchmark tool."""

from __future__ import annotations

from pathlib import Path

import cv2
from tqdm import tqdm

from higherhrnet.artifacts import atomic, claim, info, inputs, outputs
from higherhrnet.artifacts.work import InputsWork
from higherhrnet.dataset.shards import ALL, Shard, of_part
from higherhrnet.errors import UserError
from higherhrnet.image import reader

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def list_inputs(tree: Path, name: str, shard: Shard = ALL, *, overwrite: bool = False) -> list[Path]:
    """Write NAME.info and NAME_{H}x{W}.info for a tree of inputs, in index order; return the paths written.

    Of a ``shard`` only, where one is given: the tree may be of all images or of that shard.

    Raises UserError: a missing, empty or unfinished tree, or a file of the wrong size.
    """
    made = claim.read(tree, InputsWork)
    if made is not None and not made.complete:
        raise UserError(f"input tree {tree} is unfinished; run HigherHRNet_preprocess.py again, it resumes")
    found = inputs.find(tree, inputs.FLOAT32 if made is None else made.work.dtype)
    if made is not None:
        part = Shard.parse(made.work.shard)
        of_part(shard, part, f"input tree {tree} is of shard {part}, not {shard}; list it with --shard {part}")
        expected = sum(map(part.holds, range(made.work.images))) - len(made.facts.left_out)
        if len(found) != expected:
            raise UserError(
                f"input tree {tree} holds {len(found)} inputs, its record says {expected}; "
                f"run HigherHRNet_preprocess.py again"
            )
    found = shard.select(found)
    if not found:
        raise UserError(f"input tree {tree} holds no inputs of shard {shard}; there are fewer images than shards")
    entries = [info.Entry(item.path, width=item.shape[1], height=item.shape[0]) for item in found]
    return _write(name, entries, by_shape=True, overwrite=overwrite)


def _write(name: str, entries: list[info.Entry], *, by_shape: bool, overwrite: bool) -> list[Path]:
    listed = [entry.path for entry in entries]
    written = {info.path(name, shape) for shape in [None, *(entry.shape for entry in entries if by_shape)]}
    for file in sorted(written.union(info.of_shapes(name).values())):  # those of other shapes are removed
        outputs.check(file, "NAME", ours=outputs.is_list, inputs=listed, overwrite=overwrite)
    made = info.write_all(name, entries, by_shape=by_shape)
    atomic.remove_partials_of(*made)
    return made


def not_listed(folder: Path) -> list[str]:
    """Names in a folder that ``list_images`` passes over: other kinds of files, and folders."""
    return sorted(path.name for path in folder.iterdir() if not _is_listed(path))


def _is_listed(path: Path) -> bool:
    return path.suffix.lower() in _IMAGE_SUFFIXES and not path.is_dir()


def list_images(folder: Path, name: str, shard: Shard = ALL, *, overwrite: bool = False) -> list[Path]:
    """Write NAME.info for a folder of images (of a ``shard``), by file name; return the path written, in a list.

    Raises UserError: a missing folder, one without images, or a file that does not decode.
    """
    if not folder.is_dir():
        raise UserError(f"image folder {folder} does not exist; give the folder of the .jpg files")
    files = sorted(filter(_is_listed, folder.iterdir()))
    files = [file for index, file in enumerate(files) if shard.holds(index)]
    if not files:
        raise UserError(f"image folder {folder} holds no .jpg, .jpeg or .png files; give the folder of the images")
    cv2.setNumThreads(1)
    entries = []
    for file in tqdm(files, desc="images", unit="image", disable=None):
        height, width = reader.read_image(file).shape[:2]
        entries.append(info.Entry(file, width=width, height=height))
    return _write(name, entries, by_shape=False, overwrite=overwrite)
