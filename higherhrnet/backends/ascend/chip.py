"""The chip's name, from ``npu-smi info``.

Three layouts of that table are known: drivers 21 and 22/23 with two lines per chip, and 23.0.0 on with a second table
of processes. Anything else is refused: a wrong name gives an .om that does not load.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from higherhrnet.errors import UserError
from higherhrnet.system import processes

COMMAND = processes.Command(("npu-smi", "info"))

_ROW = re.compile(r"^\|\s*(\d+)\s+(?:Ascend\s*)?(\S+)\s*\|\s*(OK|Warning|Alarm|Critical|UNKNOWN)\s*\|", re.MULTILINE)
# 310, 310P3, 910B4-1, parts of a chip as 310P3Vir01, and since Atlas A3 the chip with its NPU, as 910_9382.
_NAME = re.compile(r"(?:310(?:[PB]\d?)?|910[A-Z]\w*(?:-\d)?|(?:910|950[A-Z]*)_\w+)(?:Vir\d{2}\w*)?")
_HALF = re.compile(r"910|950[A-Z]*")
"""What newer chips call themselves, whose name for ATC has their NPU's too."""
_SOC_VERSION = re.compile(r"(?:Ascend)?(.+)")
_UNTUNED = re.compile(r"Ascend910(?:B|_93)\w*(?:-\d)?")
"""Atlas A2 and A3: CANN's documentation of AOE says that its offline tuning does not support them."""
_BOARD = "npu-smi info -t board -i 0 -c 0 says both"
_SECONDS = 60.0  # a driver that does not answer hangs npu-smi
_INSTEAD = "give the chip with --soc_version, for example --soc_version Ascend310P3"


def is_present() -> bool:
    """Whether npu-smi, and so an Ascend driver, is on this host."""
    return shutil.which("npu-smi") is not None


def parse(text: str) -> str:
    """The chip name in the output of ``npu-smi info``: 310, 310P3 ...

    Raises UserError: no row of a chip, a name that is not an Ascend chip's, or chips of several names.
    """
    names = sorted({match[2] for match in _ROW.finditer(text)})
    if not names:
        raise UserError(f"npu-smi info: found no line of a chip in a layout that is known; {_INSTEAD}")
    if half := [name for name in names if _HALF.fullmatch(name)]:
        raise UserError(f"npu-smi info names the chip {', '.join(half)}, {_incomplete(half[0])}")
    if unknown := [name for name in names if not _NAME.fullmatch(name)]:
        raise UserError(
            f"npu-smi info names the chip {', '.join(unknown)}, expected 310, 310P, 310B or 910B; {_INSTEAD}"
        )
    if len(names) > 1:
        raise UserError(f"npu-smi info names several chips ({', '.join(names)}); {_INSTEAD}")
    return names[0]


def soc_version(name: str) -> str:
    """ATC's name of a chip: Ascend310P3 for 310P3; a name that has the prefix keeps it. Raises UserError."""
    match = _SOC_VERSION.fullmatch(name)
    if match and _HALF.fullmatch(match[1]):
        raise UserError(f"--soc_version {name}: {_incomplete(match[1])}")
    if not match or not _NAME.fullmatch(match[1]):
        raise UserError(f"--soc_version {name}: expected a name like Ascend310 or Ascend310P3; npu-smi info shows it")
    return f"Ascend{match[1]}"


def check_tunes(soc_version: str) -> None:
    """Refuse tuning on a chip for which neither ATC nor AOE has it. Raises UserError."""
    if _UNTUNED.fullmatch(soc_version):
        raise UserError(
            f"--auto_tune: AOE does not tune for {soc_version} (Atlas A2 and A3), and the ATC of these chips has no "
            f"tuning of its own; omit --auto_tune"
        )


def _incomplete(name: str) -> str:
    return (
        f"which ATC knows with its NPU's name alone: give --soc_version Ascend{name}_NPUNAME, {_BOARD} (Chip Name and "
        f"NPU Name)"
    )


def ask(log: Path) -> str:
    """ATC's name of this host's chip; what npu-smi printed is kept in ``log``.

    Raises UserError: npu-smi is missing, fails, or prints something unknown.
    """
    if not is_present():
        raise UserError(f"npu-smi is not on PATH: no Ascend driver on this host, or not for this user; {_INSTEAD}")
    try:
        outcome = processes.run(COMMAND, log=log, timeout=_SECONDS)
    except UserError as e:
        raise UserError(f"{e}; {_INSTEAD}") from e
    if outcome.status != 0:
        raise UserError(
            f"npu-smi info {outcome.ending}: {outcome.last_lines()}; check the driver and that this user may use it "
            f"(group HwHiAiUser), or {_INSTEAD}"
        )
    return soc_version(parse(outcome.text))
