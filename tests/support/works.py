"""A work of every kind, as records hold them."""

from __future__ import annotations

from typing import Any

from higherhrnet.artifacts.work import DumpsWork, Inputs, InputsWork, OmWork, PeopleWork, QuantizedWork

INPUTS = InputsWork(
    dataset="d" * 64,
    images=7,
    shard="1/1",
    short_side=512,
    flip=False,
    dtype="float32",
    factor=1.0,
    smallest=1.0,
    limited=True,
    version=1,
    opencv="4.10.0",
    exif=False,
    layout="folders",
)
DUMPS = DumpsWork(
    Inputs(INPUTS, "a" * 64, [2]),
    indices=[0, 1, 3],
    flip=False,
    shard="1/1",
    model="b" * 64,
    backend="onnxruntime",
    runtime="onnxruntime 1.20",
    batch=1,
    dtype="float32",
)
PEOPLE = PeopleWork.of(
    DUMPS,
    dataset="d" * 64,
    images=7,
    shard="1/1",
    options={"refine": True, "order": [0, 1], "plan": {"x": 1}},
    version=2,
)
OM = OmWork(onnx="c" * 64, settings={"out_nodes": "a:0", "input_format": "NCHW"}, soc_version="Ascend310P3")
QUANTIZED = QuantizedWork(
    onnx="c" * 64,
    target="cpu",
    weight_bits=7,
    keep_float=[],
    inputs=None,
    indices=[0, 1],
    flipped=[],
    pictures=[],
    version=1,
    runtime="onnxruntime 1.20",
)

WORKS: dict[type, Any] = {type(work): work for work in (INPUTS, DUMPS, PEOPLE, OM)}
