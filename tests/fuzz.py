"""Mutated files for every parser of what comes from outside: only the project's own error may come out.

    python3 -m tests.fuzz --executions 1000000 --seed 1

Each execution changes a sound file in a few places (bytes, numbers, cuts, pieces of another file) and parses it. Equal
seeds give equal files. A finding is kept in a file, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import onnx
import torch
from tqdm import tqdm
from yacs.config import CfgNode

from higherhrnet.artifacts import claim, dumps, info, perf, trtexec_log
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.pictures import Picture, Stamp
from higherhrnet.artifacts.work import OmWork, PeopleWork
from higherhrnet.backends.ascend import ais_bench, atc, chip
from higherhrnet.cli import flags, run
from higherhrnet.config import loader
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, shards
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.errors import UserError
from higherhrnet.image import reader
from higherhrnet.model import architecture, checkpoint, network, onnx_graph
from tests.support import works

_TOKENS = (
    *(b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"null", b"true", b"9" * 400, b"0x10", b"1,5", b"-0.0", b"[]", b"{}"),
    *(
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        "\u0661".encode(),
        "\u2028".encode(),
        b"../",
        b"/",
        b"\r\n",
        b"\n",
        b" ",
        b'"',
    ),
    *(b"!!python/object/apply:os.getpid []", b"&a [*a]", b"\x80\x04c", b"\x7f\xff\xff\xff", b"\xff" * 8),
)
_LARGEST = 1 << 16  # bytes: beyond this a changed file is cut


@dataclass(frozen=True)
class Parser:
    """``parse`` is given a changed file's bytes; ``share`` is its part of the executions."""

    seeds: tuple[bytes, ...]
    parse: Callable[[bytes], object]
    share: float = 1.0


def parsers(folder: Path) -> dict[str, Parser]:
    """All parsers by name; files go to ``folder``."""
    file = folder / "file"

    def of_file(read: Callable[[Path], object], path: Path = file) -> Callable[[bytes], object]:
        def parse(content: bytes) -> object:
            path.write_bytes(content)
            return read(path)

        return parse

    def of_text(read: Callable[[str], object]) -> Callable[[bytes], object]:
        return lambda content: read(content.decode(errors="replace"))

    npy = folder / "000000000000_0.npy"
    raw = folder / "000000000000_1.bin"
    (folder / "inputs").mkdir()
    (folder / "dumps").mkdir()
    (folder / "people").mkdir()
    people = Record(PeopleWork("d", 7, "1/1", {"short_side": 512}, {"model": "m"}, {}, 1))
    with Journal(folder / "sound.jsonl", people) as sound:
        sound.add(3, Picture(Stamp(1, 2, 3, 4), "5" * 64))
        sound.leave_out(4, "why")
    # Hashes, as records have: changed, they are still such.
    of_inputs = replace(works.DUMPS, dtype="float16")
    return {
        "annotations": Parser(_annotations(), of_file(coco.load)),
        "people": Parser(_annotations(), of_file(lambda path: coco.load(path, EvaluationProtocol()))),
        "info": Parser((b"0 a/b c.bin 512 704\n1 d 5 6\n", b"0 a 1 2\r\n"), of_file(info.read)),
        "perf": Parser(_perfs(), of_text(lambda text: perf.parse(text, file))),
        "trtexec": Parser(_logs(), of_text(lambda text: trtexec_log.parse(text, file))),
        "inputs record": _record(folder / "inputs", Record(works.INPUTS, Facts(left_out=[2]), complete=True)),
        "dumps record": _record(folder / "dumps", Record(of_inputs, Facts(made_from="6" * 64, devices=[0]))),
        "results record": _record(folder / "r.json", people),
        "om record": _record(folder / "m.om", Record(OmWork("o", {"a": "b"}, "Ascend310"))),
        "journal": Parser(
            (sound.path.read_bytes(),),
            of_file(lambda path: _journal(path, people), folder / "people/people.jsonl"),
            share=0.5,
        ),
        "npy": Parser(_arrays(), of_file(lambda path: dumps.read(path, (1, 2, 3), (1, 2, 3)), npy)),
        "bin": Parser((bytes(24), bytes(48)), of_file(lambda path: dumps.read(path, (1, 2, 3), (1, 3, 4)), raw)),
        "npu-smi": Parser(_tables(), of_text(chip.parse)),
        "atc": Parser((b"ATC run failed\nE10016: Opname [x]\nEC0010[PID: 7] a: b",), of_text(atc.failure)),
        "onnx": Parser(_graphs(), of_file(onnx_graph.read)),
        "image": Parser(_images(), of_file(reader.read_image), share=0.3),
        "ais_bench": Parser(
            (
                b'{"throughput": 12.5}\n',
                b"{}\n[INFO] throughput 1000*batchsize.mean(1)/NPU_compute_time.mean(8): 125.0",
            ),
            of_text(lambda text: _refused(ais_bench.throughput, *text.partition("\n")[::2])),
        ),
        "shard": Parser((b"1/4", b"3/3"), of_text(lambda text: _refused(shards.Shard.parse, text))),
        "count": Parser((b"1", b"1024", b"+7"), of_text(lambda text: _refused(flags.count, text))),
        "batch sizes": Parser((b"1,2,4,8", b"1024"), of_text(lambda text: _refused(flags.batch_sizes, text))),
        "number": Parser((b"0.5", b"1e-3", b".25"), of_text(lambda text: _refused(flags.non_negative, text))),
        "disk size": Parser((b"4GB", b"1.5 tb", b"900"), of_text(lambda text: _refused(run.size, text))),
        "checkpoint": Parser(_checkpoints(), _checkpoint(folder / "c.pth"), share=0.05),
        "yaml": Parser((loader.DEFAULT.read_bytes(), b"TEST:\n  REFINE: no"), of_file(_configuration), share=0.3),
        "override": Parser(_overrides(), of_text(_override), share=0.4),
    }


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _record(place: Path, made: Record[claim.Work]) -> Parser:
    def parse(content: bytes) -> object:
        claim.record_of(place).write_bytes(content)
        return claim.read(place, type(made.work))

    return Parser((_json(made.as_json()),), parse)


