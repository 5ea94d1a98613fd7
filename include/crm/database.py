"""Database access of a sync: its own connection, a turn among syncs, and error translation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
import sqlalchemy as sa

from include.control.writer import Fence
from include.database import statistics
from include.errors import SyncUnderWay, TargetUnavailable

_SMALL_SYNC_S = 30
# An advisory lock number of our own. Full syncs share the lock; a small sync needs it alone, so it starts only if no other sync runs.
_LOCK_SHARED = sa.text("select pg_advisory_lock_shared(7421, 1)")
_TRY_ALONE = sa.text("select pg_try_advisory_lock(7421, 1)")


@contextmanager
def open_connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection that does not return to the pool, so that its temporary tables end with it."""
    statistics.refresh(engine)
    with engine.connect() as db:
        try:
            yield db
        finally:
            db.invalidate()


@contextmanager
def take_turn(engine: sa.Engine, *, is_whole: bool) -> Iterator[None]:
    """Keep a small sync and a full sync from writing the same object at once; the fences alone would let the newer one win.

    A small sync (of few objects) does not start beside another sync. A full sync waits up to 30 seconds for a small one. It does not
    wait for another full sync, which may have been killed: the fences let it take over.

    Raises:
        SyncUnderWay: Another sync is running.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        try:
            if is_whole:
                db.execute(sa.text(f"set lock_timeout = '{_SMALL_SYNC_S}s'"))
                with suppress(sa.exc.OperationalError, TargetUnavailable):  # take over from a sync that hangs
                    db.execute(_LOCK_SHARED)
            elif not db.scalar(_TRY_ALONE):
                raise SyncUnderWay("Another sync is under way; try again when it has ended")
            yield
        finally:
            db.invalidate()  # the lock ends with the session


@contextmanager
def translate_errors(db: sa.Connection, fences: Sequence[Fence]) -> Iterator[None]:
    """Translate the database's errors.

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
