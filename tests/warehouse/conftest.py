"""A warehouse that a module's tests share; each test is a vendor of its own."""

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
from tests.warehouse.planning_office import Office


@pytest.fixture(scope="module")
def warehouse(shared_database: Database) -> Database:
    return shared_database


@pytest.fixture(scope="module")
def new_loader(warehouse: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Loader]]:
    """Creates loaders, each of a new vendor."""
    folder, numbers, loaders = tmp_path_factory.mktemp("staging"), itertools.count(1), list[Loader]()

    def make() -> Loader:
        for earlier in loaders:
            earlier.engine.dispose()  # a property test creates many; the server has a hundred connections
        loader = Loader(warehouse, folder, f"vendor{next(numbers)}")
        loaders.append(loader)
        return loader

    yield make
    for loader in loaders:
        loader.engine.dispose()


@pytest.fixture
def office(new_loader: Callable[[], Loader]) -> Office:
    return Office(new_loader)


@pytest.fixture
def loader(new_loader: Callable[[], Loader]) -> Loader:
    return new_loader()


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Database]:
    """A database that holds only the roles' rights."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    database = Database(postgres.url(name))
    schema.create_roles(database.admin_url, PASSWORDS)
    yield database
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")  # type: ignore[call-overload]
