"""People on images. Side tells left from right, joint colour tells people apart; both survive colour blindness."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from higherhrnet.dataset import joints

# Okabe and Ito's palette (Color Universal Design, 2008), as BGR.
_LEFT = (178, 114, 0)  # blue
_RIGHT = (0, 94, 213)  # vermillion
_MIDDLE = (245, 245, 245)
_PEOPLE = ((66, 228, 240), (115, 158, 0), (167, 121, 204), (233, 180, 86), (0, 159, 230), (255, 255, 255))
_OUTLINE = (20, 20, 20)
_SHIFT = 3  # fractional bits of OpenCV's drawing coordinates


def _side(names: Sequence[str]) -> tuple[int, int, int]:
    sides = {name.split("_")[0] for name in names}
    if sides == {"left"}:
        return _LEFT
    return _RIGHT if sides == {"right"} else _MIDDLE


def draw_people(
    image: np.ndarray,
    keypoints: np.ndarray,
    *,
    skeleton: joints.JointSet = joints.COCO,
    min_value: float = 0.1,
    thickness: float | None = None,
    tracks: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of an image with people's skeletons on it.

    Parameters
    ----------
    image : uint8 [H, W, 3], BGR
    keypoints : float [P, K, 3]; x, y in image pixels (pixel centers at .5) and value
    skeleton : names and limbs of the K joints
    min_value : joints of a lower value are left out
    thickness : of the limbs in pixels; by default in proportion to the image
    tracks : int [P], ids written above the people, whose joints keep their colour from frame to frame then
    """
    canvas = image.copy()
    width = thickness or max(2.0, min(image.shape[:2]) / 160)
    numbers = np.arange(len(keypoints)) if tracks is None else tracks
    for place, (person, number) in enumerate(zip(keypoints, numbers, strict=True)):
        color = _PEOPLE[number % len(_PEOPLE)]
        # OpenCV's integer coordinates are pixel centers; ours have them at .5.
        points = [tuple(int(v) for v in np.round((xy - 0.5) * (1 << _SHIFT))) for xy in person[:, :2]]
        seen = person[:, 2] >= min_value
        limbs = [(a, b) for a, b in skeleton.limbs if seen[a] and seen[b]]
        for grow, paint in ((2, None), (0, True)):  # outlines first, so that no outline covers a limb
            for a, b in limbs:
                shade = _side((skeleton.names[a], skeleton.names[b])) if paint else _OUTLINE
                cv2.line(canvas, points[a], points[b], shade, round(width + grow), cv2.LINE_AA, _SHIFT)
        for joint in np.nonzero(seen)[0]:
            radius = width * 1.1
            cv2.circle(canvas, points[joint], round((radius + 1) * (1 << _SHIFT)), _OUTLINE, -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, points[joint], round(radius * (1 << _SHIFT)), color, -1, cv2.LINE_AA, _SHIFT)
        if tracks is not None and seen.any():
            _label(canvas, str(tracks[place]), person[seen, :2], color, width)
    return canvas


def _label(canvas: np.ndarray, text: str, points: np.ndarray, color: tuple[int, int, int], thickness: float) -> None:
    """Write above the highest of points [n, 2], in the picture as far as it reaches."""
    size = thickness / 5
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    x = int(np.clip(points[:, 0].mean() - width / 2, 0, max(canvas.shape[1] - width, 0)))
    y = int(np.clip(points[:, 1].min() - 3 * thickness, height + 1, canvas.shape[0]))
    for stroke, shade in ((3, _OUTLINE), (1, color)):
        cv2.putText(
            canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, shade, max(round(size * stroke), stroke), cv2.LINE_AA
        )


def contact_sheet(
    images: Sequence[np.ndarray], *, width: int = 1600, row_height: int = 300, gap: int = 8
) -> np.ndarray:
    """Images uint8 [h, w, 3] in justified rows, as one picture of ``width`` pixels on white.

    Images keep their aspect ratio; each row is scaled to fill the width, at about ``row_height``. A last row that is
    not full keeps that height. Raises ValueError for no images.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    rows: list[list[np.ndarray]] = [[]]
    used = 0.0
    for image in images:
        advance = row_height * image.shape[1] / image.shape[0]
        if rows[-1] and used + advance / 2 > width:
            rows.append([])
            used = 0.0
        rows[-1].append(image)
        used += advance + gap
    strips = []
    for row in rows:
        aspects = [image.shape[1] / image.shape[0] for image in row]
        height = min((width - gap * (len(row) + 1)) / sum(aspects), row_height * 1.35)
        strip = np.full((round(height) + gap, width, 3), 255, np.uint8)
        x = float(gap)
        for image, aspect in zip(row, aspects, strict=True):
            left, right = round(x), min(round(x + height * aspect), width)
            size = (right - left, strip.shape[0] - gap)
            strip[gap:, left:right] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            x += height * aspect + gap
        strips.append(strip)
    return np.concatenate([*strips, np.full((gap, width, 3), 255, np.uint8)])
