"""The page of retention periods equals the one generated from the declaration."""

from __future__ import annotations

from pathlib import Path

from local.retention_page import render

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "retention.md"


def test_page_equals_the_declaration() -> None:
    assert PAGE.read_text() == render(), "python -m local.retention_page > docs/reference/retention.md"
