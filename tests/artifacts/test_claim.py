"""Records: what made a place's files, read back and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from higherhrnet.artifacts import atomic, claim, lock
from higherhrnet.artifacts.claim import Claim, Facts, Record
from higherhrnet.artifacts.work import DumpsWork, Inputs, InputsWork, OmWork
from higherhrnet.errors import UserError
from tests.support import works
from tests.support.works import DUMPS, PEOPLE, WORKS

INPUTS = Record(replace(works.INPUTS, dataset="abc", images=3, factor=2, opencv=""))


def test_record_round_trip(tmp_path: Path):
    assert claim.read(tmp_path, InputsWork) is None
    claim.write(tmp_path, INPUTS)
    assert claim.read(tmp_path, InputsWork) == INPUTS


@pytest.mark.parametrize("text", ["{", "[]", '{"dataset": 1}', "null"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str):
    claim.record_of(tmp_path).write_text(text)
    with pytest.raises(UserError, match=r"record\.json"):
        claim.read(tmp_path, InputsWork)


@pytest.mark.parametrize("target", ["nowhere", "record.json"])
def test_a_record_that_is_a_link_to_nothing_is_not_none(tmp_path: Path, target: str):
    """As in an archive of links: what it said is unknown, not that nothing is."""
    claim.record_of(tmp_path).symlink_to(target)
    with pytest.raises(UserError, match=r"cannot read record .*record\.json: (No such file|Too many levels)"):
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
    work = replace(works.INPUTS, dataset="d", short_side=128, opencv="4")
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


INDICES = st.lists(st.integers(0, 10**6), max_size=3)
DIGESTS = st.sampled_from(["", "0" * 64, "9" * 64])
FACTS = st.builds(
    Facts, made_from=DIGESTS, pictures=DIGESTS, left_out=INDICES, devices=st.lists(st.integers(0, 9)), sha256=DIGESTS
)


@given(work=st.sampled_from(list(WORKS.values())), facts=FACTS, complete=st.booleans())
def test_every_kind_comes_back_from_its_json(work: Any, facts: Facts, complete: bool):
    made = Record(work, facts, complete)
    value = json.loads(json.dumps(made.as_json()))
    read = claim.parse(value, type(work), Path("record.json"))
    assert read == made
    assert not read.stale(made)


@pytest.mark.parametrize("kind", WORKS)
def test_every_kind_lies_in_its_place(tmp_path: Path, kind: type):
    place = {OmWork: tmp_path / "a.om", type(PEOPLE): tmp_path / "a.json"}.get(kind, tmp_path)
    claim.write(place, Record(WORKS[kind]))
    name = {OmWork: "a.om.json", type(PEOPLE): "a.record.json"}.get(kind, "record.json")
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert claim.read(place, kind) == Record(WORKS[kind])


@pytest.mark.parametrize("kind", WORKS)
def test_what_is_no_record_of_a_kind_is_one_line_with_a_remedy(tmp_path: Path, kind: type):
    """Damaged, of another kind, of another format, of release 0.1.0, and with each part of it changed."""
    sound = Record(WORKS[kind]).as_json()
    other = next(Record(work).as_json() for work in WORKS.values() if type(work) is not kind)
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    contents: list[object] = [
        *(other, {**sound, "format": 3}, {**sound, "format": "2"}, {k: v for k, v in sound.items() if k != "format"}),
        *({**sound, "artifact": None}, {**sound, "more": 1}, {**sound, "complete": 1}, {**sound, "complete": None}),
        *({**sound, "work": None}, {**sound, "work": []}, {**sound, "work": {}}, {**sound, "work": deep}),
        *({**sound, "facts": None}, {**sound, "facts": {"pictures": "x"}}, {**sound, "facts": {"left_out": [-1]}}),
        *({**sound, "facts": {"devices": ["0"]}}, {**sound, "facts": {"more": 1}}),
        *({**sound, "work": {**sound["work"], name: deep}} for name in sound["work"]),
        *({**sound, "work": {k: v for k, v in sound["work"].items() if k != name}} for name in sound["work"]),
    ]
    for content in contents:
        claim.record_of(tmp_path).write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"^record .*record\.json.*--overwrite.*another place$") as caught:
            claim.read(tmp_path, kind)
        assert "\n" not in str(caught.value)
        assert claim.read_sound(tmp_path, kind) is None
    whole = json.dumps(sound)
    for cut in range(len(whole)):
        claim.record_of(tmp_path).write_text(whole[:cut])
        with pytest.raises(UserError, match=r"record .*record\.json is not JSON"):
            claim.read(tmp_path, kind)


def test_a_record_of_release_0_1_0_is_called_that(tmp_path: Path):
    claim.record_of(tmp_path).write_text('{"dataset": "abc", "short_side": 512, "images": 3, "flip": false}')
    with pytest.raises(UserError, match=r"was written by release 0\.1\.0, .* run what made it again with --overwrite"):
        claim.read(tmp_path, InputsWork)


# What is stale


ONE, OTHER = "1" * 64, "2" * 64


@pytest.mark.parametrize(
    ("found", "wanted", "name"),
    [
        # pictures and made_from, of what is there and of what is wanted; '' is not known
        ((ONE, ONE), (ONE, ONE), ""),
        ((ONE, ONE), (OTHER, ONE), "pictures"),
        ((ONE, ONE), (ONE, OTHER), "made_from"),
        ((ONE, ""), (ONE, ONE), ""),  # a run's, then the scripts': the pictures say
        ((ONE, ""), (OTHER, ONE), "pictures"),
        ((ONE, ""), ("", ONE), "made_from"),  # nothing says that they are the same
        (("", ""), (ONE, ONE), "made_from"),
        (("", ""), ("", ONE), "made_from"),
        (("", ONE), (ONE, ONE), ""),
        (("", ONE), ("", OTHER), "made_from"),
        ((ONE, ONE), ("", ""), ""),  # a run looks at the pictures itself
        (("", ""), ("", ""), ""),
    ],
)
def test_files_between_and_pictures_tell_whether_it_is_stale(
    found: tuple[str, str], wanted: tuple[str, str], name: str
):
    facts = [Facts(pictures=pictures, made_from=made_from) for pictures, made_from in (found, wanted)]
    stale = Record(PEOPLE, facts[0]).stale(Record(PEOPLE, facts[1]))
    assert [difference.name for difference in stale] == [name] * bool(name)


def test_what_is_known_at_the_end_makes_nothing_stale():
    facts = Facts(left_out=[1], devices=[0, 1], sha256=ONE)
    assert Record(DUMPS, facts, complete=True).stale(Record(DUMPS)) == []


def test_a_single_file_is_complete_while_its_bytes_are_those_of_its_record(tmp_path: Path):
    file = tmp_path / "results.json"
    wanted = Record(PEOPLE)
    assert not claim.is_complete(file, wanted)
    file.write_text("[]")
    assert not claim.is_complete(file, wanted), "no record"
    made = Record(PEOPLE, Facts(sha256=atomic.sha256(file)), complete=True)
    claim.write(file, made)
    assert claim.is_complete(file, wanted)
    assert not claim.is_complete(file, Record(replace(PEOPLE, version=9)))
    file.write_text("[ ]")
    assert not claim.is_complete(file, wanted), "changed"
    file.unlink()
    assert not claim.is_complete(file, wanted), "removed"
    file.write_text("[]")
    claim.write(file, replace(made, complete=False))
    assert not claim.is_complete(file, wanted), "not finished"


# Holding a place


def held(place: Path, wanted: Record[InputsWork], **how: Any) -> Any:
    def content(directory: Path) -> Iterator[Path]:
        return directory.glob("*.bin")

    return claim.claim(place, wanted, content=lambda d: list(content(d)), what="things", instead="go away", **how)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place of two files, complete."""
    with held(tmp_path / "place", replace(INPUTS, facts=Facts(devices=[3]))) as work:
        for name in ("1.bin", "2.bin", "mine.txt"):
            (work.place / name).write_text(name)
        work.complete(left_out=[1])
    return tmp_path / "place"


