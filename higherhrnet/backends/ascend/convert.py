"""Between stages 3 and 4: an .om for an .onnx, with ATC, where there is none that is up to date."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from higherhrnet.artifacts import atomic, claim, dumps, lock, models
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.work import OmWork
from higherhrnet.backends.ascend import aipp, atc, chip
from higherhrnet.backends.ascend.options import AtcOptions
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, onnx_graph
from higherhrnet.system import processes

_UNKNOWN_CHIP = "AscendCHIP"  # where commands are only printed, nothing asks for the chip


@dataclass(frozen=True)
class Request:
    """The .om that is wanted."""

    onnx: Path
    batch: int
    shapes: tuple[tuple[int, int], ...]
    """(H, W) of the inputs, which become the shape profiles."""
    heads: dumps.Heads
    soc_version: str | None = None
    """Chip name, with or without Ascend before it; None asks npu-smi when it is needed."""
    aipp: bool = False
    dynamic_dims: bool = False
    auto_tune: bool = False
    device: int = 0
    """Where AOE tunes."""
    chosen: AtcOptions = field(default_factory=AtcOptions)

    @property
    def output(self) -> Path:
        """ATC's --output: the .om without .om."""
        return models.om_output(self.onnx, self.batch, aipp=self.aipp, dynamic_dims=self.dynamic_dims)

    @property
    def om(self) -> Path | None:
        """The .om that is there; None where none is."""
        return atc.find_om(self.output)

    @property
    def aipp_file(self) -> Path | None:
        """Where the AIPP configuration lies."""
        return self.output.with_name(f"{self.output.name}.cfg") if self.aipp else None

    def conversion(self, soc_version: str) -> atc.Conversion:
        """All of ATC's options. Raises UserError for an .onnx that is not HigherHRNet's."""
        graph = onnx_graph.read(self.onnx)
        name = atc.input_name(graph, self.batch, self.onnx)
        if self.chosen.input_fp16_nodes not in {"", name}:
            raise UserError(
                f"--input_fp16_nodes {self.chosen.input_fp16_nodes}: the input of {self.onnx} is called {name}; give "
                f"that name"
            )
        return atc.Conversion(
            input_name=name,
            batch=self.batch,
            shapes=self.shapes,
            out_nodes=atc.out_nodes(graph, self.heads, self.onnx),
            soc_version=soc_version,
            dynamic_dims=self.dynamic_dims,
            aipp=self.aipp_file,
            chosen=self.chosen,
        )


@dataclass(frozen=True)
class Result:
    """An .om and why it was made; ``why`` is empty where one was there."""

    om: Path
    why: str
    kept: Sequence[Path] = ()
    """Where what was there stays that this program did not make."""


def find(request: Request) -> Result:
    """The .om that is there, and in ``why`` what makes it stale; its path is where it will be, if it is missing.

    Raises UserError: an .onnx that cannot be read, or is not HigherHRNet's.
    """
    conversion = request.conversion(_UNKNOWN_CHIP)
    found = request.om
    if found is None:
        return Result(atc.candidates(request.output)[0], "there is none yet")
    return Result(found, _stale(request, conversion, found))


def _stale(request: Request, conversion: atc.Conversion, om: Path) -> str:
    try:
        made = claim.read(_named(request), OmWork)
    except UserError as e:
        return str(e).partition(";")[0]
    if made is None:  # made by hand, as in the guide: its age is all that is known
        return f"{om} is older than {request.onnx}" * (om.stat().st_mtime_ns < request.onnx.stat().st_mtime_ns)
    if not made.complete:
        return "an earlier conversion did not finish"
    chip_name = chip.soc_version(request.soc_version) if request.soc_version else made.work.soc_version
    if different := made.stale(Record(_work(request, conversion, chip_name))):
        return f"{om} is of {claim.reasons(different)}"
    return f"{om} has changed since it was made" * (atomic.sha256(om) != made.facts.sha256)


