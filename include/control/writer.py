"""Allow one writer per subject by fencing tokens. The newest writer wins; an older one can't commit.

Every writer checks its fence at the start of each transaction, and again just before the commit, with the row locked.

A writer that was suspended may still have an open transaction, whose locks would stop the next writer. So the next writer ends its session.
It finds the session by the `application_name` that every transaction of a writer has. It does not use the session's process id: a connection
pool gives the same session to other programs once the transaction has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from include.database import at_begin
from include.errors import WriterSuperseded

_END = sa.text("""
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where application_name = any(:names) and pid <> pg_backend_pid() and usename = current_user
""")

_FIND = sa.text("select distinct fence from control.writer where subject = any(:subjects)")

# An earlier version of Tributary ends the session that `backend_pid` and `backend_start` name. So they stay null.
_TAKE = sa.text("""
insert into control.writer as w (subject, fence) values (:subject, :fence)
on conflict (subject) do update
set fence = excluded.fence, backend_pid = null, backend_start = null, taken_at = clock_timestamp()
returning old.fence
""")

_LOCK_FENCE = sa.text("select fence from control.writer where subject = :subject for update")

_BEGIN = """
select set_config('application_name', %s, %s),
       (select count(*) from control.writer where subject = any(%s) and fence = %s)
"""


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write to a subject. It is valid until another writer takes over with another number."""

    subject: str
    number: int

    def check(self, connection: sa.Connection) -> None:
        """Check that no other writer has taken over, and lock the fence so that none can until the transaction ends.

        Raises:
            WriterSuperseded: Another writer has taken over.
        """
        if connection.scalar(_LOCK_FENCE, {"subject": self.subject}) != self.number:
            raise WriterSuperseded("A newer writer took over; nothing was changed", subject=self.subject)


def take(connection: sa.Connection, subject: str) -> Fence:
    """Take over one subject and return its fence; see `take_all`."""
    return take_all(connection, [subject])[0]


def take_all(connection: sa.Connection, subjects: Sequence[str]) -> list[Fence]:
    """Take over subjects, end the open transactions of their previous writers, and commit; return one fence per subject.

    All subjects are taken in one transaction. Otherwise two writers could each take some of the same subjects, and both would be
    refused. From then on, a transaction of this connection raises `WriterSuperseded` when it begins if another writer has taken over.

    Args:
        connection: The connection that will write; not in a transaction.
        subjects: What to write to, such as `load:<vendor>:<table>:<business date>`. Every caller must use the same order, to avoid
            deadlocks.
    """
    connection.execution_options(fences=())
    _end(connection, connection.scalars(_FIND, {"subjects": list(subjects)}).all())
    number = int(connection.scalar(sa.text("select nextval('control.fence')")) or 0)
    previous = [connection.scalar(_TAKE, {"subject": subject, "fence": number}) for subject in subjects]
    connection.commit()
    _end(connection, [each for each in previous if each is not None])
    fences = [Fence(subject, number) for subject in subjects]
    connection.execution_options(fences=tuple(fences))
    if not sa.event.contains(connection, "begin", _begin):
        sa.event.listen(connection, "begin", _begin)
    return fences


def _end(connection: sa.Connection, numbers: Sequence[Any]) -> None:
    connection.execute(_END, {"names": [_name(number) for number in numbers]})
    connection.commit()


def _name(number: int) -> str:
    return f"tributary writer {number}"


def _begin(connection: sa.Connection) -> None:
    """Name the transaction after its writer, and refuse it if another writer has taken over.

    A session that belongs to one connection keeps the name between its transactions (`include.database.own_session`).
    """
    options = connection.get_execution_options()
    fences: tuple[Fence, ...] = options["fences"]
    if not fences:
        return
    number, subjects = fences[0].number, [fence.subject for fence in fences]
    is_local = not options.get("has_own_session", False)
    _, valid = at_begin.query(connection, _BEGIN, [_name(number), is_local, subjects, number])
    if valid != len(fences):
        at_begin.give_up(connection)
        raise WriterSuperseded("A newer writer took over; nothing was changed", subject=subjects[0])
