"""Compile the decode kernel once, at installation, so that no run waits for it: python3 -m higherhrnet.decode."""

import time

from higherhrnet.decode import compile, is_compiled


def main() -> None:
    """Compile where necessary and say how long it took."""
    if is_compiled():
        print("decode: compiled already")
        return
    print("decode: compiling for this CPU, once ...", flush=True)
    start = time.perf_counter()
    compile()
    print(f"decode: compiled in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
