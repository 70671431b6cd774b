"""TensorRT's trtexec: one engine for all input shapes, in float16, float32 or INT8, then a measurement of each shape.

No dumps: trtexec measures on random input. The guide's own line names an input ``image`` that does not exist, and
trtexec then times a shape that it chooses itself.

Until release 10 ``--fp16`` makes an engine of float16 from a float32 model. From 11 on trtexec has no flags of
precision: engines are strongly typed, so the model itself has to be of float16, and one is made beside the logs. Which
it is, its --help says.

Tuned, the engine has an optimisation profile for each shape, which takes TensorRT 9.1: its trtexec is the first that
takes several, each as --profile=N with its three shapes right after it, and that chooses one of an engine by
--useProfile=N. Older ones know neither flag.

A quantized .onnx says itself what is INT8: the engine is strongly typed, with no calibration cache. What stays is then
float32. TensorRT takes zero points of 0 alone: files that higherhrnet quantize made with --target tensorrt.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from higherhrnet.artifacts import atomic, engines, trtexec_log
from higherhrnet.backends.ascend import atc
from higherhrnet.backends.base import INT8
from higherhrnet.errors import UserError
from higherhrnet.model import onnx_graph, quantized
from higherhrnet.model.fingerprint import Seen
from higherhrnet.system import hardware, processes

NAME = "trtexec"
NAME_OF_TARGET = "tensorrt"
"""What higherhrnet quantize calls it."""


FLOAT16, FLOAT32 = PRECISIONS = ("float16", "float32")
"""Of a model that is not quantized; the first without a choice."""
_FP16, _NO_TF32, _TYPED = "--fp16", "--noTF32", "--stronglyTyped"
_NETWORK_ALONE = ("--useCudaGraph", "--useSpinWait", "--noDataTransfers")
"""As torch's sessions are timed: launches are not what a batch of one waits for, and nothing crosses the bus."""
_PROFILES = ("--profile", "--useProfile")
UNTIL_10 = frozenset({_FP16, _NO_TF32, _TYPED, *_NETWORK_ALONE, *_PROFILES})
"""Flags of releases 8 to 10 that not every one has."""


def known_flags() -> frozenset[str]:
    """The flags that the trtexec on PATH lists; UNTIL_10 where there is none, to print commands for elsewhere.

    Raises UserError: a trtexec that lists none.
    """
    if shutil.which(NAME) is None:
        return UNTIL_10
    with atomic.temporary_folder() as folder:
        outcome = processes.run(processes.Command((NAME, "--help")), log=folder / "help", timeout=_HELP_SECONDS)
    found = frozenset(re.findall(r"--[A-Za-z]\w*", outcome.text))
    if "--onnx" not in found:
        raise UserError(
            f"{NAME} --help {outcome.ending} and does not list its flags: {reason(outcome)}; see that it runs, and "
            f"that it is TensorRT's"
        )
    return found


_HELP_SECONDS = 120.0  # it loads CUDA's libraries


def reason(outcome: processes.Outcome) -> str:
    """The first errors that trtexec logged, which later ones follow from; its last lines where there is none."""
    errors = re.findall(r"\[E\] *(.*\w.*)", outcome.text)
    return " | ".join(line.strip()[:300] for line in errors[:3]) or outcome.last_lines()


def commands(
    model: Path,
    shapes: Sequence[tuple[int, int]],
    *,
    batch: int,
    device: int,
    folder: Path,
    precision: str | None = None,
    tuned: bool = False,
    known: Collection[str] = UNTIL_10,
    is_built: bool = False,
) -> list[tuple[processes.Command, Path]]:
    """A command per shape and where its log goes; the first builds the engine in ``folder``, unless it ``is_built``.

    ``known`` are trtexec's flags: it gets those of the timing that it has. Where it needs a float16 model for
    ``precision``, that is written into ``folder``.

    Shapes are (H, W). min and max bound each axis on its own, so that the range holds all shapes; the engine is tuned
    for the square one, the first, as the guide measures that first. ``tuned``, it has a profile for each instead.

    Raises
    ------
    UserError : an .onnx that cannot be read, not of this batch size, or quantized for CPUs; ``tuned`` where trtexec
        builds one profile alone
    """
    if tuned and not set(_PROFILES) <= set(known):
        raise UserError(
            f"--tune: this {NAME} lists no {' and '.join(_PROFILES)}, which TensorRT 9.1 and newer have; omit the flag"
        )
    name = atc.input_name(onnx_graph.read(model), batch, model)
    chosen = precision_of(model, precision)
    typing = {INT8: _TYPED, FLOAT16: _FP16, FLOAT32: _NO_TF32}[chosen]
    source = model
    if chosen == FLOAT16 and _FP16 not in known:
        from higherhrnet.model import half  # noqa: PLC0415  # needs onnx and onnxruntime, which older ones do not

        source = folder / f"{model.stem}_float16.onnx"
        half.write(model, source, flag="--save")

    def dims(height: int, width: int) -> str:
        return f"{name}:{batch}x3x{height}x{width}"

    engine = engine_path(model, batch, folder, tuned=tuned)
    build = [f"--onnx={source}", *[typing] * (typing in known)]
    if tuned:
        for i, shape in enumerate(shapes):
            build += [f"--profile={i}", *_profile(dims, shape, shape, shape)]
    else:
        heights, widths = zip(*shapes, strict=True)
        build += _profile(dims, (min(heights), min(widths)), shapes[0], (max(heights), max(widths)))
    result = []
    for i, shape in enumerate(shapes):
        origin = [f"--loadEngine={engine}"] if i or is_built else [*build, f"--saveEngine={engine}"]
        timing = [flag for flag in _NETWORK_ALONE if flag in known]
        chosen_profile = [f"--useProfile={i}"] * tuned
        arguments = (NAME, *origin, *chosen_profile, f"--shapes={dims(*shape)}", f"--device={device}", *timing)
        result.append((processes.Command(arguments), trtexec_log.path(folder, batch, device, shape)))
    return result


