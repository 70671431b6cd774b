"""The inputs to run, as .info files list them or a flat tree holds them: a group per shape, plain and flipped."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from higherhrnet.artifacts import claim, info, inputs, models, seen
from higherhrnet.artifacts.journal import pictures_of
from higherhrnet.artifacts.pictures import digest
from higherhrnet.artifacts.seen import Stamp
from higherhrnet.artifacts.work import Inputs, InputsWork, differences
from higherhrnet.dataset.shards import ALL, Shard, of_part
from higherhrnet.errors import UserError
from higherhrnet.image import geometry


@dataclass(frozen=True)
class Group:
    """The inputs of one shape (H, W), plain or flipped."""

    shape: tuple[int, int]
    source: Path
    """The .info file that lists them, or the flat tree."""
    entries: tuple[info.Entry, ...]


@dataclass(frozen=True)
class Pass:
    """One run over all inputs: plain or flipped."""

    groups: tuple[Group, ...]
    made: Inputs | None
    """What the inputs are of, None where nothing says so."""
    flip: bool
    shard: Shard = ALL
    pictures: Mapping[int, str] = field(default_factory=dict)
    """SHA-256 of the pictures, by index; of none where nothing says so."""
    stamps: Mapping[Path, Stamp] = field(default_factory=dict)
    """Of the inputs, from before any of them was read."""

    @property
    def dtype(self) -> str:
        """Of the inputs; float32 where nothing says so."""
        return inputs.FLOAT32 if self.made is None else self.made.work.dtype

    @property
    def indices(self) -> list[int]:
        """Image indices, ascending."""
        return sorted(inputs.index_of(entry.path) for group in self.groups for entry in group.entries)


def load(name: str, *, flip: bool, shard: Shard = ALL, layout: str = inputs.FOLDERS) -> Pass:
    """Read all NAME_{H}x{W}.info files, or the flat tree NAME, check every input's size and keep those of ``shard``.

    Without a shard, inputs that are themselves of one are taken as that.

    Raises UserError: no such files, a wrong line, a file of the wrong size or in two lists.
    """
    if layout == inputs.FLAT:
        return _load_flat(Path(name), flip=flip, shard=shard)
    groups: list[Group] = []
    tree = Path()
    made, dtype = None, inputs.FLOAT32
    stamps: dict[Path, Stamp] = {}
    lists = info.of_shapes(name)
    for shape, file in lists.items():
        if any(side % geometry.SMALLEST_STEP for side in shape):
            raise UserError(
                f"{file} is a list of shape {shape[0]}x{shape[1]}, expected multiples of "
                f"{geometry.SMALLEST_STEP}; remove it"
            )
        if file.stat().st_size == 0:  # as the guide's original lists shapes without images
            continue
        entries = tuple(info.read(file))
        if not groups:
            tree = _tree_of(entries[0])
            made = made_of(tree)
            dtype = dtype if made is None else made.work.dtype
            shard = _shard(shard, made, f"that {name}_HxW.info list")
        entries = tuple(entry for entry in entries if shard.holds(inputs.index_of(entry.path)))
        for entry in entries:
            if entry.shape != shape:
                raise UserError(
                    f"{file}: {entry.path} is listed as {entry.height}x{entry.width}, expected {shape[0]}x{shape[1]} "
                    f"(lines end in width, then height); run gen_dataset_info.py again"
                )
            stamps[entry.path] = inputs.check_size(entry.path, shape, dtype)
        if entries:
            groups.append(Group(shape, file, entries))
    if not groups:
        raise UserError(_nothing(name, lists.values(), shard))
    _check_one_tree(name, groups, tree)
    loaded = Pass(tuple(groups), made, flip, shard, stamps=stamps)
    indices = loaded.indices
    if len(set(indices)) != len(indices):
        raise UserError(f"{name}_HxW.info name an image twice; run gen_dataset_info.py bin DIR {name} again")
    return _of_tree(loaded, tree, f"{name}_HxW.info list")


def _tree_of(entry: info.Entry) -> Path:
    """The tree of inputs, in folders by shape, that an entry of a list is of."""
    return entry.path.parent.parent


def _check_one_tree(name: str, groups: Sequence[Group], tree: Path) -> None:
    """Refuse lists that name inputs of several trees: the first one's record would be taken for all."""
    others = {_tree_of(entry) for group in groups for entry in group.entries} - {tree}
    for other in sorted(others):
        if os.path.realpath(other) != os.path.realpath(tree):
            raise UserError(
                f"{name}_HxW.info name inputs of two trees, {tree} and {other}; list one with gen_dataset_info.py bin "
                f"DIR {name}"
            )


