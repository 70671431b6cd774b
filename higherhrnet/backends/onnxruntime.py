"""ONNX Runtime in this process: the embedded default, for CPUs; other execution providers where it has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.backends import interface
from higherhrnet.backends.in_process import InProcess, Seconds
from higherhrnet.errors import UserError
from higherhrnet.model.onnx_graph import INPUT, OUTPUTS
from higherhrnet.model.ort import model_source, onnxruntime
from higherhrnet.system import hardware, memory

NAME = "onnxruntime"
CPU = "CPUExecutionProvider"

_SUFFIX = "ExecutionProvider"
_SLOTS = 4  # both passes of a batch computed while those of the last one are decoded; memory that is used only then
_MEMORY = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda", "CANNExecutionProvider": "cann"}
"""What ONNX Runtime calls the memory of execution providers that have several devices."""
_CUDA = "CUDAExecutionProvider"
_OPTIONS = {_CUDA: {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}}
"""By default float32 is TF32, and every shape is tuned at length."""


def providers(names: Sequence[str]) -> list[str]:
    """The full names of execution providers: 'cuda', 'CUDA' and 'CUDAExecutionProvider' are one.

    Raises
    ------
    UserError : one that this installation of ONNX Runtime does not have
    """
    available = {name.removesuffix(_SUFFIX).lower(): name for name in onnxruntime.get_available_providers()}
    result = []
    for name in names:
        full = available.get(name.removesuffix(_SUFFIX).lower())
        if full is None:
            raise UserError(
                f"--providers {name}: this onnxruntime has {', '.join(sorted(available))}; choose among these, or "
                f"install the package with that provider (onnxruntime-gpu, onnxruntime-cann)"
            )
        result.append(full)
    return result


class OnnxRuntime(InProcess):
    """One model in ONNX Runtime; input and output buffers are made once per shape and used for every batch."""

    def __init__(
        self,
        model: Path,
        *,
        batch: int,
        threads: int = 0,
        provider_names: Sequence[str] = (),
        device: int = 0,
        done: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Load ``model``.

        Parameters
        ----------
        threads : 0 leaves their number to ONNX Runtime
        provider_names : execution providers in order of preference; the CPU's without them. What the first ones do
            not take runs on the CPU's, as ONNX Runtime has it, but the first must start
        device : of providers that have several

        Raises
        ------
        UserError : a file that does not load or does not take batches of ``batch``; a provider that is not installed
            or does not start
        """
        wanted = providers(provider_names) or [CPU]
        self.name = NAME if wanted == [CPU] else f"{NAME} {'+'.join(p.removesuffix(_SUFFIX) for p in wanted)}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        listed = [(p, {"device_id": str(device), **_OPTIONS.get(p, {})}) if p in _MEMORY else p for p in wanted]
        if _CUDA in wanted and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA's libraries where pip has put them
        try:
            self._session = onnxruntime.InferenceSession(model_source(model), options, providers=listed)
        except Exception as e:  # its exceptions derive from Exception alone
            if memory.is_lack(e):
                raise MemoryError(f"ONNX Runtime, loading {model}: {e}") from e
            raise UserError(
                f"model {model} does not load in ONNX Runtime ({' '.join(str(e).split())[:200]}); "
                f"export it with HigherHRNet_pth2onnx.py"
            ) from e
        started = self._session.get_providers()
        if wanted[0] not in started:  # ONNX Runtime only warns, and takes the CPU
            raise UserError(
                f"--providers: {wanted[0]} did not start, ONNX Runtime has {', '.join(started)} instead; check the "
                f"driver and the libraries it needs"
            )
        self._memory, self._device = _MEMORY.get(wanted[0], "cpu"), device
        heads = interface.check(
            model,
            [interface.Port(value.name, value.type, value.shape) for value in self._session.get_inputs()],
            [interface.Port(value.name, value.type, value.shape) for value in self._session.get_outputs()],
            batch,
        )
        super().__init__(batch=batch, heads=heads, done=done)
        self.runtime = runtime_of(wanted, device)

    def open(self, shape: tuple[int, int], device: int = 0) -> HostSession:
        """Bind buffers; the device was chosen when the model was loaded."""
        if self._memory == "cpu":
            return HostSession(self._session, self.batch, self.heads, shape)
        return DeviceSession(self._session, self.batch, self.heads, shape, self._memory, self._device)