def _profile(dims: Callable[[int, int], str], *shapes: tuple[int, int]) -> list[str]:
    """The flags of a profile's three shapes (H, W): the least, what it is tuned for, and the largest."""
    names = ("min", "opt", "max")
    return [f"--{name}Shapes={dims(*shape)}" for name, shape in zip(names, shapes, strict=True)]


def engine_path(model: Path, batch: int, folder: Path, *, tuned: bool = False) -> Path:
    """Where a model's engine is kept."""
    return folder / f"{model.stem}_batchsize_{batch}{'_tuned' * tuned}.engine"


def _made_of(
    model: Seen,
    shapes: Sequence[tuple[int, int]],
    device: int,
    precision: str | None,
    known: Collection[str],
    *,
    tuned: bool,
) -> dict[str, object]:
    """What an engine depends on: another is built where any of it differs."""
    tool = Path(shutil.which(NAME) or NAME).resolve()
    stat = tool.stat()
    return {
        "model": model.sha256,
        "precision": precision_of(model.model, precision),
        "shapes": [f"{height}x{width}" for height, width in shapes],
        "tool": [str(tool), stat.st_size, stat.st_mtime_ns, sorted(known)],
        "gpu": [hardware.nvidia(device), device],
        "profiles": len(shapes) if tuned else 1,
    }


def precision_of(model: Path, wanted: str | None = None) -> str:
    """What an engine of a model computes in. Raises UserError for one that TensorRT does not take."""
    found = quantized.read(model)
    if found is None:
        if wanted not in {None, *PRECISIONS}:
            raise UserError(f"--precision {wanted} is not for {NAME}, which builds {' or '.join(PRECISIONS)} engines")
        return wanted or PRECISIONS[0]
    if wanted not in {None, INT8}:
        raise UserError(f"--precision {wanted}: model {model} is in INT8, and says so itself; omit the flag")
    if found.work is not None and found.work.target != NAME_OF_TARGET:
        raise UserError(
            f"model {model} is quantized for {found.work.target}, with zero points that TensorRT does not take; make "
            f"another with higherhrnet quantize --target {NAME_OF_TARGET}"
        )
    return INT8


def run(
    found: Seen,
    shapes: Sequence[tuple[int, int]],
    *,
    batch: int,
    device: int,
    folder: Path,
    precision: str | None = None,
    tuned: bool = False,
    timeout: float | None = None,
    anew: bool = False,
    begins: Callable[[tuple[int, int]], object] = lambda _: None,
    done: Callable[[tuple[int, int]], object] = lambda _: None,
) -> None:
    """Measure all shapes with a model; the logs stay in ``folder``, where artifacts.perf reads them.

    The engine stays there too, and is taken again where it was built of the same by the same, unless ``anew``.
    ``begins`` is called before a shape's log is written, ``done`` after.

    Raises UserError: trtexec is not on PATH, or a run that failed or measured something else.
    """
    if shutil.which(NAME) is None:
        raise UserError(
            f"{NAME} is not on PATH; install TensorRT or add its bin folder, or see the commands with --print_commands "
            f"and bring the logs here"
        )
    known = known_flags()
    model = found.model
    engine = engine_path(model, batch, folder, tuned=tuned)
    made = _made_of(found, shapes, device, precision, known, tuned=tuned)
    is_built = not anew and engines.is_of(engine, made)
    lines = commands(
        model,
        shapes,
        batch=batch,
        device=device,
        folder=folder,
        precision=precision,
        tuned=tuned,
        known=known,
        is_built=is_built,
    )
    for (command, log), shape in zip(lines, shapes, strict=True):
        begins(shape)
        if not is_built:
            engines.forget(engine)
        outcome = processes.run(command, log=log, timeout=timeout)
        if outcome.status != 0:
            raise UserError(
                f"{NAME} {outcome.ending} at shape {shape[0]}x{shape[1]}; {reason(outcome)}; all its lines: {log}"
            )
        if not is_built:
            found.check(f"{NAME} built an engine of it")
            engines.keep(engine, made)
            is_built = True
        trtexec_log.parse(log.read_text(encoding="utf-8", errors="replace"), log)
        done(shape)
