"""Chains of programs are slow, all but these."""

from __future__ import annotations

from pathlib import Path

import pytest

QUICK = ("test_docs", "test_golden", "test_package")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.stem not in QUICK:
            item.add_marker(pytest.mark.slow)
