"""The page: one file, nothing from elsewhere, every name as text; and in a browser."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
import shutil
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from higherhrnet.dataset import coco, joints
from higherhrnet.errors import UserError
from higherhrnet.report import writer
from higherhrnet.report.analysis import numbers
from higherhrnet.report.analysis.numbers import Amount
from higherhrnet.report.page import page
from higherhrnet.report.writer import ReportJob
from tests.support import crowd, reports
from tests.support.reports import HOSTILE, Files

pytestmark = pytest.mark.slow

KINDS = ("jitter", "inversion", "swap", "miss")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Not to be changed. The folder's name is longer than a phone is wide, and nothing in it lets a line break."""
    return reports.write(tmp_path_factory.mktemp("page_of_results_" * 5))


@pytest.fixture(scope="module")
def made(files: Files) -> Path:
    """A page with everything but speed."""
    path = files.root / "report.html"
    location = coco.Location(str(files.root), "val2017")
    job = ReportJob(location, files.results, path, against=files.against, amount=Amount(draws=50, pictures=4))
    writer.run(job)
    return path


class Parsed(HTMLParser):
    """Tags with their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_takes_nothing_from_elsewhere(made: Path) -> None:
    found = Parsed(made.read_text())
    links = [
        value or "" for _, attrs in found.tags for name, value in attrs.items() if name in ("src", "href", "xlink:href")
    ]
    assert links
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in links)
    style = " ".join(found.texts)
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", made.read_text())
    (policy,) = [attrs["content"] for tag, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    (script,) = re.findall(r"<script>(.*?)</script>", made.read_text(), re.DOTALL)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


def test_ids_are_unique_and_references_lead_to_them(made: Path) -> None:
    found = Parsed(made.read_text())
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids)) > 50
    named = [(name, value or "") for _, attrs in found.tags for name, value in attrs.items()]
    used = {value[1:] for name, value in named if "href" in name and value[:1] == "#"}
    used |= {value for name, value in named if name == "aria-labelledby"}
    used |= set(re.findall(r"url\(#([^)]+)\)", made.read_text()))
    assert used <= set(ids)


def test_axes_of_shares_end_at_1(made: Path) -> None:
    """They are longer, for the values beside full bars."""
    charts = re.findall(r'<svg class="chart".*?</svg>', made.read_text(), re.DOTALL)
    assert len(charts) == 14
    for chart in charts:
        ticks = re.findall(r">([01]\.\d)</text>", chart)
        assert not [tick for tick in ticks if float(tick) > 1], chart[:200]


def test_names_in_data_are_text(made: Path) -> None:
    found = Parsed(made.read_text())
    assert HOSTILE in found.texts
    assert not [tag for tag, attrs in found.tags if tag == "img" or "onerror" in attrs]
    assert HOSTILE not in made.read_text()


def test_names_of_joints_are_text_in_tables_filters_charts_and_pictures() -> None:
    """A data set of its own may call its joints anything."""
    hostile = "left_<b onclick=x>$\\frac"
    names = (
        joints.COCO.names[0],
        'nose & "eye"',
        "右眼",
        *joints.COCO.names[3:9],
        hostile,
        *joints.COCO.names[10:],
    )
    content = crowd.drawn(6, seed=8)
    study = crowd.study(content, crowd.exact(content, np.random.default_rng(1), noise=1.0))
    flip = joints.COCO
    said = numbers.compute(study, Amount(draws=5))
    said["names"] = list(names)
    for row, name in zip(said["joints"], names, strict=True):
        row["name"] = name
    subject: dict[str, Any] = dict.fromkeys(("results", "annotations", "over", "rates", "version"), "x")
    subject |= {"against": None, "notes": []}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of glyphs that matplotlib's own fonts lack
        text = page.render({**said, "subject": subject, "speed": []}, {})
    assert flip.names[0] in text
    found = Parsed(text)
    assert not [tag for tag, attrs in found.tags if tag == "b" and attrs]
    assert found.texts.count(hostile) >= 4  # both charts, the table, the filter
    assert hostile not in text
    assert found.texts.count("右眼") >= 3


def test_a_page_needs_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else there(name))
    with pytest.raises(UserError, match="a report needs Jinja2, not installed; pip install"):
        page.require()


# In a browser: Chromium and its driver from the distribution's packages.

SIZES = (1280, 390)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that records what its console says."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and chromedriver on PATH: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (requirements/dev.txt)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    # In a container Chromium has neither user namespaces nor a large /dev/shm.
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()


def opened(browser: Any, path: Path, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(path.as_uri())


# Boxes of what stands beside each other must not meet: of the children of every container, of texts in each chart.
OVERLAPS = """
const found = [];
const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
const look = (elements, where) => {
  const boxes = elements.map(e => [e, e.getBoundingClientRect()]).filter(([, b]) => b.width && b.height);
  for (let i = 0; i < boxes.length; i++)
    for (let j = i + 1; j < boxes.length; j++)
      if (meet(boxes[i][1], boxes[j][1]))
        found.push([where, boxes[i][0].textContent.slice(0, 40), boxes[j][0].textContent.slice(0, 40)].join(" / "));
};
const containers = "body, main, header, section, nav ul, .tiles, .beside, .beside > div, .filters, .pictures, .picture,"
  + " .panels, .panel, figcaption, .chips, .key, tr";
