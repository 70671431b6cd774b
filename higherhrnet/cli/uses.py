"""Where each flag of each command has an effect; elsewhere it is refused.

One table: the commands check what they were given against it, and docs/flags.md is made of it:

    python3 -c "from higherhrnet.cli import uses; print(uses.document(), end='')" > docs/flags.md

A new flag gets a row here, ``Use()`` where it always has an effect. What only prints what a run would do
(--print_commands, --dry_run) takes every flag of that run.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from higherhrnet.cli import flags
from higherhrnet.errors import UserError


@dataclass(frozen=True)
class Use:
    """Where a flag has an effect: everywhere that no field excludes."""

    backends: tuple[str, ...] = ()
    """With these alone; empty: with all."""
    beside: tuple[str, ...] = ()
    """With one of these flags alone."""
    without: tuple[str, ...] = ()
    """With none of these flags."""
    flip: bool = False
    """With TEST.FLIP_TEST True alone."""
    kinds: tuple[str, ...] = ()
    """With sources of these kinds alone."""


_ALWAYS = Use()
# Not from backends.select, which preprocessing need not import.
_BENCHMARK, _AIS_BENCH, _SESSION = "benchmark", "ais_bench", "ascend"
_ONNXRUNTIME, _TORCH, _OPENVINO, _TRTEXEC = "onnxruntime", "torch", "openvino", "trtexec"
_ASCEND, _IN_PROCESS = (_BENCHMARK, _SESSION, _AIS_BENCH), (_ONNXRUNTIME, _TORCH, _OPENVINO)
_CONFIG = {"--cfg": _ALWAYS}
_PICTURES, _MOVING = Use(kinds=("picture",)), Use(kinds=("video", "camera"))  # as pipeline.sources has them
_IN_THIS_PROCESS = {
    "--threads": Use(_IN_PROCESS),
    "--providers": Use((_ONNXRUNTIME,)),
    "--device": Use(_IN_PROCESS),
    "--tune": Use((_TORCH,)),
    "--precision": Use((_TORCH, _OPENVINO)),
}
_INFERENCE = {
    "--bs": _ALWAYS,
    "--backend": _ALWAYS,
    "--model": _ALWAYS,
    "--device_id": _ALWAYS,
    "--device_ids": _ALWAYS,
    **_IN_THIS_PROCESS,
    "--dtype": _ALWAYS,
    "--benchmark_path": Use((_BENCHMARK,)),
    "--soc_version": Use(_ASCEND),
    "--auto_tune": Use(_ASCEND),
    "--aipp": Use(_ASCEND),
    "--dynamic": Use(_ASCEND),
    "--precision_mode": Use(_ASCEND),
    "--output_type": Use(_ASCEND),
    "--input_fp16_nodes": Use(_ASCEND),
    "--atc_args": Use(_ASCEND),
    "--timeout": Use(_ASCEND),
}
_CONVERT = ("--convert_only",)
_RUNS = {
    **_INFERENCE,
    "--device_ids": Use(without=_CONVERT),
    "--threads": Use(_IN_PROCESS, without=_CONVERT),
    "--providers": Use((_ONNXRUNTIME,), without=_CONVERT),
    "--device": Use(_IN_PROCESS, without=_CONVERT),
    "--tune": Use((_TORCH,), without=_CONVERT),
    "--precision": Use((_TORCH, _OPENVINO), without=_CONVERT),
    "--dtype": Use(without=_CONVERT),
    "--benchmark_path": Use((_BENCHMARK,), without=_CONVERT),
}
_TABLE = Use(without=("--compare",))
_MEASURED = Use(beside=("--backend",), without=("--compare",))
_MEASURED_HERE = Use(_IN_PROCESS, ("--backend",), ("--compare",))
_COMPARED = Use(beside=("--compare",))

USES: Mapping[str, Mapping[str, Use]] = {
    "preprocess": {
        **_CONFIG,
        "--output": _ALWAYS,
        "--output_flip": Use(flip=True),
        "--workers": _ALWAYS,
        "--limit": _ALWAYS,
        "--overwrite": _ALWAYS,
        "--skip_bad": _ALWAYS,
        "--no_eval": _ALWAYS,
        "--aipp": _ALWAYS,
        "--dtype": _ALWAYS,
        "--layout": _ALWAYS,
        "--no_long_side_limit": _ALWAYS,
        "--exif": _ALWAYS,
        "--shard": _ALWAYS,
    },
    "dataset_info": {"--overwrite": _ALWAYS, "--shard": _ALWAYS},
    "pth2onnx": {
        **_CONFIG,
        "--weights": _ALWAYS,
        "--bs": _ALWAYS,
        "--output": _ALWAYS,
        "--onnx_path": _ALWAYS,
        "--overwrite": _ALWAYS,
    },
    "quantize": {
        **_CONFIG,
        "--model": _ALWAYS,
        "--inputs": _ALWAYS,
        "--inputs_flip": _ALWAYS,
        "--count": _ALWAYS,
        "--seed": _ALWAYS,
        "--output": _ALWAYS,
        "--target": _ALWAYS,
        "--weight_bits": _ALWAYS,
        "--keep_float": _ALWAYS,
        "--threads": _ALWAYS,
        "--allow_evaluation_images": _ALWAYS,
        "--overwrite": _ALWAYS,
        "--max_drop": Use(beside=("--dumps",)),
        "--dumps": Use(beside=("--max_drop",)),
        "--info": Use(beside=("--max_drop",)),
        "--info_flip": Use(beside=("--max_drop",)),
    },
    "benchmark": {
        **_CONFIG,
        **_RUNS,
        "--backend": _ALWAYS,
        "--info": Use(without=_CONVERT),
        "--info_flip": Use(without=_CONVERT, flip=True),
        "--result": Use(without=_CONVERT),
        "--overwrite": Use(without=_CONVERT),
        "--shard": Use(without=_CONVERT),
        "--layout": Use((_SESSION, _AIS_BENCH, *_IN_PROCESS), without=_CONVERT),
        "--convert_only": Use(_ASCEND),
        "--print_commands": _ALWAYS,
    },
    "postprocess": {
        **_CONFIG,
        "--dump_dir": _ALWAYS,
        "--dump_dir_flip": Use(flip=True),
        "--no_long_side_limit": _ALWAYS,
        "--workers": _ALWAYS,
        "--vis_dir": _ALWAYS,
        "--vis_count": Use(beside=("--vis_dir",)),
        "--vis_score": Use(beside=("--vis_dir",)),
        "--report": _ALWAYS,
        "--no_eval": _ALWAYS,
        "--overwrite": _ALWAYS,
        "--shard": _ALWAYS,
    },
    "performance": {
        **_CONFIG,
        "--result": _TABLE,
        "--label": _TABLE,
        "--bs": _TABLE,
        "--published": _TABLE,
        "--ratio": _TABLE,
        "--chips_per_card": _TABLE,
        "--format": _TABLE,
        "--chart": _TABLE,
        "--benchmark": _TABLE,
        "--backend": _TABLE,
        "--rounds": _MEASURED_HERE,
        "--warm_up": _MEASURED_HERE,
        "--model": _MEASURED,
        "--info": _MEASURED_HERE,
        "--shapes": _MEASURED,
        "--device_id": _MEASURED,
        "--threads": _MEASURED_HERE,
        "--providers": Use((_ONNXRUNTIME,), ("--backend",), ("--compare",)),
        "--device": _MEASURED_HERE,
        "--tune": Use((_TORCH, _TRTEXEC), ("--backend",), ("--compare",)),
        "--precision": Use((_TORCH, _OPENVINO, _TRTEXEC), ("--backend",), ("--compare",)),
        "--save": _MEASURED,
        "--overwrite": Use(beside=("--backend", "--chart"), without=("--compare",)),
        "--timeout": Use((_TRTEXEC,), ("--backend",), ("--compare",)),
        "--print_commands": Use((_TRTEXEC,), ("--backend",), ("--compare",)),
        "--compare": _ALWAYS,
        "--tolerance": _COMPARED,
        "--ap_tolerance": _COMPARED,
        "--distance": _COMPARED,
        "--changed": _COMPARED,
        "--workers": _COMPARED,
    },
    "table": {
        **_CONFIG,
        "--model": _ALWAYS,
        "--int8": _ALWAYS,
        "--weights": _ALWAYS,
        "--backends": _ALWAYS,
        "--bs": _ALWAYS,
        "--threads": _ALWAYS,
        "--device": _ALWAYS,
        "--info": _ALWAYS,
        "--info_flip": _ALWAYS,
        "--distance": _ALWAYS,
        "--format": _ALWAYS,
        "--chart": _ALWAYS,
        "--overwrite": Use(beside=("--chart",)),
    },
    "run": {
        **_CONFIG,
        **_INFERENCE,
        "--decode_on": Use((_TORCH,)),
        "--aipp": _ALWAYS,  # inputs of a quarter of the bytes, which the other backends normalise
        "--disk_budget": _ALWAYS,
        "--work": _ALWAYS,
        "--workers": Use(without=("--dask",)),
        "--limit": _ALWAYS,
        "--overwrite": _ALWAYS,
        "--skip_bad": _ALWAYS,
        "--no_eval": _ALWAYS,
        "--dry_run": _ALWAYS,
        "--dask": _ALWAYS,
        "--exif": _ALWAYS,
        "--no_long_side_limit": _ALWAYS,
        "--shard": _ALWAYS,
    },
    "predict": {
        **_CONFIG,
        "--bs": _ALWAYS,
        "--backend": _ALWAYS,
        "--model": _ALWAYS,
        "--device_id": _ALWAYS,
        **_IN_THIS_PROCESS,
        "--decode_on": Use((_TORCH,)),
        "--set": _ALWAYS,
        "--output": _ALWAYS,
        "--save": _ALWAYS,
        "--no_flip": _ALWAYS,
        "--min_score": _ALWAYS,
        "--oks_nms": _ALWAYS,
        "--no_exif": _PICTURES,
        "--stride": _MOVING,
        "--track": _MOVING,
        "--overwrite": _ALWAYS,
    },
    "report": {
        **_CONFIG,
        "--results": _ALWAYS,
        "--against": _ALWAYS,
        "--dumps": _ALWAYS,
        "--output": _ALWAYS,
        "--json": _ALWAYS,
        "--pictures": _ALWAYS,
        "--overwrite": _ALWAYS,
    },
    "merge": {**_CONFIG, "--results": _ALWAYS, "--overwrite": _ALWAYS},
}
"""By command and flag."""


def check(
    command: str,
    argv: Sequence[str] | None,
    *,
    backend: str = "",
    flip: bool | None = None,
    kinds: Collection[str] = (),
) -> None:
    """Refuse a flag that would do nothing.

    Parameters
    ----------
    argv : the command's arguments; None: this program's
    backend : what runs the network; '' where that is not known yet, or nothing does
    flip : TEST.FLIP_TEST; None where it is not known yet
    kinds : of the sources; empty where they are not known yet

    Raises
    ------
    UserError : naming the flag and where it has an effect
    """
    rows = USES[command]
    present = set(_flags(sys.argv[1:] if argv is None else argv))
    given = [flag for flag in rows if flag in present]
    for flag in given:
        if problem := _problem(flag, rows[flag], given, backend, flip, kinds):
            raise UserError(problem)


def _flags(argv: Sequence[str]) -> Iterator[str]:
    """The flags among arguments: no value of one begins with dashes, for argparse refuses that."""
    for argument in flags.joined(argv):
        if argument == "--":
            return
        if argument.startswith("--"):
            yield argument.partition("=")[0]


def _problem(flag: str, use: Use, given: Sequence[str], backend: str, flip: bool | None, kinds: Collection[str]) -> str:
    if use.beside and not any(other in given for other in use.beside):
        return f"{flag} goes with {' or '.join(use.beside)}; give that too, or omit {flag}"
    if excluding := [other for other in use.without if other in given]:
        return f"{flag} has no effect with {excluding[0]}; omit one of them"
    if backend and use.backends and backend not in use.backends:
        return f"{flag} is for --backend {' or '.join(use.backends)}, not for {backend}; omit it, or choose another"
    if use.flip and flip is False:
        return f"{flag}: nothing is mirrored, because TEST.FLIP_TEST is False; omit it, or give TEST.FLIP_TEST True"
    if kinds and use.kinds and not set(kinds).intersection(use.kinds):
        return f"{flag} is for a {' or '.join(use.kinds)}, and no source is one; omit it"
    return ""


def document() -> str:
    """docs/flags.md: the rows that have a condition."""
    lines = [
        "# Where flags have an effect",
        "",
        "[README](../README.md) · [all flags](formats.md#flags)",
        "",
        "A flag that would do nothing is refused. These have an effect in some cases alone, all others always.",
        "",
        "| command | flag | backends | only with | not with |",
        "|---|---|---|---|---|",
    ]
    for command, rows in USES.items():
        for flag, use in rows.items():
            if use != _ALWAYS:
                beside = [*map(_code, use.beside), *["`TEST.FLIP_TEST True`"] * use.flip]
                beside += [f"a {kind}" for kind in use.kinds]
                cells = (_all(use.backends), " or ".join(beside), " or ".join(map(_code, use.without)))
                lines.append(f"| {command} | {_code(flag)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"


def _all(backends: Sequence[str]) -> str:
    return ", ".join(backends) or "all"
