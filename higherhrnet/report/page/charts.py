"""The charts of a report, each from the report's numbers (analysis.numbers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from higherhrnet.report.analysis.errors import ERRORS
from higherhrnet.report.page import svg
from higherhrnet.report.page.svg import BLUE, GREEN, INK, MUTED, ORANGE, PINK, RED, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Mapping[str, Any]

OF_ERRORS = {"jitter": SKY, "inversion": PINK, "swap": ORANGE, "miss": RED}
"""The colors of joints' errors, in the pictures too."""
_ROW = 0.24  # inches of a bar with its name
_MARGIN = 0.75  # inches of axis and legend
_LONGEST = 24  # characters of a name at an axis


def curves(numbers: Numbers) -> Markup:
    """Precision over recall, a line per OKS threshold."""

    def paint(axes: Axes) -> None:
        found = numbers["curves"]
        for place, (threshold, precision) in enumerate(found["precision"].items()):
            named = {"0.50": BLUE, "0.75": ORANGE, "0.95": RED}.get(threshold)
            style: dict[str, Any] = {
                "color": named or MUTED,
                "linewidth": 2 if named else 0.8,
                "zorder": 3 - place / 99,
            }
            axes.plot(found["recall"], precision, label=f"OKS {threshold}" if named else None, **style)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.legend(loc="lower left")

    return svg.draw("curves", "Precision over recall at ten OKS thresholds", 3.2, paint)


def mending(numbers: Numbers, names: Mapping[str, str]) -> Markup:
    """AP when one kind of error is mended, beside AP as it is."""
    rows = numbers["mending"]["alone"]
    ap = _ap(numbers)

    def paint(axes: Axes) -> None:
        gains = [(row["AP"] or 0) - ap for row in rows]
        axes.barh(range(len(rows)), gains, left=ap, color=BLUE, height=0.62)
        for place, (gain, row) in enumerate(zip(gains, rows, strict=True)):
            axes.annotate(
                _value(row["AP"]), (ap + max(gain, 0), place), (4, 0), textcoords="offset points", va="center"
            )
        axes.axvline(ap, color=INK, linewidth=1)
        least = min(ap, *(row["AP"] or 0 for row in rows))
        axes.set(xlabel="AP; the line is AP as it is")
        _up_to_one(axes, least - 0.02)
        _names(axes, [names[row["name"]] for row in rows])

    return svg.draw("mending", f"AP {_value(ap)}, and AP after mending each kind of error", _height(len(rows)), paint)


def in_turn(numbers: Numbers, names: Mapping[str, str]) -> Markup:
    """AP as errors are mended one after another."""
    rows = numbers["mending"]["in_turn"]
    ap = _ap(numbers)

    def paint(axes: Axes) -> None:
        labels = ["as found", *(f"+ {names[row['name']]}" for row in rows)]
        values = [ap, *(row["AP"] or 0 for row in rows)]
        before = [0, *values[:-1]]
        places = list(range(len(values)))
        axes.barh(places, values, color=BLUE, height=0.62)
        axes.barh(places, [ap, *before[1:]], color=MUTED, height=0.62)
        for place, value in enumerate(values):
            _note(axes, _value(value), value, place)
        axes.set(xlabel="AP")
        _up_to_one(axes)
        _names(axes, labels)

    return svg.draw("inturn", "AP as errors are mended one after another", _height(len(rows) + 1), paint)


def errors_of_joints(numbers: Numbers) -> Markup:
    """The share of each error, a bar per joint."""
    joints = numbers["joints"]

    def paint(axes: Axes) -> None:
        names = [_short(joint["name"]) for joint in joints]
        places = range(len(joints))
        left = [0.0] * len(joints)
        for error in ERRORS:
            shares = [100 * joint["kinds"][error] / max(sum(joint["kinds"].values()), 1) for joint in joints]
            axes.barh(places, shares, left=left, color=OF_ERRORS[error], label=error, height=0.7)
            left = [a + b for a, b in zip(left, shares, strict=True)]
        _names(axes, names)
        axes.set(xlim=(0, max(*left, 1) * 1.04), xlabel="per cent of the joints of found people")
        axes.figure.legend(loc="outside upper center", ncols=4, columnspacing=1, handlelength=1)

    return svg.draw("joints", "Shares of jitter, inversion, swap and miss, by joint", _height(len(joints)) + 0.3, paint)


def precision_of_joints(numbers: Numbers) -> Markup:
    """AP with each joint alone, and AP with that joint mended."""
    joints = numbers["joints"]

    def paint(axes: Axes) -> None:
        places = list(range(len(joints)))
        axes.barh(places, [joint["AP"] or 0 for joint in joints], color=GREEN, height=0.7)
        for place, joint in enumerate(joints):
            axes.annotate(
                _value(joint["AP"]), (joint["AP"] or 0, place), (3, 0), textcoords="offset points", va="center"
            )
        _names(axes, [_short(joint["name"]) for joint in joints])
        axes.set(xlabel="AP with that joint alone")
        _up_to_one(axes)

    return svg.draw("jointap", "AP with each joint alone", _height(len(joints)), paint)


