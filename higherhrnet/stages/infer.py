"""Stage 4: inputs to dumps and performance figures, shape by shape, with one of the backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from higherhrnet.backends import Backend, Work
from higherhrnet.errors import UserError
from higherhrnet.files import atomic, dumps, info, inputs, perf, record


@dataclass(frozen=True)
class Group:
    """The inputs of one shape (H, W), plain or flipped, as an .info file lists them."""

    shape: tuple[int, int]
    info_file: Path
    entries: tuple[info.Entry, ...]


@dataclass(frozen=True)
class Pass:
    """One run over all inputs: plain or flipped."""

    groups: tuple[Group, ...]
    record: record.InputsRecord | None
    """What made the inputs, None where nothing says so."""
    flip: bool

    @property
    def indices(self) -> list[int]:
        """Image indices, ascending."""
        return sorted(inputs.index_of(entry.path) for group in self.groups for entry in group.entries)


@dataclass(frozen=True)
class Summary:
    """What a run of the stage did."""

    images: int
    skipped: int
    """Images whose dumps, plain or flipped, were there already."""
    afresh: list[str]
    """Dump directories whose old content, of another model or data set, was removed."""
    directories: tuple[Path, Path]


def load(name: str, *, flip: bool) -> Pass:
    """Read all NAME_{H}x{W}.info files and check every input's size.

    Raises
    ------
    UserError : no such files, a wrong line, a file of the wrong size or in two lists
    """
    groups = []
    for shape, file in info.of_shapes(name).items():
        entries = tuple(info.read(file))
        for entry in entries:
            if entry.shape != shape:
                raise UserError(
                    f"{file}: {entry.path} is listed as {entry.height}x{entry.width}, expected {shape[0]}x{shape[1]} "
                    f"(lines end in width, then height); run gen_dataset_info.py again"
                )
            inputs.check_size(entry.path, shape)
        groups.append(Group(shape, file, entries))
    if not groups:
        raise UserError(f"found no {name}_HxW.info files; run gen_dataset_info.py bin DIR {name}")
    tree = groups[0].entries[0].path.parent.parent
    loaded = Pass(tuple(groups), record.read(tree, record.InputsRecord), flip)
    if len(set(loaded.indices)) != len(loaded.indices):
        raise UserError(f"{name}_HxW.info name an image twice; run gen_dataset_info.py bin DIR {name} again")
    if loaded.record is not None and loaded.record.flip != flip:
        which = "flipped" if loaded.record.flip else "plain"
        raise UserError(f"{name}_HxW.info list the {which} inputs of {tree}; exchange --info and --info_flip")
    return loaded


def check_pair(plain: Pass, flip: Pass) -> None:
    """Raise UserError unless both passes are over the same images in the same shapes."""
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


def dump_directory(result: Path, batch: int, device: int, *, flip: bool) -> Path:
    """The guide's name: RESULT/dumpOutput_device{D}_bs{N}, with _flip for the flipped pass."""
    return result / f"dumpOutput_device{device}_bs{batch}{'_flip' if flip else ''}"


def run(
    backend: Backend,
    passes: Sequence[Pass],
    *,
    model: Path,
    result: Path,
    joints: int,
    overwrite: bool = False,
    skipped: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Run the backend over every shape of each pass, plain first.

    Shapes are run in the order of their .info files. Dumps that are there, made by the same model from the same
    inputs, are kept; those of another model or data set are removed first. The performance file of a shape is the
    plain pass's: the flipped one does the same work.

    Parameters
    ----------
    joints : K of the network, which sizes the dumps
    skipped : called with the number of images whose dumps were there already

    Raises
    ------
    UserError : what the backend says, foreign files in a dump directory, or dumps missing after the run
    """
    model_hash = atomic.sha256(model)
    afresh, kept = [], 0
    directories = []
    for current in passes:
        directory = dump_directory(result, backend.batch, backend.device, flip=current.flip)
        directories.append(directory)
        wanted = record.DumpsRecord(
            inputs=None if current.record is None else vars(current.record),
            indices=current.indices,
            model=model_hash,
            backend=backend.name,
            batch=backend.batch,
            flip=current.flip,
        )
        if _open_directory(directory, wanted, overwrite=overwrite):
            afresh.append(str(directory))
        for group in current.groups:
            todo = [entry for entry in group.entries if _missing(directory, entry, joints)]
            kept += len(group.entries) - len(todo)
            skipped(len(group.entries) - len(todo))
            if not todo:
                continue
            text = backend.run(Work(group.shape, group.info_file, todo, directory))
            if not current.flip:
                atomic.write_text(perf.path(result, backend.batch, backend.device, group.shape), text)
            for entry in todo:
                if problem := _missing(directory, entry, joints):
                    raise UserError(f"{backend.name} left {problem} after shape {group.shape[0]}x{group.shape[1]}")
        record.write(directory, replace(wanted, complete=True))
    plain, flip = directories
    return Summary(len(passes[0].indices), kept, afresh, (plain, flip))


def _missing(directory: Path, entry: info.Entry, joints: int) -> str | None:
    files = dumps.BENCHMARK.paths(directory, inputs.index_of(entry.path))
    return dumps.missing(files, dumps.output_shapes(entry.shape, joints))


def _open_directory(directory: Path, wanted: record.DumpsRecord, *, overwrite: bool) -> bool:
    """Make the dump directory ready; return whether dumps of other work were removed from it."""
    atomic.make_directory(directory)
    present = record.read(directory, record.DumpsRecord)
    stale = [file for file in directory.iterdir() if dumps.is_dump(file)]
    if stale and present is None and not overwrite:
        raise UserError(
            f"{directory} already holds {len(stale)} dumps that this program did not make; move them away, or give "
            f"--overwrite to replace them"
        )
    removed = bool(stale) and (overwrite or not record.same_work(present, wanted))
    if removed:
        for file in stale:
            file.unlink()
    atomic.remove_partials([directory])
    record.write(directory, wanted)
    return removed
