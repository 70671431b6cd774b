"""Records: what made a place's files, read back and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from higherhrnet.artifacts import atomic, claim
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.work import DumpsWork, Inputs, InputsWork, OmWork
from higherhrnet.errors import UserError
from tests.support.programs import Outcome

INPUTS = Record(
    InputsWork(
        "abc", 3, "1/1", 512, flip=False, dtype="float32", factor=2, smallest=1, limited=True, version=1, opencv=""
    )
)


def test_record_round_trip(tmp_path: Path):
    assert claim.read(tmp_path, InputsWork) is None
    claim.write(tmp_path, INPUTS)
    assert claim.read(tmp_path, InputsWork) == INPUTS


@pytest.mark.parametrize("text", ["{", "[]", '{"dataset": 1}', "null"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str):
    claim.record_of(tmp_path).write_text(text)
    with pytest.raises(UserError, match=r"record\.json"):
        claim.read(tmp_path, InputsWork)


@pytest.mark.parametrize(
    "change",
    [{"images": "3"}, {"images": True}, {"left_out": [1.5]}, {"shard": "1/0"}, {"dtype": "int8"}, {"factor": None}],
)
def test_a_record_s_fields_have_their_types(tmp_path: Path, change: dict[str, object]):
    sound = INPUTS.as_json()
    assert sound["work"]["factor"] == 2, "a whole number where a float is meant"
    atomic.write_json(claim.record_of(tmp_path), sound)
    assert claim.read(tmp_path, InputsWork) is not None
    part = "facts" if change.keys() <= sound["facts"].keys() else "work"
    atomic.write_json(claim.record_of(tmp_path), sound | {part: sound[part] | change})
    with pytest.raises(UserError, match=rf"record .*record\.json: found other fields than .*{next(iter(change))}"):
        claim.read(tmp_path, InputsWork)


def test_an_om_record_of_other_types_is_named(tmp_path: Path):
    om = tmp_path / "model.om"
    made = Record(OmWork("hash", {"out_nodes": "a:0"}, "Ascend310"), Facts(sha256="of the .om"))
    claim.write(om, made)
    assert claim.read(om, OmWork) == made
    sound = made.as_json()
    atomic.write_json(claim.record_of(om), sound | {"work": sound["work"] | {"settings": 5}})
    with pytest.raises(
        UserError, match=r"model\.om\.json: found other fields than expected .*settings '5'.* run what made it again"
    ):
        claim.read(om, OmWork)


Script = Callable[..., Outcome]


@pytest.mark.parametrize(
    "inputs",
    [
        {"left_out": 5},
        {"left_out": ["a"]},
        {"left_out": [-1]},
        {"images": "x"},
        {"images": 10**15},
        {"images": -5},
        {"x": 1},
        {"factor": 10**400},
        {"opencv": "\ud800"},
    ],
)
def test_records_that_ask_for_the_impossible(tmp_path: Path, inputs: dict[str, object]):
    work = InputsWork(
        *("d", 7, "1/1", 128), flip=False, dtype="float32", factor=1, smallest=1, limited=True, version=1, opencv="4"
    )
    of = DumpsWork(
        Inputs(work, ""), [0], flip=False, shard="1/1", model="m", backend="b", runtime="", batch=1, dtype="float32"
    )
    made = Record(of).as_json()
    place = claim.record_of(tmp_path)
    changed = made["work"]["inputs"] | (
        inputs if "left_out" in inputs else {"work": made["work"]["inputs"]["work"] | inputs}
    )
    place.write_text(json.dumps(made))
    assert claim.read(tmp_path, DumpsWork) == Record(of)
    place.write_text(json.dumps({**made, "work": {**made["work"], "inputs": changed}}))
    with pytest.raises(UserError, match="found other fields than expected"):
        claim.read(tmp_path, DumpsWork)
    made = Record(work).as_json()
    part = "facts" if "left_out" in inputs else "work"
    place.write_text(json.dumps(made))
    assert claim.read(tmp_path, InputsWork) == Record(work)
    place.write_text(json.dumps({**made, part: made[part] | inputs}))
    with pytest.raises(UserError, match="found other fields than expected"):
        claim.read(tmp_path, InputsWork)