def runtime_of(wanted: Sequence[str], device: int) -> str:
    """What results may depend on: the version and options of ONNX Runtime, on a GPU CUDA's version and its name too."""
    said = ", ".join(f"{key}={value}" for p in wanted for key, value in _OPTIONS.get(p, {}).items())
    parts = [f"{NAME} {onnxruntime.__version__}{f' ({said})' if said else ''}"]
    if _MEMORY.get(wanted[0]) == "cuda":
        version = getattr(onnxruntime, "cuda_version", "")
        parts += [f"CUDA {version}" if version else "", hardware.nvidia(device)]
    return ", ".join(filter(None, parts))


class HostSession:
    """Slots whose host memory is bound to the model as it is: a call allocates and copies nothing.

    ``launch`` computes. Providers that are not in _MEMORY but compute elsewhere copy inside of the call.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, batch: int, heads: dumps.Heads, shape: tuple[int, int]
    ) -> None:
        self._session = session
        self.sources = [np.empty((batch, inputs.CHANNELS, *shape), np.float32) for _ in range(_SLOTS)]
        self.results = [_results(batch, heads, shape) for _ in range(_SLOTS)]
        self._bindings = [self._bind(*slot) for slot in zip(self.sources, self.results, strict=True)]
        self._taken = [Seconds(0, 0)] * _SLOTS

    def _bind(self, source: np.ndarray, results: tuple[np.ndarray, np.ndarray]) -> Any:
        binding = self._session.io_binding()
        binding.bind_input(INPUT, "cpu", 0, np.float32, source.shape, source.ctypes.data)
        for name, result in zip(OUTPUTS, results, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, result.shape, result.ctypes.data)
        return binding

    def launch(self, slot: int) -> None:
        begin = time.perf_counter()
        self._upload(slot)
        start = time.perf_counter()
        try:
            self._session.run_with_iobinding(self._bindings[slot])
        except Exception as e:  # its exceptions derive from Exception alone
            shape = "x".join(map(str, self.sources[0].shape))
            if memory.is_lack(e):
                raise MemoryError(f"ONNX Runtime, inputs of {shape}: {e}") from e
            raise UserError(
                f"the model does not run on inputs of {shape} ({' '.join(str(e).split())[:200]}); export it with "
                f"HigherHRNet_pth2onnx.py"
            ) from e
        self._bindings[slot].synchronize_outputs()
        execute = time.perf_counter() - start
        self._download(slot)
        self._taken[slot] = Seconds(infer=time.perf_counter() - begin, execute=execute)

    def wait(self, slot: int) -> Seconds:
        return self._taken[slot]

    def _upload(self, slot: int) -> None:
        pass

    def _download(self, slot: int) -> None:
        pass


class DeviceSession(HostSession):
    """The same with inputs and outputs in the device's memory while the model runs: copies are not of ``execute``.

    No device has run this yet; tests take the CPU's memory for one.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        batch: int,
        heads: dumps.Heads,
        shape: tuple[int, int],
        memory: str,
        device: int,
    ) -> None:
        super().__init__(session, batch, heads, shape)
        self._place = memory, device
        for binding, results in zip(self._bindings, self.results, strict=True):
            for name, result in zip(OUTPUTS, results, strict=True):
                value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(result.shape, np.float32, *self._place)
                binding.bind_ortvalue_output(name, value)

    def _upload(self, slot: int) -> None:
        value = onnxruntime.OrtValue.ortvalue_from_numpy(self.sources[slot], *self._place)
        self._bindings[slot].bind_ortvalue_input(INPUT, value)
        self._bindings[slot].synchronize_inputs()

    def _download(self, slot: int) -> None:
        first, second = self._bindings[slot].copy_outputs_to_cpu()  # in the order in which they were bound
        self.results[slot] = first, second


def _results(batch: int, heads: dumps.Heads, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    first, second = (np.empty((batch, *dims), np.float32) for dims in dumps.output_shapes(shape, heads))
    return first, second
