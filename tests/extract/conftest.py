"""A database that the tests of a module share: their runs have names of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from include.warehouse import schema
from tests.conftest import Database


@pytest.fixture(scope="module")
def engine(shared_database: Database) -> Iterator[sa.Engine]:
    opened = schema.engine(shared_database.url())
    yield opened
    opened.dispose()