def group(place: int, numbers: Numbers) -> Markup:
    """AP and AR of a division into groups, or AR .5 and AR where it is of people."""
    division = numbers["groups"][place]
    rows = [row for row in division["groups"] if row["people"]]
    of_people = all(row["AP"] is None for row in rows)
    first, second = ("AR .5", "AR") if of_people else ("AP", "AR")

    def paint(axes: Axes) -> None:
        places = list(range(len(rows)))
        for offset, name, color in ((-0.2, first, BLUE), (0.2, second, SKY)):
            values = [row[name] or 0 for row in rows]
            axes.barh([p + offset for p in places], values, height=0.38, color=color, label=name)
            for p, value in zip(places, values, strict=True):
                axes.annotate(
                    _value(value), (value, p + offset), (3, 0), textcoords="offset points", va="center", fontsize=8
                )
        _names(axes, [f"{row['label']} ({row['people']:,})" for row in rows])
        _up_to_one(axes)
        axes.figure.legend(loc="outside upper center", ncols=2)

    title = f"{first} and {second} by {division['by']}"
    return svg.draw(f"group{place}", title, _height(1.7 * len(rows)), paint)


def calibration(numbers: Numbers) -> Markup:
    """The share of people that are right, and their OKS, over their score."""

    def paint(axes: Axes) -> None:
        bins = numbers["scores"]["bins"]
        scores = [b["score"] for b in bins]
        if numbers["scores"]["error"] is not None:
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="score = share")
            axes.set_xlim(0, 1)
        axes.plot(scores, [b["right"] for b in bins], color=BLUE, marker="o", markersize=4, label="right at OKS 0.5")
        axes.plot(scores, [b["oks"] for b in bins], color=ORANGE, marker="s", markersize=4, label="mean OKS")
        axes.set(ylim=(0, 1.02), xlabel="mean score of a tenth of the people", ylabel="share, OKS")
        axes.legend(loc="best")

    return svg.draw("scores", "Share of people that are right, by score", 3.2, paint)


def differences(numbers: Numbers) -> Markup:
    """The difference of each figure, with its interval."""
    rows = [row for row in numbers["comparison"]["figures"] if row["difference"] is not None]

    def paint(axes: Axes) -> None:
        for place, row in enumerate(rows):
            if row["interval"]:
                axes.plot(row["interval"], [place, place], color=MUTED, linewidth=3, solid_capstyle="butt")
        axes.plot([row["difference"] for row in rows], range(len(rows)), "o", color=BLUE, markersize=6)
        axes.axvline(0, color=INK, linewidth=1)
        _names(axes, [row["name"] for row in rows])
        axes.set(xlabel="difference, with 95 % intervals")

    return svg.draw("differences", "Differences of the figures with their intervals", _height(len(rows)), paint)


def speed(numbers: Numbers) -> Markup:
    """AP over images per second, a point per column of the performance table."""
    rows = numbers["speed"]

    def paint(axes: Axes) -> None:
        for place, row in enumerate(rows):
            color = (BLUE, ORANGE, GREEN, PINK, SKY, RED)[place % 6]
            axes.plot([row["average"]], [row["AP"]], "o", color=color, markersize=8, label=_short(row["label"], 44))
        rates = [row["average"] for row in rows]
        aps = [row["AP"] for row in rows]
        spread = max(max(aps) - min(aps), 0.02)
        axes.set(
            xlim=(0, max(rates) * 1.15),
            ylim=(max(0, min(aps) - spread), min(1, max(aps) + spread)),
            xlabel="images per second, average over shapes",
            ylabel="AP",
        )
        axes.figure.legend(loc="outside upper left")

    return svg.draw("speed", "AP over images per second", 3 + 0.2 * len(rows), paint)


def _ap(numbers: Numbers) -> float:
    value = numbers["figures"][0]["value"]
    return 0.0 if value is None else float(value)


def _value(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _height(rows: float) -> float:
    return _MARGIN + _ROW * rows


def _short(name: str, longest: int = _LONGEST) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _names(axes: Axes, names: Sequence[str]) -> None:
    """Names beside horizontal bars, the first on top. As ticks: bars of equal names would be one."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _up_to_one(axes: Axes, low: float = 0.0) -> None:
    """An axis of shares: it has room for values beside full bars, and no ticks there."""
    axes.set_xlim(low, 1.15)
    axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= 1 + 1e-9])


def _note(axes: Axes, text: str, x: float, y: float, *, size: int = 10) -> None:
    """A value beside the end of its bar."""
    axes.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=size)
