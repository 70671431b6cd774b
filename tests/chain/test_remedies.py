"""Every advice is followed: an error is made, what its message says is done literally, and the command succeeds."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from higherhrnet.artifacts import claim, dumps
from higherhrnet.artifacts.work import InputsWork
from higherhrnet.pipeline.flow import Flow
from tests.support.datasets import TINY_CONFIG, TINY_RESULTS, write_dataset
from tests.support.programs import FLIP, PLAIN, Outcome, error, through_files

Script = Callable[..., Outcome]
Command = tuple[object, ...]

DATA = ("--cfg", TINY_CONFIG, "DATASET.ROOT", "data")
ROOM = SimpleNamespace(free=10**5)

PREPROCESS: Command = (
    "HigherHRNet_preprocess",
    "--output",
    "bins",
    "--output_flip",
    "bins_flip",
    "--workers",
    1,
    *DATA,
)
LIST: Command = ("gen_dataset_info", "bin", "bins", "./prep_bin")
LIST_FLIP: Command = ("gen_dataset_info", "bin", "bins_flip", "./prep_bin_flip")
BENCHMARK: Command = ("HigherHRNet_benchmark", "--backend", "onnxruntime", "--threads", 1, *DATA)
POSTPROCESS: Command = (
    *("HigherHRNet_postprocess", "--dump_dir", f"result/{PLAIN}", "--dump_dir_flip", f"result/{FLIP}"),
    *("--workers", 1, *DATA),
)
RUN: Command = ("higherhrnet.__main__", "run", "--backend", "onnxruntime", "--threads", 1, "--workers", 1, *DATA)
MERGE: Command = ("higherhrnet.__main__", "merge", *DATA)
MODEL = Path("models/tiny_bs1_dynamic.onnx")


@pytest.fixture(scope="module")
def shop(tiny_weights: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two pictures, the checkpoint and its export; not to be changed."""
    root = tmp_path_factory.mktemp("shop")
    write_dataset(root / "data", ((160, 128), (128, 160)))
    (root / "models").mkdir()
    shutil.copy(tiny_onnx, root / MODEL)
    shutil.copy(tiny_weights, root / "models/tiny.pth")
    return root


@dataclass
class Shop:
    """The current folder, and programs in it."""

    script: Script
    patched: pytest.MonkeyPatch

    def done(self, *commands: Command) -> None:
        """Commands that succeed."""
        for command in commands:
            outcome = self.script(*command)
            assert outcome.status == 0, (command, outcome)

    def advice(self, command: Command) -> str:
        """What a command says that fails."""
        return error(self.script(*command))

    def until_benchmark(self) -> None:
        self.done(PREPROCESS, LIST, LIST_FLIP)

    def until_postprocess(self) -> None:
        self.until_benchmark()
        self.done(BENCHMARK)


