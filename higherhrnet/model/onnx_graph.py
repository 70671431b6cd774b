"""Inputs, outputs and node names of an .onnx file, without the onnx package.

An Ascend host converts models but need have neither onnx nor torch. Of the file's protocol buffers (onnx.proto3) only
the few fields below are read; weights are skipped. The reader is strict: anything that is not the wire format raises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from higherhrnet.artifacts import sources
from higherhrnet.errors import UserError

INPUT = "input"
OUTPUTS = ("output1", "output2")
"""The names in files that we export: heatmaps and tags at a quarter of the resolution, heatmaps at half of it."""

Parsed = TypeVar("Parsed")

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_FIXED = {_FIXED64: 8, _FIXED32: 4}

# Field numbers of onnx.proto3.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_MODEL_COMPUTES = frozenset({8, 25})  # versions of operators, functions
_GRAPH_COMPUTES = frozenset({_GRAPH_NODE, _GRAPH_INITIALIZER, 14, 15})  # and quantization, sparse weights
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR = 1, 2, 3, 4
_TENSOR_DIMS, _TENSOR_NAME = 1, 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_SHAPE = 2
_SHAPE_DIM = 1
_DIM_VALUE, _DIM_PARAM = 1, 2


# Where tensors can stand: by kind of message, the fields that hold messages of another kind.
_HOLDS = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external data"},
}
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_NOTHING = memoryview(b"")


@dataclass(frozen=True)
class Value:
    """A graph input or output."""

    name: str
    shape: tuple[int | None, ...]
    """None where a dimension is dynamic; empty where the file gives no shape."""


@dataclass(frozen=True)
class Graph:
    """What a converter needs to know of a model."""

    inputs: tuple[Value, ...]
    """Without the initialisers that old files list among them."""
    outputs: tuple[Value, ...]
    producers: dict[str, tuple[str, int]]
    """By tensor name: the node that makes it (its name, which may be empty) and which of the node's outputs it is."""
    weights: dict[str, tuple[int, ...]]
    """By name of an output: the shape of the weights of the node that makes it, where it has any in the file."""
    metadata: dict[str, str]
    """What the exporter wrote about itself."""
    operators: frozenset[str] = frozenset()
    """The kinds of its nodes, such as Conv."""

    @property
    def is_quantized(self) -> bool:
        """Whether there are tensors in 8 bits."""
        return not self.operators.isdisjoint({"QuantizeLinear", "DequantizeLinear"})


def read(path: Path) -> Graph:
    """Read the graph of an .onnx file. Raises UserError: a file that cannot be read, or is not an ONNX model."""
    return _read(path, _model)


def metadata(path: Path) -> dict[str, str]:
    """What the exporter of an .onnx file wrote about itself. Raises as ``read``."""
    return _read(path, _metadata)


@dataclass(frozen=True)
class Computed:
    """What decides the numbers that a model gives."""

    sha256: str
    """Of its nodes, its weights in the file and the versions of its operators, in their order."""
    external: tuple[str, ...]
    """The files, relative to its folder, in which it keeps tensors; each once, sorted."""


def computed(path: Path) -> Computed:
    """What an .onnx computes, whatever its batch size and what its exporter says. Raises as ``read``."""
    return _read(path, _computed)


def _computed(content: memoryview) -> Computed:
    digest = hashlib.sha256()
    for kind, value in _parts(content):
        digest.update(f"{kind} {len(value)} ".encode())
        digest.update(value)
    return Computed(digest.hexdigest(), tuple(sorted(set(_locations(content, "model")))))


