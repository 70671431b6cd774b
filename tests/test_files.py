"""files: formats, checks and atomic writing."""

from __future__ import annotations

import os
import resource
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.artifacts import atomic, dumps, info, inputs, models, perf, record
from higherhrnet.errors import UserError

SHAPES = st.sampled_from([(512, 512), (1024, 512), (512, 704)])


# atomic


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    atomic.write_text(path, "old")
    with pytest.raises(RuntimeError), atomic.writing(path) as partial:
        partial.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.tries("fault")
def test_a_full_disk_is_a_user_error_that_names_the_file(tmp_path: Path):
    path = tmp_path / "file"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match=rf"cannot write {path}: File too large"):
            atomic.write_bytes(path, b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_buffers_are_written_one_after_another(tmp_path: Path):
    atomic.write_bytes(tmp_path / "file", b"ab", np.array([[1, 2]], np.uint8), b"")
    assert (tmp_path / "file").read_bytes() == b"ab\x01\x02"


def test_partials_of_killed_runs_are_removed(tmp_path: Path):
    (tmp_path / ".000000000001.bin.4711.part").write_text("half")
    (tmp_path / "000000000002.bin").write_text("whole")
    atomic.remove_partials([tmp_path])
    assert os.listdir(tmp_path) == ["000000000002.bin"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot create directory .*file/below: Not a directory"):
        atomic.make_directory(tmp_path / "file/below")


# inputs


def make_input(root: Path, shape: tuple[int, int], index: int) -> Path:
    path = inputs.path(root, shape, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(inputs.size(shape))
    return path


def test_input_names_and_sizes_are_the_guide_s():
    assert inputs.path(Path("prep"), (512, 704), 7) == Path("prep/shape_512x704/000000000007.bin")
    assert inputs.size((512, 704)) == 3 * 512 * 704 * 4


def test_inputs_are_found_in_index_order_whatever_their_shape(tmp_path: Path):
    for index, shape in ((2, (512, 512)), (0, (512, 704)), (1, (704, 512))):
        make_input(tmp_path, shape, index)
    (tmp_path / "record.json").write_text("{}")
    assert [(i.index, i.shape) for i in inputs.find(tmp_path)] == [(0, (512, 704)), (1, (704, 512)), (2, (512, 512))]


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "shape_512x512/000000000000.bin").write_bytes(b"short"),
            "found 5 bytes, expected 3145728",
        ),
        (lambda root: make_input(root, (512, 704), 0), "two inputs of index 0"),
        (lambda root: (root / "shape_512x512/cat.bin").touch(), "cat.bin: found this name, expected 12 digits"),
    ],
)
def test_wrong_trees_are_refused(tmp_path: Path, spoil, message: str):
    make_input(tmp_path, (512, 512), 0)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        inputs.find(tmp_path)


def test_missing_and_empty_trees_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="does not exist"):
        inputs.find(tmp_path / "none")
    with pytest.raises(UserError, match="holds no shape_HxW"):
        inputs.find(tmp_path)


# info


@given(
    st.lists(
        st.tuples(st.from_regex(r"[^\s/\0][^\r\n/\0]{0,20}[^\s/\0]", fullmatch=True), SHAPES), min_size=1, max_size=9
    )
)
def test_info_round_trip(tmp_path_factory: pytest.TempPathFactory, rows):
    file = tmp_path_factory.mktemp("info") / "list.info"
    entries = [info.Entry(Path("a b") / name, width=w, height=h) for name, (h, w) in rows]
    if any(len(str(e.path).splitlines()) > 1 for e in entries):  # other line breaks than \r and \n, which Python knows
        return
    info.write(file, entries)
    assert info.read(file) == entries


def test_info_lines_put_width_before_height(tmp_path: Path):
    info.write(tmp_path / "a.info", [info.Entry(Path("p/1.bin"), width=704, height=512)])
    assert (tmp_path / "a.info").read_text() == "0 p/1.bin 704 512\n"