def _journal(path: Path, made: Record[PeopleWork]) -> object:
    with Journal(path, made) as journal:
        return list(journal.entries())


def _refused(parse: Callable[..., object], *arguments: str) -> object:
    """For parsers whose callers make a message of a ValueError, as argparse does."""
    try:
        return parse(*arguments)
    except (ValueError, argparse.ArgumentTypeError) as e:
        raise UserError(str(e)) from e


def _configuration(path: Path) -> object:
    return _used(loader.load(path))


def _used(config: Config) -> object:
    """What the programs make of a configuration."""
    config.results_file()
    return architecture.Architecture.from_extra(config.extra, config.heads)


def _checkpoints() -> tuple[bytes, ...]:
    found = []
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, file, _use_new_zipfile_serialization=zipped)
        found.append(file.getvalue())
    return tuple(found)


def _checkpoint(path: Path) -> Callable[[bytes], object]:
    # The smallest network has thousands of parameters; a layer stands for it.
    layer = cast(network.HigherHRNet, torch.nn.Linear(3, 2))

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        checkpoint.load(path, layer)

    return parse


def _overrides() -> tuple[bytes, ...]:
    sections = ((name, node) for name, node in loader.tree().items() if isinstance(node, CfgNode))
    return tuple(f"{name}.{key} {value!r}".encode() for name, node in sections for key, value in node.items())


def _override(text: str) -> object:
    return _used(loader.load(None, text.split(" ", 1)))


def _annotations() -> tuple[bytes, ...]:
    image = {"id": 1, "file_name": "a/1.jpg", "width": 640, "height": 480}
    person: dict[str, object] = {
        "id": 1,
        "image_id": 2,
        "category_id": 1,
        "num_keypoints": 1,
        "iscrowd": 0,
        "area": 9.5,
    }
    person = {**person, "keypoints": [0.5, 0.5, 2] * 17, "bbox": [1, 2, 3, 4.5]}
    whole = {"images": [image, image | {"id": 2}], "annotations": [person], "categories": [{"id": 1}]}
    return _json(whole), b'{"images":[]}'


def _perfs() -> tuple[bytes, ...]:
    timings = perf.Timings(7, 7, 1.0, 0.1, 0.5, 0.4, 0.1).text()
    newer = timings.replace("[infer]", "[inference]").replace("[post]", "[postprocess]")
    return (
        timings.encode(),
        f"[INFO] benchmark\n{newer}".encode(),
        timings.replace(".", ",").encode(),
        timings[:90].encode(),
    )


