"""Require a database session of its own for a connection: temporary tables and session locks outlive its transactions.

A pool in transaction mode (PgBouncer: `pool_mode = transaction`) runs each transaction of a connection in any of its sessions. There
temporary tables would be missing, or another connection's, and a session lock would exclude no other program.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from include.database import at_begin
from include.errors import ConfigurationError

_MARK = sa.text("select set_config('tributary.session', :marker, false)")
_READ = "select current_setting('tributary.session', true)"
_TRIES = 5


def require(db: sa.Connection) -> None:
    """Check that a connection has a session of its own. From then on, each of its transactions checks this again when it begins.

    The session gets a random marker. The session is shared if another connection finds the marker, or if this connection no longer finds
    it. The first check occupies a second connection, so that a pool must use another session for one of the two.

    Args:
        db: The connection, not in a transaction. At its end, the caller must close it (`invalidate`) and not return it to the engine's
            pool.

    Raises:
        ConfigurationError: A pool shares the session.
    """
    marker = secrets.token_hex(8)
    with db.begin():
        db.execute(_MARK, {"marker": marker})
    db.execution_options(has_own_session=True, session_marker=marker)
    sa.event.listen(db, "begin", _check)
    for _ in range(_TRIES):
        with db.engine.connect() as other, other.begin():
            if other.scalar(sa.text(_READ)) == marker:
                raise _refuse()
            with db.begin():
                pass


def _check(db: sa.Connection) -> None:
    [marker] = at_begin.query(db, _READ)
    if marker != db.get_execution_options()["session_marker"]:
        at_begin.give_up(db)
        raise _refuse()


def _refuse() -> ConfigurationError:
    return ConfigurationError(
        "The Salesforce sync needs a database session of its own, and the connection pool is in transaction mode. Set `pool_mode = session`"
        " for its database or user, or give the connection `tributary_db_session` the address of PostgreSQL itself"
    )
