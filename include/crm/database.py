"""The database as one sync needs it: a connection of its own, a turn among syncs, and errors translated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
import sqlalchemy as sa

from include.control.writer import Fence
from include.database import statistics
from include.errors import SyncUnderWay, TargetUnavailable

_SMALL_SYNC_S = 30
# A number of our own. Whole syncs share the lock; a small one has it alone, and so begins only where there is no other.
_LOCK_SHARED = sa.text("select pg_advisory_lock_shared(7421, 1)")
_TRY_ALONE = sa.text("select pg_try_advisory_lock(7421, 1)")


@contextmanager
def open_connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a connection that the pool does not get back: its temporary tables end with it."""
    statistics.refresh(engine)
    with engine.connect() as db:
        try:
            yield db
        finally:
            db.invalidate()


@contextmanager
def take_turn(engine: sa.Engine, *, is_whole: bool) -> Iterator[None]:
    """Keep a sync of few objects and a whole one from writing the same object; the fences would let the newer one win.

    A sync of few objects does not begin beside another sync. A whole one waits a while for one of few, which is soon over, and for
    no other whole one: that may be stopped, and is then taken over from.

    Raises:
        SyncUnderWay: Another sync is under way.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        try:
            if is_whole:
                db.execute(sa.text(f"set lock_timeout = '{_SMALL_SYNC_S}s'"))
                with suppress(sa.exc.OperationalError, TargetUnavailable):  # one that hangs is taken over from
                    db.execute(_LOCK_SHARED)
            elif not db.scalar(_TRY_ALONE):
                raise SyncUnderWay("Another sync is under way")
            yield
        finally:
            db.invalidate()  # the lock ends with the session


@contextmanager
def translate_errors(db: sa.Connection, fences: Sequence[Fence]) -> Iterator[None]:
    """Translate the database's errors.

    Raises:
        WriterSuperseded: A newer writer took over.
        TargetUnavailable: The database went away or was busy.
    """
    try:
        yield
    except (TargetUnavailable, psycopg.OperationalError) as error:
        with db.engine.connect() as other, other.begin():
            for fence in fences:
                fence.check(other)
        if isinstance(error, TargetUnavailable):
            raise
        raise TargetUnavailable("The database went away or was busy", cause=type(error).__name__) from error
