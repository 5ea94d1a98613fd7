"""Through PgBouncer, a sync works in session mode and is refused in transaction mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from include.control import writer
from include.crm.database import open_session, take_turn
from include.crm.sync import readback
from include.errors import ConfigurationError, SyncUnderWay, TargetUnavailable
from include.warehouse import schema
from local.postgres import Postgres
from tests.crm.conftest import Crm
from tests.running_pgbouncer import needs_pgbouncer, pool, run_pgbouncer

pytestmark = needs_pgbouncer


@pytest.fixture
def through(postgres: Postgres, crm: Crm, request: pytest.FixtureRequest) -> Iterator[Crm]:
    """The loader's connection through a pool in the mode of the test."""
    with run_pgbouncer(postgres, request.param, size=10) as port:
        crm.engine.dispose()
        crm.engine = schema.engine(pool(crm.database, port).url())
        yield crm
        crm.engine.dispose()


session_mode = pytest.mark.parametrize("through", ["session"], indirect=True)
transaction_mode = pytest.mark.parametrize("through", ["transaction"], indirect=True)


@session_mode
def test_in_session_mode_a_sync_sends_everything_once(through: Crm) -> None:
    sent = through.sent()
    assert sent["position"] > 0
    assert through.sent() == {}
    assert len(through.records("Account", "household")) == sent["household"]


@session_mode
@pytest.mark.synced
def test_in_session_mode_a_read_back_finds_the_org_as_expected(through: Crm) -> None:
    counts = readback.read_back(through.org, "read-back")
    assert all(each.is_as_expected for each in counts.values())
    assert sum(each.read for each in counts.values()) > 0


@session_mode
def test_in_session_mode_a_small_sync_does_not_start_beside_a_full_one(through: Crm) -> None:
    with open_session(through.engine) as whole, open_session(through.engine) as small:
        take_turn(whole, is_whole=True)
        with pytest.raises(SyncUnderWay):
            take_turn(small, is_whole=False)
    with open_session(through.engine) as small:  # the session that held the lock was reset
        take_turn(small, is_whole=False)


@session_mode
def test_in_session_mode_a_sync_that_takes_over_ends_only_the_session_of_the_earlier_one(through: Crm) -> None:
    with open_session(through.engine) as earlier:
        take_turn(earlier, is_whole=True)
        writer.take(earlier, "crm:Account")
        with earlier.begin():
            pass
        with open_session(through.engine) as later:
            writer.take(later, "crm:Account")
            with later.begin():
                pass
            with pytest.raises(TargetUnavailable):
                earlier.execute(sa.text("select 1"))
        with through.engine.connect() as other, open_session(through.engine) as latest:
            other.execute(sa.text("select 1"))  # perhaps in the session of the later one, which was reset
            other.rollback()
            writer.take(latest, "crm:Account")
            other.execute(sa.text("select 1"))
    with open_session(through.engine) as small:  # the turn ended with the session
        take_turn(small, is_whole=False)


@transaction_mode
def test_in_transaction_mode_a_sync_is_refused_before_it_sends_anything(through: Crm) -> None:
    with pytest.raises(ConfigurationError, match=r"`pool_mode = session`.*`tributary_db_session`"):
        through.sync()
    assert through.records("Account") == {}
    assert through.database.rows("select from control.crm_job") == []


@transaction_mode
@pytest.mark.synced
def test_in_transaction_mode_a_read_back_is_refused(through: Crm) -> None:
    with pytest.raises(ConfigurationError, match="transaction mode"):
        readback.read_back(through.org, "read-back")