def names(place: Path) -> list[str]:
    return sorted(file.name for file in place.iterdir())


def test_the_same_work_finds_its_files_and_what_was_there(place: Path):
    with held(place, replace(INPUTS, facts=Facts(devices=[1]))) as work:
        assert isinstance(work, Claim)
        assert names(place) == ["1.bin", "2.bin", "mine.txt", "record.json"]
        assert work.before == Record(INPUTS.work, Facts(left_out=[1], devices=[3]), complete=True)
        assert not work.replaced
        assert work.record.facts.devices == [1, 3], "all that had a part"
        now = claim.read(place, InputsWork)
        assert now is not None
        assert not now.complete, "until it says so"
    after = claim.read(place, InputsWork)
    assert after is not None
    assert not after.complete, "it did not say so"


OTHER_WORK = Record(replace(INPUTS.work, images=4, shard="1/2"))


def test_other_work_is_refused_and_untouched(place: Path):
    before = {file: file.read_bytes() for file in place.iterdir()}
    message = r"place already holds things of other work: another number of images \(3, not 4\), another shard \(1/1, "
    with pytest.raises(UserError, match=message + r"not 1/2\); go away, or --overwrite"), held(place, OTHER_WORK):
        pass
    with (
        pytest.raises(UserError, match="another shard"),
        held(place, OTHER_WORK, replaces=True, keeps_apart=("shard",)),
    ):
        pass
    assert {file: file.read_bytes() for file in place.iterdir()} == before


