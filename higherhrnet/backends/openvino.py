"""OpenVINO in this process: an .onnx, float32 or quantized, on a CPU, or on what else OpenVINO has a plugin for.

The model is compiled once, with dynamic height and width: compiling each of the seventeen shapes takes as long as
several hundred images, and runs no faster on a CPU. Each shape has requests of its own, bound to their buffers.

Importing the package imports its telemetry too; only its model converter reports with it, which is not used here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from higherhrnet.artifacts import atomic, dumps, inputs, outputs, sources
from higherhrnet.backends import interface
from higherhrnet.backends.base import INT8
from higherhrnet.backends.in_process import InProcess, Seconds
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, onnx_graph
from higherhrnet.model.onnx_graph import INPUT, OUTPUTS

NAME = "openvino"
CPU = "CPU"
KEPT_BLOBS = 4
"""Compiled models that stay beside an .onnx: of a few devices, precisions and numbers of threads."""

_SLOTS = 4  # as many batches as two passes of one and two of the next: requests wait while one computes
_TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_CAPABILITIES = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16", INT8: "INT8"}


class OpenVino(InProcess):
    """One model compiled for one device; batches are computed one after another, in the order of their launch."""

    def __init__(
        self,
        model: Path,
        *,
        batch: int,
        precision: str | None = None,
        device: str = CPU,
        threads: int = 0,
        done: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Compile ``model``, or load what an earlier run compiled of the same content, from ``cache_of(model)``.

        Parameters
        ----------
        precision : of what is not quantized: float32 without one. int8 asks for a quantized model, and float32 beside
        device : OpenVINO's name of it, 'GPU.1' for example
        threads : of a CPU; 0 leaves their number to OpenVINO

        Raises
        ------
        UserError : a file that OpenVINO cannot read or compile, or that does not take batches of ``batch``; a device
            or precision that is not there
        """
        graph = onnx_graph.read(model)
        is_quantized = graph.is_quantized
        if precision == INT8 and not is_quantized:
            raise UserError(
                f"--precision int8: model {model} is not quantized; make its INT8 file with higherhrnet quantize "
                f"--model {model} and give that"
            )
        compute = "float32" if precision in {None, INT8} else precision
        assert compute is not None
        core = openvino.Core()
        _check_device(core, device, (compute, INT8) if is_quantized else (compute,))
        kind = device.lower()
        said = compute if not is_quantized else INT8 if compute == "float32" else f"{INT8}+{compute}"
        self.name = f"{NAME} {kind} {said}"
        self.runtime = f"{NAME} {openvino.__version__.partition('-')[0]}"
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if kind == "cpu":
            options["NUM_STREAMS"] = 1
            if threads:
                options["INFERENCE_NUM_THREADS"] = threads
        found = fingerprint.see(model)

        def compiled(hint: str) -> Any:
            made = {**options, "INFERENCE_PRECISION_HINT": hint}
            result = _compiled(core, model, device, made, cache_of(model), _key(found.sha256, graph))
            found.check()  # what was compiled is kept as of that content
            return result

        self._compiled = compiled(_TYPES[compute])
        self._exact = cache(partial(compiled, _TYPES["float32"]))  # where it is asked for
        self.has_exact = compute != "float32" and not is_quantized  # whose float32 is another file
        self.model_hash = found.sha256
        ports = [[_port(port) for port in side] for side in (self._compiled.inputs, self._compiled.outputs)]
        super().__init__(batch=batch, heads=interface.check(model, ports[0], ports[1], batch), done=done)

    def open(self, shape: tuple[int, int], device: int = 0) -> RequestSession:
        """Requests with buffers of this shape; the device was chosen when the model was compiled."""
        return RequestSession(self._compiled, self.batch, self.heads, shape, exact=self._exact)


class RequestSession:
    """A request a slot, whose host memory is the network's input and output; requests wait for each other."""

    def __init__(
        self, compiled: Any, batch: int, heads: dumps.Heads, shape: tuple[int, int], *, exact: Callable[[], Any]
    ) -> None:
        """``exact`` gives the model compiled for float32."""
        self._compiled_exact = exact
        self.sources = [np.zeros((batch, inputs.CHANNELS, *shape), np.float32) for _ in range(_SLOTS)]
        self.results = [_results(batch, heads, shape) for _ in range(_SLOTS)]
        self._requests = [_Request(compiled, *slot) for slot in zip(self.sources, self.results, strict=True)]
        self._free = 0.0  # when the last batch that was waited for ended

    def launch(self, slot: int) -> None:
        self._requests[slot].start()

    def wait(self, slot: int) -> Seconds:
        """A batch's time begins where it is launched, or where the one before it ends."""
        started, ended = self._requests[slot].wait()
        taken = ended - max(started, self._free)
        self._free = ended
        return Seconds(infer=taken, execute=taken)

    def exact(self, slot: int) -> tuple[np.ndarray, ...]:
        """Of the slot's first picture, in float32 on the same device; a batch of its size is computed for it."""
        results = [np.empty_like(result) for result in self.results[slot]]
        request = _Request(self._compiled_exact(), self.sources[slot], (results[0], results[1]))
        request.start()
        request.wait()
        return tuple(result[:1] for result in results)