def check_made(om: Path, chosen: AtcOptions, *, aipp: bool, dynamic_dims: bool) -> None:
    """Refuse flags that are not of an .om as its record has it; nothing is known of one without.

    Raises
    ------
    UserError : naming the first flag, and how the .om was made
    """
    made = claim.read(om, OmWork)
    if made is None:
        return
    settings = made.work.settings
    for flag, has, given in (
        ("--aipp", "insert_op_conf" in settings, aipp),
        ("--dynamic dims", "dynamic_dims" in settings, dynamic_dims),
        ("--input_fp16_nodes", "input_fp16_nodes" in settings, bool(chosen.input_fp16_nodes)),
        ("--output_type FP16", settings.get("output_type") == "FP16", chosen.output_type == "FP16"),
    ):
        if has != given:
            made_so, remedy = ("with", "give it") if has else ("without", "omit it")
            raise UserError(f"model {om} was made {made_so} {flag}, says {claim.record_of(om)}; {remedy}")


def _write_aipp(file: Path, made: Record[OmWork] | None) -> None:
    """Write ATC's file of AIPP, in place of the one that the .om was ``made`` with.

    Raises
    ------
    UserError : another is there, which somebody may have tuned by hand
    """
    text = aipp.configuration()
    ours = {text, made.work.settings.get("insert_op_conf") if made else None}
    if os.path.lexists(file) and not file.is_symlink() and not (file.is_file() and _text(file) in ours):
        raise UserError(f"{file} is not the AIPP file that this program makes; move it away, or rename the model")
    atomic.write_text(file, text)


def _text(file: Path) -> str:
    return file.read_bytes().decode(errors="replace")


def _named(request: Request) -> Path:
    """The .om that its record is named after, wherever ATC puts it."""
    return atc.candidates(request.output)[0]


def _work(request: Request, conversion: atc.Conversion, soc_version: str) -> OmWork:
    return OmWork(fingerprint.sha256(request.onnx), _settings(conversion), soc_version)


def _settings(conversion: atc.Conversion) -> dict[str, str]:
    """The settings as the record keeps them: of the AIPP file not its path but what it says."""
    chosen = conversion.chosen
    settings = {k: v for k, v in conversion.settings().items() if k not in chosen.settings()} | chosen.recorded()
    if conversion.aipp is not None:
        settings["insert_op_conf"] = aipp.configuration()
    return settings


def run(request: Request, *, why: str, timeout: float | None = None) -> Result:
    """Convert, whatever is there. An older .om stays until the new one is whole.

    Raises UserError: ATC (or npu-smi, or AOE) is missing or fails, or leaves no .om.
    """
    output = request.output
    atc.check_paths(request.onnx, output, request.aipp_file)
    if shutil.which("atc") is None:
        raise UserError(
            f"no up-to-date .om for {request.onnx} ({why}) and atc is not on PATH; source the toolkit's set_env.sh, "
            f"or convert on another host and copy the .om here"
        )
    if request.soc_version:
        soc_version = chip.soc_version(request.soc_version)
    else:
        soc_version = chip.ask(output.with_name(f"{output.name}.npu-smi.log"))
    if request.auto_tune:
        chip.check_tunes(soc_version)
    conversion = request.conversion(soc_version)
    found = fingerprint.see(request.onnx)
    record = Record(OmWork(found.sha256, _settings(conversion), soc_version))
    if conversion.aipp is not None:
        _write_aipp(conversion.aipp, claim.read_sound(_named(request), OmWork))
    tuning, last = _tuned(request, conversion, timeout)
    with lock.held(output.parent, instead="copy the model to another folder"), _set_aside(request) as kept:
        claim.write(_named(request), record)
        for number, command in enumerate(tuning, start=1):
            _run(command, output.with_name(f"{output.name}.aoe{number}.log"), timeout)
        for path in atc.candidates(output):  # AOE leaves an .om too, which is not to pass for ATC's
            path.unlink(missing_ok=True)
        outcome = _run(last, output.with_name(f"{output.name}.atc.log"), timeout)
        made = request.om
        if made is None or made.stat().st_size == 0:
            raise UserError(
                f"atc {outcome.ending}, but left {'no' if made is None else 'an empty'} {made or _named(request)}: "
                f"{outcome.last_lines()}; all it printed: {outcome.log}"
            )
        found.check("atc converted it")
    claim.write(_named(request), replace(record, facts=Facts(sha256=atomic.sha256(made)), complete=True))
    return Result(made, why, kept)


