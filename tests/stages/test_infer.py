"""Several devices: an even split, one merged directory, and failures of one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higherhrnet.artifacts import claim, info, perf
from higherhrnet.stages import infer
from tests.support.ascend_host import Host, dump_bytes
from tests.support.programs import PLAIN, error


def groups(counts: dict[tuple[int, int], int]) -> list[tuple[tuple[int, int], list[info.Entry]]]:
    return [
        (shape, [info.Entry(Path(f"{shape[0]}x{shape[1]}_{i}"), width=shape[1], height=shape[0]) for i in range(count)])
        for shape, count in counts.items()
    ]


def cost(part: list[tuple[tuple[int, int], list[info.Entry]]]) -> int:
    return sum(shape[0] * shape[1] * len(entries) for shape, entries in part)


def test_the_split_is_by_images_times_pixels():
    """By hand: 8 small images cost as much as 4 large ones, so the cut is between the shapes."""
    parts = infer.split(groups({(64, 64): 8, (128, 64): 4}), 2, 1)
    assert [[(shape, len(entries)) for shape, entries in part] for part in parts] == [[((64, 64), 8)], [((128, 64), 4)]]


def test_coco_s_shapes_over_four_devices():
    """One shape holds most images there; a device a shape would leave three of four idle."""
    parts = infer.split(groups({(512, 512): 300, (512, 704): 2900, (704, 512): 1100, (512, 1024): 60}), 4, 1)
    costs = [cost(part) for part in parts]
    assert max(costs) - min(costs) <= 2 * 1024 * 512
    assert sum(len(part) for part in parts) <= 4 + 3  # shapes are cut at most where devices change


@settings(max_examples=60, deadline=None)
@given(
    counts=st.dictionaries(st.tuples(st.integers(1, 8), st.integers(1, 8)), st.integers(1, 40), min_size=1),
    parts=st.integers(1, 8),
    batch=st.integers(1, 5),
)
def test_every_image_goes_to_one_device_and_none_has_more_than_a_batch_too_much(
    counts: dict[tuple[int, int], int], parts: int, batch: int
):
    given_groups = groups(counts)
    result = infer.split(given_groups, parts, batch)
    assert len(result) == parts
    flat = [entry for part in result for _, entries in part for entry in entries]
    assert flat == [entry for _, entries in given_groups for entry in entries]
    largest = max(shape[0] * shape[1] * batch for shape, _ in given_groups)
    for part in result:
        assert abs(cost(part) - cost(given_groups) / parts) <= largest
        for _, entries in part[:-1]:
            assert entries


@pytest.mark.slow
def test_devices_share_the_work_and_leave_one_directory(host: Host, expected: Path):
    outcome = host.benchmark("--device_ids", "0,2,3")
    assert outcome.status == 0, outcome.err
    host.same_as(expected)
    assert len(dump_bytes(host.result / PLAIN)) == 16
    devices = Counter(call[2] for call in host.calls("benchmark"))
    assert set(devices) == {"-device_id=0", "-device_id=2", "-device_id=3"}
    assert sorted(path.name for path in host.result.glob("dump*")) == [PLAIN, f"{PLAIN}_flip"]
    assert {figure.device for figure in perf.find(host.result)} == {0, 2, 3}

    host.forget_calls()  # other devices are no other work
    outcome = host.benchmark("--device_id", 0, "--device_ids", "1")
    assert "16 of 16 dumps were there" in outcome.out
    assert host.calls() == []


@pytest.mark.slow
def test_one_failing_device_does_not_lose_the_others_part(
    host: Host,
    expected: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("STAND_IN_DEVICES", "0,1")
    outcome = host.benchmark("--device_ids", "0,7")
    error(outcome)
    assert outcome.err.startswith("error: 1 of 2 devices failed, the others finished their part: device 7, shape ")
    assert "device_id 7" in outcome.err
    made = dump_bytes(host.result / PLAIN)
    assert 0 < len(made) < 16
    assert len(made) % 2 == 0

    outcome = host.benchmark("--device_id", 0, "--device_ids", "0,1")
    assert outcome.status == 0, outcome.err
    assert f"{len(made) // 2} of 16 dumps were there" in outcome.out
    host.same_as(expected)


@pytest.mark.slow
def test_figures_of_another_model_go_with_its_dumps(host: Host):
    host.only("128x192")
    assert host.benchmark("--device_ids", "0,1").status == 0
    assert len(perf.find(host.result)) == 2
    om = host.directory / "models/tiny_bs1_dynamic.om"
    claim.record_of(om).unlink()  # as if made by hand, and made again by hand
    with om.open("ab") as file:
        file.write(b"\0")
    outcome = host.benchmark()
    assert "of other work were removed first: another model (" in outcome.out
    assert [figure.device for figure in perf.find(host.result)] == [0]


@pytest.mark.parametrize("devices", ["", "0,", "a", "-1", "0,0"])
def test_wrong_lists_of_devices_are_usage_errors(host: Host, devices: str):
    assert host.benchmark("--device_ids", devices).status == 2
