"""A vendor's day in a database that the tests of a module share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.contract import Vendor
from include.warehouse import schema
from tests.conftest import Database
from tests.extract.vendor_server import Answer
from tests.vendors.golden_day import Day, Responses, run_day

Run = Callable[..., Day]


@pytest.fixture(scope="module")
def engine(shared_database: Database) -> Iterator[sa.Engine]:
    opened = schema.engine(shared_database.url())
    yield opened
    opened.dispose()


@pytest.fixture
def run(engine: sa.Engine, tmp_path: Path) -> Run:
    """Runs days of a vendor or of some of its tables, each in a folder of its own."""
    folders = itertools.count()

    def start(vendor: Vendor, responses: Responses | Answer, *tables: str, **options: Any) -> Day:
        return run_day(engine, tmp_path / str(next(folders)), vendor, responses, *tables, **options)

    return start
