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
_NAME = re.compile(r"310|310P\d?|310B\d?|910\w*")
_SOC_VERSION = re.compile(rf"(?:Ascend)?({_NAME.pattern})")
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
    if unknown := [name for name in names if not _NAME.fullmatch(name)]:
        raise UserError(
            f"npu-smi info names the chip {', '.join(unknown)}, expected 310, 310P, 310B or 910; {_INSTEAD}"
        )
    if len(names) > 1:
        raise UserError(f"npu-smi info names several chips ({', '.join(names)}); {_INSTEAD}")
    return names[0]


def soc_version(name: str) -> str:
    """ATC's name of a chip: Ascend310P3 for 310P3; a name that has the prefix keeps it. Raises UserError."""
    match = _SOC_VERSION.fullmatch(name)
    if not match:
        raise UserError(f"--soc_version {name}: expected a name like Ascend310 or Ascend310P3; npu-smi info shows it")
    return f"Ascend{match[1]}"


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
