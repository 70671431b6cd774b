"""What an artifact is of: the values that decide its bytes. Equal work is equal bytes, whoever did it and wherever.

Content is named by hashes, algorithms by whole numbers that stand beside them (image.transform.VERSION and
decode.VERSION). No path, command, device number or hash of sources is part of it. Each artifact's work holds that of
what it was made from, so that a chain can be followed from a figure back to the pictures.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.artifacts.pictures import check_digest

_MOST_IMAGES = 10**7  # of a data set, all of whose indices are counted through


@dataclass(frozen=True)
class InputsWork:
    """What decides the bytes of a tree of inputs, beside the content of the pictures."""

    dataset: str
    """SHA-256 over the data set's images: ids, file names, sizes, order."""
    images: int
    """How many of the data set's images, from the first, the work is for."""
    shard: str
    """The part of those images, as dataset.shards writes it."""
    short_side: int
    flip: bool
    dtype: str
    """Of the values: float32 or float16, normalised, or uint8 for AIPP."""
    factor: float
    smallest: float
    limited: bool
    """The scale, as config.plan.Scale has it."""
    version: int
    """image.transform.VERSION"""
    opencv: str
    exif: bool
    """Whether pictures were turned as their EXIF orientation says."""
    layout: str
    """Of the tree: one of inputs.LAYOUTS."""

    def __post_init__(self) -> None:
        """Refuse with ValueError what no program here writes."""
        if self.dtype not in inputs.DTYPES or self.layout not in inputs.LAYOUTS:
            raise ValueError(f"dtype {self.dtype}, layout {self.layout}")
        _check_shard(self.shard)
        if not 0 <= self.images <= _MOST_IMAGES:
            raise ValueError(f"{self.images} images")


@dataclass(frozen=True)
class Inputs:
    """A finished tree of inputs, as what is made from it knows it."""

    work: InputsWork
    pictures: str
    """pictures.digest of the pictures whose inputs are used; '' where the tree does not say which those are."""
    left_out: list[int] = field(default_factory=list)
    """Indices of bad images without inputs."""

    def __post_init__(self) -> None:
        """Refuse with ValueError what no program here writes."""
        check_digest(self.pictures)
        check_indices(self.left_out)


@dataclass(frozen=True)
class DumpsWork:
    """What decides the bytes of a directory of dumps."""

    inputs: Inputs | None
    """None where nothing says what made the inputs: other programs' trees have no record."""
    indices: list[int]
    flip: bool
    shard: str
    model: str
    """SHA-256 of the model with its external data."""
    backend: str
    """With device kind and precision, where they vary: 'torch cuda float16'."""
    runtime: str
    """The library that computed, with its version; '' where that is not known."""
    batch: int
    dtype: str

    def __post_init__(self) -> None:
        """Refuse with ValueError what no program here writes."""
        if self.dtype not in dumps.DTYPES:
            raise ValueError(f"dtype {self.dtype}")
        _check_shard(self.shard)
        check_indices(self.indices)


@dataclass(frozen=True)
class PeopleWork:
    """What decides a results file, beside the content of the pictures."""

    dataset: str
    images: int
    shard: str
    inputs: dict[str, Any]
    """How pictures became inputs, of the plain pass: the rest of InputsWork; empty where nothing says so."""
    network: dict[str, Any]
    """What ran on them: model, backend, runtime, batch and dtype of DumpsWork; empty where nothing says so."""
    options: dict[str, Any]
    """The decode's, and how images are tested."""
    version: int
    """decode.VERSION"""

    def __post_init__(self) -> None:
        """Refuse with ValueError what no program here writes."""
        _check_shard(self.shard)
        if not 0 <= self.images <= _MOST_IMAGES:
            raise ValueError(f"{self.images} images")

    @classmethod
    def of(
        cls,
        made: DumpsWork | None,
        *,
        dataset: str,
        images: int,
        shard: str,
        options: dict[str, Any],
        version: int,
    ) -> PeopleWork:
        """The work of decoding dumps; None where nothing says what made them."""
        # Said by the results themselves, of both passes, or no matter of the values.
        own = {"dataset", "images", "shard", "flip", "layout"}
        source = made.inputs.work if made is not None and made.inputs is not None else None
        from_inputs = {k: v for k, v in vars(source).items() if k not in own} if source is not None else {}
        network = {} if made is None else {name: getattr(made, name) for name in _NETWORK}
        return cls(dataset, images, shard, from_inputs, network, options, version)


_NETWORK = ("model", "backend", "runtime", "batch", "dtype")


@dataclass(frozen=True)
class PosesWork:
    """What decides the people of ``predict``, beside the content of its sources."""

    network: dict[str, Any]
    """What runs: model, backend, runtime and batch, as of DumpsWork."""
    options: dict[str, Any]
    """The decode's, how pictures are tested, which people are kept, and what their joints are called and drawn like."""
    reading: dict[str, Any]
    """What is taken of a source: EXIF's orientation, every which frame, and whether people are followed."""
    saved: list[str]
    """The kinds of files that are written while people are found."""
    version: int
    """decode.VERSION"""


@dataclass(frozen=True)
class OmWork:
    """What decides an .om."""

    onnx: str
    """SHA-256 of the .onnx with its external data."""
    settings: dict[str, str]
    """ATC's options that decide what the .om computes."""
    soc_version: str