def _parts(content: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Kind and content of every part of a model that decides what it computes."""
    for number, value in _fields(content):
        if number in _MODEL_COMPUTES:
            yield f"model {number}", _message(value)
        elif number == _MODEL_GRAPH:
            for inner, part in _fields(_message(value)):
                if inner in _GRAPH_COMPUTES:
                    yield f"graph {inner}", _message(part)


def _read(path: Path, parse: Callable[[memoryview], Parsed]) -> Parsed:
    try:
        return parse(memoryview(sources.read(path)))
    except OSError as e:
        raise UserError(
            f"cannot read model {path}: {e.strerror}; run HigherHRNet_pth2onnx.py or correct the path"
        ) from e
    except (ValueError, RecursionError) as e:
        raise UserError(f"model {path} is not an ONNX file ({e}); export it with HigherHRNet_pth2onnx.py") from e


def _locations(content: memoryview, kind: str) -> Iterator[str]:
    """The names of files that a message's tensors name as their data's location."""
    if kind == "external data":
        entry = dict(_fields(content))
        if entry.get(_ENTRY_KEY) == b"location":
            yield _text(entry[_ENTRY_VALUE])
        return
    for number, value in _fields(content):
        if number in _HOLDS[kind]:
            yield from _locations(_message(value), _HOLDS[kind][number])


class _FormatError(ValueError):
    pass


def _model(content: memoryview) -> Graph:
    graphs = [value for number, value in _fields(content) if number == _MODEL_GRAPH]
    if len(graphs) != 1:
        raise _FormatError(f"found {len(graphs)} graphs, expected one")
    return _graph(_message(graphs[0]), _metadata(content))


def _metadata(content: memoryview) -> dict[str, str]:
    entries = (dict(_fields(_message(value))) for number, value in _fields(content) if number == _MODEL_METADATA)
    return {_text(e.get(_ENTRY_KEY, _NOTHING)): _text(e.get(_ENTRY_VALUE, _NOTHING)) for e in entries}


def _graph(content: memoryview, metadata: dict[str, str]) -> Graph:
    inputs, outputs = [], []
    initialisers: dict[str, tuple[int, ...]] = {}
    producers: dict[str, tuple[str, int]] = {}
    weighted: dict[str, str] = {}
    operators: set[str] = set()
    for number, value in _fields(content):
        if number == _GRAPH_NODE:
            name, operator, taken, results = _node(_message(value))
            operators.add(operator)
            for index, result in enumerate(results):
                if result in producers:
                    raise _FormatError(f"two nodes make {result}")
                if result:  # an output that is left out has no name
                    producers[result] = name, index
                    weighted[result] = taken[1] if len(taken) > 1 else ""
        elif number == _GRAPH_INITIALIZER:
            initialisers.update([_tensor(_message(value))])
        elif number == _GRAPH_INPUT:
            inputs.append(_value(_message(value)))
        elif number == _GRAPH_OUTPUT:
            outputs.append(_value(_message(value)))
    named = {output.name: weighted.get(output.name, "") for output in outputs}
    weights = {output: initialisers[weight] for output, weight in named.items() if weight in initialisers}
    own = tuple(v for v in inputs if v.name not in initialisers)
    return Graph(own, tuple(outputs), producers, weights, metadata, frozenset(operators))


def _node(content: memoryview) -> tuple[str, str, list[str], list[str]]:
    """A node's name, operator, inputs and outputs."""
    found: dict[int, list[str]] = {_NODE_NAME: [], _NODE_OPERATOR: [], _NODE_INPUT: [], _NODE_OUTPUT: []}
    for number, value in _fields(content):
        if number in found:
            found[number].append(_text(value))
    name, operator = ("".join(found[field][-1:]) for field in (_NODE_NAME, _NODE_OPERATOR))
    return name, operator, found[_NODE_INPUT], found[_NODE_OUTPUT]


def _tensor(content: memoryview) -> tuple[str, tuple[int, ...]]:
    """A tensor's name and shape."""
    name = ""
    dims: list[int] = []
    for number, value in _fields(content):
        if number == _TENSOR_NAME:
            name = _text(value)
        elif number == _TENSOR_DIMS and isinstance(value, int):
            dims.append(value)
        elif number == _TENSOR_DIMS:  # packed: one number after another
            packed, position = _message(value), 0
            while position < len(packed):
                dim, position = _varint(packed, position)
                dims.append(dim)
    return name, tuple(dims)


def _value(content: memoryview) -> Value:
    name = ""
    shape: tuple[int | None, ...] = ()
    for number, value in _fields(content):
        if number == _VALUE_NAME:
            name = _text(value)
        elif number == _VALUE_TYPE:
            tensors = [_message(v) for n, v in _fields(_message(value)) if n == _TYPE_TENSOR]
            shapes = [_message(v) for tensor in tensors for n, v in _fields(tensor) if n == _TENSOR_SHAPE]
            shape = tuple(_dim(_message(v)) for s in shapes for n, v in _fields(s) if n == _SHAPE_DIM)
    return Value(name, shape)


def _dim(content: memoryview) -> int | None:
    size = None
    for number, value in _fields(content):
        if number == _DIM_VALUE:
            if not isinstance(value, int):
                raise _FormatError("a dimension that is not a number")
            size = value if value < 1 << 63 else None  # int64: a negative size also means dynamic
        elif number == _DIM_PARAM:
            size = None
    return size


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _FormatError("a number where a message is expected")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode()  # UnicodeDecodeError is a ValueError


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of a message: numbers as int, everything else as its bytes."""
    position, end = 0, len(content)
    while position < end:
        key, position = _varint(content, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _FormatError(f"field number 0 at byte {position}")
        if kind == _VARINT:
            value, position = _varint(content, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(content, position)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise _FormatError(f"wire type {kind} at byte {position}")
        if position + size > end:
            raise _FormatError(f"a field of {size} bytes ends outside of its message")
        yield number, content[position : position + size]
        position += size


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """A base-128 number and the position after it."""
    if position < len(content) and (byte := content[position]) < 0x80:  # nearly all of them
        return byte, position + 1
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise _FormatError("it ends inside a number")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value % 2**64, position  # bits beyond are dropped, as by protocol buffers
    raise _FormatError(f"a number of more than ten bytes at byte {position}")
