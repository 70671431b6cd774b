"""ATC's and AOE's command lines for a HigherHRNet .onnx, and what their output says."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from higherhrnet.artifacts import dumps
from higherhrnet.backends.ascend.options import AtcOptions
from higherhrnet.errors import UserError
from higherhrnet.model import onnx_graph
from higherhrnet.system.processes import Command

AUTO_TUNE_FLAG = "--auto_tune_mode"
"""ATC's own tuning; later CANN releases have the program aoe instead."""
HELP = Command(("atc", "--help"))
"""Prints ATC's options."""

_FRAMEWORK_ONNX = 5
_CODE = re.compile(r"\b(E[A-Z]?\d{4,5})\b(?: ?\[PID:[^\]]*\][^:]*)?:")
_PATH = re.compile(r"[\u4e00-\u9fa5A-Za-z0-9./_-]+")  # ge/common/util.cc: what ATC lets a path hold


@dataclass(frozen=True)
class Conversion:
    """What decides an .om, beside the .onnx itself."""

    input_name: str
    batch: int
    shapes: tuple[tuple[int, int], ...]
    """All input shapes (H, W), in the order of the shape profiles."""
    out_nodes: str
    soc_version: str
    dynamic_dims: bool = False
    """Shape profiles by --dynamic_dims instead of --dynamic_image_size: only ais_bench's auto mode takes these."""
    aipp: Path | None = None
    """AIPP configuration; inputs are then uint8 [H, W, 3]. ATC does not take it with ``dynamic_dims``."""
    chosen: AtcOptions = field(default_factory=AtcOptions)

    def settings(self) -> dict[str, str]:
        """The options that decide what the .om computes, by name without dashes."""
        profiles = ";".join(f"{height},{width}" for height, width in self.shapes)
        settings = {
            "input_format": "ND" if self.dynamic_dims else "NCHW",
            "input_shape": f"{self.input_name}:{self.batch},3,-1,-1",
            "dynamic_dims" if self.dynamic_dims else "dynamic_image_size": profiles,
            "out_nodes": self.out_nodes,
        }
        if self.aipp is not None:
            settings["insert_op_conf"] = str(self.aipp)
        return settings | self.chosen.settings()

    def atc(self, model: Path, output: Path, *, auto_tune: bool = False) -> Command:
        """ATC's command: ``model`` .onnx to ``output``, which has no .om yet."""
        tuning = [f"{AUTO_TUNE_FLAG}=RL,GA"] if auto_tune else []
        return self._command("atc", model, output, [*tuning, f"--soc_version={self.soc_version}"])

    def aoe(self, model: Path, output: Path, *, device: int) -> list[Command]:
        """AOE's commands: tune subgraphs, then operators, on ``device``; ATC run later uses what they found."""
        return [self._command("aoe", model, output, [f"--job_type={job}", f"--device={device}"]) for job in (1, 2)]

    def _command(self, program: str, model: Path, output: Path, more: Sequence[str]) -> Command:
        settings = (f"--{key}={value}" for key, value in self.settings().items())
        return Command(
            (program, f"--framework={_FRAMEWORK_ONNX}", f"--model={model}", f"--output={output}", *settings, *more)
        )


def out_nodes(graph: onnx_graph.Graph, heads: dumps.Heads, model: Path) -> str:
    """``name:index;name:index`` of the nodes that make heatmaps-and-tags, then heatmaps.

    The first has a channel per heatmap and tag map, the second one per heatmap, whatever their order and names.

    Raises UserError: other outputs than these two, or nodes without a name that --out_nodes can give.
    """
    both, heatmaps = (shape[0] for shape in dumps.output_shapes((4, 4), heads))
    channels = {value.shape[1] if len(value.shape) == 4 else None: value for value in graph.outputs}
    if len(graph.outputs) != 2 or set(channels) != {both, heatmaps}:
        found = ", ".join(f"{v.name} {list(v.shape)}" for v in graph.outputs)
        raise UserError(
            f"model {model}: found outputs {found}, expected one of {both} channels (heatmaps and tags) and one "
            f"of {heatmaps} (heatmaps); export it with HigherHRNet_pth2onnx.py"
        )
    parts = []
    for count in (both, heatmaps):
        name, index = graph.producers.get(channels[count].name, ("", 0))
        if not name or any(c in name for c in ":;"):
            raise UserError(
                f"model {model}: output {channels[count].name} comes from a node named {name!r}, which --out_nodes "
                f"cannot name; export it with HigherHRNet_pth2onnx.py"
            )
        parts.append(f"{name}:{index}")
    return ";".join(parts)


def input_name(graph: onnx_graph.Graph, batch: int, model: Path) -> str:
    """The name of the one input. Raises UserError for another number of inputs, or a file of another batch size."""
    if len(graph.inputs) != 1 or len(graph.inputs[0].shape) != 4:
        found = ", ".join(f"{v.name} {list(v.shape)}" for v in graph.inputs)
        raise UserError(f"model {model}: found inputs {found}, expected one [N,3,H,W]; export it with "
                        f"HigherHRNet_pth2onnx.py")  # fmt: skip
    value = graph.inputs[0]
    if value.shape[0] not in {None, batch}:
        raise UserError(
            f"model {model} takes batches of {value.shape[0]}, not {batch}; export it with HigherHRNet_pth2onnx.py "
            f"--bs {batch}"
        )
    return value.name


def check_paths(model: Path, output: Path, aipp: Path | None) -> None:
    """Refuse before ATC does what it would refuse: it checks the real path of what it reads and the path it writes.

    Raises UserError: a character that is not a letter, digit, Chinese character or one of . / _ -.
    """
    read = [path.resolve() for path in (model, aipp) if path is not None]
    for path in (*read, output):
        if not _PATH.fullmatch(str(path)):
            wrong = "".join(sorted(set(_PATH.sub("", str(path)))))
            raise UserError(
                f"ATC does not take the path {path}: it holds {wrong!r}, expected letters, digits, Chinese characters "
                f"and . / _ - only; move the model, or give another with --model"
            )


def candidates(output: Path) -> tuple[Path, Path]:
    """Where ATC may have put the .om: it appends .om, or system and machine where shapes are open-ended."""
    tied = f"{output.name}_{platform.system().lower()}_{platform.machine()}.om"
    return output.with_name(f"{output.name}.om"), output.with_name(tied)


def find_om(output: Path) -> Path | None:
    """The .om that is there, None where none is."""
    return next((path for path in candidates(output) if path.is_file()), None)


def failure(text: str) -> str:
    """The error codes in what ATC or AOE printed, for a message: 'E10016, E19999' or ''."""
    return ", ".join(dict.fromkeys(_CODE.findall(text)))