@dataclass(frozen=True)
class QuantizedWork:
    """What decides an .onnx in INT8; the file holds it in its metadata, so that it goes where the file goes."""

    onnx: str
    """SHA-256 of the float32 .onnx with its external data."""
    target: str
    """What it is for, and how activations are: model.quantization.CPU or TENSORRT."""
    weight_bits: int
    keep_float: list[str]
    """Names of nodes that stay float32 beside those that always do."""
    inputs: Inputs | None
    """What it was calibrated on is a part of; None where nothing says so: other programs' trees have no record."""
    indices: list[int]
    """Of the images whose plain inputs were used,"""
    flipped: list[int]
    """and of those whose mirrored ones were."""
    pictures: list[str]
    """SHA-256 of the pictures of all these, sorted; empty where nothing says which they are."""
    version: int
    """model.quantization.VERSION"""
    runtime: str
    """Of ONNX Runtime, whose quantizer it is."""

    def __post_init__(self) -> None:
        """Refuse with ValueError what no program here writes."""
        check_indices([*self.indices, *self.flipped])
        for picture in self.pictures:
            check_digest(picture)

    @property
    def count(self) -> int:
        """Inputs that it was calibrated on."""
        return len(self.indices) + len(self.flipped)


def check_indices(indices: Iterable[int]) -> None:
    """Raise ValueError for what cannot be an image's place in an annotation file."""
    if not all(0 <= index < _MOST_IMAGES for index in indices):
        raise ValueError("an index of no image")


def _check_shard(text: str) -> None:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and len(text) < 14 and 1 <= int(number) <= int(of)):
        raise ValueError(f"shard {text[:20]!r}")


_LABELS = {
    "dataset": "data set",
    "images": "number of images",
    "indices": "images",
    "pictures": "pictures",
    "left_out": "images left out",
    "short_side": "DATASET.INPUT_SIZE",
    "flip": "pass",
    "factor": "scale",
    "smallest": "smallest of TEST.SCALE_FACTOR",
    "limited": "limit of long sides",
    "opencv": "OpenCV",
    "exif": "--exif",
    "options.plan.flip": "flip test",
    "reading.exif": "use of EXIF",
    "reading.track": "--track",
    "reading.stride": "--stride",
    "saved": "--save of openpose, images and video",
    "batch": "batch size",
    "threads": "number of threads",
    "runtime": "version of the backend",
    "version": "version of the algorithm",
    "inputs.version": "version of preprocessing",
    "inputs.work.version": "version of preprocessing",
    "inputs.dtype": "dtype of inputs",
    "inputs.work.dtype": "dtype of inputs",
    "soc_version": "chip",
    "onnx": ".onnx",
    "made_from": "state of the files it is made from",
    "category": "category of people",
    "joints": "set of joints",
    "refine": "TEST.REFINE",
    "adjust": "TEST.ADJUST",
    "weight_bits": "number of bits of weights",
    "keep_float": "layers kept float32",
    "flipped": "mirrored images",
}
_PLURAL = frozenset({"keep_float", "flipped", "indices", "pictures", "left_out", "data", "hardware"})


@dataclass(frozen=True)
class Difference:
    """A value in which two works differ."""

    name: str
    """Dotted, as 'inputs.work.short_side'."""
    found: Any
    wanted: Any

    def __str__(self) -> str:
        """In words: 'another model (1f2e3d4c, not 5b6a7980)'."""
        last = self.name.rpartition(".")[2]
        another = "other" if last in _PLURAL else "another"
        found, wanted = _text(self.found), _text(self.wanted)
        label = _LABELS.get(self.name) or _LABELS.get(last, last)
        if max(len(found), len(wanted)) > _LONGEST:
            alike = sum(
                1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(found, wanted, strict=False))
            )
            found, wanted = (_cut(text, alike) for text in (found, wanted))
        return f"{another} {label} ({found}, not {wanted})"


_LONGEST = 40  # characters of a value in a message


def _text(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        return value[:8]  # a hash: enough to tell two apart
    return "none" if value is None else str(value) or "none"


def _cut(text: str, alike: int) -> str:
    """A value's part from shortly before where it begins to differ."""
    start = max(alike - 8, 0)
    return f"{'...' * (start > 0)}{text[start : start + _LONGEST]}{'...' * (len(text) > start + _LONGEST)}"


def differences(found: Any, wanted: Any) -> list[Difference]:
    """The values in which two works of one kind differ, the outermost first."""
    a, b = _flat(found), _flat(wanted)
    absent = object()
    unlike = [name for name in {**b, **a} if a.get(name, absent) != b.get(name, absent)]
    # Where one has entries and the other is empty, the entries say it.
    said = [name for name in unlike if not any(other.startswith(f"{name}.") for other in unlike)]
    return [Difference(name, a.get(name), b.get(name)) for name in said]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Fields and entries of nested works by dotted name; tuples as the lists that JSON makes of them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, dict) and value:
        return {
            k: v for name, item in value.items() for k, v in _flat(item, f"{prefix}.{name}" if prefix else name).items()
        }
    return {prefix: list(value) if isinstance(value, tuple) else value}
