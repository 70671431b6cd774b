"""The decode of a batch whose maps stay on the device: they are searched there, and people are grouped here.

The people are those of decode.decode, to the bit. Twice a little goes over the bus: the candidates of each joint, and
the points of the people's joints.
"""

from __future__ import annotations

import threading

import numpy as np

from higherhrnet import decode
from higherhrnet.artifacts import dumps
from higherhrnet.backends.in_process import DeviceMaps, NoRoomError
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.errors import UserError

_COMPARED = 4  # images of each shape's first batch that the host decodes too


class DeviceDecoder:
    """Decodes the batches of a stream, by several threads."""

    def __init__(self, plan: Plan, options: Options, heads: dumps.Heads) -> None:
        """``heads`` are the network's.

        Raises
        ------
        UserError : a way of testing that only the host knows
        """
        if not plan.project or heads.tags != heads.joints:
            why = "TEST.PROJECT2IMAGE is False" if not plan.project else "all joints share a tag map"
            raise UserError(f"--decode_on device: {why}, which only the host decodes; give --decode_on host")
        self.left_to_host = 0
        """Images for which the device had no memory left."""
        self._options, self._with_flip = options, plan.flip
        self._compared: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def people(self, maps: DeviceMaps, shape: tuple[int, int], count: int) -> list[decode.People | None]:
        """The people of a batch's ``count`` images of ``shape`` (H, W); None of one that is left to the host.

        Raises
        ------
        UserError : in the first batch of a shape the host finds other people
        """
        try:
            every = people(maps, self._options, count, with_flip=self._with_flip)
        except NoRoomError:
            with self._lock:
                self.left_to_host += count
            return [None] * count
        with self._lock:
            is_first = shape not in self._compared
            self._compared.add(shape)
        for image, ours in enumerate(every[:_COMPARED] if is_first else []):
            if ours is not None and not _same(ours, decode.fused([maps.outputs(image)], shape, 0, self._options)):
                raise UserError(
                    f"at {shape[0]}x{shape[1]} the decode on the device finds other people than the host's, of the "
                    f"same maps; give --decode_on host"
                )
        return every


def _same(ours: decode.People, reference: decode.People) -> bool:
    pairs = ((ours.keypoints, reference.keypoints), (ours.scores, reference.scores), (ours.tags, reference.tags))
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def people(maps: DeviceMaps, options: Options, count: int, *, with_flip: bool) -> list[decode.People | None]:
    """The people of the first ``count`` images; None of one with values that the decode refuses.

    Raises NoRoomError where the device has no memory left.
    """
    kernel, limit, threshold = decode.search(options)
    fine, *peaks = maps.find(kernel=kernel, limit=limit, threshold=threshold)
    images = np.nonzero(fine[:count])[0]
    if not len(images):
        return [None] * count
    grouped = [decode.group_peaks((peaks[0][i], peaks[1][i], peaks[2][i], peaks[3][i]), options) for i in images]
    sizes = [len(own) for own, _, _ in grouped]
    joints, tags, means = (np.concatenate(each) for each in zip(*grouped, strict=True))
    scores = [own[:, :, 2].mean(axis=1) for own, _, _ in grouped]
    _refine(maps, options, joints, means, np.repeat(images, sizes))
    every: list[decode.People | None] = [None] * count
    ends = np.cumsum(sizes)
    for image, end, own_scores in zip(images, ends, scores, strict=True):
        own = slice(end - len(own_scores), end)
        every[image] = decode.People(joints[own], own_scores, tags[own] if with_flip else tags[own, :, :1].copy())
    return every


def _refine(maps: DeviceMaps, options: Options, joints: np.ndarray, means: np.ndarray, image: np.ndarray) -> None:
    """As decode.refine, in place: what was found moves to its point, what is missing gets the point of its best place.

    joints [P, K, 3], means [P, 2] of tags and image [P] of all people.
    """
    values = joints[:, :, 2]
    person, joint = np.nonzero((values > 0) & options.adjust)
    lacking, missing = np.nonzero((values == 0) & options.refine)
    pixels = joints[person, joint, :2].astype(np.int64)
    found = np.column_stack((image[person], joint, pixels))
    points = maps.finish(found, np.column_stack((image[lacking], missing)), means[lacking])
    above = points.values > 0
    person, joint = np.append(person, lacking)[above], np.append(joint, missing)[above]
    joints[person, joint, :2] = (points.xy + np.where(points.rises, 0.75, 0.25))[above]
    joints[person, joint, 2] = points.values[above]
