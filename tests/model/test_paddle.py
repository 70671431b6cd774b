"""PaddlePaddle's files: NumPy arrays and nothing else; whatever else a pickle asks for is not done."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from higherhrnet.errors import UserError
from higherhrnet.model import checkpoint, paddle
from tests.support.datasets import TINY_CONFIG
from tests.support.networks import build

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "f": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "half": np.ones(3, np.float16),
    "big": np.arange(4, dtype=">f4"),
    "count": np.array(7, dtype=np.int64),
}


def read(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    (folder / "c.pdparams").write_bytes(content)
    with (folder / "c.pdparams").open("rb") as file:
        return paddle.read(file)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_come_out_as_they_are(protocol: int, tmp_path: Path):
    content = pickle.dumps({**ARRAYS, "StructuredToParameterName@@": {"a": "conv2d_0.w_0"}}, protocol=protocol)
    assert paddle.is_pickle(content[:16])
    found = read(content, tmp_path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
        assert found[name].is_contiguous()


def test_names_of_old_numpy_and_new_are_known(tmp_path: Path):
    content = pickle.dumps(ARRAYS, protocol=2)
    for old, new in ((b"numpy.core", b"numpy._core"), (b"numpy._core", b"numpy.core")):
        found = read(content.replace(old + b".multiarray", new + b".multiarray"), tmp_path)
        assert torch.equal(found["a"], torch.from_numpy(ARRAYS["a"]))


def test_pytorch_s_formats_are_not_taken_for_it(tmp_path: Path):
    for new in (True, False):
        torch.save({"a": torch.ones(1)}, tmp_path / "t.pth", _use_new_zipfile_serialization=new)
        assert not paddle.is_pickle((tmp_path / "t.pth").read_bytes()[:16])


class Call:
    """Unpickled, it would call."""

    def __init__(self, function, *arguments) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple:
        return self._call


def array_of(shape: object, kind: object, raw: object) -> bytes:
    """A pickle whose one array has this state."""

    class Array:
        def __reduce__(self) -> tuple:
            return np.ndarray(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, shape, kind, False, raw)

    return pickle.dumps({"x": Array()}, protocol=4)


FLOAT = np.dtype("<f4")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"x": Call(os.system, "touch ran")}), "wants to call posix.system"),
        (pickle.dumps({"x": Call(eval, "1")}), r"wants to call (builtins|__builtin__).eval"),
        (pickle.dumps({"x": Call(np.load, "y")}), "wants to call numpy"),
        (pickle.dumps({"x": np.array([1, "a"], dtype=object)}), "values of type 'O8'"),
        (pickle.dumps({"x": np.array(["text"])}), "values of type 'U4'"),
        (pickle.dumps({"x": 3}), "'x' is a int, expected a name and an array"),
        (pickle.dumps([1, 2]), "holds a list, expected a dict"),
        (array_of((2**40, 2**40), FLOAT, b"1234"), "with 4 bytes"),
        (array_of((-1,), FLOAT, b"1234"), "array of shape"),
        (array_of((1,), FLOAT, 7), "without shape, type or bytes"),
        (array_of((1,), "<f4", b"1234"), "without shape, type or bytes"),
        (array_of((1,) * 40, FLOAT, b"1234"), "array of shape"),
        (b"\x80\x04}r\xff\xff\xff\xff.", "do not fit"),  # a memo place beyond any memory
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00x.", "nothing was unpickled"),  # bytes of 2**55
        (b"\x80\x04", "nothing was unpickled"),
    ],
)
def test_hostile_and_damaged_files_are_one_line(content: bytes, words: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.pdparams").write_bytes(content)
    with pytest.raises(UserError, match=words) as refused:
        checkpoint.load("c.pdparams", build(TINY_CONFIG))
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["c.pdparams"]
