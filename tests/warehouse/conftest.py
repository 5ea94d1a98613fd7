"""A warehouse for a whole module of tests; each test is a vendor of its own in it."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest

from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import PASSWORDS, Database
from tests.warehouse.loading import Loader


@pytest.fixture(scope="module")
def warehouse(shared_database: Database) -> Database:
    return shared_database


@pytest.fixture(scope="module")
def new_loader(warehouse: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Loader]]:
    """Gives loaders, each of a vendor that nothing was loaded of."""
    folder, numbers, made = tmp_path_factory.mktemp("staging"), itertools.count(1), list[Loader]()

    def make() -> Loader:
        for earlier in made:
            earlier.engine.dispose()  # a property makes many; the server has connections for a hundred
        loader = Loader(warehouse, folder, f"vendor{next(numbers)}")
        made.append(loader)
        return loader

    yield make
    for loader in made:
        loader.engine.dispose()


@pytest.fixture
def loader(new_loader: Callable[[], Loader]) -> Loader:
    return new_loader()


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Database]:
    """A database with nothing in it but its roles' rights."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    database = Database(postgres.url(name))
    schema.create_roles(database.admin_url, PASSWORDS)
    yield database
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")  # type: ignore[call-overload]
