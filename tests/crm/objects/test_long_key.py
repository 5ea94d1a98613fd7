"""Keys that are too long for Salesforce: SQL and Python shorten them in the same way."""

from __future__ import annotations

import pytest

from include.crm.objects.long_key import shorten, shorten_sql
from tests.conftest import Database


@pytest.mark.parametrize("key", ["a", "k" * 64, "k" * 65, "\u00e4" * 40, "\u00e4" * 65])
def test_a_key_is_shortened_alike_in_sql_and_in_python(shared_database: Database, key: str) -> None:
    assert shared_database.value(f"select {shorten_sql('cast(:key as text)')}", key=key) == shorten(key)
    assert (shorten(key) == key) == (len(key) <= 64)
