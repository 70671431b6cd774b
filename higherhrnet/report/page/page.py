"""A report's numbers as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import outputs
from higherhrnet.errors import UserError
from higherhrnet.system import packages

KIND = "a report"
_FOLDER = Path(__file__).parent
_PACKAGES = {"jinja2": "Jinja2", "matplotlib": "matplotlib"}

NAMES = {
    "good": "good",
    "jitter": "jitter",
    "inversion": "inversion",
    "swap": "swap",
    "miss": "miss",
    "joints": "all four",
    "scores": "scores",
    "found": "found",
    "ignored": "ignored",
    "duplicate": "duplicates",
    "background": "background",
    "missed": "missed people",
    "gained": "gained",
    "lost": "lost",
    "better": "moved closer",
    "worse": "moved away",
}
"""What the page calls errors and changes."""


def require() -> None:
    """Raise UserError unless the packages that draw a page are installed: before anything is computed for it."""
    missing = [name for module, name in _PACKAGES.items() if not packages.is_installed(module)]
    if missing:
        raise UserError(f"a report needs {' and '.join(missing)}, not installed; pip install 'higherhrnet[report]', or "
                        f"pip install -r requirements/report.txt -r requirements/chart.txt in a checkout")  # fmt: skip


def render(numbers: Mapping[str, Any], crops: Mapping[int, bytes]) -> str:
    """The page.

    Parameters
    ----------
    numbers : as report.study makes them, or as JSON had them
    crops : JPEGs by image id, of those of numbers["pictures"] that could be read (gallery.crop, gallery.jpeg)
    """
    # Imported here: the commands that make no page need none of it.
    import jinja2  # noqa: PLC0415

    from higherhrnet.report.page import charts, gallery  # noqa: PLC0415

    script, style = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "signed": _signed, "percent": _percent, "count": _count}
    shown = gallery.show(numbers, crops, NAMES)
    drawn = {
        "curves": charts.curves(numbers),
        "mending": charts.mending(numbers, NAMES),
        "in_turn": charts.in_turn(numbers, NAMES),
        "errors_of_joints": charts.errors_of_joints(numbers),
        "precision_of_joints": charts.precision_of_joints(numbers),
        "groups": [charts.group(place, numbers) for place in range(len(numbers["groups"]))],
        "calibration": charts.calibration(numbers),
        "differences": charts.differences(numbers) if numbers["comparison"] else None,
        "speed": charts.speed(numbers) if numbers["speed"] else None,
    }
    return environment.get_template("page.html").render(
        numbers=numbers,
        charts=drawn,
        shown=shown,
        names=NAMES,
        sorts=[sort for sort in NAMES if any(sort in picture.sorts for picture in shown)],
        joints=sorted({joint for picture in shown for joint in picture.joints}),
        shapes=list(dict.fromkeys(shape for row in numbers["speed"] for shape in row["rates"])),
        mark=outputs.mark(KIND),
        script=_inside(script, "script"),
        style=_inside(style, "style"),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _inside(text: str, element: str) -> Any:
    """A file of ours as an element's content, which nothing escapes."""
    from markupsafe import Markup  # noqa: PLC0415

    assert f"</{element}" not in text, f"{element} would end early"
    return Markup(text)


def _figure(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def _percent(part: float | None, whole: float = 1) -> str:
    return "–" if part is None or not whole else f"{100 * part / whole:.1f} %"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
