"""A process that has torch_npu's stand-in, which is PyTorch's for good once it is imported: ``python -m`` and a folder.

The folder holds tiny.pth and gets what ``main`` returns as found.json.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from higherhrnet.backends import torch as backend
from higherhrnet.cli import program
from higherhrnet.errors import UserError
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import architecture_of, build, relative
from tests.support.programs import main_of

SHAPE = (64, 32)


def made(precision: str | None, device: int = 0) -> backend.Torch:
    weights = Path("tiny.pth")
    architecture = architecture_of(TINY_CONFIG)
    return backend.Torch(weights, architecture, batch=2, precision=precision, on="npu", devices=(device,))


def refused(call: Callable[[], object]) -> str:
    try:
        call()
    except UserError as e:
        return str(e)
    return "nothing was refused"


def differences(precision: str | None) -> dict[str, Any]:
    """Of three batches, two of them in flight, by one thread and then another, from the network on the CPU."""
    ours, network = made(precision, device=1), build(TINY_CONFIG)
    session = ours.open(SHAPE, 1)
    rng = np.random.default_rng(0)
    worst, taken = [], []
    exact: list[float] = []

    def run(*slots: int) -> None:
        for slot in slots:
            session.sources[slot][:] = rng.standard_normal(session.sources[slot].shape)
            session.launch(slot)
        for slot in slots:
            taken.append(session.wait(slot))
            with torch.inference_mode():
                expected = network(torch.from_numpy(session.sources[slot]))
            told = session.exact(slot)  # type: ignore[attr-defined]
            exact.extend(relative(one, two[:1].numpy()) for one, two in zip(told, expected, strict=True))
            pairs = zip(session.results[slot], expected, strict=True)
            worst.append(max(relative(one, two.numpy()) for one, two in pairs))

    run(1, 0)
    other = threading.Thread(target=run, args=(1,))
    other.start()
    other.join()
    positive = all(0 < seconds.execute <= seconds.infer for seconds in taken)
    return {"name": ours.name, "runtime": ours.runtime, "worst": worst, "positive": positive, "exact": max(exact)}


def wrong_outputs(value: float) -> str:
    """Of an NPU that computes one joint wrong."""
    ours = made("float32")
    session = ours.open(SHAPE)
    (last,) = [layer for name, layer in ours._npus[0].network.named_modules() if name == "final_layers.1"]
    last.bias.raw[0] += value
    session.sources[0][:] = np.random.default_rng(0).standard_normal(session.sources[0].shape)
    session.launch(0)
    return refused(lambda: session.wait(0))


def full() -> list[str]:
    import torch_npu  # noqa: PLC0415

    session = made(None).open(SHAPE)
    torch_npu.ROOM = 1000
    try:
        return [refused(lambda: session.launch(0)), refused(lambda: made(None))]
    finally:
        torch_npu.ROOM = 1 << 40


def benchmark(arguments: list[str]) -> dict[str, Any]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = program.run(main_of("HigherHRNet_benchmark"), arguments)
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def main(folder: Path, arguments: list[str]) -> None:
    os.chdir(folder)
    found = {
        "benchmark": benchmark(arguments),
        "float16": differences(None),
        "float32": differences("float32"),
        "bfloat16": differences("bfloat16"),
        "absent": refused(lambda: made(None, device=7)),
        "full": full(),
        "wrong": [wrong_outputs(100), wrong_outputs(np.nan)],
    }
    Path("found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
