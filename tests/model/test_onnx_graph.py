"""The small ONNX reader against the onnx package and by hand."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper

from higherhrnet.artifacts.dumps import Heads
from higherhrnet.backends.ascend import atc
from higherhrnet.errors import UserError
from higherhrnet.model import onnx_graph


def test_reads_what_the_onnx_package_reads(tiny_onnx: Path):
    graph = onnx_graph.read(tiny_onnx)
    reference = onnx.load(str(tiny_onnx)).graph
    assert [v.name for v in graph.inputs] == [v.name for v in reference.input] == ["input"]
    assert [v.name for v in graph.outputs] == ["output1", "output2"]
    assert graph.inputs[0].shape == (1, 3, None, None)
    assert [v.shape[:2] for v in graph.outputs] == [(1, 34), (1, 17)]
    assert graph.producers == {name: (n.name, i) for n in reference.node for i, name in enumerate(n.output)}


Shape = Sequence[str | int | None] | None


def model(**changes: Shape) -> onnx.ModelProto:
    """Two convolutions; the heatmaps are the first output, so the order must come from the channels."""
    shapes: dict[str, Shape] = {"image": ["n", 3, "h", "w"], "heat": [None, 17, "h", "w"], "both": [None, 34, -1, "w"]}
    shapes |= changes
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("Split", ["image"], ["", "heat"], name="头/split.0"),
        helper.make_node("Conv", ["image", "weight"], ["both"], name="Conv_1818"),
    ]
    # Old files list initialisers among the inputs.
    inputs = [values["image"], helper.make_tensor_value_info("weight", TensorProto.FLOAT, [1])]
    graph = helper.make_graph(nodes, "g", inputs, [values["heat"], values["both"]], [weight])
    return helper.make_model(graph)


HEADS = Heads(17, 17)


def read(content: bytes, tmp_path: Path) -> onnx_graph.Graph:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return onnx_graph.read(path)


def test_initialisers_names_and_dynamic_sizes(tmp_path: Path):
    graph = read(model().SerializeToString(), tmp_path)
    assert graph.inputs == (onnx_graph.Value("image", (None, 3, None, None)),)
    assert graph.outputs[1] == onnx_graph.Value("both", (None, 34, None, None))
    assert graph.producers == {"heat": ("头/split.0", 1), "both": ("Conv_1818", 0)}
    assert atc.out_nodes(graph, HEADS, Path("m")) == "Conv_1818:0;头/split.0:1"
    assert atc.input_name(graph, 4, Path("m")) == "image"


@pytest.mark.parametrize("cut", [1, 2, 5, 40, 200])
def test_a_file_that_was_cut_is_refused(tiny_onnx: Path, tmp_path: Path, cut: int):
    content = tiny_onnx.read_bytes()
    with pytest.raises(UserError, match="is not an ONNX file"):
        read(content[: len(content) - len(content) * cut // 201], tmp_path)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00", b"\x3a\x05ab", b"\xff" * 20, b"PK\x03\x04" + bytes(50)])
def test_other_files_are_refused(content: bytes, tmp_path: Path):
    with pytest.raises(UserError, match="is not an ONNX file"):
        read(content, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot read model .*none\.onnx: No such file"):
        onnx_graph.read(tmp_path / "none.onnx")


def expected(content: bytes) -> onnx_graph.Graph | None:
    """What the onnx package reads; None where it reads nothing."""
    try:
        graph = onnx.load_from_string(content).graph
    except DecodeError:
        return None

    def values(found: Iterable[onnx.ValueInfoProto]) -> tuple[onnx_graph.Value, ...]:
        dims = [(v.name, v.type.tensor_type.shape.dim) for v in found]
        return tuple(onnx_graph.Value(name, tuple(map(size, shape))) for name, shape in dims)

    def size(dim: onnx.TensorShapeProto.Dimension) -> int | None:
        return dim.dim_value if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0 else None

    initialisers = {tensor.name for tensor in graph.initializer}
    made = {name: (node.name, i) for node in graph.node for i, name in enumerate(node.output) if name}
    return onnx_graph.Graph(
        inputs=values(v for v in graph.input if v.name not in initialisers),
        outputs=values(graph.output),
        producers=made,
        weights={},
        metadata={},
        operators=frozenset(node.op_type for node in graph.node),
    )


def test_damaged_bytes_are_refused_or_read_as_the_onnx_package_reads_them(tmp_path: Path):
    rng = random.Random(0)
    good = model().SerializeToString()
    alike = refused = 0
    for _ in range(1000):
        content = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        reference = expected(bytes(content))
        try:
            graph = replace(read(bytes(content), tmp_path), weights={}, metadata={})
        except UserError as e:
            assert "model.onnx is not an ONNX file (" in str(e)
            refused += 1
        else:
            # Weights and metadata have tests of their own. Where only the package finds
            # damage, it lies in fields that this reader skips.
            assert reference in (graph, None)
            alike += reference is not None
    assert alike > 50
    assert refused > 500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heat": [1, 18, "h", "w"]}, "expected one of 34 channels"),
        ({"heat": [1, "c", "h", "w"]}, "expected one of 34 channels"),
        ({"both": [1, 17, "h", "w"]}, "expected one of 34 channels"),
        ({"heat": None}, "expected one of 34 channels"),
    ],
)
def test_other_outputs_are_refused(change: dict[str, Shape], message: str, tmp_path: Path):
    graph = read(model(**change).SerializeToString(), tmp_path)
    with pytest.raises(UserError, match=message):
        atc.out_nodes(graph, HEADS, Path("m"))


@pytest.mark.parametrize("name", ["", "scope:Conv", "a;b"])
def test_node_names_that_atc_cannot_take_are_refused(name: str, tmp_path: Path):
    changed = model()
    changed.graph.node[1].name = name
    with pytest.raises(UserError, match="--out_nodes cannot name"):
        atc.out_nodes(read(changed.SerializeToString(), tmp_path), HEADS, Path("m"))


def test_a_fixed_batch_must_be_the_one_asked_for(tmp_path: Path):
    graph = read(model(image=[1, 3, "h", "w"]).SerializeToString(), tmp_path)
    with pytest.raises(UserError, match=r"takes batches of 1, not 4; .* --bs 4"):
        atc.input_name(graph, 4, Path("m"))
    graph = read(model(image=[3, "h", "w"]).SerializeToString(), tmp_path)
    with pytest.raises(UserError, match=r"expected one \[N,3,H,W\]"):
        atc.input_name(graph, 1, Path("m"))
