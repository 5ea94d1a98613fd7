"""A database that the tests of a module share; each test names its own run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.warehouse import schema
from tests.conftest import Database
from tests.extract.fan_out_firm import VENDOR, Serve
from tests.extract.vendor_server import Answer, Listener, Puller, listen


@pytest.fixture(scope="module")
def engine(shared_database: Database) -> Iterator[sa.Engine]:
    opened = schema.engine(shared_database.url())
    yield opened
    opened.dispose()


@pytest.fixture
def serve(engine: sa.Engine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Serve]:
    with ExitStack() as running:

        def start(answer: Answer, **options: Any) -> tuple[Puller, Listener]:
            listener = running.enter_context(listen(answer))
            vendor = options.pop("vendor", VENDOR)
            return Puller(engine, vendor, listener.url, tmp_path, request.node.name, **options), listener

        yield start
