"""Signals that are held until a block's end."""

from __future__ import annotations

import signal

import pytest

from higherhrnet.cli import terminal
from higherhrnet.system import signals


@pytest.mark.parametrize("error", [None, OSError("of the block")])
def test_held_signals_are_answered_at_the_end(error: Exception | None):
    reached = []
    interruption = terminal.Interruption()
    with interruption.watched(), pytest.raises(terminal.InterruptedRunError):
        with signals.held():
            signal.raise_signal(signal.SIGTERM)
            reached.append("the block's end")
            if error:
                raise error
        reached.append("what follows")
    assert reached == ["the block's end"]
    assert interruption.number == signal.SIGTERM
