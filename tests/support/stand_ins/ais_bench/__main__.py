"""``python3 -m ais_bench`` as in late 2024; with STAND_IN_AIS_OLD as in 2023, when it checked no paths."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import om

from ais_bench.infer.path_security_check import OLD, checked_input, checked_model, checked_output


def argument(check: Callable[[str], str]) -> Callable[[str], Path]:
    """An argparse type; what the check says goes into the usage error."""

    def parse(text: str) -> Path:
        if problem := check(text):
            raise argparse.ArgumentTypeError(problem)
        return Path(text)

    return parse


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def hw(text: str) -> str:
    if not re.fullmatch(r"[0-9,]+", text):
        raise argparse.ArgumentTypeError(f"dym string '{text}' is not a legal string")
    return text


def dims(text: str) -> tuple[str, list[int]]:
    if not re.fullmatch(r"[A-Za-z0-9_]+:[0-9,]+", text):
        raise argparse.ArgumentTypeError(f"dym string '{text}' is not a legal string")
    name, _, shape = text.partition(":")
    return name, [int(n) for n in shape.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="__main__.py")
    parser.add_argument("--model", required=True, type=argument(checked_model))
    parser.add_argument("--input", type=argument(checked_input))
    parser.add_argument("--output", type=argument(checked_output))
    parser.add_argument("--output_dirname")
    parser.add_argument("--outfmt", default="BIN", choices=["NPY", "BIN", "TXT"])
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--dymHW", type=hw)
    parser.add_argument("--dymDims", type=dims)
    parser.add_argument("--auto_set_dymdims_mode", type=lambda t: t.lower() in {"yes", "true", "t", "y", "1"})
    parser.add_argument("--batchsize", type=int, default=None)
    parser.add_argument("--loop", type=int, default=1)
    parser.add_argument("--warmup_count", type=int, default=1)
    args = parser.parse_args()
    if args.output_dirname and (args.output is None or args.output_dirname.startswith("/")):
        raise RuntimeError
    return args


def log(text: str) -> None:
    print(f"[INFO] {text}", flush=True)


def error(text: str) -> None:
    print(f"[ERROR] {text}", flush=True)
    raise RuntimeError


def natural(path: Path) -> list[object]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


def read(path: Path) -> tuple[bytes, tuple[int, ...]]:
    if not OLD and (path.is_symlink() or mode(path) & 0o022):
        error(f"input data:{path} is illegal")
    if path.suffix.lower() == ".npy":
        array = np.load(path)
        return array.tobytes(), array.shape
    return path.read_bytes(), ()


def main() -> None:
    om.log_call()
    args = parse()
    log("acl init success")
    if not om.check_device(args.device):
        error(f"acl open device {args.device} failed")
    log(f"open device {args.device} success")
    model = om.Model(args.model)
    log(f"load model {args.model} success")
    log("create model description success")
    options = model.options
    if args.dymHW is not None:
        if options.kind != "dynamic_image_size":
            error("the dynamic_image_size parameter is not specified for model conversion")
        if [int(v) for v in args.dymHW.split(",")] not in options.gears:
            error("the dymHW parameter is not correct")
        log("check dynamic image size success.")
    if (args.auto_set_dymdims_mode or args.dymDims) and options.kind != "dynamic_dims":
        error("the dynamic_dims parameter is not specified for model conversion")
    if args.dymDims:
        name, shape = args.dymDims
        wanted = [options.batch, 3]
        if name != model.session.get_inputs()[0].name or shape[:2] != wanted or shape[2:] not in options.gears:
            error("check dynamic dims failed, please set correct dymDims paramenter")
    if options.kind == "dynamic_dims" and not (args.auto_set_dymdims_mode or args.dymDims):
        print("[WARN] check failed dym gearcount:1")
        raise RuntimeError
    run(args, model)
    log("unload model success, model Id is 1")
    log("end to destroy context")
    log(f"end to reset device is {args.device}")
    log("end to finalize acl")


def save(path: Path, output: np.ndarray, fault: om.Fault) -> None:
    """One image's output [1, C, h, w], as the suffix says."""
    if path.suffix == ".npy":
        np.save(path, output)
    else:
        fault.write(path, output.tobytes())
    path.chmod(0o640)


