"""The configuration tree of the official HigherHRNet code, and loading it from YAML and ``KEY VALUE`` pairs.

Keys, types and defaults, in defaults.yaml, are those of lib/config/default.py at the official repository's commit
aa23881, so its yaml files load unchanged. DATASET.JOINTS, ANNOTATIONS and IMAGES, TEST.OKS_NMS and MIN_SCORE are ours,
and off by default.
"""

from __future__ import annotations

import math
import os
import re
from ast import literal_eval
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from higherhrnet.artifacts import sources
from higherhrnet.artifacts.dumps import Heads
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, joints
from higherhrnet.errors import UserError

_PACKAGE = Path(__file__).resolve().parent.parent
EXPERIMENTS = next((p for p in (_PACKAGE / "experiments", _PACKAGE.parent / "experiments") if p.is_dir()), _PACKAGE)
"""The configurations that come with this package: in it where it is installed, beside it in a checkout."""
DEFAULT = EXPERIMENTS / "coco/higher_hrnet/w32_512_adam_lr1e-3.yaml"
"""The configuration the guide and the published AP 67.1 are for."""

_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a hundredth of the time, where PyYAML was built with it


def _with_tuples(node: dict[str, Any]) -> dict[str, Any]:
    """What stands in defaults.yaml; its tuples stand there as Python writes them."""
    return {
        key: _with_tuples(value) if isinstance(value, dict) else literal_eval(value) if str(value)[:1] == "(" else value
        for key, value in node.items()
    }


_DEFAULTS = _with_tuples(yaml.load(Path(__file__).with_name("defaults.yaml").read_text(encoding="utf-8"), _YAML))

_ONLY_TRAINING = frozenset(
    {
        "LOG_DIR", "GPUS", "WORKERS", "PRINT_FREQ", "AUTO_RESUME", "PIN_MEMORY", "RANK", "VERBOSE", "DIST_BACKEND",
        "MULTIPROCESSING_DISTRIBUTED", "FP16", "CUDNN", "TRAIN", "DEBUG", "LOSS.NUM_STAGES",
        "LOSS.HEATMAPS_LOSS_FACTOR", "LOSS.AE_LOSS_TYPE", "LOSS.PUSH_LOSS_FACTOR", "LOSS.PULL_LOSS_FACTOR",
        "MODEL.INIT_WEIGHTS", "MODEL.PRETRAINED", "MODEL.SYNC_BN", "DATASET.TRAIN", "DATASET.MAX_ROTATION",
        "DATASET.MIN_SCALE", "DATASET.MAX_SCALE", "DATASET.SCALE_TYPE", "DATASET.MAX_TRANSLATE",
        "DATASET.OUTPUT_SIZE", "DATASET.FLIP", "DATASET.SIGMA", "DATASET.SCALE_AWARE_SIGMA", "DATASET.BASE_SIZE",
        "DATASET.BASE_SIGMA", "DATASET.INT_SIGMA", "TEST.IMAGES_PER_GPU", "TEST.LOG_PROGRESS",
    }
)  # fmt: skip
"""Keys, and sections of them, that nothing here reads: taken in the official yaml files, refused as overrides."""

# What all official configurations have in common. Another value would silently give other people, so it is refused.
_SUPPORTED = {
    "MODEL.NAME": "pose_higher_hrnet",
    "TEST.WITH_HEATMAPS": [True, True],
    "TEST.WITH_AE": [True, False],
    "LOSS.WITH_HEATMAPS_LOSS": [True, True],
    "LOSS.WITH_AE_LOSS": [True, False],
}


_IGNORE_CENTER = "TEST.IGNORE_CENTER"
# Beyond these nothing was ever published, and memory and time grow without bound.
_SCALES = 0.125, 8
_MOST_SIDE, _MOST_KERNEL, _MOST_PEOPLE, _MOST_BYTES = 4096, 255, 1024, 100_000