def _logs() -> tuple[bytes, ...]:
    new = b"GPU Compute Time: min = 1 ms, max = 3 ms, mean = 2 ms, median = 2 ms, percentile(99%) = 3 ms\n&&&& PASSED"
    old = b"[I] GPU Compute\n[I] min: 1 ms\n[I] mean: 2 ms\n[I] median: 2 ms\n[I] percentile: 3 ms at 99%\n&&&& PASSED"
    return new, old


def _tables() -> tuple[bytes, ...]:
    return b"| 0     310P3     | OK              | 12.8 |\n| 0  0  | 0000:01:00.0 |", b"| 3  Ascend 310 | Alarm | 1 |\n"


def _arrays() -> tuple[bytes, ...]:
    head = b"\x93NUMPY\x01\x00"
    found = []
    for dtype in ("<f4", ">f4", "|O", "<f8"):
        text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (1, 2, 3), }}\n".encode()
        found.append(head + len(text).to_bytes(2, "little") + text + bytes(24))
    return tuple(found)


def _graphs() -> tuple[bytes, ...]:
    value = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n", 34, "h", "w"])
    node = onnx.helper.make_node("Relu", ["input"], ["out"], name="relu")
    return (onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out])).SerializeToString(),)


def _images() -> tuple[bytes, ...]:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    return tuple(cv2.imencode(suffix, pixels)[1].tobytes() for suffix in (".jpg", ".png"))


def mutate(rng: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """A sound file with one to six changes."""
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(content))
        kind = rng.randrange(7)
        if kind == 0 and content:
            content[at % len(content)] = rng.randrange(256)
        elif kind == 1 and content:
            content[at % len(content)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del content[at : at + rng.randint(1, 16)]
        elif kind == 3:
            content[at:at] = rng.choice(_TOKENS)
        elif kind == 4:
            content[at : at + rng.randint(1, 8)] = rng.choice(_TOKENS)
        elif kind == 5:
            content[at:at] = content[at : at + rng.randint(1, 64)] * rng.randint(1, 3)
        else:
            other = rng.choice(seeds)
            content[at:] = other[rng.randint(0, len(other)) :] if rng.random() < 0.7 else b""
    return bytes(content[:_LARGEST])


def cases(rng: random.Random, found: dict[str, Parser], executions: int) -> Iterator[tuple[str, bytes]]:
    """So many files, each with its parser's name: those that changes begin with, then changed ones."""
    names, shares = list(found), [parser.share for parser in found.values()]
    whole = [(name, seed) for name in names for seed in found[name].seeds]
    yield from whole
    for name in rng.choices(names, shares, k=executions - len(whole)):
        yield name, mutate(rng, found[name].seeds)


def fuzz(
    executions: int, seed: int, folder: Path, *, quiet: bool = False
) -> tuple[Counter[str], Counter[str], list[str]]:
    """Run; return executions and refusals by parser, and findings: parser, traceback, file in hexadecimal."""
    found = parsers(folder)
    done: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    findings: list[str] = []
    todo = cases(random.Random(seed), found, executions)
    for name, content in tqdm(todo, "fuzz", executions, unit="file", disable=True if quiet else None):
        done[name] += 1
        try:
            found[name].parse(content)
        except UserError as e:
            refused[name] += 1
            if not str(e).strip():
                findings.append(f"{name}: an error without a message\n{content.hex()}")
        except Exception:
            findings.append(f"{name}: {traceback.format_exc()}\n{content.hex()}")
    return done, refused, findings


def main() -> int:
    """Fuzz, print what was tried, keep findings."""
    p = argparse.ArgumentParser(prog="python3 -m tests.fuzz", description=(__doc__ or "").split("\n", 1)[0])
    p.add_argument("--executions", type=int, default=1_000_000, metavar="N", help="default: %(default)s")
    p.add_argument("--seed", type=int, default=1, metavar="S", help="default: %(default)s")
    p.add_argument(
        "--findings", type=Path, default=Path("fuzz_findings.txt"), metavar="FILE", help="default: %(default)s"
    )
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done, refused, findings = fuzz(args.executions, args.seed, Path(folder))
    for name, count in sorted(done.items()):
        print(f"{name:<14} {count:>9,} executions, {refused[name]:>9,} refused")
    print(f"{done.total():,} executions, {len(findings)} findings")
    if findings:
        args.findings.write_text("\n\n".join(findings))
        print(f"findings in {args.findings}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