@pytest.fixture
def at_work(shop: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shutil.copytree(shop, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Shop(script, monkeypatch)


Make = Callable[[Shop], Any]


@dataclass(frozen=True)
class Case:
    """An error and its advice."""

    make: Make
    """Brings about what the command then refuses."""
    command: Command
    said: str
    """A part of the message, a pattern, that ends in the advice."""
    follow: Sequence[Command]
    """The advice, literally: the commands that it names, then the one that failed, with what it asks for."""
    meanwhile: Make = lambda _: None
    """What the advice tells to do outside of the programs."""


def more(command: Command, *arguments: object) -> Command:
    """A command with other flags, which stand last of equals."""
    return (*command, *arguments)


def instead(command: Command, *pairs: tuple[object, object]) -> Command:
    """A command with arguments replaced."""
    swap = dict(pairs)
    return tuple(swap.get(argument, argument) for argument in command)


def nothing(_: Shop) -> None:
    pass


def little_room(shop: Shop) -> None:
    shop.patched.setattr(shutil, "disk_usage", lambda _: ROOM)


def in_chunks(shop: Shop, name: str, faulty: Callable[..., Any]) -> None:
    """Let ``run`` go through files, with another method of its flow."""
    through_files(shop.patched)
    shop.patched.setattr(Flow, name, faulty)


def text(name: str, content: str = "mine") -> Make:
    def make(_: Shop) -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)

    return make


def unfinished(tree: str) -> Make:
    def make(shop: Shop) -> None:
        shop.until_benchmark()
        made = claim.read(Path(tree), InputsWork)
        assert made is not None
        claim.write(Path(tree), claim.Record(made.work, made.facts))
        next(Path(tree).rglob("*.bin")).unlink()

    return make


def after(*steps: Make) -> Make:
    def make(shop: Shop) -> None:
        for step in steps:
            step(shop)

    return make


def benchmarked(shop: Shop) -> None:
    shop.until_postprocess()


def listed(shop: Shop) -> None:
    shop.until_benchmark()


def spoilt(pattern: str, change: Callable[[Path], Any]) -> Make:
    def make(_: Shop) -> None:
        change(next(iter(sorted(Path().rglob(pattern)))))

    return make


def nan(file: Path) -> None:
    values = np.fromfile(file, np.float32)
    values[0] = np.nan
    values.tofile(file)


def shards(shop: Shop) -> None:
    shop.done(more(RUN, "--shard", "1/2"))


SHARD = TINY_RESULTS.replace("_results.json", "_results_{}of2.json")

CASES = {
    "preprocess: other work": Case(
        lambda shop: shop.done(PREPROCESS),
        more(PREPROCESS, "--dtype", "float16"),
        r"other work: another dtype \(float32, not float16\); give another --output and --output_flip, or --overwrite",
        [
            more(PREPROCESS, "--dtype", "float16", "--output", "other", "--output_flip", "other_flip"),
            more(PREPROCESS, "--dtype", "float16", "--overwrite"),
        ],
    ),
    "preprocess: one place for both": Case(
        nothing,
        instead(PREPROCESS, ("bins_flip", "bins")),
        "are both bins; give two directories",
        [PREPROCESS],
    ),
    "preprocess: a bad image": Case(
        spoilt("*.jpg", lambda file: file.write_bytes(b"no picture")),
        PREPROCESS,
        "bytes that do not decode as a picture; get the file again, or leave it out with --skip_bad",
        [more(PREPROCESS, "--skip_bad")],
    ),
    "preprocess: little room": Case(
        little_room,
        PREPROCESS,
        "1 MB of inputs to write, 0 MB free; free space, or give --output and --output_flip on another disk, or fewer "
        "images with --limit",
        [more(PREPROCESS, "--limit", 1)],
        lambda shop: shop.patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**6)),
    ),
    "lists: an unfinished tree": Case(
        unfinished("bins"),
        LIST,
        "is unfinished; run HigherHRNet_preprocess.py again, it resumes",
        [PREPROCESS, LIST],
    ),
    "lists: no tree": Case(
        nothing, LIST, "does not exist; run HigherHRNet_preprocess.py or give the right directory", [PREPROCESS, LIST]
    ),
    "lists: a file of others": Case(
        after(lambda shop: shop.done(PREPROCESS), text("prep_bin.info")),
        LIST,
        "did not make; give another path with NAME, or --overwrite to replace it",
        [instead(LIST, ("./prep_bin", "./other")), more(LIST, "--overwrite")],
    ),
    "benchmark: no lists": Case(
        lambda shop: shop.done(PREPROCESS, LIST_FLIP),
        BENCHMARK,
        r"found no \./prep_bin_HxW\.info files; run gen_dataset_info\.py bin DIR \./prep_bin",
        [LIST, BENCHMARK],
    ),
    "benchmark: exchanged lists": Case(
        listed,
        more(BENCHMARK, "--info", "./prep_bin_flip", "--info_flip", "./prep_bin"),
        "list flipped inputs; exchange --info and --info_flip",
        [BENCHMARK],
    ),
    "benchmark: no model of this batch size": Case(
        listed,
        more(BENCHMARK, "--bs", 2),
        r"models holds no \*_bs2_dynamic\.onnx; run HigherHRNet_pth2onnx\.py --bs 2, or give --model",
        [
            ("HigherHRNet_pth2onnx", "--bs", 2, "--weights", "models/tiny.pth", "--cfg", TINY_CONFIG),
            more(BENCHMARK, "--bs", 2),
        ],
    ),
    "benchmark: several models": Case(
        after(listed, lambda _: shutil.copy(MODEL, "models/other_bs1_dynamic.onnx")),
        BENCHMARK,
        r"holds 2 models of batch size 1 .*; choose one with --model",
        [more(BENCHMARK, "--model", MODEL)],
    ),
    "benchmark: another network": Case(
        listed,
        tuple(argument for argument in BENCHMARK if argument not in {"--cfg", TINY_CONFIG}),
        "give the --cfg or the --model that belong together",
        [BENCHMARK],
    ),
    "benchmark: a checkpoint that has changed": Case(
        after(listed, lambda _: os.truncate("models/tiny.pth", 9)),
        BENCHMARK,
        "has changed since .* run HigherHRNet_pth2onnx.py again, or name the model with --model to use it as it is",
        [more(BENCHMARK, "--model", MODEL)],
    ),
    "benchmark: figures of others": Case(
        after(listed, text("result/perf_vision_batchsize_1_device_0_128x192.txt")),
        BENCHMARK,
        "did not write .*; give another --result, or --overwrite to replace it",
        [more(BENCHMARK, "--result", "other"), more(BENCHMARK, "--overwrite")],
    ),
    "benchmark: an input that was cut": Case(
        after(listed, spoilt("bins/shape_128x192/*.bin", lambda file: os.truncate(file, 5))),
        BENCHMARK,
        "found 5 bytes, expected .*; remove it and run preprocessing again",
        [PREPROCESS, BENCHMARK],
        spoilt("bins/shape_128x192/*.bin", Path.unlink),
    ),
    "benchmark: too large for float16": Case(
        after(listed, lambda shop: shop.patched.setattr(dumps, "encode", _overflowing(dumps.encode))),
        more(BENCHMARK, "--dtype", "float16"),
        "does not fit float16; run without --dtype",
        [BENCHMARK],
    ),
    "benchmark: a flag that does nothing": Case(
        listed, more(BENCHMARK, "--aipp"), "--aipp is for --backend .* omit it", [BENCHMARK]
    ),
    "benchmark: a damaged record": Case(
        after(benchmarked, text(f"result/{PLAIN}/record.json", "{}")),
        BENCHMARK,
        "; run what made it again with --overwrite, or give another place",
        [more(BENCHMARK, "--overwrite")],
    ),
    "postprocess: no dumps": Case(
        listed,
        POSTPROCESS,
        "does not exist; run HigherHRNet_benchmark.py or correct the path",
        [BENCHMARK, POSTPROCESS],
    ),
    "postprocess: exchanged dumps": Case(
        benchmarked,
        instead(POSTPROCESS, (f"result/{PLAIN}", f"result/{FLIP}"), (f"result/{FLIP}", f"result/{PLAIN}")),
        "holds dumps of the flipped inputs; exchange --dump_dir and --dump_dir_flip",
        [POSTPROCESS],
    ),
    "postprocess: a dump that was cut": Case(
        after(benchmarked, spoilt(f"{PLAIN}/*_1.bin", lambda file: os.truncate(file, 5))),
        POSTPROCESS,
        "found 5 bytes, expected .*; run HigherHRNet_benchmark.py again",
        [BENCHMARK, POSTPROCESS],
    ),
    "postprocess: a missing dump": Case(
        after(benchmarked, spoilt(f"{PLAIN}/*_1.bin", Path.unlink)),
        POSTPROCESS,
        "; run again what makes it",
        [BENCHMARK, POSTPROCESS],
    ),
    "postprocess: not finite": Case(
        after(benchmarked, spoilt(f"{PLAIN}/*_1.bin", nan)),
        POSTPROCESS,
        "; run HigherHRNet_benchmark.py again with --overwrite",
        [more(BENCHMARK, "--overwrite"), POSTPROCESS],
    ),
    "postprocess: one pass": Case(
        benchmarked,
        tuple(a for a in POSTPROCESS if a not in {"--dump_dir_flip", f"result/{FLIP}"}),
        "--dump_dir_flip is missing; give it, or TEST.FLIP_TEST False",
        [
            POSTPROCESS,
            (*(a for a in POSTPROCESS if a not in {"--dump_dir_flip", f"result/{FLIP}"}), "TEST.FLIP_TEST", False),
        ],
    ),
    "postprocess: another size": Case(
        benchmarked,
        more(POSTPROCESS, "DATASET.INPUT_SIZE", 256),
        "give the --cfg that preprocessing had",
        [POSTPROCESS],
    ),
    "postprocess: results of others": Case(
        after(benchmarked, text(TINY_RESULTS, "[]")),
        POSTPROCESS,
        "did not make; give another path with OUTPUT_DIR, or --overwrite to replace it",
        [more(POSTPROCESS, "OUTPUT_DIR", "other"), more(POSTPROCESS, "--overwrite")],
    ),
    "postprocess: drawn over pictures": Case(
        benchmarked,
        more(POSTPROCESS, "--vis_dir", "data/images/val2017", "--vis_score", 0),
        "is an input .*; give another path",
        [more(POSTPROCESS, "--vis_dir", "drawn", "--vis_score", 0)],
    ),
    "postprocess: a flag without its other": Case(
        benchmarked,
        more(POSTPROCESS, "--vis_count", 3),
        "--vis_count goes with --vis_dir; give that too, or omit --vis_count",
        [more(POSTPROCESS, "--vis_count", 3, "--vis_dir", "drawn"), POSTPROCESS],
    ),
    "performance: no figures": Case(
        listed,
        ("HigherHRNet_performance", *DATA),
        "; run HigherHRNet_benchmark.py first",
        [BENCHMARK, ("HigherHRNet_performance", *DATA)],
    ),
    "run: a working folder of others": Case(
        text("run_work/file"),
        RUN,
        "holds files of others; give a new folder, or an empty one",
        [more(RUN, "--work", "new")],
    ),
    "run: a small budget": Case(
        nothing, more(RUN, "--disk_budget", "1KB"), "take [0-9.]+ MB; give more", [more(RUN, "--disk_budget", "9MB")]
    ),
    "run: a chunk that loses its inputs": Case(
        lambda shop: in_chunks(shop, "_infer_all", _losing(Flow._infer_all, "prep_bin/shape_*")),
        RUN,
        "; run the same command again, which does this chunk again",
        [RUN],
    ),
    "run: a dump that was cut": Case(
        lambda shop: in_chunks(shop, "_decoded", _cutting(Flow._decoded)),
        RUN,
        "found 5 bytes, .*; run the same command again, which does this chunk again",
        [RUN],
    ),
    "run: too many shards": Case(
        nothing,
        more(RUN, "--shard", "3/3"),
        "holds none of the 2 images; give fewer shards",
        [more(RUN, "--shard", "2/2")],
    ),
    "merge: a missing shard": Case(
        shards, MERGE, "shards 2/2 are missing; run them, then merge", [more(RUN, "--shard", "2/2"), MERGE]
    ),
    "merge: a changed shard": Case(
        after(shards, lambda shop: shop.done(more(RUN, "--shard", "2/2")), text(SHARD.format(1), "[]")),
        MERGE,
        "has changed since its record was written; run its shard again with --overwrite",
        [more(RUN, "--shard", "1/2", "--overwrite"), MERGE],
    ),
    "config: an override that trains": Case(
        nothing, more(PREPROCESS, "WORKERS", 3), "only training reads it; omit it", [PREPROCESS]
    ),
    "export: a file of others": Case(
        text("mine.onnx"),
        ("HigherHRNet_pth2onnx", "--weights", "models/tiny.pth", "--output", "mine.onnx", "--cfg", TINY_CONFIG),
        "did not make; give another path with --output, or --overwrite to replace it",
        [
            ("HigherHRNet_pth2onnx", "--weights", "models/tiny.pth", "--output", "o.onnx", "--cfg", TINY_CONFIG),
            (
                *("HigherHRNet_pth2onnx", "--weights", "models/tiny.pth", "--output", "mine.onnx"),
                *("--overwrite", "--cfg", TINY_CONFIG),
            ),
        ],
    ),
}


