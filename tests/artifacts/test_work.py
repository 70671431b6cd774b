"""Works: what differs is named, with both values, whichever way round."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.artifacts.work import Difference, DumpsWork, Inputs, InputsWork, OmWork, PeopleWork, differences
from tests.support.works import DUMPS, INPUTS, OM, PEOPLE, WORKS

# Of each field another value than WORKS have.
OTHERS: dict[type, dict[str, Any]] = {
    InputsWork: {
        "dataset": "e" * 64,
        "images": 8,
        "shard": "2/3",
        "short_side": 640,
        "flip": True,
        "dtype": "uint8",
        "factor": 2.0,
        "smallest": 0.5,
        "limited": False,
        "version": 9,
        "opencv": "5.0",
        "exif": True,
        "layout": "flat",
    },
    DumpsWork: {
        "inputs": None,
        "indices": [0],
        "flip": True,
        "shard": "1/2",
        "model": "f" * 64,
        "backend": "torch cuda float16",
        "runtime": "torch 9",
        "batch": 4,
        "dtype": "float16",
    },
    PeopleWork: {
        "dataset": "e" * 64,
        "images": 8,
        "shard": "2/3",
        "inputs": {},
        "network": {},
        "options": {"refine": False},
        "version": 9,
    },
    OmWork: {"onnx": "e" * 64, "settings": {}, "soc_version": "Ascend310"},
}


def found(made: Any, wanted: Any) -> set[tuple[str, str, str]]:
    return {(d.name, repr(d.found), repr(d.wanted)) for d in differences(made, wanted)}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, values in OTHERS.items() for name in values])
def test_a_changed_field_is_named_with_both_values(kind: type, name: str):
    work = WORKS[kind]
    other = replace(work, **{name: OTHERS[kind][name]})
    assert differences(work, work) == []
    different = differences(work, other)
    assert different
    before, after = getattr(work, name), OTHERS[kind][name]
    if isinstance(before, dict):
        named = [key for key in before.keys() | after.keys() if not isinstance(before.get(key), dict)]
        for key in named:
            assert Difference(f"{name}.{key}", before.get(key), after.get(key)) in different
    elif name != "inputs":
        assert different == [Difference(name, before, after)]
    else:
        assert Difference("inputs.work.short_side", 512, None) in different


def test_every_field_is_tried():
    for kind, values in OTHERS.items():
        assert {field.name for field in dataclasses.fields(kind)} == values.keys()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", min_size=1, max_size=1), inner, max_size=2)
    ),
    max_leaves=6,
)
OPTIONS = st.dictionaries(st.text("abc", min_size=1, max_size=2), VALUES, max_size=3)


@given(a=OPTIONS, b=OPTIONS)
def test_differences_are_symmetric_and_none_only_where_works_are_equal(a: dict[str, Any], b: dict[str, Any]):
    one, other = replace(PEOPLE, options=a), replace(PEOPLE, options=b)
    assert found(one, other) == {(name, y, x) for name, x, y in found(other, one)}
    assert (not found(one, other)) == (a == b)


def test_fields_of_nested_works_have_dotted_names():
    assert DUMPS.inputs is not None
    other = replace(DUMPS, inputs=replace(DUMPS.inputs, work=replace(INPUTS, short_side=640)))
    assert differences(DUMPS, other) == [Difference("inputs.work.short_side", 512, 640)]
    assert str(differences(DUMPS, other)[0]) == "another DATASET.INPUT_SIZE (512, not 640)"


def test_tuples_are_the_lists_that_json_makes_of_them():
    assert differences(replace(PEOPLE, options={"order": (0, 1)}), replace(PEOPLE, options={"order": [0, 1]})) == []


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (Difference("model", "a" * 64, "b" * 64), "another model (aaaaaaaa, not bbbbbbbb)"),
        (Difference("indices", [0, 1], [0]), "other images ([0, 1], not [0])"),
        (Difference("inputs.pictures", "", "b" * 64), "other pictures (none, not bbbbbbbb)"),
        (Difference("inputs.dtype", "float32", "uint8"), "another dtype of inputs (float32, not uint8)"),
        (Difference("inputs.work.version", 1, 2), "another version of preprocessing (1, not 2)"),
        (Difference("options.refine", True, False), "another TEST.REFINE (True, not False)"),
        (Difference("flip", False, True), "another pass (False, not True)"),
    ],
)
def test_differences_in_words(difference: Difference, text: str):
    assert str(difference) == text


def test_of_long_values_the_parts_are_shown_that_differ():
    gears = ";".join(f"{side},512" for side in range(512, 1088, 64))
    text = str(Difference("settings.dynamic_image_size", gears, gears.replace("960", "961")))
    assert text == "another dynamic_image_size (...6,512;960,512;1024,512, not ...6,512;961,512;1024,512)"
    assert len(str(Difference("indices", list(range(5000)), list(range(4999))))) < 150


def test_people_of_dumps_take_what_made_them_and_nothing_twice():
    made = PeopleWork.of(DUMPS, dataset="d", images=7, shard="1/2", options={"a": 1}, version=3)
    assert made.network == {
        "model": DUMPS.model,
        "backend": DUMPS.backend,
        "runtime": DUMPS.runtime,
        "batch": DUMPS.batch,
        "dtype": DUMPS.dtype,
    }
    of_inputs = dataclasses.asdict(INPUTS)
    assert made.inputs == {
        k: v for k, v in of_inputs.items() if k not in {"dataset", "images", "shard", "flip", "layout"}
    }
    flipped = replace(DUMPS, flip=True, indices=[5], shard="1/2", inputs=Inputs(replace(INPUTS, flip=True), ""))
    assert PeopleWork.of(flipped, dataset="d", images=7, shard="1/2", options={"a": 1}, version=3) == made
    unknown = PeopleWork.of(None, dataset="d", images=7, shard="1/2", options={}, version=3)
    assert (unknown.inputs, unknown.network) == ({}, {})
    assert (
        PeopleWork.of(replace(DUMPS, inputs=None), dataset="d", images=7, shard="1/1", options={}, version=3).inputs
        == {}
    )


@pytest.mark.parametrize(
    ("work", "change"),
    [
        *((INPUTS, {"shard": shard}) for shard in ("", "1", "0/1", "2/1", "1/0", "a/b", "1/" + "9" * 20, "-1/2")),
        *((INPUTS, change) for change in ({"dtype": "int8"}, {"images": -1}, {"images": 10**8})),
        *((DUMPS, change) for change in ({"dtype": "uint8"}, {"indices": [-1]}, {"indices": [10**7]}, {"shard": "x"})),
        *((PEOPLE, change) for change in ({"shard": "3/2"}, {"images": -1})),
        *((Inputs(INPUTS, ""), change) for change in ({"pictures": "x"}, {"left_out": [-5]})),
    ],
)
def test_what_no_program_here_writes_is_refused(work: Any, change: dict[str, Any]):
    with pytest.raises(ValueError, match=r"shard|dtype|images|index|pictures"):
        replace(work, **change)


def test_an_om_s_settings_are_compared_one_by_one():
    other = replace(OM, settings={**OM.settings, "out_nodes": "b:0"})
    assert [str(d) for d in differences(OM, other)] == ["another out_nodes (a:0, not b:0)"]