def test_lists_by_shape_replace_stale_ones_only(tmp_path: Path):
    name = str(tmp_path / "prep")
    for stale in ("prep_576x512.info", "prep_flip_576x512.info"):
        (tmp_path / stale).write_text("0 x 512 576\n")
    written = info.write_all(name, [info.Entry(Path("x"), 512, 512), info.Entry(Path("y"), 704, 512)], by_shape=True)
    assert [p.name for p in written] == ["prep.info", "prep_512x512.info", "prep_512x704.info"]
    assert info.of_shapes(name) == {(512, 512): written[1], (512, 704): written[2]}
    assert (tmp_path / "prep_flip_576x512.info").exists(), "another list's file was removed"


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"0 a.bin 512\n", r"line 1: found '0 a.bin 512', expected 'index path width height'"),
        (b"0 a.bin 512 512\n1 b.bin x 512\n", "line 2: found '1 b.bin x 512'"),
        (b"0 a.bin 512 512\n0 b.bin 512 512\n", "line 2: found index 0, expected 1"),
        (b"0 \xff.bin 512 512\n", "is not UTF-8"),
    ],
)
def test_wrong_lists_are_refused_by_line(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a.info").write_bytes(content)
    with pytest.raises(UserError, match=message):
        info.read(tmp_path / "a.info")


def test_windows_line_ends_are_read(tmp_path: Path):
    (tmp_path / "a.info").write_bytes(b"0 a.bin 704 512\r\n")
    assert info.read(tmp_path / "a.info") == [info.Entry(Path("a.bin"), width=704, height=512)]


# dumps

SMALL, LARGE = (2, 3, 4), (2, 6, 4)


def values(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_exact_and_whole_buffer_dumps_give_the_same_array(tmp_path: Path):
    values(SMALL).tofile(tmp_path / "exact.bin")
    np.concatenate((values(SMALL).ravel(), np.full(24, np.nan, np.float32))).tofile(tmp_path / "whole.bin")
    for name in ("exact.bin", "whole.bin"):
        np.testing.assert_array_equal(dumps.read(tmp_path / name, SMALL, LARGE), values(SMALL))


@pytest.mark.tries("input")
@pytest.mark.parametrize("count", [0, 1, 23, 25, 47, 49])
def test_dumps_of_any_other_size_are_refused(tmp_path: Path, count: int):
    np.zeros(count, np.float32).tofile(tmp_path / "a.bin")
    with pytest.raises(UserError, match=rf"a.bin: found {4 * count} bytes, expected 96 for .* or 192"):
        dumps.read(tmp_path / "a.bin", SMALL, LARGE)


@pytest.mark.parametrize("lead", [(), (1,)])
def test_npy_dumps_with_and_without_batch_axis(tmp_path: Path, lead: tuple[int, ...]):
    np.save(tmp_path / "a.npy", values(SMALL).reshape(*lead, *SMALL))
    np.testing.assert_array_equal(dumps.read(tmp_path / "a.npy", SMALL, LARGE), values(SMALL))


def test_npy_dumps_of_other_type_shape_or_with_pickles_are_refused(tmp_path: Path):
    file = tmp_path / "a.npy"
    for array in (values(SMALL).astype(np.float64), values(SMALL).astype(">f4"), values((2, 4, 3))):
        np.save(file, array)
        with pytest.raises(UserError, match=r"expected float32 \[2, 3, 4\]"):
            dumps.read(file, SMALL, LARGE)
    np.save(file, np.array([{}], object), allow_pickle=True)
    with pytest.raises(UserError, match="is not a NumPy array"):
        dumps.read(file, SMALL, LARGE)


@pytest.mark.parametrize(
    ("names", "first", "suffix"),
    [
        (["000000000003_1.bin", "000000000003_2.bin"], 1, "bin"),
        (["000000000003_0.bin", "000000000003_1.bin", "x_summary.json"], 0, "bin"),
        (["000000000003_0.npy", "000000000003_1.npy"], 0, "npy"),
    ],
)
def test_namings_of_the_tools(tmp_path: Path, names: list[str], first: int, suffix: str):
    for name in names:
        (tmp_path / name).touch()
    assert dumps.find(tmp_path) == ([3], dumps.Naming(first, suffix))


@pytest.mark.tries("input")
def test_dumps_of_two_tools_in_one_directory_are_refused(tmp_path: Path):
    for name in ("000000000003_0.bin", "000000000003_1.bin", "000000000003_2.bin"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match="several runs"):
        dumps.find(tmp_path)


def test_an_empty_dump_directory_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="holds no dumps"):
        dumps.find(tmp_path)


# perf

# The samples of two builds of the tool, as users published them.
SAMPLES = {
    317.707: """[e2e] throughputRate: 211.301, latency: 236629
[data read] throughputRate: 225.214, moduleLatency: 4.44023
[preprocess] throughputRate: 224.859, moduleLatency: 4.44723
[infer] throughputRate: 212.679, Interface throughputRate: 317.707, moduleLatency: 4.03848
[post] throughputRate: 212.678, moduleLatency: 4.70194
""",
    29.3584: """-----------------Performance Summary------------------
[e2e] throughputRate: 19.8971, latency: 3417.58
[data read] throughputRate: 2382.7, moduleLatency: 0.419691
[preprocess] throughputRate: 405.505, moduleLatency: 2.46606
[inference] throughputRate: 27.4387, Interface throughputRate: 29.3584, moduleLatency: 35.5952
[postprocess] throughputRate: 2.40737, moduleLatency: 415.392

-----------------------------------------------------------
""",
    1.45105e06: "[infer] throughputRate: 1, Interface throughputRate: 1.45105e+06, moduleLatency: 1\n",
}


@pytest.mark.parametrize("rate", SAMPLES)
def test_perf_texts_of_all_builds_are_read(rate: float):
    assert perf.parse(SAMPLES[rate], Path("perf.txt")) == rate


def test_perf_text_by_hand():
    timings = perf.Timings(images=10, batches=5, total=2.0, read=0.1, infer=1.5, execute=1.25, write=0.2)
    assert timings.text() == (
        "[e2e] throughputRate: 5, latency: 2000\n"
        "[data read] throughputRate: 100, moduleLatency: 10\n"
        "[preprocess] throughputRate: nan, moduleLatency: nan\n"
        "[infer] throughputRate: 6.66667, Interface throughputRate: 8, moduleLatency: 150\n"
        "[post] throughputRate: 25, moduleLatency: 40\n"
    )


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[infer] Interface throughputRate: ",
        "[infer] Interface throughputRate: 0",
        "[infer] throughputRate: 11,3, Interface throughputRate: 12,5, moduleLatency: 80,1",
        "[infer] throughputRate: 1,1, Interface throughputRate: 1,234.5, moduleLatency: 1",
        "[infer] Interface throughputRate: 12,5",
    ],
)
def test_perf_text_without_its_figure_is_refused(text: str):
    with pytest.raises(UserError, match="Interface throughputRate: N"):
        perf.parse(text, Path("perf.txt"))