def load(path: str | os.PathLike[str] | None = None, opts: Sequence[str] = ()) -> Config:
    """What a yaml file and ``KEY VALUE`` overrides mean, as typed values; parameters and errors are ``tree``'s."""
    path = locate(path) if path is not None else DEFAULT
    cfg = tree(path, opts)
    kind = cfg.DATASET.DATASET_TEST.removesuffix("_kpt")
    count = cfg.DATASET.NUM_JOINTS - cfg.DATASET.WITH_CENTER
    return Config(
        file=path,
        location=coco.Location(
            cfg.DATASET.ROOT,
            cfg.DATASET.TEST,
            kind,
            zipped=cfg.DATASET.DATA_FORMAT == "zip",
            annotation_file=cfg.DATASET.ANNOTATIONS,
            image_folder=cfg.DATASET.IMAGES,
        ),
        plan=Plan(
            short_side=cfg.DATASET.INPUT_SIZE,
            factors=tuple(sorted(cfg.TEST.SCALE_FACTOR, reverse=True)),
            flip=cfg.TEST.FLIP_TEST,
            project=cfg.TEST.PROJECT2IMAGE,
        ),
        heads=Heads(cfg.DATASET.NUM_JOINTS, cfg.DATASET.NUM_JOINTS if cfg.MODEL.TAG_PER_JOINT else 1),
        described=_described(cfg, kind, count, path),
        chosen=bool(cfg.DATASET.JOINTS),
        result_joints=count,
        groups_center=cfg.DATASET.WITH_CENTER and not cfg.TEST.IGNORE_CENTER,
        decoding=Options(
            detection_threshold=cfg.TEST.DETECTION_THRESHOLD,
            tag_threshold=cfg.TEST.TAG_THRESHOLD,
            max_people=cfg.DATASET.MAX_NUM_PEOPLE,
            nms_kernel=cfg.TEST.NMS_KERNEL,
            use_detection_value=cfg.TEST.USE_DETECTION_VAL,
            ignore_too_much=cfg.TEST.IGNORE_TOO_MUCH,
            adjust=cfg.TEST.ADJUST,
            refine=cfg.TEST.REFINE,
            oks_nms=cfg.TEST.OKS_NMS,
            min_score=cfg.TEST.MIN_SCORE,
        ),
        weights=Path(cfg.TEST.MODEL_FILE) if cfg.TEST.MODEL_FILE else None,
        network=cfg.MODEL.NAME,
        extra=cfg.MODEL.EXTRA,
        output=Path(cfg.OUTPUT_DIR),
        data_set=cfg.DATASET.DATASET,
        text=str(cfg),
    )


_OF_ANNOTATIONS = "annotations"
"""The DATASET.JOINTS that takes names and skeleton of the annotation file."""


def _described(cfg: CfgNode, kind: str, count: int, path: Path) -> joints.Description:
    """What DATASET.JOINTS names; by default the data set's own joints where the network has as many, else the
    annotation file's.
    """
    named = cfg.DATASET.JOINTS or (kind if count == _JOINTS[kind] else _OF_ANNOTATIONS)
    if named == _OF_ANNOTATIONS:
        return joints.Description()
    file = joints.locate(named, path.parent)
    described = joints.read(file)
    if described.names is not None and len(described.names) != count:
        raise UserError(
            f"joints {file} are {len(described.names)}, config {path} has {count} (DATASET.NUM_JOINTS); give "
            f"those that belong together"
        )
    return described


def locate(path: str | os.PathLike[str]) -> Path:
    """The file itself or, where a relative path leads nowhere, the configuration of that name that is shipped.

    ``experiments/coco/...`` and ``coco/...`` both work in any folder, whether the package is installed or not.
    """
    path = Path(path)
    below = path.relative_to("experiments") if path.parts[:1] == ("experiments",) else path
    shipped = EXPERIMENTS / below
    if path.is_absolute() or ".." in path.parts or os.path.lexists(path) or not shipped.is_file():
        return path
    return shipped


def tree(path: str | os.PathLike[str] | None = None, opts: Sequence[str] = ()) -> CfgNode:
    """Read a yaml file over the official defaults, then ``KEY VALUE`` overrides; return the frozen tree.

    As in the official code, DATASET.WITH_CENTER adds one to NUM_JOINTS, which the file gives without it.

    Parameters
    ----------
    path : the yaml file, found as ``locate`` says; None takes ``DEFAULT``
    opts : alternating keys and values, for example ``["DATASET.ROOT", "data/coco"]``; values are Python literals,
        everything else is a string

    Raises UserError: unreadable file, unknown key, value of another type, an option that is not supported, or an
    override that nothing here reads.
    """
    path = locate(path) if path is not None else DEFAULT
    cfg = CfgNode(_DEFAULTS)
    cfg.MODEL.EXTRA = CfgNode(new_allowed=True)
    given = _read(path)
    try:
        cfg.merge_from_other_cfg(CfgNode(given))
    except _REFUSALS as e:
        raise UserError(f"config {path}: {_one_line(e)}; keys and types are those of {DEFAULT}") from e
    if len(opts) % 2:
        raise UserError(f"config overrides come as KEY VALUE pairs, found an odd number: {' '.join(opts)}")
    for key, value in zip(opts[::2], opts[1::2], strict=True):
        if _ONLY_TRAINING & {key, key.partition(".")[0]}:
            raise UserError(f"config override {key} has no effect: only training reads it; omit it")
        try:
            cfg.merge_from_list([key, value])
        except _REFUSALS as e:
            raise UserError(f"config override {key} {value[:80]}: {_one_line(e)}; keys are those of {path}") from e
    _check(cfg, path)
    if _IGNORE_CENTER in opts[::2] and not cfg.DATASET.WITH_CENTER:
        raise UserError(
            f"config override {_IGNORE_CENTER} has no effect: without DATASET.WITH_CENTER the network has no center; "
            f"omit it"
        )
    if cfg.DATA_DIR and not os.path.exists(cfg.DATASET.ROOT):
        cfg.DATASET.ROOT = os.path.join(cfg.DATA_DIR, cfg.DATASET.ROOT)
    if cfg.DATASET.WITH_CENTER:
        cfg.DATASET.NUM_JOINTS += 1
        cfg.MODEL.NUM_JOINTS = cfg.DATASET.NUM_JOINTS
    cfg.freeze()
    return cfg