@pytest.mark.parametrize(
    "how", [{"overwrite": True}, {"replaces": True}, {"replaces": True, "keeps_apart": ("model",)}]
)
def test_other_work_is_replaced_where_that_is_said_and_only_its_files(place: Path, how: dict[str, Any]):
    with held(place, OTHER_WORK, **how) as work:
        assert names(place) == ["mine.txt", "record.json"]
        assert work.replaced.startswith("--overwrite" if "overwrite" in how else "another number of images (3, not 4)")
        assert work.record.facts.devices == []


def test_files_of_others_are_refused_unless_they_are_to_be_overwritten(place: Path):
    claim.record_of(place).unlink()
    with pytest.raises(UserError, match=r"things that this program did not make \(it has no record\); go away, or"):
        held(place, INPUTS, replaces=True).__enter__()
    assert names(place) == ["1.bin", "2.bin", "mine.txt"]
    with held(place, INPUTS, overwrite=True) as work:
        assert work.before is None
        assert names(place) == ["mine.txt", "record.json"]


def test_a_place_without_files_is_anybody_s(place: Path):
    """As the one that a run left that found the disk too small."""
    for file in place.glob("*.bin"):
        file.unlink()
    with held(place, OTHER_WORK) as work:
        assert not work.replaced


@pytest.mark.parametrize("damage", ["{", '{"images": 3}', '{"artifact": "DumpsWork", "format": 2}'])
def test_a_damaged_record_is_refused_and_overwritten(place: Path, damage: str):
    claim.record_of(place).write_text(damage)
    with pytest.raises(UserError, match=r"record .*record\.json"):
        held(place, INPUTS, replaces=True).__enter__()
    assert (place / "1.bin").exists()
    with held(place, INPUTS, overwrite=True) as work:
        assert work.before is None


def test_one_program_at_a_time(place: Path):
    before = claim.record_of(place).read_bytes()
    with (
        lock.held(place, instead=""),
        pytest.raises(UserError, match=r"another run is working in .*place; wait for it, or go away"),
    ):
        held(place, INPUTS, overwrite=True).__enter__()
    assert names(place) == ["1.bin", "2.bin", "mine.txt", "record.json"]
    assert claim.record_of(place).read_bytes() == before
    with held(place, INPUTS):
        pass


def test_what_a_killed_writer_left_is_removed_and_nothing_else(place: Path):
    ours, theirs = ".record.json.123.part", [".mine.part", "a.123.part", ".b.12x.part"]
    for name in (ours, *theirs):
        (place / name).write_text("half")
    with held(place, INPUTS):
        pass
    assert names(place) == sorted(["1.bin", "2.bin", "mine.txt", "record.json", *theirs])


def test_a_block_that_fails_leaves_an_unfinished_record(place: Path):
    with pytest.raises(RuntimeError), held(place, INPUTS):
        raise RuntimeError
    record = claim.read(place, InputsWork)
    assert record is not None
    assert not record.complete
    with held(place, INPUTS):
        pass  # and holds nothing