def run(args: argparse.Namespace, model: om.Model) -> None:  # noqa: PLR0915
    log(f"try get model batchsize:{model.options.batch}")
    kinds = ("*.npy", "*.NPY", "*.bin", "*.BIN")
    files = sorted({file for kind in kinds for file in args.input.glob(kind)}, key=natural)
    if not files:
        error(f"{args.input} of input args not find valid file,valid file format:[{' '.join(kinds)}]")
    out = args.output / args.output_dirname
    log(f"output path:{out}")
    out.mkdir(mode=0o750, exist_ok=True)
    contents = [read(file) for file in files]
    groups, times, done = [], [], {}
    auto = bool(args.auto_set_dymdims_mode)
    gear = tuple(int(v) for v in args.dymHW.split(",")) if args.dymHW else model.largest
    gear = tuple(args.dymDims[1][2:]) if args.dymDims else gear
    need = model.input_bytes(*gear) * model.options.batch
    size = need if auto else len(contents[0][0])
    if need % size:
        error(f"arg0 tensorsize: {need} filesize: {size} Y not match")
    per_batch = need // size
    log(f"get filesperbatch files0 size:{size} tensor0size:{need} filesperbatch:{per_batch} runcount:"
        f"{-(-len(files) // per_batch)}")  # fmt: skip
    log("warm up 1 done")
    fault = om.Fault(f"{gear[0]}x{gear[1]}" if not auto else "auto", args.device)
    for first in range(0, len(files), per_batch):
        group = files[first : first + per_batch]
        data = contents[first : first + per_batch]
        if auto:
            gear = data[0][1][2:]
            if list(gear) not in model.options.gears or data[0][1][:2] != (model.options.batch, 3):
                print(f"[WARN] check failed dym gearcount:{len(model.options.gears)}")
                raise RuntimeError
        for content, _ in data:
            if not auto and len(content) != size:
                error(f"Check i:0 name:input in size:{len(content)} needsize:{size} not match")
        if not auto and per_batch != model.options.batch:
            error(f"save out files error array shape:{gear} filesinfo:{group} files_count_per_batch:{per_batch} ndata")
        batch = [content for content, _ in data] + [data[0][0]] * (per_batch - len(data))
        start = time.perf_counter()
        outputs = model.run(batch, *gear)
        times.append(1000 * (time.perf_counter() - start))
        print(f"\rInference array Processing: {len(times)}", end="", flush=True)
        for slot, file in enumerate(group):
            fault.before()
            for k, output in enumerate(outputs):
                save(out / f"{file.name.split('.')[0]}_{k}.{args.outfmt.lower()}", output[slot : slot + 1], fault)
        groups.append(group)
    print()
    mean = float(np.mean(times))
    throughput = 1000 * (args.batchsize or model.options.batch) / mean
    done = {"throughput": throughput, "NPU_compute_time": {"mean": mean, "count": len(times)}, "args": sys.argv}
    named = [file for group in groups for file in group]
    done["filesinfo"] = {
        str(i): {"infiles": [str(f)], "outfiles": [str(out / f"{f.name.split('.')[0]}_{k}.{args.outfmt.lower()}")
                                                   for k in (0, 1)]} for i, f in enumerate(named)
    }  # fmt: skip
    done["npu_compute_time_list"] = times
    if not os.environ.get("STAND_IN_AIS_NO_SUMMARY"):
        Path(args.output, f"{args.output_dirname}_summary.json").write_text(json.dumps(done))
    log("-----------------Performance Summary------------------")
    log(f"NPU_compute_time (ms): min = {min(times)}, max = {max(times)}, mean = {mean}")
    log(f"throughput 1000*batchsize.mean({args.batchsize})/NPU_compute_time.mean({mean}): {throughput}")
    log("------------------------------------------------------")


if __name__ == "__main__":
    main()