const beside = c => getComputedStyle(c).position !== "absolute" && c.tagName !== "SCRIPT";
for (const e of document.querySelectorAll(containers))
  look([...e.children].filter(beside), e.tagName + "." + e.className);
const named = t => t.textContent !== "0.0";  // both axes have it at their corner
for (const e of document.querySelectorAll("svg.chart"))
  look([...e.querySelectorAll("text")].filter(named), "chart " + e.getAttribute("aria-labelledby"));
return found;
"""

DRAWN = """
return [...document.querySelectorAll("svg.chart")].map(e => {
  const box = e.getBoundingClientRect();
  const of = name => [...e.querySelectorAll(name)].map(p => [p, p.getBoundingClientRect()]);
  const marks = of("path, use").filter(([, b]) => b.width + b.height > 2);
  const out = of("text").filter(([, b]) => b.left < box.left - 2 || b.right > box.right + 2).map(([t]) => t);
  return [e.getAttribute("aria-labelledby"), box.width, box.height, marks.length, out.map(t => t.textContent)];
});
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", SIZES)
def test_the_page_opens_without_errors_and_nothing_overlaps(browser: Any, made: Path, width: int) -> None:
    opened(browser, made, width)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(OVERLAPS) == []
    charts = browser.execute_script(DRAWN)
    assert len(charts) == 14  # curves, mending twice, joints twice, seven groups, scores, differences
    for name, wide, high, marks, outside in charts:
        assert wide > 250, name
        assert high > 60, name
        assert marks > 5, name
        assert outside == [], name
    pictures = browser.execute_script("return [...document.images, ...document.querySelectorAll('image')].length")
    assert pictures > 5


@pytest.mark.slow
def test_filters_show_what_they_name(browser: Any, made: Path) -> None:
    from selenium.webdriver.common.by import By  # noqa: PLC0415
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415
    from selenium.webdriver.support.ui import Select  # noqa: PLC0415

    opened(browser, made, 1280)
    all_of_them = browser.find_elements(By.CSS_SELECTOR, ".picture")

    def shown() -> list[Any]:
        return [picture for picture in all_of_them if picture.is_displayed()]

    assert len(shown()) == len(all_of_them) > 5
    kind, joint = (Select(browser.find_element(By.ID, name)) for name in ("sort", "joint"))
    for value in [option.get_attribute("value") for option in kind.options][1:]:
        assert value is not None
        kind.select_by_value(value)
        expected = [p for p in all_of_them if value in p.get_attribute("data-sorts").split()]
        assert shown() == expected != []
        assert browser.find_element(By.ID, "shown").text == f"{len(expected)} of {len(all_of_them)} pictures"
    kind.select_by_value("swap")
    joint.select_by_index(1)
    number = joint.first_selected_option.get_attribute("value")
    both = [p for p in shown() if number in p.get_attribute("data-joints").split()]
    assert shown() == both
    # By keyboard alone: back to the kinds, and to the first of them, which is all.
    browser.find_element(By.ID, "all").send_keys(Keys.ENTER)
    assert len(shown()) == len(all_of_them)
    browser.find_element(By.ID, "sort").send_keys(Keys.ARROW_DOWN)
    assert kind.first_selected_option.get_attribute("value") != ""
    assert len(shown()) < len(all_of_them) or all(
        kind.first_selected_option.get_attribute("value") in p.get_attribute("data-sorts").split() for p in all_of_them
    )


@pytest.mark.slow
def test_dark_and_paper(browser: Any, made: Path) -> None:
    """The page's colors follow the reader's, those of charts too; paper is white."""
    seen = {}
    for name, features, media in (
        ("light", "light", ""),
        ("dark", "dark", ""),
        ("paper", "dark", "print"),
    ):
        scheme = [{"name": "prefers-color-scheme", "value": features}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme, "media": media})
        opened(browser, made, 1280)
        seen[name] = browser.execute_script(
            "const text = document.querySelector('svg.chart text');"
            "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill,"
            " getComputedStyle(document.querySelector('.filters')).display];"
        )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [], "media": ""})
    assert seen["light"][:2] == ["rgb(255, 255, 255)", "rgb(26, 29, 33)"]
    assert seen["dark"][:2] == ["rgb(20, 23, 27)", "rgb(232, 234, 237)"]
    assert seen["paper"] == ["rgb(255, 255, 255)", "rgb(0, 0, 0)", "none"]