# Of yacs and of Python's parser of literals; the last two for what is nested thousands of times.
_REFUSALS = (KeyError, ValueError, AssertionError, AttributeError, TypeError, RecursionError, MemoryError)


def _read(path: Path) -> Any:
    """What a yaml file holds, whatever its name: yacs, given the file itself, runs one that ends in .py."""
    try:
        text = sources.read(path, _MOST_BYTES).decode()
        if "*" in text and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, _YAML)):
            # Aliases of aliases make a tree of any size of a few lines.
            raise UserError(f"config {path}: found an alias (*), expected none; write the value out")
        parsed = _YAML(text)
        try:
            node = parsed.get_single_node()
            _refuse_repeated(node, path)
            return None if node is None else parsed.construct_document(node)
        finally:
            parsed.dispose()
    except OSError as e:
        raise UserError(f"cannot read config {path}: {e.strerror}; give an existing yaml file with --cfg") from e
    except (ValueError, RecursionError, yaml.YAMLError) as e:
        raise UserError(f"config {path}: {_one_line(e)}; give a yaml file with --cfg") from e


def _refuse_repeated(node: yaml.Node | None, path: Path) -> None:
    """Refuse a key that a section has twice: yaml would take the last, and a section given again loses all else."""
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                raise UserError(
                    f"config {path}: line {line} gives {key.value} again, which line {lines[key.value]} has; give it "
                    f"once, with all that belongs to it"
                )
            lines[str(key.value)] = line
            _refuse_repeated(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated(item, path)


def _one_line(error: Exception) -> str:
    return " ".join(str(error.args[0] if error.args else error).split())


def _check_present(node: CfgNode, defaults: Mapping[str, object], path: Path, prefix: str = "") -> None:
    """Refuse None, which yacs takes for a value of any type."""
    for key, default in defaults.items():
        if node[key] is None and default is not None:
            raise UserError(f"config {path}: {prefix}{key} has no value; give one, or omit the key")
        if isinstance(default, Mapping):
            _check_present(node[key], default, path, f"{prefix}{key}.")


def _check(cfg: CfgNode, path: Path) -> None:
    _check_present(cfg, _DEFAULTS, path)
    if not isinstance(cfg.MODEL.EXTRA, CfgNode):
        raise UserError(f"config {path}: MODEL.EXTRA is {cfg.MODEL.EXTRA}, expected the network's stages")
    for key, supported in _SUPPORTED.items():
        value: object = cfg
        for part in key.split("."):
            value = value[part]  # type: ignore[index]
        if isinstance(value, tuple):
            value = list(value)
        if value != supported:
            raise UserError(f"config {path}: {key} is {value}, only {supported} is supported; change it or override it")
    kernel, padding = cfg.TEST.NMS_KERNEL, cfg.TEST.NMS_PADDING
    if not 1 <= kernel <= _MOST_KERNEL or kernel % 2 == 0 or padding != kernel // 2:
        raise UserError(
            f"config {path}: TEST.NMS_KERNEL {kernel} with NMS_PADDING {padding}, "
            f"expected an odd kernel k of at most {_MOST_KERNEL} with padding k // 2 (official: 5 and 2)"
        )
    _check_dataset(cfg, path)
    _check_scales(cfg, path)
    side = cfg.DATASET.INPUT_SIZE
    if side % 64 or not 0 < side <= _MOST_SIDE:
        raise UserError(f"config {path}: DATASET.INPUT_SIZE {side}, expected a multiple of 64 of at most {_MOST_SIDE}")
    for key in ("OKS_NMS", "MIN_SCORE"):
        if not 0 <= cfg.TEST[key] <= 1:
            raise UserError(f"config {path}: TEST.{key} {cfg.TEST[key]}, expected 0 to 1, where 0 is off")
    for key in ("DETECTION_THRESHOLD", "TAG_THRESHOLD"):
        if not 0 <= cfg.TEST[key] < math.inf:
            raise UserError(f"config {path}: TEST.{key} {cfg.TEST[key]}, expected a finite number of at least 0")
    if not 1 <= cfg.DATASET.MAX_NUM_PEOPLE <= _MOST_PEOPLE:
        raise UserError(
            f"config {path}: DATASET.MAX_NUM_PEOPLE {cfg.DATASET.MAX_NUM_PEOPLE}, expected 1 to {_MOST_PEOPLE}"
        )


_NAME = re.compile(r"[\w-][\w.-]*")
_JOINTS = {coco.COCO: len(joints.COCO), coco.CROWD_POSE: len(joints.CROWD_POSE)}


def _check_dataset(cfg: CfgNode, path: Path) -> None:
    for key in ("DATASET", "DATASET_TEST"):
        if cfg.DATASET[key].removesuffix("_kpt") not in _JOINTS:
            raise UserError(
                f"config {path}: DATASET.{key} is {cfg.DATASET[key]}, expected "
                f"{', '.join(_JOINTS)} or one of them with _kpt"
            )
    kind = cfg.DATASET.DATASET_TEST.removesuffix("_kpt")
    if cfg.DATASET.DATASET.removesuffix("_kpt") != kind:
        raise UserError(
            f"config {path}: DATASET.DATASET {cfg.DATASET.DATASET} and DATASET_TEST {cfg.DATASET.DATASET_TEST} are two "
            f"data sets; give both the same"
        )
    if not _NAME.fullmatch(cfg.DATASET.TEST):  # it becomes part of file names
        raise UserError(f"config {path}: DATASET.TEST is {cfg.DATASET.TEST!r}, expected a name like val2017")
    paths = {f"DATASET.{key}": cfg.DATASET[key] for key in ("ROOT", "ANNOTATIONS", "IMAGES", "JOINTS")}
    for key, value in {**paths, "OUTPUT_DIR": cfg.OUTPUT_DIR, "DATA_DIR": cfg.DATA_DIR}.items():
        if not _is_path(value):
            raise UserError(f"config {path}: {key} is {value!r}, which no file system can hold; give another path")
    count, network = cfg.DATASET.NUM_JOINTS, cfg.MODEL.NUM_JOINTS
    if count != network or not 1 <= count <= joints.MOST:
        raise UserError(
            f"config {path}: DATASET.NUM_JOINTS is {count}, MODEL.NUM_JOINTS {network}, expected one number of 1 to "
            f"{joints.MOST} (without WITH_CENTER's); {kind} has {_JOINTS[kind]}: give the network's number to both"
        )
    if cfg.DATASET.DATA_FORMAT not in {"jpg", "zip"}:
        raise UserError(f"config {path}: DATASET.DATA_FORMAT is {cfg.DATASET.DATA_FORMAT}, expected jpg or zip")
    is_coco = kind == coco.COCO and count == _JOINTS[coco.COCO]
    if not cfg.DATASET.WITH_CENTER and not cfg.TEST.IGNORE_CENTER:
        raise UserError(
            f"config {path}: {_IGNORE_CENTER} False keeps a center, which the network has with DATASET.WITH_CENTER "
            f"True alone; omit it, or set that"
        )
    if cfg.DATASET.WITH_CENTER and not cfg.TEST.IGNORE_CENTER and not is_coco:
        raise UserError(
            f"config {path}: TEST.IGNORE_CENTER False with {count} joints of {kind}: the official code has an order of "
            f"grouping with the center for coco only; set TEST.IGNORE_CENTER True"
        )
    if cfg.DATASET.WITH_CENTER and cfg.TEST.IGNORE_CENTER and not cfg.MODEL.TAG_PER_JOINT:
        raise UserError(
            f"config {path}: TEST.IGNORE_CENTER True would leave out the only tag map of MODEL.TAG_PER_JOINT False; "
            f"change one of them"
        )


def _is_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _check_scales(cfg: CfgNode, path: Path) -> None:
    factors = cfg.TEST.SCALE_FACTOR
    sound = len(factors) > 0 and all(type(f) in {int, float} and _SCALES[0] <= f <= _SCALES[1] for f in factors)
    if not sound or len(set(factors)) != len(factors):
        raise UserError(
            f"config {path}: TEST.SCALE_FACTOR is {str(factors)[:80]}, expected positive numbers of {_SCALES[0]} to "
            f"{_SCALES[1]}, each once"
        )
    if len(factors) > 1 and 1 not in factors:
        raise UserError(
            f"config {path}: TEST.SCALE_FACTOR is {factors}, expected 1 among several: tags are taken at scale 1"
        )
    if any(f / min(factors) % 0.5 for f in factors):
        raise UserError(
            f"config {path}: TEST.SCALE_FACTOR is {factors}, expected multiples of half the smallest: the network's "
            f"input sides are multiples of 32"
        )
