"""Records: what made a place's files, read back and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from higherhrnet.artifacts import atomic, models, record
from higherhrnet.errors import UserError
from tests.support.programs import Outcome

INPUTS = record.InputsRecord(dataset="abc", short_side=512, images=3, flip=False)


def test_record_round_trip(tmp_path: Path):
    assert record.read(tmp_path, record.InputsRecord) is None
    record.write(tmp_path, INPUTS)
    assert record.read(tmp_path, record.InputsRecord) == INPUTS


@pytest.mark.parametrize("text", ["{", "[]", '{"dataset": 1}', "null"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str):
    record.path(tmp_path).write_text(text)
    with pytest.raises(UserError, match=r"record\.json"):
        record.read(tmp_path, record.InputsRecord)


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
        {"code": "\ud800"},
    ],
)
def test_records_that_ask_for_the_impossible(tmp_path: Path, inputs: dict[str, object]):
    sound = asdict(record.InputsRecord("d", 128, 7, flip=False))
    made = asdict(record.DumpsRecord(sound, [0], "m", "b", 1, flip=False))
    record.path(tmp_path).write_text(json.dumps({**made, "inputs": {**sound, **inputs}}))
    with pytest.raises(UserError, match="found other fields than a DumpsRecord's"):
        record.read(tmp_path, record.DumpsRecord)
    record.path(tmp_path).write_text(json.dumps({**sound, **inputs}))
    with pytest.raises(UserError, match="found other fields than a InputsRecord's"):
        record.read(tmp_path, record.InputsRecord)
