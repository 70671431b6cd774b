"""What of the decode reads maps, on the device that made them: peaks, missing joints, quarter pixels.

Of a batch only candidates come to the host, which groups them; for what people lack it asks once more. All values are
those of higherhrnet.decode to the bit, by its own two facts: upsampled values never leave the range of their samples,
so that limits of tiles say where a peak or a better place may be; and what counts is computed by the host's operations
in the host's order (decode/fuse.py, tiles.py, peaks.py, refine.py).

Plain PyTorch operations, no kernel of our own: each is a kernel by itself, in which a compiler finds nothing to
contract to a fused multiply-add. +, -, *, the root, rounding to integers, comparisons, maxima and copies are exact or
rounded once by IEEE 754, on a GPU as on a CPU, where tests compare them. Not used are products of matrices,
convolutions, interpolation, exponentials, sums of floats and additions with ``alpha``; sorts are stable, and no value
comes by an order that is left open among equals. The one fused multiply-add that the host has is made of float64
(``_mix``).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from higherhrnet.backends.in_process import NoRoomError, Peaks, Points

_TILE = 16  # side in full-resolution pixels; what is found depends on it nowhere
_LIMIT = 1e37  # decode.tiles.MAGNITUDE_LIMIT: the host refuses what is beyond, and NaN
_AT_ONCE = 16384  # squares, which bounds the memory that they take
_ROUNDS = 4, 16, 0
"""Tiles of the highest bounds that each search takes in turn, the last time all that may hold a better place.

On the demo network's maps with about 10 tiles an image and a search; without the second round it was 50.
"""


class _Limits(NamedTuple):
    """As decode.tiles.Limits, float32 [N * K * rows * columns] of tiles."""

    heat: Tensor
    tags: list[tuple[Tensor, Tensor]]
    """The lowest and the highest, of each pass."""


class _Squares(NamedTuple):
    """Where joints' maps are looked at: int64 [T] each, the corner at multiples of 4 in full-resolution pixels."""

    image: Tensor
    joint: Tensor
    top: Tensor
    left: Tensor

    def grown(self, margin: int) -> _Squares:
        """With so many pixels more on each side."""
        return self._replace(top=self.top - margin, left=self.left - margin)


