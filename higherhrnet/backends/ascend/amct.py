"""AMCT, the quantizer of CANN: what a host that has it needs to make an INT8 .onnx for ATC. It has never run here.

Written after the reference of amct_onnx (create_quant_config, quantize_model, save_model in CANN 5 to 9): the float32
.onnx is of opset 11, which it asks for; calibration runs in ONNX Runtime with AMCT's operators (AMCT_SO).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from higherhrnet.artifacts import atomic, outputs
from higherhrnet.artifacts.inputs import Input

KIND = "files for AMCT"
SCRIPT, CONFIG, LIST = "quantize.py", "quant.cfg", "calibration.txt"

_PROGRAM = '''"""Quantize {name} with AMCT, on a host with CANN: made by higherhrnet, never run by its makers.

    python3 {script}
"""

from pathlib import Path

import amct_onnx as amct
import numpy as np
import onnxruntime

here = Path(__file__).resolve().parent
model = {model}
config, record, modified = (str(here / name) for name in ("config.json", "record.txt", "modified.onnx"))
amct.create_quant_config(config_file=config, model_file=model, config_defination=str(here / {config}))
amct.quantize_model(config, model, modified, record)
session = onnxruntime.InferenceSession(modified, amct.AMCT_SO)
for line in (here / {list}).read_text(encoding="utf-8").splitlines():
    height, width, file = line.split(" ", 2)
    batch = np.fromfile(file, {dtype}).astype(np.float32).reshape(1, 3, int(height), int(width))
    session.run(None, {{"input": np.repeat(batch, {batch}, axis=0)}})
amct.save_model(modified, record, str(here / {stem}))
'''


def write(
    folder: Path,
    model: Path,
    files: Sequence[Input],
    *,
    dtype: str,
    keep_float: Sequence[str],
    batch: int,
    overwrite: bool = False,
) -> None:
    """Write the script, AMCT's simple configuration and the list of calibration inputs.

    Parameters
    ----------
    dtype : of the inputs, float32 or float16
    keep_float : names of layers that AMCT is to skip
    batch : the batch size that the model takes
    overwrite : replace files that say something else

    Raises
    ------
    UserError : files that say something else, as after somebody tuned them
    """
    outputs.claim_folder(folder, "--output", KIND)
    lines = (f"{one.shape[0]} {one.shape[1]} {one.path.absolute()}\n" for one in files)
    skipped = "".join(f"skip_layers: {json.dumps(name)}\n" for name in keep_float)
    program = _PROGRAM.format(
        name=model.name,
        script=folder / SCRIPT,
        model=repr(str(model.absolute())),
        config=repr(CONFIG),
        list=repr(LIST),
        dtype=repr(dtype),
        batch=batch,
        stem=repr(model.stem),
    )
    texts = {
        LIST: "".join(lines),
        CONFIG: f"batch_num: {len(files)}\nactivation_offset: true\n{skipped}",
        SCRIPT: program,
    }
    for name, text in texts.items():
        ours = partial(_says, text=text)
        outputs.check(folder / name, "--output", ours=ours, overwrite=overwrite)
    for name, text in texts.items():
        atomic.write_text(folder / name, text)


def _says(file: Path, text: str) -> bool:
    return file.read_bytes() == text.encode()


def commands(folder: Path, model: Path, config: Path) -> list[str]:
    """What to run on the host with CANN: the script, and ATC on what it makes."""
    made = folder / f"{model.stem}_deploy_model.onnx"
    return [
        shlex.join(["python3", str(folder / SCRIPT)]),
        shlex.join(
            ["python3", "HigherHRNet_benchmark.py", "--convert_only", "--model", str(made), "--cfg", str(config)]
        ),
    ]