def _overflowing(real: Callable[..., Any]) -> Callable[..., Any]:
    """Outputs beyond float16."""
    return lambda output, dtype, image: real(output * np.float32(1e9), dtype, image)


def _losing(real: Callable[..., Any], pattern: str) -> Callable[..., Any]:
    """Files that vanish under a run before the network gets them, once."""
    lost: list[Path] = []

    def lose(flow: Flow) -> None:
        get = flow._get

        def gets(source: Any) -> Any:
            item = get(source)
            if source is flow._preprocessed and not lost and item.chunk is not None:
                for path in (flow._folder / item.chunk.name).glob(pattern):
                    lost.append(path)
                    shutil.rmtree(path)
            return item

        flow._get = gets  # type: ignore[method-assign]
        real(flow)

    return lose


def _cutting(real: Callable[..., Any]) -> Callable[..., Any]:
    """A dump that is cut before it is decoded, once."""
    cut: list[Path] = []

    def decoded(flow: Flow, item: Any, folder: Path) -> Any:
        if not cut:
            cut.append(next(folder.rglob("*_1.bin")))
            os.truncate(cut[0], 5)
        return real(flow, item, folder)

    return decoded


@pytest.mark.parametrize("name", CASES)
def test_the_advice_is_true(name: str, at_work: Shop):
    case = CASES[name]
    case.make(at_work)
    said = at_work.advice(case.command)
    assert re.search(case.said, said), said
    case.meanwhile(at_work)
    at_work.done(*case.follow)
