"""npu-smi info: the layouts that are known, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from higherhrnet.backends.ascend import chip
from higherhrnet.errors import UserError
from tests.support.ascend_host import search_path

LAYOUT_21 = """\
+------------------------------------------------------------------------------+
| npu-smi 21.0.3.1                     Version: 21.0.3.1                       |
+-------------------+-----------------+----------------------------------------+
| NPU     Name      | Health          | Power(W)          Temp(C)              |
| Chip    Device    | Bus-Id          | AICore(%)         Memory-Usage(MB)     |
+===================+=================+========================================+
| 1       310       | OK              | 12.8              49                   |
| 0       0         | 0000:01:00.0    | 0                 2621 / 8192          |
+-------------------+-----------------+----------------------------------------+
| 1       310       | OK              | 12.8              49                   |
| 1       1         | 0000:02:00.0    | 0                 2621 / 8192          |
+===================+=================+========================================+
"""
LAYOUT_22 = """\
+--------------------------------------------------------------------------------------------------+
| npu-smi 22.0.3                       Version: 22.0.3                                             |
+-------------------+-----------------+------------------------------------------------------------+
| NPU     Name      | Health          | Power(W)     Temp(C)           Hugepages-Usage(page)       |
| Chip    Device    | Bus-Id          | AICore(%)    Memory-Usage(MB)                              |
+===================+=================+============================================================+
| 2144    310P3     | Warning         | NA           42                0    / 0                    |
| 0       0         | 0000:82:00.0    | 0            1074 / 21534                                  |
+===================+=================+============================================================+
"""
LAYOUT_23 = """\
+--------------------------------------------------------------------------------------------------------+
| npu-smi 23.0.0                                   Version: 23.0.0                                       |
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===============================+=================+======================================================+
| 0       310                   | OK              | 12.8         44                0    / 0              |
| 0       0                     | NA              | 0            627  / 7759                             |
+===============================+=================+======================================================+
| NPU     Chip                  | Process id      | Process name             | Process memory(MB)        |
+===============================+=================+======================================================+
| No running processes found in NPU 0                                                                    |
+===============================+=================+======================================================+
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (LAYOUT_21, "310"),
        (LAYOUT_22, "310P3"),
        (LAYOUT_23, "310"),
        (LAYOUT_23.replace("| No running processes found in NPU 0 ", "| 0       0  | 310   | OK  | 12 "), "310"),
        (LAYOUT_22.replace("310P3     ", "Ascend 910B"), "910B"),
        (LAYOUT_22.replace("310P3  ", "910B4-1"), "910B4-1"),
        (LAYOUT_22.replace("310P3   ", "910_9382"), "910_9382"),
        (LAYOUT_22.replace("2144 ", "32896").replace("Warning", "UNKNOWN"), "310P3"),
    ],
)
def test_the_layouts_that_are_known(text: str, name: str):
    assert chip.parse(text) == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line of a chip"),
        ("npu-smi: command moved", "no line of a chip"),
        (LAYOUT_22.replace("|", "!"), "no line of a chip"),
        (LAYOUT_22.replace("Warning", "Fine   "), "no line of a chip"),
        (LAYOUT_22.replace("310P3", "Tesla"), "names the chip Tesla"),
        (LAYOUT_22.replace("310P3", "Mcu  "), "names the chip Mcu"),
        (LAYOUT_22.replace("310P3     ", "Ascend910 "), "names the chip 910, .* npu-smi info -t board"),
        (LAYOUT_21.replace("| 1       310   ", "| 1       310P3 ", 1), r"several chips \(310, 310P3\)"),
    ],
)
def test_what_is_not_known_is_refused(text: str, message: str):
    with pytest.raises(UserError, match=message) as caught:
        chip.parse(text)
    assert "--soc_version" in str(caught.value)


def test_soc_version():
    assert chip.soc_version("310P3") == chip.soc_version("Ascend310P3") == "Ascend310P3"
    for name in ("Ascend910B4-1", "Ascend310P3Vir01", "Ascend310P3Vir02_1c", "Ascend910_9382", "Ascend950PR_9599"):
        assert chip.soc_version(name) == chip.soc_version(name.removeprefix("Ascend")) == name
    for half in ("910", "Ascend950PR"):
        with pytest.raises(UserError, match=r"give --soc_version Ascend9\w+_NPUNAME, npu-smi info -t board"):
            chip.soc_version(half)
    for wrong in ("", "Ascend", "T4", "Ascend 310", "310P33", "910B4-", "Ascend910_"):
        with pytest.raises(UserError, match="expected a name like Ascend310"):
            chip.soc_version(wrong)


def test_an_npu_smi_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "npu-smi").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "npu-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(chip, "_SECONDS", 0.2)
    with pytest.raises(UserError, match=r"took longer than 0.2 s; .*; give the chip with --soc_version"):
        chip.ask(tmp_path / "log")


def test_asking_npu_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = tmp_path / "npu-smi.log"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="npu-smi is not on PATH"):
        chip.ask(log)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", search_path())
    table = tmp_path / "table"
    table.write_text(LAYOUT_21)
    monkeypatch.setenv("STAND_IN_NPU_SMI", str(table))
    assert chip.ask(log) == "Ascend310"
    assert "Bus-Id" in log.read_text()
    monkeypatch.setenv("STAND_IN_NPU_SMI_STATUS", "5")
    with pytest.raises(UserError, match=r"npu-smi info ended with status 5: .*ret is -8005.* HwHiAiUser"):
        chip.ask(log)
