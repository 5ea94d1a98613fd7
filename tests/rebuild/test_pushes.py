"""A rebuild does not bring withdrawn pushes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from include.connection import Connection
from include.pipeline.run import Site
from include.rebuild.carried import carry
from include.rebuild.history import Step, read_ledger, read_staging
from include.rebuild.steps import Progress, rebuild
from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import Database, new_database
from tests.firm_keys import KEYRING
from tests.pipeline.test_pushes import CLIENTS, Pushes, households

WRONG = [{"id": 903}, CLIENTS[0] | {"name": "Wrong Sample"}, CLIENTS[1]]


@pytest.fixture
def original(database: Database, tmp_path: Path) -> Iterator[Pushes]:
    """A firm with a push that was loaded, and a wrong one that was withdrawn."""
    pushes = Pushes(database, tmp_path)
    pushes.push(CLIENTS[:1])
    pushes.drain()
    wrong = pushes.push(WRONG)
    pushes.drain()
    pushes.withdraw(wrong)
    pushes.drain()
    yield pushes
    pushes.engine.dispose()


@pytest.fixture
def rebuilt(postgres: Postgres, original: Pushes, tmp_path: Path) -> Iterator[Pushes]:
    """An empty database beside the same staging folder."""
    with new_database(postgres) as database:
        pushes = Pushes(database, tmp_path)
        yield pushes
        pushes.engine.dispose()


def repeat(rebuilt: Pushes, steps: Sequence[Step], *, is_exact: bool) -> Progress:
    """Repeat the steps; return the progress at the end."""
    engine = schema.engine(rebuilt.database.url("tributary_migrate"))
    site = Site(engine, rebuilt.site.staging, KEYRING)
    *_, progress = rebuild(site, steps, lambda _: Connection(""), is_exact=is_exact)
    engine.dispose()
    return progress


DEAD_LETTERS = "select partition, status, discard_reason, discarded_by from control.dead_letter order by 1"
VERSIONS = (
    "select household_key, name, recorded_to is null as is_current from warehouse.household order by recorded_from, 1"
)
WITHDRAWALS = (
    "select pull_id, run_id, entity, inserted, withdrawn from control.ledger where pull_id like 'withdrawal-%'"
)


def test_a_rebuild_by_the_ledger_withdraws_the_push_again(original: Pushes, rebuilt: Pushes) -> None:
    carry(original.database.url("tributary_migrate"), rebuilt.database.url("tributary_migrate"))
    steps = read_ledger(original.engine)

    assert repeat(rebuilt, steps, is_exact=True).problems == []

    assert households(rebuilt) == households(original) == [("901", "Pushed Sample")]
    for query in (DEAD_LETTERS, VERSIONS, WITHDRAWALS):
        assert rebuilt.database.rows(query) == original.database.rows(query)


def test_a_rebuild_that_was_done_does_not_repeat_the_withdrawal(original: Pushes, rebuilt: Pushes) -> None:
    steps = read_ledger(original.engine)
    repeat(rebuilt, steps, is_exact=True)
    versions = rebuilt.database.rows(VERSIONS)
    assert repeat(rebuilt, steps, is_exact=True).problems == []
    assert rebuilt.database.rows(VERSIONS) == versions


def test_a_rebuild_without_a_ledger_reports_each_push_as_possibly_withdrawn(rebuilt: Pushes) -> None:
    staging = rebuilt.site.staging
    problems = repeat(rebuilt, read_staging(staging), is_exact=False).problems
    assert sorted(problems) == sorted(f"may have been withdrawn: {path}" for path in staging.list_partitions())
    assert len(problems) == 2
