"""Backends by their names; a library is imported when its backend is made, since no other needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from higherhrnet.artifacts import dumps
from higherhrnet.backends import external
from higherhrnet.backends.ascend import ais_bench, cann_benchmark, session
from higherhrnet.backends.base import AUTO, CPU, CUDA, DEVICES, INT8, NPU, Backend
from higherhrnet.backends.choices import ASCEND, BENCHMARK, DECODERS, DEVICE, HOST, ONNXRUNTIME, OPENVINO, TORCH
from higherhrnet.backends.in_process import InProcess
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint
from higherhrnet.model.architecture import Architecture
from higherhrnet.system.packages import is_installed


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
    if not is_installed(ONNXRUNTIME):
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
    devices: tuple[int, ...] = (),
    run_on: str = AUTO,
    tuned: bool = False,
    decode_on: str = HOST,
    largest: tuple[int, int] | None = None,
    done: Callable[[int], object] = lambda _: None,
) -> InProcess:
    """ONNX Runtime or OpenVINO on an .onnx, or PyTorch on a checkpoint; MODEL.EXTRA, ``extra``, describes its network.

    Its ``model_hash`` is of what it loaded. ``largest`` is the largest shape (H, W) that it will be opened for, where
    that is known: a GPU's memory is made for it.

    Raises
    ------
    UserError : a library that is not installed, an option of the other one, what the backend says of ``model``, or a
        model that is replaced while it is loaded
    """
    _check_options(name, providers=providers, precision=precision, run_on=run_on, tuned=tuned, decode_on=decode_on)
    # The backend says what is not there; OpenVINO's looks itself, as it keeps what it compiled by content.
    found = fingerprint.see(model) if name != OPENVINO and model.is_file() else None
    if name == ONNXRUNTIME:
        if run_on == CUDA and not providers:
            providers = ("CUDA", "CPU")
        made = onnxruntime(model, batch=batch, threads=threads, providers=providers, device=device, done=done)
    elif name == OPENVINO:
        from higherhrnet.backends import openvino  # noqa: PLC0415

        where = openvino.CPU if run_on in {AUTO, CPU} else run_on
        made = openvino.OpenVino(model, batch=batch, precision=precision, device=where, threads=threads, done=done)
    else:
        from higherhrnet.backends.torch import Torch  # noqa: PLC0415

        made = Torch(
            model,
            Architecture.from_extra(extra, heads),
            batch=batch,
            precision=precision,
            devices=devices or (device,),
            threads=threads,
            on=run_on,
            tuned=tuned,
            keeps_maps=decode_on == DEVICE,
            largest=largest,
            done=done,
        )
    if found is not None:
        found.check()
        made.model_hash = found.sha256
    return made


def _check_options(
    name: str, *, providers: Sequence[str], precision: str | None, run_on: str, tuned: bool, decode_on: str
) -> None:
    """Refuse a library that is not installed, and options of another one."""
    if name != OPENVINO and run_on not in DEVICES:
        raise UserError(
            f"--device {run_on} is a name of OpenVINO's; --backend {name} takes auto, cpu, cuda or cuda:N"
            f"{', npu or npu:N' * (name == TORCH)}"
        )
    if run_on == NPU:
        _check_npu(name, tuned=tuned)
    _check_decoder(name, decode_on)
    if name == ONNXRUNTIME:
        if precision is not None:
            raise UserError(
                "--precision is for --backend torch and openvino; in ONNX Runtime an .onnx computes in what it was "
                "exported in, or quantized to"
            )
        if tuned:
            raise UserError("--tune is for --backend torch")
        return
    if providers:
        raise UserError(f"--providers is for --backend onnxruntime; {name} has none")
    if name == OPENVINO:
        if not is_installed(OPENVINO):
            raise UserError("openvino is not installed; pip install openvino, or choose another --backend")
        if run_on == CUDA:
            raise UserError(f"--device {CUDA} is for --backend torch and onnxruntime; OpenVINO has CPU, GPU and NPU")
        return
    if precision == INT8:
        raise UserError("--precision int8 is for --backend openvino; torch computes in float32, float16 or bfloat16")
    if not is_installed(TORCH):
        raise UserError("torch is not installed; pip install torch, or choose another --backend")


def _check_decoder(name: str, decode_on: str) -> None:
    """Refuse what is none, and a device's with what is not torch."""
    if decode_on not in DECODERS:
        raise UserError(f"decode_on is {decode_on!r}, expected {HOST} or {DEVICE}")
    if name != TORCH and decode_on == DEVICE:
        raise UserError(f"--decode_on {DEVICE} is for --backend torch on a GPU; give --decode_on {HOST}")


def _check_npu(name: str, *, tuned: bool) -> None:
    """Refuse what does not go with --device npu."""
    if name == ONNXRUNTIME:
        raise UserError(f"--device {NPU} is for --backend torch; ONNX Runtime takes --providers CANN,CPU")
    if name == OPENVINO:
        raise UserError(f"--device {NPU} is for --backend torch; OpenVINO has CPU, GPU and NPU")
    if tuned:
        raise UserError(f"--tune has cuDNN try its kernels, and --device {NPU} has no cuDNN; omit one of them")


def on_ascend(
    name: str,
    setting: external.Setting,
    *,
    benchmark_path: Path | None,
    dynamic_dims: bool,
    must_run: bool,
) -> Backend:
    """The benchmark tool, ais_bench, or ais_bench's interface in process, on an .om.

    Raises UserError where the tool is not there and ``must_run``; its commands can be printed all the same.
    """
    if setting.model.is_file():  # not yet where commands alone are printed
        setting = replace(setting, found=fingerprint.see(setting.model))
    if name == BENCHMARK:
        if dynamic_dims:
            raise UserError(
                "--dynamic dims goes with --backend ascend and ais_bench: the benchmark tool has no option for it"
            )
        tool = cann_benchmark.find(benchmark_path)
        if tool is not None or must_run:
            tool = cann_benchmark.require(benchmark_path)
        return cann_benchmark.CannBenchmark(setting, tool or benchmark_path or Path(cann_benchmark.file_name()))
    if must_run and (why := ais_bench.missing(in_process=name == ASCEND)):
        raise UserError(f"--backend {name}: {why}; install Ascend's wheels aclruntime and ais_bench for this python3")
    if name == ASCEND:
        return session.Ascend(setting, dynamic_dims=dynamic_dims)
    return ais_bench.AisBench(setting, dynamic_dims=dynamic_dims)
