"""One articulated figure: a random pose in space, its look, and drawing it.

Figures are jointed mannequins in overalls of one hue, with a pad on every joint. Left and right are told apart by which
way a figure faces (face, collar, backpack, toes), as on people, and by the pads: on the figure's left joints the bright
half is on the right side of the picture, on its right joints on the left side. A plain colour on one side would not do:
mirrored for the flip test, a left arm becomes a right arm, and so must its mark.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from demo.canvas import Canvas, Colour, Floats, disc, hull, tone

HEAD, TORSO, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = range(6)
GROUPS = 6
"""How many body parts ownership distinguishes in one figure."""

# Which of a figure's parts may be in front at a joint for the joint to count as visible.
_CARRIERS: tuple[tuple[int, ...], ...] = (
    *((HEAD,),) * 5,
    *((TORSO, LEFT_ARM), (TORSO, RIGHT_ARM)),
    *((LEFT_ARM,), (RIGHT_ARM,)) * 2,
    *((TORSO, LEFT_LEG), (TORSO, RIGHT_LEG)),
    *((LEFT_LEG,), (RIGHT_LEG,)) * 2,
)

_SKIN: tuple[Colour, ...] = (
    (180, 205, 240), (150, 185, 230), (125, 165, 215), (95, 135, 190), (70, 100, 155), (50, 72, 115), (38, 52, 84),
)  # fmt: skip
# Bright halves of the pads: ears, shoulders, elbows, wrists, hips, knees, ankles.
_PADS: tuple[Colour, ...] = (
    (255, 255, 255), (60, 235, 255), (255, 120, 255), (255, 255, 120), (90, 170, 255), (120, 255, 150), (255, 160, 130),
)  # fmt: skip

# Lengths as fractions of the standing height. The head is a little larger than life: faces stay legible when small.
_HEAD_RADIUS = 0.082
_SHOULDER, _HIP = 0.118, 0.068
_UPPER_ARM, _FOREARM, _THIGH, _SHIN, _FOOT = 0.165, 0.15, 0.235, 0.225, 0.085


@dataclass(frozen=True)
class Look:
    """Clothes and colours of a figure (BGR); ``girth`` scales all thicknesses."""

    skin: Colour
    hair: Colour
    top: Colour
    top_second: Colour
    bottom: Colour
    shoes: Colour
    pattern: str  # plain, stripes, checks, blocks
    hair_style: str  # short, long, bald, cap
    long_sleeves: bool
    long_trousers: bool
    backpack: bool
    girth: float


@dataclass(frozen=True)
class Body:
    """A posed figure in image space: x right, y down, z towards the viewer, all in pixels.

    ``joints`` [17, 3] in COCO order; ``hands`` and ``toes`` [2, 3], left then right; ``head``, ``neck`` [3];
    ``head_axes`` and ``torso_axes`` [3, 3]: rows point to the figure's left, up and forward, unit length.
    """

    joints: Floats
    hands: Floats
    toes: Floats
    head: Floats
    neck: Floats
    head_axes: Floats
    torso_axes: Floats
    height: float


def random_look(rng: np.random.Generator, hue: int) -> Look:
    """Draw clothes, skin and build; all cloth is of one ``hue`` (OpenCV's, 0..179), in several shades."""

    def cloth(low: int, high: int) -> Colour:
        shade = (hue + int(rng.integers(-3, 4))) % 180, int(rng.integers(110, 235)), int(rng.integers(low, high))
        return _from_hsv(*shade)

    return Look(
        skin=_SKIN[rng.integers(len(_SKIN))],
        hair=cloth(60, 170),
        top=cloth(120, 240),
        top_second=cloth(60, 240),
        bottom=cloth(80, 220),
        shoes=cloth(50, 150),
        pattern=str(rng.choice(["plain", "plain", "stripes", "checks", "blocks"])),
        hair_style=str(rng.choice(["short", "short", "long", "cap"])),
        long_sleeves=bool(rng.random() < 0.9),
        long_trousers=bool(rng.random() < 0.9),
        backpack=bool(rng.random() < 0.3),
        girth=float(rng.uniform(0.88, 1.22)),
    )


def _from_hsv(hue: int, saturation: int, value: int) -> Colour:
    b, g, r = cv2.cvtColor(np.array([[[hue, saturation, value]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return (b, g, r)


def random_colour(
    rng: np.random.Generator, value: tuple[int, int] = (60, 240), saturation: tuple[int, int] = (20, 205)
) -> Colour:
    """A BGR colour of any hue; ``value`` and ``saturation`` are ranges within 0..255."""
    return _from_hsv(int(rng.integers(180)), int(rng.integers(*saturation)), int(rng.integers(*value)))


def random_body(rng: np.random.Generator, height: float) -> Body:
    """Draw a pose and a viewing angle; ``height`` is the standing height in pixels.

    The figure stands, walks, stretches, waves, dances or crouches, seen from the front (about half), from behind or
    from the side. The origin is on the ground: the lowest ankle's y is 0, the hips are near x = 0.
    """
    # Figure space: x to its left, y up, z forward.
    torso = _rotation(2, rng.normal(0, 7)) @ _rotation(0, rng.normal(3, 6))
    crouch = rng.random() < 0.15
    left_hip, right_hip = np.array([_HIP, 0, 0]), np.array([-_HIP, 0, 0])
    neck = torso @ np.array([0, 0.315, 0])
    left_shoulder, right_shoulder = (neck + torso @ np.array([s * _SHOULDER, -0.015, 0]) for s in (1, -1))

    left_elbow, left_wrist, left_hand = _arm(rng, torso, left_shoulder, 1)
    right_elbow, right_wrist, right_hand = _arm(rng, torso, right_shoulder, -1)
    left_knee, left_ankle, left_toe = _leg(rng, left_hip, 1, crouch)
    right_knee, right_ankle, right_toe = _leg(rng, right_hip, -1, crouch)

    turn = _rotation(1, rng.normal(0, 18)) @ _rotation(0, rng.normal(4, 8)) @ _rotation(2, rng.normal(0, 7))
    head_axes = (torso @ turn).T
    head = neck + torso @ np.array([0, 0.045, 0.008]) + head_axes[1] * _HEAD_RADIUS * 1.05
    # nose, eyes, ears on the head's ellipsoid, in head radii
    nose, eye, ear = (0, -0.12, 1.02), (0.36, 0.14, 0.86), (0.9, 0.02, -0.05)
    features = np.array([nose, eye, eye, ear, ear]) * [(1, 1, 1), (1, 1, 1), (-1, 1, 1), (1, 1, 1), (-1, 1, 1)]
    face = head + _HEAD_RADIUS * features @ head_axes

    upper = (left_shoulder, right_shoulder, left_elbow, right_elbow, left_wrist, right_wrist)
    lower = (left_hip, right_hip, left_knee, right_knee, left_ankle, right_ankle)
    points = np.stack((*face, *upper, *lower, left_hand, right_hand, left_toe, right_toe, head, neck))
    view = _view(rng)
    # The camera looks slightly down, so toes that point at the viewer point down in the image.
    to_image = np.diag([1, -1, 1]) @ _rotation(0, rng.uniform(4, 14)) @ view
    points = height * points @ to_image.T
    points[:, 1] -= points[15:17, 1].max()
    return Body(
        joints=points[:17],
        hands=points[17:19],
        toes=points[19:21],
        head=points[21],
        neck=points[22],
        head_axes=head_axes @ to_image.T,
        torso_axes=torso.T @ to_image.T,
        height=height,
    )


def _view(rng: np.random.Generator) -> Floats:
    kind = rng.random()
    if kind < 0.5:
        yaw = rng.uniform(-50, 50)
    elif kind < 0.8:
        yaw = 180 + rng.uniform(-50, 50)
    else:
        yaw = rng.choice([-1, 1]) * rng.uniform(50, 130)
    return _rotation(2, rng.normal(0, 3)) @ _rotation(1, yaw)


def _arm(rng: np.random.Generator, torso: Floats, shoulder: Floats, side: int) -> tuple[Floats, Floats, Floats]:
    lift = rng.choice([abs(rng.normal(0, 22)), rng.uniform(10, 100), rng.uniform(90, 165)], p=[0.5, 0.3, 0.2])
    around = rng.uniform(-35, 80)
    bend = rng.choice([rng.uniform(0, 30), rng.uniform(30, 130)])
    a, b = np.deg2rad(lift + 6), np.deg2rad(around)
    upper = np.array([side * np.sin(a) * np.cos(b), -np.cos(a), np.sin(a) * np.sin(b)])
    towards = np.array([side * rng.uniform(-1, 0.5), rng.uniform(-0.1, 1), rng.uniform(0.2, 1)])
    lower = _bent(upper, towards, bend)
    elbow = shoulder + torso @ upper * _UPPER_ARM
    wrist = elbow + torso @ lower * _FOREARM
    return elbow, wrist, wrist + torso @ lower * 0.035


def _leg(rng: np.random.Generator, hip: Floats, side: int, crouch: bool) -> tuple[Floats, Floats, Floats]:
    if crouch:
        swing, spread, bend = rng.uniform(50, 95), rng.uniform(5, 35), rng.uniform(60, 110)
    else:
        swing, spread, bend = rng.normal(6, 18), abs(rng.normal(4, 10)), abs(rng.normal(8, 18))
        if rng.random() < 0.12:
            swing, bend = rng.uniform(30, 90), rng.uniform(20, 110)
    a, b = np.deg2rad(swing), np.deg2rad(spread)
    thigh = np.array([side * np.sin(b), -np.cos(a) * np.cos(b), np.sin(a) * np.cos(b)])
    shin = _bent(thigh, np.array([0, -0.15, -1]), min(bend, 130))
    knee = hip + thigh * _THIGH
    ankle = knee + shin * _SHIN
    foot = _bent(shin, np.array([side * rng.uniform(0, 0.5), 0, 1]), rng.uniform(65, 95))
    return knee, ankle, ankle + foot * _FOOT


def _bent(direction: Floats, towards: Floats, degrees: float) -> Floats:
    """``direction`` turned by an angle towards another direction."""
    across = towards - direction * (towards @ direction)
    across /= np.linalg.norm(across) + 1e-9
    return direction * np.cos(np.deg2rad(degrees)) + across * np.sin(np.deg2rad(degrees))


def _rotation(axis: int, degrees: float) -> Floats:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    r = np.eye(3)
    r[i, i] = r[j, j] = c
    r[i, j], r[j, i] = -s, s
    return r


def draw(canvas: Canvas, body: Body, look: Look, at: Floats, first_tag: int, rng: np.random.Generator) -> None:
    """Draw the figure with its origin at ``at`` (x, y); its parts own tags ``first_tag`` .. ``first_tag + GROUPS - 1``.

    Parts farther from the viewer come first. ``rng`` only draws the details of the clothes' pattern.
    """
    h = body.height
    xy = body.joints[:, :2] + at
    z = body.joints[:, 2] / h
    canvas.darken(at + np.array([0, 0.03 * h]), (0.2 * h, 0.055 * h), 0.45)

    parts = [(float(z[[5, 6, 11, 12]].mean()), "torso"), (float(body.head[2] / h) + 0.05, "head")]
    for side in (0, 1):
        # Arms that hang beside the body belong in front of it, legs under the hem of the shirt.
        parts.append((float(z[[5 + side, 7 + side, 9 + side, 9 + side]].mean()) + 0.035, f"arm{side}"))
        parts.append((float(z[[11 + side, 13 + side, 15 + side]].mean()) - 0.12, f"leg{side}"))
    for _, part in sorted(parts):
        if part == "torso":
            _draw_torso(canvas, body, look, xy, at, first_tag + TORSO, rng)
        elif part == "head":
            _draw_head(canvas, body, look, xy[:5], at, first_tag + HEAD)
        elif part.startswith("arm"):
            _draw_arm(canvas, body, look, xy, at, int(part[-1]), first_tag)
        else:
            _draw_leg(canvas, body, look, xy, at, int(part[-1]), first_tag)


def _draw_pad(canvas: Canvas, body: Body, xy: Floats, joint: int, tag: int) -> None:
    """A ball with a dark rim and a bright half; which half tells left from right, its colour the kind of joint."""
    radius = (0.029 if joint in (3, 4) else 0.04) * body.height
    ball = disc(xy[joint], radius)
    canvas.fill(ball, (45, 35, 35), tag)
    side = 1 if joint % 2 else -1
    bright = xy[joint] + (ball - xy[joint]) * 0.86
    canvas.fill(hull(bright[side * (bright[:, 0] - xy[joint, 0]) > -1e-6]), _PADS[(joint - 3) // 2])


def _draw_leg(canvas: Canvas, body: Body, look: Look, xy: Floats, at: Floats, side: int, first_tag: int) -> None:
    g, tag = body.height * look.girth, first_tag + LEFT_LEG + side
    hip, knee, ankle = xy[11 + side], xy[13 + side], xy[15 + side]
    toe = body.toes[side, :2] + at
    light = _distance_tone(body, 13 + side)
    canvas.limb(ankle + np.array([0, 0.008 * g]), toe, 0.028 * g, 0.021 * g, tone(look.shoes, light), tag)
    shin = look.bottom if look.long_trousers else look.skin
    canvas.limb(knee, ankle, 0.039 * g, 0.026 * g, tone(shin, light), tag)
    canvas.limb(hip, knee, 0.058 * g, 0.041 * g, tone(look.bottom, light), tag)
    for joint in (15, 13, 11):
        _draw_pad(canvas, body, xy, joint + side, tag)


def _draw_arm(canvas: Canvas, body: Body, look: Look, xy: Floats, at: Floats, side: int, first_tag: int) -> None:
    g, tag = body.height * look.girth, first_tag + LEFT_ARM + side
    shoulder, elbow, wrist = xy[5 + side], xy[7 + side], xy[9 + side]
    light = _distance_tone(body, 7 + side)
    lower = (elbow, wrist, 0.029 * g, 0.021 * g, tone(look.top if look.long_sleeves else look.skin, light), tag)
    upper = (shoulder, elbow, 0.04 * g, 0.031 * g, tone(look.top, light), tag)
    hand = (wrist, body.hands[side, :2] + at, 0.02 * g, 0.023 * g, tone(look.skin, light), tag)
    nearer_hand = body.joints[9 + side, 2] > body.joints[5 + side, 2]
    for limb in (upper, lower, hand) if nearer_hand else (hand, lower, upper):
        canvas.limb(*limb)
    for joint in (5, 7, 9) if nearer_hand else (9, 7, 5):
        _draw_pad(canvas, body, xy, joint + side, tag)


def _distance_tone(body: Body, joint: int) -> float:
    """Limbs on the far side of the figure are a little darker."""
    return float(np.clip(0.96 + 1.1 * body.joints[joint, 2] / body.height, 0.72, 1.0))


def _draw_torso(
    canvas: Canvas, body: Body, look: Look, xy: Floats, at: Floats, tag: int, rng: np.random.Generator
) -> None:
    g = body.height * look.girth
    neck = body.neck[:2] + at
    hips = xy[11:13].mean(0)
    left, _, forward = body.torso_axes
    head = body.head[:2] + at
    canvas.limb(neck, neck + (head - neck) * 0.7, 0.034 * g, 0.032 * g, tone(look.skin, 0.85), tag)
    if look.backpack and forward[2] > 0:
        _draw_backpack(canvas, body, look, neck, hips, tag)

    shoulders = [disc(p, 0.042 * g) for p in xy[5:7]]
    middle = disc(neck * 0.72 + hips * 0.28, 0.074 * g)
    waist = disc(hips, 0.062 * g)
    outline = hull(*shoulders, middle, waist, *(disc(p, 0.056 * g) for p in xy[11:13]), disc(neck, 0.03 * g))
    canvas.textured(outline, _cloth(look, canvas.light, rng), tag)

    if look.backpack and forward[2] <= 0:
        _draw_backpack(canvas, body, look, neck, hips, tag)
    for joint in (11, 12):
        if body.joints[joint, 2] > body.joints[11:13, 2].mean() - 0.045 * body.height:
            _draw_pad(canvas, body, xy, joint, tag)
    if forward[2] > 0.25:
        # collar and placket sit on the chest's surface, in front of the axis
        surface = forward[:2] * 0.06 * g
        down = hips - neck
        throat = neck + surface * 0.5
        across = left[:2] * 0.04 * g
        canvas.fill(np.stack((throat + across, throat - across, neck + surface + down * 0.22)), tone(look.skin, 0.92))
        dark = tone(look.top, 0.5) if sum(look.top) > 240 else tone(look.top, 1.35)
        for t in (0.38, 0.55, 0.72):
            canvas.fill(disc(neck + surface + down * t, max(0.0095 * g, 0.7), points=8), dark)
        if look.backpack:
            for s in (1, -1):
                top = neck + s * left[:2] * 0.085 * body.height + down * 0.02
                bottom = neck + s * left[:2] * 0.085 * body.height + down * 0.55
                canvas.limb(top + surface * 0.6, bottom + surface, 0.014 * g, 0.012 * g, tone(look.top_second, 0.7))


def _draw_backpack(canvas: Canvas, body: Body, look: Look, neck: Floats, hips: Floats, tag: int) -> None:
    g = body.height * look.girth
    left, _, forward = body.torso_axes
    back = -forward[:2] * 0.1 * g
    down = hips - neck
    corners = [
        disc(neck + back + s * left[:2] * 0.07 * g + down * t, 0.028 * g, points=10)
        for s in (1, -1)
        for t in (0.12, 0.72)
    ]
    canvas.fill(hull(*corners), tone(look.top_second, 0.6), tag)
    inner = [
        disc(neck + back * 1.1 + s * left[:2] * 0.058 * g + down * t, 0.024 * g, points=10)
        for s in (1, -1)
        for t in (0.16, 0.4)
    ]
    canvas.fill(hull(*inner), look.top_second)
    pocket = [
        disc(neck + back * 1.1 + s * left[:2] * 0.045 * g + down * t, 0.018 * g, points=10)
        for s in (1, -1)
        for t in (0.52, 0.68)
    ]
    canvas.fill(hull(*pocket), tone(look.top_second, 0.85))


def _cloth(look: Look, light: Floats, rng: np.random.Generator) -> Floats:
    """A shaded piece of the shirt, float [32, 24, 3]."""
    rows, columns = np.mgrid[0:32, 0:24]
    period = int(rng.integers(5, 10))
    second = {
        "plain": np.zeros((32, 24), bool),
        "stripes": rows % period < period // 2,
        "checks": (rows % period < period // 2) ^ (columns % period < period // 2),
        "blocks": rows > rng.integers(10, 22),
    }[look.pattern]
    cloth = np.where(second[..., None], np.array(look.top_second, float), np.array(look.top, float))
    x, y = (columns - 11.5) / 12, (rows - 15.5) / 16
    facing = x * light[0] + 0.45 * y * light[1]
    return cloth * np.clip(0.9 + 0.34 * facing - 0.12 * x * x, 0.5, 1.2)[..., None]


def _draw_head(canvas: Canvas, body: Body, look: Look, face: Floats, at: Floats, tag: int) -> None:
    r = _HEAD_RADIUS * body.height
    centre = body.head[:2] + at
    left, up, forward = body.head_axes
    hair = look.skin if look.hair_style == "bald" else look.hair
    if look.hair_style == "long" and forward[2] > 0:
        canvas.limb(centre, centre - up[:2] * 1.0 * r - forward[:2] * 0.3 * r, 0.98 * r, 0.72 * r, tone(hair, 0.8), tag)
    for side, ear in enumerate(face[3:5]):
        if body.joints[3 + side, 2] - body.head[2] < 0.35 * r:
            canvas.fill(disc(ear, 0.24 * r, 0.75, 12), tone(look.skin, 0.8), tag)
            _draw_pad(canvas, body, face, 3 + side, tag)

    skull = _ellipsoid_outline(centre, left, up, r)
    canvas.fill(skull, tone(hair, 0.62), tag)
    canvas.fill(centre + (skull - centre) * 0.84 + canvas.light * 0.12 * r, hair)
    canvas.fill(centre + (skull - centre) * 0.4 + canvas.light * 0.4 * r, tone(hair, 1.1))

    # The face is the part of the head's surface within 76 degrees of an axis below straight ahead.
    axis = forward - 0.5 * up
    axis /= np.linalg.norm(axis)
    side_axis = left
    up_axis = np.cross(axis, side_axis)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    wide = np.deg2rad(76)
    ring = np.cos(wide) * axis + np.sin(wide) * (
        np.cos(angles)[:, None] * side_axis * 0.93 + np.sin(angles)[:, None] * up_axis * 0.98
    )
    behind = ring[:, 2] < 0
    if not behind.all():
        # What lies behind the horizon is moved to it.
        norm = np.hypot(ring[:, 0], ring[:, 1]) + 1e-9
        ring[behind, :2] /= norm[behind, None]
        outline = hull(centre + 0.97 * r * ring[:, :2] * (0.9, 1.06))
        if look.hair_style == "bald" or axis[2] > -0.2:
            canvas.fill(outline, tone(look.skin, 0.82), tag)
            mid = outline.mean(0)
            canvas.fill(mid + (outline - mid) * 0.86 + canvas.light * 0.07 * r, look.skin)
    if look.hair_style == "cap":
        _draw_cap(canvas, look, centre, left, up, forward, r, tag)
    for side in (0, 1):
        if body.joints[3 + side, 2] - body.head[2] >= 0.35 * r:
            _draw_pad(canvas, body, face, 3 + side, tag)
    _draw_features(canvas, body, look, face, r, tag)


def _draw_features(canvas: Canvas, body: Body, look: Look, face: Floats, r: float, tag: int) -> None:
    left, up, forward = body.head_axes
    for side in (0, 1):
        depth = (body.joints[1 + side, 2] - body.head[2]) / r
        if depth < 0.12:
            continue
        eye, squash = face[1 + side], float(np.clip(0.5 + depth * 0.6, 0.5, 1.1))
        canvas.fill(disc(eye, 0.17 * r, squash, 14), (244, 244, 244), tag)
        canvas.fill(disc(eye + forward[:2] * 0.06 * r, 0.105 * r, squash * 0.95, 12), (38, 28, 24))
        brow = eye + up[:2] * 0.3 * r
        half = left[:2] * 0.16 * r
        canvas.limb(brow - half, brow + half, 0.045 * r, 0.045 * r, tone(look.hair, 0.7))
    nose_depth = (body.joints[0, 2] - body.head[2]) / r
    if nose_depth > -0.1:
        bridge = face[0] + up[:2] * 0.2 * r - forward[:2] * 0.14 * r
        canvas.limb(bridge, face[0], 0.07 * r, 0.12 * r, tone(look.skin, 0.86), tag)
    if forward[2] > 0.15:
        mouth = face[0] - up[:2] * 0.4 * r - forward[:2] * 0.16 * r
        half = left[:2] * 0.2 * r
        canvas.limb(mouth - half, mouth + half, 0.055 * r, 0.055 * r, (70, 60, 150))


def _draw_cap(
    canvas: Canvas, look: Look, centre: Floats, left: Floats, up: Floats, forward: Floats, r: float, tag: int
) -> None:
    crown = _ellipsoid_outline(centre, left, up, r * 1.05)
    over = (crown - centre) @ up[:2] > 0.32 * r
    if over.sum() > 2:
        canvas.fill(hull(crown[over]), look.top_second, tag)
    if forward[2] > -0.5:
        brim = centre + up[:2] * 0.42 * r + forward[:2] * 0.75 * r
        half = left[:2] * 0.62 * r
        tip = forward[:2] * 0.5 * r + np.array([0, 0.1 * r])
        canvas.fill(hull(disc(brim - half, 0.1 * r), disc(brim + half, 0.1 * r), disc(brim + tip, 0.1 * r)),
                    tone(look.top_second, 0.65), tag)  # fmt: skip


def _ellipsoid_outline(centre: Floats, left: Floats, up: Floats, r: float) -> Floats:
    """The head's silhouette: a little taller than wide along its up axis."""
    tilt = np.arctan2(up[0], -up[1])
    points = disc(np.zeros(2), r, 0.88, 28) * (1, 1.06)
    c, s = np.cos(tilt), np.sin(tilt)
    return centre + points @ np.array([[c, s], [-s, c]])


def keypoints(body: Body, at: Floats, owner: np.ndarray, first_tag: int) -> Floats:
    """The 17 keypoints [17, 3] (x, y, flag) after everything is drawn: ``owner`` is the finished ownership map.

    Flag 2: visible. 1: inside the image, hidden by another part, person or object. 0, with x = y = 0: outside the
    image, or on the far side of the figure's own head, which nobody could place.
    """
    height, width = owner.shape
    r = _HEAD_RADIUS * body.height
    found = np.zeros((17, 3))
    for joint, (x, y) in enumerate(body.joints[:, :2] + at):
        depth = (body.joints[joint, 2] - body.head[2]) / r
        if not (0 <= x < width and 0 <= y < height):
            continue
        if joint < 5 and depth < (-0.1, 0.12, 0.12, -0.4, -0.4)[joint]:
            continue
        part = int(owner[int(y), int(x)]) - first_tag
        found[joint] = x, y, 2 if part in _CARRIERS[joint] else 1
    return found