def _load_flat(tree: Path, *, flip: bool, shard: Shard) -> Pass:
    """The inputs of ``shard`` in a flat tree."""
    files = inputs.flat_files(tree) if tree.is_dir() else []
    if not files:
        raise UserError(
            f"found no inputs such as {inputs.flat_path(tree, 0)}; run HigherHRNet_preprocess.py --layout flat, and "
            f"name its trees with --info and --info_flip"
        )
    made = made_of(tree)
    dtype = inputs.FLOAT32 if made is None else made.work.dtype
    shard = _shard(shard, made, f"in {tree}")
    by_shape: dict[inputs.Shape, list[info.Entry]] = {}
    for file in files:
        if shard.holds(inputs.index_of(file)):
            height, width = shape = inputs.check_flat(file, dtype)
            by_shape.setdefault(shape, []).append(info.Entry(file, width, height))
    if not by_shape:
        raise UserError(f"{tree} holds no images of shard {shard}; preprocess with --shard {shard}, or without")
    groups = tuple(Group(shape, tree, tuple(entries)) for shape, entries in sorted(by_shape.items()))
    stamps = seen.look(entry.path for group in groups for entry in group.entries)
    return _of_tree(Pass(groups, made, flip, shard, stamps=stamps), tree, f"{tree} holds")


def _shard(shard: Shard, made: Inputs | None, which: str) -> Shard:
    """The part to run: the inputs' own where none was given."""
    part = ALL if made is None else Shard.parse(made.work.shard)
    return of_part(shard, part, f"the inputs {which} are of shard {part}, not {shard}; give --shard {part}")


def _of_tree(loaded: Pass, tree: Path, subject: str) -> Pass:
    """A pass with what its tree knows of it; ``subject`` and its verb begin the error."""
    made, shard, indices = loaded.made, loaded.shard, loaded.indices
    if made is None:
        return loaded
    if made.work.flip != loaded.flip:
        which = "flipped" if made.work.flip else "plain"
        raise UserError(f"{subject} {which} inputs; exchange --info and --info_flip")
    known = {index: picture.sha256 for index, picture in pictures_of(tree / inputs.PICTURES).items()}
    if made_of(tree) != made:  # what the record said before the files were looked at may be of others
        raise UserError(f"input tree {tree} was made again while this program looked at it; run this again")
    pictures = {index: known[index] for index in indices if index in known}
    return replace(loaded, made=_part(made, pictures, indices, shard), pictures=pictures)


def _nothing(name: str, lists: Collection[Path], shard: Shard) -> str:
    """Why lists name no inputs."""
    if not lists and Path(name).is_dir() and inputs.flat_files(Path(name)):
        return f"found no {name}_HxW.info files; {name} is a flat tree, which --layout flat reads"
    if not lists:
        return f"found no {name}_HxW.info files; run gen_dataset_info.py bin DIR {name}"
    if all(file.stat().st_size == 0 for file in lists):
        return f"all {len(lists)} {name}_HxW.info are empty; run gen_dataset_info.py bin DIR {name} again"
    return f"{name}_HxW.info name no images of shard {shard}; list them with --shard {shard}, or without"


def made_of(tree: Path) -> Inputs | None:
    """What a tree of inputs is of, None where nothing says so. Raises UserError for an unfinished one."""
    record = claim.read(tree, InputsWork)
    if record is None:
        return None
    if not record.complete:
        raise UserError(f"input tree {tree} is unfinished; run HigherHRNet_preprocess.py again, it resumes")
    return Inputs(record.work, record.facts.pictures, record.facts.left_out)


def _part(made: Inputs, known: Mapping[int, str], indices: Sequence[int], shard: Shard) -> Inputs:
    """What some of a tree's inputs are of."""
    pictures = digest((i, known[i]) for i in indices) if known.keys() >= set(indices) else ""
    return Inputs(made.work, pictures, [index for index in made.left_out if shard.holds(index)])


def check_pair(plain: Pass, flip: Pass) -> None:
    """Raise UserError unless both passes are over the same images in the same shapes and form."""
    if plain.dtype != flip.dtype:
        raise UserError(
            f"the plain inputs are {plain.dtype}, the flipped ones {flip.dtype}; preprocess both in one run"
        )
    if models.same_file(*(current.groups[0].entries[0].path for current in (plain, flip))):
        raise UserError(
            f"{plain.groups[0].source} and {flip.groups[0].source} name the same inputs; list the mirrored ones with "
            f"gen_dataset_info.py"
        )
    for a, b in ((plain, flip), (flip, plain)):
        shapes = {inputs.index_of(e.path): g.shape for g in b.groups for e in g.entries}
        for group in a.groups:
            for entry in group.entries:
                if shapes.get(inputs.index_of(entry.path)) != group.shape:
                    raise UserError(
                        f"{entry.path} has no counterpart of shape {group.shape[0]}x{group.shape[1]} in the "
                        f"{'flipped' if b.flip else 'plain'} lists; preprocess again, then list both trees with "
                        f"gen_dataset_info.py"
                    )
    if (plain.made is None) != (flip.made is None):
        without = flip if flip.made is None else plain
        raise UserError(
            f"the plain and the flipped inputs are of other work: nothing says what those that "
            f"{without.groups[0].source} names are of; preprocess both in one run"
        )
    if plain.made is not None and flip.made is not None:
        check_mirrored(plain.made, flip.made)


def check_mirrored(plain: Inputs, flip: Inputs) -> None:
    """Raise UserError unless one tree's inputs are the other's, mirrored."""
    if different := differences(flip, replace(plain, work=replace(plain.work, flip=True))):
        raise UserError(
            f"the flipped inputs are of other work than the plain ones: {claim.reasons(different)}; preprocess both in "
            f"one run"
        )
