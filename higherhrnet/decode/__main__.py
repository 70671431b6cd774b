"""Compile the decode once, at installation, so that no run waits for it: python3 -m higherhrnet.decode."""

import sys
import time

from tqdm import tqdm

from higherhrnet.decode import compilation


def main() -> None:
    """Compile where necessary and say how long it took."""
    if numbers := sys.argv[1:]:
        compilation.serve([int(number) for number in numbers])
        return
    if compilation.is_compiled():
        print("decode: compiled already")
        return
    print("decode: compiling for this CPU, once ...", flush=True)
    start = time.perf_counter()
    with tqdm(total=compilation.COUNT, desc="decode", unit="function", disable=None) as bar:
        compilation.compile(bar.update)
    print(f"decode: compiled in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
