"""The decode's one wait: compiling its functions for this CPU, before the first use; and what a device left to it."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

from higherhrnet import decode
from higherhrnet.pipeline.agreement import Agreement


def prepare(say: Callable[[str], object] = print) -> None:
    """Compile the decode where it is not, and ``say`` so, with a bar where somebody looks at it."""
    if decode.is_compiled():
        return
    say(
        "compiling the decode for this CPU: about half a minute, once"
        if decode.is_kept()
        else "compiling the decode for this CPU: up to a minute in each process and at each start, because no folder "
        "can be written that keeps it; set NUMBA_CACHE_DIR to one"
    )
    with tqdm(total=decode.COUNT, desc="compile", unit="function", disable=None) as bar:
        decode.compile(bar.update)


def say_left_to_host(images: int, say: Callable[[str], object] = print) -> None:
    """How many images the host decoded that were meant for the device (--decode_on device)."""
    if images:
        say(f"{images} images were decoded on the host: the device had no memory left for it; give a smaller --bs")


def say_agreement(agreement: Agreement | None, say: Callable[[str], object] = print) -> None:
    """Whether the people are float32's, where the network computes in less."""
    if agreement is not None and (line := agreement.text()):
        say(line)