def test_perf_files_are_found_by_batch(tmp_path: Path):
    for batch, shape in ((1, (512, 704)), (1, (512, 512)), (4, (512, 512))):
        perf.path(tmp_path, batch, 0, shape).write_text(SAMPLES[317.707])
    (tmp_path / "perf_vision_batchsize_1_device_0.txt").write_text("not one of a shape")
    assert perf.path(tmp_path, 1, 0, (512, 704)).name == "perf_vision_batchsize_1_device_0_512x704.txt"
    assert [(p.batch, p.shape) for p in perf.find(tmp_path, batch=[1])] == [(1, (512, 512)), (1, (512, 704))]
    assert len(perf.find(tmp_path)) == 3
    with pytest.raises(UserError, match="no performance files of batch size 2"):
        perf.find(tmp_path, batch=[2])


# record

INPUTS = record.InputsRecord(dataset="abc", short_side=512, images=3, flip=False)


def test_record_round_trip(tmp_path: Path):
    assert record.read(tmp_path, record.InputsRecord) is None
    record.write(tmp_path, INPUTS)
    assert record.read(tmp_path, record.InputsRecord) == INPUTS


@pytest.mark.tries("input")
@pytest.mark.parametrize("text", ["{", "[]", '{"dataset": 1}', "null"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str):
    record.path(tmp_path).write_text(text)
    with pytest.raises(UserError, match=r"record\.json"):
        record.read(tmp_path, record.InputsRecord)


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    "change",
    [{"images": "3"}, {"images": True}, {"left_out": [1.5]}, {"shard": "1/0"}, {"dtype": "int8"}, {"factor": None}],
)
def test_a_record_s_fields_have_their_types(tmp_path: Path, change: dict[str, object]):
    atomic.write_json(record.path(tmp_path), asdict(INPUTS) | {"factor": 2})  # a whole number where a float is meant
    assert record.read(tmp_path, record.InputsRecord) is not None
    atomic.write_json(record.path(tmp_path), asdict(INPUTS) | change)
    with pytest.raises(UserError, match="found other fields than a InputsRecord's"):
        record.read(tmp_path, record.InputsRecord)


# models


@pytest.mark.tries("input")
def test_an_om_record_of_other_types_is_named(tmp_path: Path):
    output = tmp_path / "model"
    made = models.OmRecord("hash", {"out_nodes": "a:0"}, "Ascend310")
    models.write_om_record(output, made)
    assert models.read_om_record(output) == made
    atomic.write_json(models.om_record_path(output), asdict(made) | {"settings": 5})
    with pytest.raises(
        UserError, match=r"model\.om\.json: found other fields than a OmRecord's .*settings '5'.* remove it"
    ):
        models.read_om_record(output)


def test_the_one_model_of_a_batch_is_found(tmp_path: Path):
    for name in ("a_bs1_dynamic.onnx", "b_bs4_dynamic.onnx", "c_bs4_dynamic.onnx", "d_bs-1_dynamic.onnx"):
        (tmp_path / name).touch()
    assert models.find_onnx(tmp_path, 1).name == "a_bs1_dynamic.onnx"
    assert models.find_onnx(tmp_path, 2).name == "d_bs-1_dynamic.onnx", "a dynamic batch serves any size"
    with pytest.raises(UserError, match="2 models of batch size 4"):
        models.find_onnx(tmp_path, 4)
    with pytest.raises(UserError, match=r"holds no \*_bs1_dynamic.onnx"):
        models.find_onnx(tmp_path / "none", 1)