class Maps:
    """A batch's outputs on a device, and what is asked of them; by one thread at a time, which waits for it."""

    def __init__(
        self,
        outputs: tuple[Tensor, Tensor],
        *,
        passes: int,
        flip: Sequence[int],
        on: Callable[[], AbstractContextManager] = torch.inference_mode,
    ) -> None:
        """Nothing is read yet.

        Parameters
        ----------
        outputs : float32 [passes * N, 2C, h, w], C heatmaps and C tag maps, and [passes * N, C, 2h, 2w], heatmaps; the
            plain pass first
        flip : of K joints, C or one less: the map of the mirrored pass that shows each
        on : what is asked for is done in such a block
        """
        self._outputs, self._passes, self._on = outputs, passes, on
        self._partners, self._device = tuple(flip), outputs[0].device
        self._images, self._joints = len(outputs[1]) // passes, len(flip)
        self._height, self._width = (2 * side for side in outputs[1].shape[2:])
        self._rows, self._columns = -(-self._height // _TILE), -(-self._width // _TILE)

    def find(self, *, kernel: int, limit: int, threshold: float) -> Peaks:
        """The candidates of all images, as decode.peaks.find.

        Raises NoRoomError, as the other methods do.
        """
        with self._working():
            return self._find(kernel // 2, limit, _largest_float32(threshold))

    def finish(self, found: np.ndarray, missing: np.ndarray, means: np.ndarray) -> Points:
        """The points of joints found, then those of the best places of joints missing, as decode.refine.

        Parameters
        ----------
        found : int64 [F, 4], image, joint, x, y
        missing : int64 [M, 2], image and joint
        means : float32 [M, 2], mean tags of the image and of its mirror image; NaN of people without any
        """
        device, joints, width = self._device, self._joints, self._width
        with self._working():
            of, place = torch.from_numpy(found @ [[joints, 0], [1, 0], [0, 1], [0, width]]).to(device).unbind(1)
            if len(missing):
                searched = torch.from_numpy(missing @ [joints, 1]).to(device)
                best = self._best_places(searched, torch.from_numpy(means).to(device))
                of, place = torch.cat((of, searched)), torch.cat((place, best))
            values, rises = self._around(of, place)
            places = place.cpu().numpy()
            xy = np.stack((places % width, places // width), axis=1)
            return Points(xy, values.cpu().numpy(), rises.cpu().numpy())

    def outputs(self, image: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """An image's outputs, of each pass."""
        with self._working():
            first, second = self._outputs
            places = range(image, len(second), self._images)
            return [(first[place].cpu().numpy(), second[place].cpu().numpy()) for place in places]

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        try:
            with self._on():
                yield
        except torch.OutOfMemoryError as e:
            raise NoRoomError from e

    def _find(self, reach: int, limit: int, lowest: float) -> Peaks:
        tiles = (self._limits.heat > lowest).nonzero()[:, 0]
        found = [self._peaks(part, reach, lowest) for part in tiles.split(_AT_ONCE)]
        of, place, values = (torch.cat(parts) for parts in zip(*found, strict=True))
        # By place, then by height, then by map: each sort keeps the order of the one before among equals.
        order = place.argsort(stable=True)
        order = order[(values[order] + 0.0).argsort(stable=True, descending=True)]  # of zeros of either sign one
        order = order[of[order].argsort(stable=True)]
        of, place, values = of[order], place[order], values[order]
        counts = torch.bincount(of, minlength=self._images * self._joints)
        rank = torch.arange(len(of), device=of.device) - (counts.cumsum(0) - counts)[of]
        kept = rank < limit
        of, place, rank, values = of[kept], place[kept], rank[kept], values[kept]
        integers = torch.stack((of, rank, place)).cpu().numpy()
        numbers = torch.cat((values[:, None], self._tags_at(of, place)), dim=1).cpu().numpy()
        return self._as_peaks(integers, numbers, limit)

    def _fine(self) -> np.ndarray:
        """Of each image, whether all its values are finite and within the decode's limit."""
        both = [(maps.abs() <= _LIMIT).view(self._passes, self._images, -1).all(2) for maps in self._outputs]
        return torch.cat(both).all(0).cpu().numpy()

    @cached_property
    def _flip(self) -> Tensor:
        return torch.tensor(self._partners, device=self._device)

    @cached_property
    def _weights(self) -> tuple[Tensor, Tensor]:
        """Of the nearer and of the farther sample, as ``_mix`` takes them."""
        near = 0.75 - 0.5 * torch.arange(2, dtype=torch.float64, device=self._device)
        return near, (1 - near).float()

    @cached_property
    def _limits(self) -> _Limits:
        joints, maps = self._joints, self._outputs[1].shape[1]
        heat, tags = [], []
        for number in range(self._passes):
            rows = slice(number * self._images, (number + 1) * self._images)
            first, second = (output[rows] for output in self._outputs)
            own, others = first[:, :joints], first[:, maps : maps + joints]
            second = second[:, :joints]
            if number:  # mirrored back, each joint's from the map that shows it
                own, others, second = (each[:, self._flip].flip(3) for each in (first, first[:, maps:], second))
            heat.append((_highest(own, _TILE // 4) + _highest(second, _TILE // 2)) * 0.5)
            tags.append((-_highest(-others, _TILE // 4), _highest(others, _TILE // 4)))
        both = (heat[0] + heat[1]) * 0.5 if self._passes == 2 else heat[0]
        return _Limits(both.flatten(), [(low.flatten(), high.flatten()) for low, high in tags])

    def _squares(self, tiles: Tensor) -> _Squares:
        of, tile = tiles // (self._rows * self._columns), tiles % (self._rows * self._columns)
        row, column = tile // self._columns, tile % self._columns
        return _Squares(of // self._joints, of % self._joints, row * _TILE, column * _TILE)

    def _peaks(self, tiles: Tensor, reach: int, lowest: float) -> tuple[Tensor, Tensor, Tensor]:
        """Of the peaks in tiles [T] the map, image * K + joint, the place, y * W + x, and the value."""
        squares, margin = self._squares(tiles), -(-reach // 4) * 4
        heat = self._heat(squares.grown(margin), _TILE + 2 * margin)
        first, end = margin, margin + _TILE
        inner = heat[:, first:end, first:end]
        # Beyond the border stands what is on it, which makes no window's highest value higher.
        around = heat[:, None, first - reach : end + reach, first - reach : end + reach]
        highest = max_pool2d(around, 2 * reach + 1, stride=1)[:, 0]
        rows, columns = _numbers(squares.top, _TILE)[:, :, None], _numbers(squares.left, _TILE)[:, None]
        is_peak = (inner == highest) & (inner > lowest) & (rows < self._height) & (columns < self._width)
        tile, y, x = is_peak.nonzero().unbind(1)
        place = (squares.top[tile] + y) * self._width + squares.left[tile] + x
        return tiles[tile] // (self._rows * self._columns), place, inner[tile, y, x]

    def _tags_at(self, of: Tensor, place: Tensor) -> Tensor:
        """Tags [P, passes] of maps image * K + joint at places y * W + x."""
        found = []
        for part in torch.arange(len(of), device=of.device).split(_AT_ONCE):
            squares, y, x = self._covering(of[part], place[part], 0)
            every = torch.arange(len(part), device=of.device)
            found.append(self._fused(squares, 4, (False,))[0, :, every, y, x].T)
        return torch.cat(found)

    def _around(self, of: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Heat [P] at places, and whether it rises rightward and downward, [P, 2], from neighbour to neighbour."""
        values, rises = [], []
        for part in torch.arange(len(of), device=of.device).split(_AT_ONCE):
            squares, y, x = self._covering(of[part], place[part], 1)
            every = torch.arange(len(part), device=of.device)
            heat = self._heat(squares, 8)
            rightward = heat[every, y, x + 1] > heat[every, y, x - 1]
            downward = heat[every, y + 1, x] > heat[every, y - 1, x]
            values.append(heat[every, y, x])
            rises.append(torch.stack((rightward, downward), dim=1))
        return torch.cat(values), torch.cat(rises)

    def _best_places(self, of: Tensor, means: Tensor) -> Tensor:
        """Of each search of a map the place as refine.places: the largest heat - round(tag distance), the first.

        A tile's bound is its limit of heat - round(distance to its tags' range). Tiles of the highest bounds are
        searched, in rounds. After the first, limits of heat that let tiles come in question are lowered to their heat.
        """
        count, heat = self._rows * self._columns, self._limits.heat
        every = torch.arange(count, device=of.device)
        tiles, squares = of[:, None] * count + every, self._squares(every)
        starts = squares.top * self._width + squares.left
        pairs = zip(self._limits.tags, means.T[:, :, None], strict=False)
        beyond = [torch.maximum(low[tiles] - mean, mean - high[tiles]).clamp(min=0) for (low, high), mean in pairs]
        distance = _distance(beyond)
        # Where no heat is above 0 no place counts; without a mean all scores are NaN, of which the first counts.
        searched = (heat[tiles].amax(1) > 0) & ~means[:, 0].isnan()
        best = torch.full((len(of),), -math.inf, device=of.device)
        place = torch.where(searched, self._height * self._width, 0)
        left = searched[:, None].expand_as(tiles)
        for number, most in enumerate(_ROUNDS):
            if number == 1:
                for part in tiles[left].unique().split(_AT_ONCE):
                    heat[part] = self._heat(self._squares(part), _TILE).amax((1, 2))
            bounds = torch.where(left, heat[tiles] - distance, -math.inf)
            chosen = left
            if most:
                first = bounds.argsort(dim=1, stable=True, descending=True)[:, :most]
                chosen = torch.zeros_like(left).scatter_(1, first, value=True) & left
            best, place = self._search(tiles, chosen, means, best, place)
            may_win = (bounds > best[:, None]) | ((bounds == best[:, None]) & (starts < place[:, None]))
            left = left & ~chosen & may_win
        return place

    def _search(
        self, tiles: Tensor, chosen: Tensor, means: Tensor, best: Tensor, place: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``best`` [M] and ``place`` [M], or what is better in the chosen ones of the searches' tiles [M, tiles].

        What several searches look at is computed once.
        """
        none = self._height * self._width
        search = chosen.nonzero()[:, 0]
        every, which = tiles[chosen].unique(return_inverse=True)
        order = which.argsort(stable=True)
        search, which = search[order], which[order]
        steps = torch.arange(0, len(every) + _AT_ONCE, _AT_ONCE, device=which.device)
        edges = torch.searchsorted(which, steps).tolist()
        for part, (begin, end) in zip(every.split(_AT_ONCE), itertools.pairwise(edges), strict=False):
            squares = self._squares(part)
            heat, tags = self._fused(squares, _TILE, (True, False))
            one, of_part = search[begin:end], which[begin:end] - which[begin]
            differences = [tag[of_part] - mean[one, None, None] for tag, mean in zip(tags, means.T, strict=False)]
            score = self._averaged(heat)[of_part] - _distance(differences)
            rows, columns = _numbers(squares.top, _TILE)[:, :, None], _numbers(squares.left, _TILE)[:, None]
            highest = score.amax((1, 2))
            # A pixel beyond the border is like the one on it, which comes before it.
            places = (rows * self._width + columns)[of_part]
            places = torch.where(score == highest[:, None, None], places, none).amin((1, 2))
            better = best.scatter_reduce(0, one, highest, "amax")
            place = torch.where(better > best, none, place)
            place = place.scatter_reduce(0, one, torch.where(highest == better[one], places, none), "amin")
            best = better
        return best, place

    def _covering(self, of: Tensor, place: Tensor, reach: int) -> tuple[_Squares, Tensor, Tensor]:
        """Squares with places and ``reach`` pixels around, and the places' rows and columns in them."""
        y, x = place // self._width, place % self._width
        top, left = (y - reach) // 4 * 4, (x - reach) // 4 * 4
        return _Squares(of // self._joints, of % self._joints, top, left), y - top, x - left

    def _heat(self, squares: _Squares, size: int) -> Tensor:
        """Fused heat [T, size, size], as fuse.heat_in."""
        return self._averaged(self._fused(squares, size, (True,))[0])

    def _averaged(self, heat: Tensor) -> Tensor:
        """Of [passes, ...]."""
        return (heat[0] + heat[1]) * 0.5 if self._passes == 2 else heat[0]

    def _fused(self, squares: _Squares, size: int, kinds: tuple[bool, ...]) -> Tensor:
        """Heat, where a kind is True, or tags, at full resolution, mirrored back: [kinds, passes, T, size, size].

        ``size`` is a multiple of 4, and heat comes first. What lies beyond the maps' border repeats it. All at once, as
        many small operations take longer to be asked for than to be done.
        """
        first, second = self._outputs
        rows, channels, lefts = [squares.image], [squares.joint], [squares.left]
        if self._passes == 2:
            rows.append(self._images + squares.image)
            channels.append(self._flip[squares.joint])
            lefts.append(self._width - squares.left - size)
        channels = [channel if is_heat else channel + second.shape[1] for is_heat in kinds for channel in channels]
        repeated = len(kinds) * self._passes
        row, channel = torch.cat(rows * len(kinds)), torch.cat(channels)
        top, left = squares.top.repeat(repeated), torch.cat(lefts * len(kinds))
        half = self._upsample(_cut(first, row, channel, top // 4, left // 4, size // 4))
        if kinds[0]:
            heat = slice(0, self._passes * len(squares.image))
            samples = _cut(second, row[heat], channel[heat], top[heat] // 2, left[heat] // 2, size // 2)
            half[heat] = (half[heat] + samples) * 0.5
        half = half.view(len(kinds), self._passes, -1, *half.shape[1:])
        if self._passes == 2:
            half[:, 1] = half[:, 1].flip(3)
        full = self._upsample(half.flatten(0, 2))[:, 1:-1, 1:-1]
        return full.unflatten(0, half.shape[:3])

    def _upsample(self, maps: Tensor) -> Tensor:
        """[T, h, w] to [T, 2 (h - 1), 2 (w - 1)]: what lies between neighbours, along x, then along y."""
        wide = _mix(maps[:, :, :-1, None], maps[:, :, 1:, None], *self._weights).flatten(2)
        down = [weights[:, None] for weights in self._weights]
        return _mix(wide[:, :-1, None], wide[:, 1:, None], *down).flatten(1, 2)

    def _as_peaks(self, integers: np.ndarray, numbers: np.ndarray, limit: int) -> Peaks:
        """From [3, P], map, rank and place, and [P, 1 + passes], value and tags."""
        of, rank, place = integers
        size = self._images * self._joints, limit
        points, values = np.zeros((*size, 2), np.int64), np.zeros(size, np.float32)
        tags = np.zeros((*size, 2), np.float32)
        points[of, rank] = np.stack((place % self._width, place // self._width), axis=1)
        values[of, rank], tags[of, rank, : self._passes] = numbers[:, 0], numbers[:, 1:]
        each, counts = (self._images, self._joints), np.bincount(of, minlength=size[0])
        arrays = [array.reshape(*each, *array.shape[1:]) for array in (counts, points, values, tags)]
        return Peaks(self._fine(), *arrays)


def _numbers(first: Tensor, count: int) -> Tensor:
    """[T, count]: ``first`` [T] and the numbers after it."""
    return first[:, None] + torch.arange(count, device=first.device)


def _cut(maps: Tensor, row: Tensor, channel: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Squares [T, size + 2, size + 2] of maps [., C, h, w]: ``size`` samples, and one around them.

    What lies beyond the border repeats it.
    """
    around = torch.arange(-1, size + 1, device=maps.device)
    height, width = maps.shape[2:]
    y, x = (top[:, None] + around).clamp(0, height - 1), (left[:, None] + around).clamp(0, width - 1)
    return maps[row[:, None, None], channel[:, None, None], y[:, :, None], x[:, None, :]]


def _mix(a: Tensor, b: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Float32 fma(a, near, b * far), as PyTorch's CPU kernel and fuse.py upsample; ``near`` float64, ``far`` float32.

    In float64 the product of ``a`` is exact, and the sum rounds twice, once more to float32. That is the same as once,
    but where a * near lies just between two float32 and b's part is too small to be seen in float64: there its sign
    must count, and nothing else of it. So it is made 2^-40 of a * near at least, which no sum that it is not lost in
    can tell from less: a * near has 26 bits, and lies on such a middle or 2^-27 from it.
    """
    first = a.double() * near
    second = (b * far).double()
    seen = torch.maximum(second.abs(), first.abs() * 2.0**-40) * second.sign()
    return (first + seen).float()


def _distance(differences: Sequence[Tensor]) -> Tensor:
    """Rounded length of the tags' difference, of one pass or two."""
    squares = [each * each for each in differences]
    return (squares[0] + squares[1] if len(squares) == 2 else squares[0]).sqrt().round()


def _highest(maps: Tensor, side: int) -> Tensor:
    """The highest value in each tile of ``side`` samples and the ring of one around it, [., ., rows, columns]."""
    return max_pool2d(maps, side + 2, stride=side, padding=1, ceil_mode=True)


def _largest_float32(threshold: float) -> float:
    """The largest float32 that is not above ``threshold``: float32 values are above both or neither."""
    nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))
