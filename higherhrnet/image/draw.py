"""People on images. Side tells left from right, joint colour tells people apart; both survive colour blindness."""

from __future__ import annotations

import cv2
import numpy as np

from higherhrnet.dataset import joints

# Okabe and Ito's palette (Color Universal Design, 2008), as BGR; limbs have the colours of their joint set.
_MIDDLE = (245, 245, 245)
_PEOPLE = ((66, 228, 240), (115, 158, 0), (167, 121, 204), (233, 180, 86), (0, 159, 230), (255, 255, 255))
_OUTLINE = (20, 20, 20)
_SHIFT = 3  # fractional bits of OpenCV's drawing coordinates


def _shade(skeleton: joints.JointSet, a: int, b: int) -> tuple[int, int, int]:
    """BGR of a limb: its joints' colour where they have one, else neutral."""
    first, second = skeleton.colors[a], skeleton.colors[b]
    return first[::-1] if first == second else _MIDDLE


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
                shade = _shade(skeleton, a, b) if paint else _OUTLINE
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