class _Request:
    """An infer request that knows when it began and ended."""

    def __init__(self, compiled: Any, source: np.ndarray, results: tuple[np.ndarray, np.ndarray]) -> None:
        self._request = compiled.create_infer_request()
        # Tensors hold no reference to the arrays whose memory they share: the session does.
        self._request.set_tensor(INPUT, openvino.Tensor(source, shared_memory=True))
        for name, result in zip(OUTPUTS, results, strict=True):
            self._request.set_tensor(name, openvino.Tensor(result, shared_memory=True))
        self._started = self._ended = 0.0
        self._shape = "x".join(map(str, source.shape))
        self._request.set_callback(self._finished, None)

    def start(self) -> None:
        self._started = time.perf_counter()
        with self._told():
            self._request.start_async()

    def wait(self) -> tuple[float, float]:
        with self._told():
            self._request.wait()
        return self._started, self._ended

    def _finished(self, _: object) -> None:
        self._ended = time.perf_counter()

    @contextlib.contextmanager
    def _told(self) -> Any:
        try:
            yield
        except RuntimeError as e:
            raise UserError(
                f"the model does not run on inputs of {self._shape} ({_words(e)}); export it with "
                f"HigherHRNet_pth2onnx.py"
            ) from e


def cache_of(model: Path) -> Path:
    """The folder of what OpenVINO compiled of a model, beside it; it may be removed at any time.

    In it is a folder for each content that the model has had: OpenVINO knows its files by the model's name and time.
    """
    return model.with_name(f"{model.name}.openvino")


def _key(sha256: str, graph: onnx_graph.Graph) -> str:
    """The name of a content's folder: of what a model computes, and of the sizes of its inputs and outputs."""
    return atomic.sha256_of_json([sha256, *((port.name, port.shape) for port in (*graph.inputs, *graph.outputs))])[:32]


def _check_device(core: Any, device: str, precisions: tuple[str, ...]) -> None:
    """Refuse a device that is not there, and precisions that it would only imitate."""
    there = list(core.available_devices)
    root = device.partition(":")[0].partition(".")[0]
    if root in {"AUTO", "HETERO", "MULTI", "BATCH"}:  # choose among devices, which OpenVINO checks
        return
    if device not in there and root not in {name.partition(".")[0] for name in there}:
        raise UserError(f"--device {device}: OpenVINO sees {', '.join(there) or 'no device'} here; choose among these")
    try:
        can = set(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
    except RuntimeError as e:
        raise UserError(f"--device {device}: {_words(e)}; choose among {', '.join(there)}") from e
    for precision in precisions:
        if _CAPABILITIES[precision] not in can:
            known = [name for name, capability in _CAPABILITIES.items() if capability in can]
            raise UserError(
                f"--precision {precision}: this {device} ({core.get_property(device, 'FULL_DEVICE_NAME').strip()}) "
                f"computes in {', '.join(known)}; choose among these"
            )


def _compiled(core: Any, model: Path, device: str, options: dict[str, Any], cache: Path, key: str) -> Any:
    """The model for the device; what is compiled is kept where the folder of the model can be written."""
    sources.open_file(model).close()  # a pipe would be waited for
    with contextlib.suppress(OSError, UserError):  # a folder of others, or one that cannot be written
        outputs.claim_folder(cache, "--model", "models that OpenVINO compiled")
        options = {**options, "CACHE_DIR": str(cache / key)}
    try:
        compiled = core.compile_model(str(model), device, options)
    except RuntimeError as e:
        raise UserError(
            f"model {model} does not load in OpenVINO ({_words(e)}); export it with HigherHRNet_pth2onnx.py"
        ) from e
    if "CACHE_DIR" in options:
        _bound(cache)
    return compiled


def _bound(cache: Path) -> None:
    """Keep the newest KEPT_BLOBS: models that are exported again would fill the disk."""
    with contextlib.suppress(OSError):
        # Those in the folder itself are of releases that knew a model by its name and time.
        blobs = sorted(cache.glob("*/*.blob"), key=lambda blob: blob.stat().st_mtime_ns, reverse=True)
        for blob in [*blobs[KEPT_BLOBS:], *cache.glob("*.blob")]:
            blob.unlink()
            with contextlib.suppress(OSError):  # not empty
                blob.parent.rmdir()


def _port(port: Any) -> interface.Port:
    shape = [size.get_length() if size.is_static else None for size in port.get_partial_shape()]
    kind = port.get_element_type().get_type_name()
    return interface.Port(port.get_any_name(), interface.FLOAT if kind == "f32" else kind, shape)


def _results(batch: int, heads: dumps.Heads, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    first, second = (np.zeros((batch, *dims), np.float32) for dims in dumps.output_shapes(shape, heads))
    return first, second


def _words(error: Exception) -> str:
    """What OpenVINO says, without the places in its sources."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join(said or lines)[:200]
