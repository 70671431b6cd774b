"""TensorRT's trtexec: one engine for all input shapes, in float16, float32 or INT8, then a measurement of each shape.

No dumps: trtexec measures on random input. The guide's own line names an input ``image`` that does not exist, and
trtexec then times a shape that it chooses itself.

Until release 10 ``--fp16`` makes an engine of float16 from a float32 model. From 11 on trtexec has no flags of
precision: engines are strongly typed, so the model itself has to be of float16, and one is made beside the logs. Which
it is, its --help says.

A quantized .onnx says itself what is INT8: the engine is strongly typed, with no calibration cache. What stays is then
float32. TensorRT takes zero points of 0 alone: files that higherhrnet quantize made with --target tensorrt.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from higherhrnet.artifacts import engines, trtexec_log
from higherhrnet.backends.ascend import atc
from higherhrnet.backends.base import INT8
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, onnx_graph, quantized
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
UNTIL_10 = frozenset({_FP16, _NO_TF32, _TYPED, *_NETWORK_ALONE})
"""Flags of releases 8 to 10 that not every one has."""


def known_flags() -> frozenset[str]:
    """The flags that the trtexec on PATH lists; UNTIL_10 where there is none, to print commands for elsewhere.

    Raises UserError: a trtexec that lists none.
    """
    if shutil.which(NAME) is None:
        return UNTIL_10
    with tempfile.TemporaryDirectory() as folder:
        outcome = processes.run(processes.Command((NAME, "--help")), log=Path(folder, "help"), timeout=_HELP_SECONDS)
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
    known: Collection[str] = UNTIL_10,
    is_built: bool = False,
) -> list[tuple[processes.Command, Path]]:
    """A command per shape and where its log goes; the first builds the engine in ``folder``, unless it ``is_built``.

    ``known`` are trtexec's flags: it gets those of the timing that it has. Where it needs a float16 model for
    ``precision``, that is written into ``folder``.

    Shapes are (H, W). min and max bound each axis on its own, so that the range holds all shapes; the engine is tuned
    for the square one, the first, as the guide measures that first.

    Raises
    ------
    UserError : an .onnx that cannot be read, not of this batch size, or quantized for CPUs
    """
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

    heights, widths = zip(*shapes, strict=True)
    engine = engine_path(model, batch, folder)
    profile = {
        "minShapes": dims(min(heights), min(widths)),
        "optShapes": dims(*shapes[0]),
        "maxShapes": dims(max(heights), max(widths)),
    }
    build = [f"--onnx={source}", *[typing] * (typing in known)]
    build += [f"--{key}={value}" for key, value in profile.items()]
    result = []
    for i, shape in enumerate(shapes):
        origin = [f"--loadEngine={engine}"] if i or is_built else [*build, f"--saveEngine={engine}"]
        timing = [flag for flag in _NETWORK_ALONE if flag in known]
        arguments = (NAME, *origin, f"--shapes={dims(*shape)}", f"--device={device}", *timing)
        result.append((processes.Command(arguments), trtexec_log.path(folder, batch, device, shape)))
    return result


def engine_path(model: Path, batch: int, folder: Path) -> Path:
    """Where a model's engine is kept."""
    return folder / f"{model.stem}_batchsize_{batch}.engine"


def _made_of(
    model: Seen, shapes: Sequence[tuple[int, int]], device: int, precision: str | None, known: Collection[str]
) -> dict[str, object]:
    """What an engine depends on: another is built where any of it differs."""
    tool = Path(shutil.which(NAME) or NAME).resolve()
    stat = tool.stat()
    return {
        "model": model.sha256,
        "precision": precision_of(model.model, precision),
        "shapes": [f"{height}x{width}" for height, width in shapes],
        "tool": [str(tool), stat.st_size, stat.st_mtime_ns, sorted(known)],
        "gpu": [hardware.nvidia(), device],
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
    model: Path,
    shapes: Sequence[tuple[int, int]],
    *,
    batch: int,
    device: int,
    folder: Path,
    precision: str | None = None,
    timeout: float | None = None,
    anew: bool = False,
    begins: Callable[[tuple[int, int]], object] = lambda _: None,
    done: Callable[[tuple[int, int]], object] = lambda _: None,
) -> None:
    """Measure all shapes; the logs stay in ``folder``, where artifacts.perf reads them.

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
    found = fingerprint.see(model)
    engine, made = engine_path(model, batch, folder), _made_of(found, shapes, device, precision, known)
    is_built = not anew and engines.is_of(engine, made)
    lines = commands(
        model,
        shapes,
        batch=batch,
        device=device,
        folder=folder,
        precision=precision,
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