def commands(request: Request) -> list[str]:
    """What ``run`` would run, as shell lines and remarks; nothing is run or asked."""
    lines = []
    if request.soc_version:
        soc_version = chip.soc_version(request.soc_version)
        if request.auto_tune:
            chip.check_tunes(soc_version)
    else:
        soc_version = _UNKNOWN_CHIP
        lines += [chip.COMMAND.shell(), "# the chip's name from that table goes in place of CHIP (or --soc_version)"]
    conversion = request.conversion(soc_version)
    if conversion.aipp is not None:
        _write_aipp(conversion.aipp, claim.read_sound(_named(request), OmWork))
    if request.auto_tune:
        lines += [
            atc.HELP.shell(),
            f"# where that lists {atc.AUTO_TUNE_FLAG}:",
            conversion.atc(request.onnx, request.output, auto_tune=True).shell(),
            "# where it does not:",
            *(command.shell() for command in conversion.aoe(request.onnx, request.output, device=request.device)),
        ]
    return [*lines, conversion.atc(request.onnx, request.output).shell()]


def _tuned(
    request: Request, conversion: atc.Conversion, timeout: float | None
) -> tuple[Sequence[processes.Command], processes.Command]:
    """What to run before ATC, and ATC: the guide's auto-tune where ATC still has it, AOE where it does not."""
    plain = conversion.atc(request.onnx, request.output)
    if not request.auto_tune:
        return (), plain
    log = request.output.with_name(f"{request.output.name}.atc-help.log")
    if atc.AUTO_TUNE_FLAG in processes.run(atc.HELP, log=log, timeout=timeout).text:
        return (), conversion.atc(request.onnx, request.output, auto_tune=True)
    if shutil.which("aoe") is None:
        raise UserError(
            f"--auto_tune: this atc has no {atc.AUTO_TUNE_FLAG} ({log}) and aoe is not on PATH; source the toolkit's "
            f"set_env.sh, or omit --auto_tune"
        )
    return conversion.aoe(request.onnx, request.output, device=request.device), plain


def _run(command: processes.Command, log: Path, timeout: float | None) -> processes.Outcome:
    """Run ATC or AOE. Raises UserError with the error codes and last lines where its status is not 0."""
    outcome = processes.run(command, log=log, timeout=timeout)
    if outcome.status != 0:
        codes = atc.failure(outcome.text)
        raise UserError(
            f"{command.program} {outcome.ending}{f' with {codes}' if codes else ''}: {outcome.last_lines(6)}; "
            f"all it printed: {log}"
        )
    return outcome


@contextlib.contextmanager
def _set_aside(request: Request) -> Iterator[list[Path]]:
    """Keep what is at ATC's output out of its way; put it back, with its record, where the block fails.

    What this program did not make, as an .om that somebody converted by hand, stays for good under the names given.
    """
    output, record = request.output, claim.record_of(_named(request))
    made = claim.read_sound(_named(request), OmWork)
    kept, theirs = {}, []
    for path in (*atc.candidates(output), record):
        if os.path.lexists(path) and (made is None or (path != record and not _is_of(path, made))):
            kept[path] = _free(path)
            theirs.append(kept[path])
        else:
            kept[path] = path.with_name(f".{path.name}.previous")
    try:
        for path, aside in kept.items():
            if os.path.lexists(path):
                path.replace(aside)
            else:
                aside.unlink(missing_ok=True)
    except OSError as e:
        raise UserError(f"cannot replace {output}.om: {e.strerror}; check the rights of {output.parent}") from e
    try:
        yield theirs
    except BaseException:
        for path, aside in kept.items():
            path.unlink(missing_ok=True)
            if os.path.lexists(aside):
                aside.replace(path)
        raise
    for aside in kept.values():
        if aside not in theirs:
            aside.unlink(missing_ok=True)


def _is_of(om: Path, made: Record[OmWork]) -> bool:
    """Whether an .om is the record's, or what a conversion left that did not finish."""
    return om.is_file() and (not made.complete or atomic.sha256(om) == made.facts.sha256)


def _free(path: Path) -> Path:
    """A name beside a path's that nothing has: X.om.kept, X.om.kept2 ..."""
    number, kept = 1, path.with_name(f"{path.name}.kept")
    while os.path.lexists(kept):
        number += 1
        kept = path.with_name(f"{path.name}.kept{number}")
    return kept
