"""ONNX Runtime in this process: the embedded default, for CPUs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from higherhrnet import preprocess
from higherhrnet.backends import Work
from higherhrnet.errors import UserError
from higherhrnet.files import atomic, dumps, inputs, perf

NAME = "onnxruntime"
OUTPUTS = ("output1", "output2")


class OnnxRuntime:
    """One session over a dynamic .onnx; input and output buffers are made once a shape and used for every batch."""

    name = NAME

    def __init__(
        self,
        model: Path,
        *,
        batch: int,
        threads: int = 0,
        done: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Load ``model``.

        ``threads`` 0 leaves their number to ONNX Runtime; ``done`` is called with the number of images after each
        batch. Raises UserError for a file that does not load, or one that does not take batches of ``batch``.
        """
        self.batch, self._done = batch, done
        self.runtime = f"{NAME} {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as e:  # its exceptions derive from Exception alone
            raise UserError(
                f"model {model} does not load in ONNX Runtime ({' '.join(str(e).split())[:200]}); "
                f"export it with HigherHRNet_pth2onnx.py"
            ) from e
        found = {i.name: i.shape for i in self._session.get_inputs()}
        outputs = tuple(o.name for o in self._session.get_outputs())
        if list(found) != ["input"] or outputs != OUTPUTS:
            raise UserError(
                f"model {model}: found input {', '.join(found)} and outputs {', '.join(outputs)}, expected input and "
                f"{', '.join(OUTPUTS)}; export it with HigherHRNet_pth2onnx.py"
            )
        fixed = found["input"][0]
        if isinstance(fixed, int) and fixed != batch:
            raise UserError(
                f"model {model} takes batches of {fixed}, not {batch}; export it with HigherHRNet_pth2onnx.py "
                f"--bs {batch}"
            )
        maps, joints = (output.shape[1] for output in self._session.get_outputs())
        self._heads = dumps.Heads(joints, maps - joints)

    def run(self, work: Work) -> str:
        """Make the dumps of all entries; a last batch that is not full repeats its first image."""
        height, width = work.shape
        source = np.empty((self.batch, inputs.CHANNELS, height, width), np.float32)
        binding, results = self._bind(source)
        _read(work.entries[0].path, source[0], work.dtype)
        source[1:] = source[0]
        self._session.run_with_iobinding(binding)  # the first call of a shape plans its memory: not timed

        read = execute = write = 0.0
        start = time.perf_counter()
        batches = [work.entries[i : i + self.batch] for i in range(0, len(work.entries), self.batch)]
        for entries in batches:
            t0 = time.perf_counter()
            for entry, image in zip(entries, source, strict=False):
                _read(entry.path, image, work.dtype)
            source[len(entries) :] = source[0]
            t1 = time.perf_counter()
            self._session.run_with_iobinding(binding)
            t2 = time.perf_counter()
            for slot, entry in enumerate(entries):
                files = dumps.BENCHMARK.paths(work.dumps, inputs.index_of(entry.path))
                for file, result in zip(files, results, strict=True):
                    atomic.write_bytes(file, dumps.encode(result[slot], work.dump_dtype, entry.path.name))
            t3 = time.perf_counter()
            read, execute, write = read + t1 - t0, execute + t2 - t1, write + t3 - t2
            self._done(len(entries))
        total = time.perf_counter() - start
        timings = perf.Timings(
            images=len(work.entries),
            batches=len(batches),
            total=total,
            read=read,
            prepare=0.0,
            infer=execute,
            execute=execute,
            write=write,
        )
        return timings.text()

    def recover(self, work: Work) -> str | None:
        """Nothing: this backend works in this process."""

    def command(self, work: Work) -> str:
        """A remark: this backend runs no program."""
        return f"# {work.shape[0]}x{work.shape[1]}: onnxruntime runs inside this program"

    def scratch_bytes(self, shape: tuple[int, int], dump_dtype: str) -> int:
        """The two dumps."""
        return sum(dumps.output_bytes(shape, self._heads, dump_dtype))

    def end(self) -> None:
        """Nothing: there are no other threads."""

    def _bind(self, source: np.ndarray) -> tuple[onnxruntime.IOBinding, list[np.ndarray]]:
        """Bind the buffers of one shape, so that a run allocates and copies nothing."""
        shapes = dumps.output_shapes(source.shape[2:], self._heads)
        results = [np.empty((self.batch, *shape), np.float32) for shape in shapes]
        binding = self._session.io_binding()
        binding.bind_input("input", "cpu", 0, np.float32, source.shape, source.ctypes.data)
        for name, result in zip(OUTPUTS, results, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, result.shape, result.ctypes.data)
        return binding, results


def _read(file: Path, image: np.ndarray, dtype: str) -> None:
    """Fill one image's part of the input buffer, normalising what AIPP would. Raises UserError naming the file."""
    raw = image
    if dtype == inputs.UINT8:
        raw = np.empty((*image.shape[1:], inputs.CHANNELS), np.uint8)  # [H, W, 3]
    elif dtype == inputs.FLOAT16:
        raw = np.empty(image.shape, np.float16)
    try:
        with file.open("rb", buffering=0) as stream:
            count = stream.readinto(memoryview(raw.data).cast("B"))
    except OSError as e:
        raise UserError(f"cannot read input {file}: {e.strerror}; run preprocessing and gen_dataset_info again") from e
    if count != raw.nbytes:
        raise UserError(f"input {file}: found {count} bytes, expected {raw.nbytes}; run preprocessing again")
    if raw is not image:
        image[:] = preprocess.normalise(raw) if dtype == inputs.UINT8 else raw
