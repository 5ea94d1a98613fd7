"""Who may write: one writer per subject, by fencing token. The newest wins, and an older one changes nothing.

A writer that was stopped and wakes again may still hold an open transaction. So whoever takes over ends the session of
the one before, and every writer looks at its fence once more, with the row locked, just before it commits.
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

# The number of who takes over is drawn under the row's lock: so that who comes later has the higher one.
_TAKE = sa.text("""
insert into control.writer as w (subject, fence, backend_pid, backend_start)
select :subject, nextval('control.fence'), pid, backend_start from pg_stat_activity where pid = pg_backend_pid()
on conflict (subject) do update
set fence = nextval('control.fence'), backend_pid = excluded.backend_pid, backend_start = excluded.backend_start,
    taken_at = clock_timestamp()
returning fence, old.backend_pid, old.backend_start
""")

_HELD = sa.text("select fence from control.writer where subject = :subject for update")


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write to a subject, until somebody takes a higher one."""

    subject: str
    number: int

    def check(self, connection: sa.Connection) -> None:
        """Makes sure, up to the end of the transaction, that nobody has taken over.

        Raises:
            WriterSuperseded: Somebody has.
        """
        if connection.scalar(_HELD, {"subject": self.subject}) != self.number:
            raise WriterSuperseded("A newer writer took over; nothing was changed", subject=self.subject)


def take(connection: sa.Connection, subject: str) -> Fence:
    """Takes over one subject; see `take_all`."""
    return take_all(connection, [subject])[0]


def take_all(connection: sa.Connection, subjects: Sequence[str]) -> list[Fence]:
    """Takes over subjects, all at once, and ends the sessions of the writers before; commits.

    Two writers that want the same subjects can't each get one of them: both would be refused then. So all are taken in
    one transaction, and whoever was the writer before it is ended after it.

    Args:
        connection: The one that will write; outside a transaction.
        subjects: What only one writer may change, such as `load:<vendor>:<table>:<business date>`; in the same order everywhere.
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
