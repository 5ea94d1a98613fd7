"""The schema's reference page equals the one generated from a migrated database."""

from __future__ import annotations

from pathlib import Path

from include.warehouse import schema
from local.schema_page import render
from tests.conftest import Database

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "schema.md"


def test_page_equals_the_migrated_schema(database: Database) -> None:
    engine = schema.engine(database.url("tributary_read"))
    generated = render(engine)
    engine.dispose()
    assert PAGE.read_text() == generated, "python -m local.schema_page > docs/reference/schema.md"
