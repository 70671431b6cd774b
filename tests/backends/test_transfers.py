"""Batches on their way to a device and back: every wait is needed, and none is missing, whatever is delayed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from higherhrnet.backends.transfers import BUFFERS, Batch, Marks, Transfers
from tests.support.delayed_device import DelayedDevice

ORDERS = list(itertools.permutations(range(3)))
SLOTS, BATCHES = 4, 11


def results(device: DelayedDevice, launches: Sequence[int] = (3, 4, 4)) -> list[float]:
    """What the host reads of batches 1, 2, 3, ..., which a network multiplies by ten, launched so many at a time."""
    transfers = Transfers(device)
    inputs, outputs = ([np.full(1, np.nan) for _ in range(BUFFERS)] for _ in range(2))

    def network(buffer: int):
        return lambda: np.copyto(outputs[buffer], 10 * inputs[buffer])

    slots = [
        Batch(
            np.full(1, np.nan),
            inputs,
            [network(buffer) for buffer in range(BUFFERS)],
            outputs,
            np.full(1, np.nan),
            Marks.of(device),
        )
        for _ in range(SLOTS)
    ]
    found, number = [], 0
    for count in launches:
        for slot in slots[:count]:
            number += 1
            slot.source[:] = number
            transfers.launch(slot)
        for slot in slots[:count]:
            transfers.wait(slot)
            found.append(float(slot.result[0]))
            slot.source[:] = slot.result[:] = np.nan  # freed: a late copy takes nothing good, and no old result is good
    return found


@pytest.mark.parametrize("order", ORDERS)
def test_every_batch_comes_back_whatever_is_delayed(order: Sequence[int]):
    assert results(DelayedDevice(order)) == [10 * number for number in range(1, BATCHES + 1)]


@pytest.mark.parametrize("wait", range(1, 2 * 2 + 9 * 4 + 1))
def test_no_wait_can_be_left_out(wait: int):
    """The first two batches meet empty buffers and wait twice, the others four times; the last three need not differ:

    nothing comes after the last batches, so that what they leave to later ones is not seen. Waits for batches that the
    host has waited for already are not needed either: those of the first two of each group.
    """
    expected = [10 * number for number in range(1, BATCHES + 1)]
    whole = DelayedDevice(ORDERS[0])
    results(whole)
    assert whole.waits == 2 * 2 + 9 * 4
    differs = any(results(DelayedDevice(order, without=wait)) != expected for order in ORDERS)
    launch, place = (0, 0) if wait <= 4 else divmod(wait - 5, 4)
    is_for_earlier = wait > 4 and place < 2
    known_done = is_for_earlier and (launch + 2) in {3, 4, 7, 8}
    assert differs != known_done


def test_a_host_that_does_not_wait_reads_nothing():
    device = DelayedDevice(ORDERS[0])
    transfers = Transfers(device)
    memory = [np.full(1, np.nan) for _ in range(6)]
    batch = Batch(memory[0], memory[1:3], [lambda: None] * 2, memory[3:5], memory[5], Marks.of(device))
    batch.source[:] = 1
    transfers.launch(batch)
    assert np.isnan(batch.result[0])
