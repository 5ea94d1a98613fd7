"""Database access of a sync: a session of its own, a lock against concurrent syncs, and translation of database errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
import sqlalchemy as sa

from include.control.writer import Fence
from include.database import own_session, statistics
from include.errors import SyncUnderWay, TargetUnavailable

_SMALL_SYNC_S = 30
# An advisory lock number of our own. A full sync takes the lock in shared mode. A small sync takes it exclusively, so it starts only if
# no other sync runs.
_LOCK_SHARED = sa.text("select pg_advisory_lock_shared(7421, 1)")
_TRY_ALONE = sa.text("select pg_try_advisory_lock(7421, 1)")


@contextmanager
def open_connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection for one transaction with temporary tables, which ends at the end of the block without a commit.

    Update the planner's statistics first.
    """
    statistics.refresh(engine)
    with engine.connect() as db:
        try:
            yield db
        finally:
            db.invalidate()


@contextmanager
def open_session(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection for several transactions with the same temporary tables. Close it at the end, so that they are dropped.

    Update the planner's statistics first.

    Raises:
        ConfigurationError: A connection pool runs the transactions of a connection in different sessions.
    """
    with open_connection(engine) as db:
        own_session.require(db)
        yield db


def take_turn(db: sa.Connection, *, is_whole: bool) -> None:
    """Begin a sync, and keep a small sync (of few objects) from running at the same time as another sync.

    - A small sync does not start while another sync runs.
    - A full sync waits up to 30 seconds for a small sync, then starts anyway.
    - A full sync does not wait for another full sync, which may have been killed. The newer sync takes over its fences
      (`include.control.writer`).

    Fences alone are not enough: the newer sync always takes over, so a small sync would stop a full one.

    Args:
        db: The sync's connection, from `open_session`. The turn ends with its session, which a sync that takes over also ends.
        is_whole: Whether this is a full sync; false for a small one.

    Raises:
        SyncUnderWay: This is a small sync, and another sync is running.
    """
    if is_whole:
        with suppress(sa.exc.OperationalError, TargetUnavailable), db.begin():  # take over from a sync that hangs
            db.execute(sa.text(f"set local lock_timeout = '{_SMALL_SYNC_S}s'"))
            db.execute(_LOCK_SHARED)
        return
    with db.begin():
        if not db.scalar(_TRY_ALONE):
            raise SyncUnderWay("Another sync is under way; try again when it has ended")


@contextmanager
def translate_errors(db: sa.Connection, fences: Sequence[Fence]) -> Iterator[None]:
    """Translate errors of the database that the block raises.

    Args:
        db: The sync's connection.
        fences: The sync's fences. A newer writer ends this session, so they are checked to find the cause of an error.

    Raises:
        WriterSuperseded: A newer writer took over.
        TargetUnavailable: The database is unavailable or busy.
    """
    try:
        yield
    except (TargetUnavailable, psycopg.OperationalError) as error:
        with db.engine.connect() as other, other.begin():
            for fence in fences:
                fence.check(other)
        if isinstance(error, TargetUnavailable):
            raise
        raise TargetUnavailable("The database is unavailable or busy; try again", cause=type(error).__name__) from error
