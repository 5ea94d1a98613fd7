"""The database as the pages of Operations read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from include.warehouse import schema
from tests.conftest import Database


@pytest.fixture
def web(database: Database) -> Iterator[sa.Engine]:
    """The database as the role of the pages."""
    opened = schema.engine(database.url("tributary_web"))
    yield opened
    opened.dispose()


@pytest.fixture(scope="module")
def shared_web(shared_database: Database) -> Iterator[sa.Connection]:
    """A connection to the database that the module's tests share, as the role of the pages."""
    engine = schema.engine(shared_database.url("tributary_web"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()
