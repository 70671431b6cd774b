"""Choosing and making a backend."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.ascend import chip
from higherhrnet.backends import Backend, ais_bench, cann_benchmark, external
from higherhrnet.backends.in_process import InProcess
from higherhrnet.errors import UserError
from higherhrnet.files import dumps

ONNXRUNTIME = "onnxruntime"
TORCH = "torch"
AIS_BENCH = ais_bench.NAME
BENCHMARK = cann_benchmark.NAME
BACKENDS = ("auto", BENCHMARK, AIS_BENCH, ONNXRUNTIME, TORCH)
ON_ASCEND = frozenset({BENCHMARK, AIS_BENCH})
"""Backends that run an .om."""


@dataclass(frozen=True)
class Choice:
    """A backend's name and, in a few words, why."""

    name: str
    why: str


def choose(requested: str, *, om: bool, benchmark_path: Path | None = None) -> Choice:
    """The backend to use; with 'auto' the first of benchmark, ais_bench and onnxruntime that could work here.

    Parameters
    ----------
    om : whether there is an .om of the model
    benchmark_path : where the benchmark tool is, if not in the current folder

    Raises
    ------
    UserError : 'auto' where none could, or where ``benchmark_path`` names nothing
    """
    if requested != "auto":
        return Choice(requested, "requested")
    tool = cann_benchmark.find(benchmark_path) if benchmark_path is None else cann_benchmark.require(benchmark_path)
    has_ais_bench = _is_installed(AIS_BENCH)
    ascend = "npu-smi is here" if chip.is_present() else "an .om is here" if om else ""
    if ascend and tool:
        return Choice(BENCHMARK, f"{ascend}, and {tool}")
    if ascend and has_ais_bench:
        return Choice(AIS_BENCH, f"{ascend}, ais_bench is installed, {cann_benchmark.file_name()} is not here")
    if _is_installed(ONNXRUNTIME):
        if ascend:
            return Choice(ONNXRUNTIME, f"{ascend}, but neither {cann_benchmark.file_name()} nor ais_bench is")
        return Choice(ONNXRUNTIME, "neither npu-smi nor an .om is here")
    raise UserError(
        f"nothing here can run the network: found no onnxruntime, and {ascend or 'neither npu-smi nor an .om'}; put "
        f"{cann_benchmark.file_name()} into the current folder, or install ais_bench or onnxruntime"
    )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def onnxruntime(
    model: Path,
    *,
    batch: int,
    threads: int,
    providers: Sequence[str] = (),
    device: int = 0,
    done: Callable[[int], object] = lambda _: None,
) -> InProcess:
    """ONNX Runtime on ``model`` .onnx. It is imported here: no other backend needs it."""
    if not _is_installed(ONNXRUNTIME):
        raise UserError("onnxruntime is not installed; pip install onnxruntime, or choose another --backend")
    from higherhrnet.backends.onnxruntime import OnnxRuntime  # noqa: PLC0415

    return OnnxRuntime(model, batch=batch, threads=threads, provider_names=providers, device=device, done=done)


def in_process(
    name: str,
    model: Path,
    extra: Mapping,
    *,
    heads: dumps.Heads,
    batch: int,
    threads: int = 0,
    providers: Sequence[str] = (),
    precision: str | None = None,
    device: int = 0,
    done: Callable[[int], object] = lambda _: None,
) -> InProcess:
    """ONNX Runtime on an .onnx, or PyTorch on a checkpoint of the network that MODEL.EXTRA, ``extra``, describes.

    Raises
    ------
    UserError : a library that is not installed, an option of the other one, or what the backend says of ``model``
    """
    if name == ONNXRUNTIME:
        if precision is not None:
            raise UserError("--precision is for --backend torch; an .onnx computes in what it was exported in")
        return onnxruntime(model, batch=batch, threads=threads, providers=providers, device=device, done=done)
    if providers:
        raise UserError("--providers is for --backend onnxruntime; torch takes CUDA where it is there")
    if not _is_installed(TORCH):
        raise UserError("torch is not installed; pip install torch, or choose another --backend")
    from higherhrnet.backends.torch import Torch  # noqa: PLC0415
    from higherhrnet.network import Architecture  # noqa: PLC0415

    architecture = Architecture.from_extra(extra, joints=heads.joints, tag_per_joint=heads.tags == heads.joints)
    return Torch(model, architecture, batch=batch, precision=precision, device=device, threads=threads, done=done)


def on_ascend(
    name: str, setting: external.Setting, *, benchmark_path: Path | None, dynamic_dims: bool, must_run: bool
) -> Backend:
    """The benchmark tool or ais_bench on an .om.

    Raises UserError where the tool is not there and ``must_run``; its commands can be printed all the same.
    """
    if name == BENCHMARK:
        if dynamic_dims:
            raise UserError("--dynamic dims goes with --backend ais_bench: the benchmark tool has no option for it")
        tool = cann_benchmark.find(benchmark_path)
        if tool is not None or must_run:
            tool = cann_benchmark.require(benchmark_path)
        return cann_benchmark.CannBenchmark(setting, tool or benchmark_path or Path(cann_benchmark.file_name()))
    if must_run and not _is_installed(AIS_BENCH):
        raise UserError("ais_bench is not installed for this python3; install its wheels (aclruntime and ais_bench)")
    return ais_bench.AisBench(setting, dynamic_dims=dynamic_dims)
