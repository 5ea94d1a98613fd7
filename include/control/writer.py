"""Allow one writer per subject by fencing tokens. The newest writer wins; an older one can't commit.

A writer that was suspended and resumes may still have an open transaction. So a new writer ends the session of the previous
writer. And every writer checks its fence again, with the row locked, just before it commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from include.errors import WriterSuperseded

_END = sa.text("""
select pg_terminate_backend(a.pid, 5000)
from control.writer w
join pg_stat_activity a on a.pid = w.backend_pid and a.backend_start = w.backend_start
where w.subject = :subject and a.pid <> pg_backend_pid() and a.usename = current_user
""")

_END_SESSION = sa.text("""
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where pid = :pid and backend_start = :start and pid <> pg_backend_pid() and usename = current_user
""")

# The fence number is drawn under the row's lock, so that a later writer always has a higher number.
_TAKE = sa.text("""
insert into control.writer as w (subject, fence, backend_pid, backend_start)
select :subject, nextval('control.fence'), pid, backend_start from pg_stat_activity where pid = pg_backend_pid()
on conflict (subject) do update
set fence = nextval('control.fence'), backend_pid = excluded.backend_pid, backend_start = excluded.backend_start,
    taken_at = clock_timestamp()
returning fence, old.backend_pid, old.backend_start
""")

_LOCK_FENCE = sa.text("select fence from control.writer where subject = :subject for update")


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write to a subject. It is valid until another writer takes over and gets a higher number."""

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
    """Take over subjects, end the database sessions of their previous writers, and commit; return one fence per subject.

    All subjects are taken in one transaction. Otherwise two writers could each take some of the same subjects, and both would be
    refused.

    Args:
        connection: The connection that will write; not in a transaction.
        subjects: What to write to, such as `load:<vendor>:<table>:<business date>`. Every caller must use the same order, to avoid
            deadlocks.
    """
    for subject in subjects:
        connection.execute(_END, {"subject": subject})
    connection.commit()
    taken = [(subject, connection.execute(_TAKE, {"subject": subject}).one()) for subject in subjects]
    connection.commit()
    for _, (_, pid, start) in taken:
        if pid is not None:
            connection.execute(_END_SESSION, {"pid": pid, "start": start})
    connection.commit()
    return [Fence(subject, int(row[0])) for subject, row in taken]
