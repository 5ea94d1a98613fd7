"""Detect that the org was restored from a backup that lacks changes which Salesforce had accepted.

After a sync, the most recently accepted records of each object (`MARKS` of them) are stored as marks, with the time of their last change
in Salesforce. An edit moves that time forward. So if a mark now has an earlier time, the org was restored. If most marks of an object are
missing, the org may have been restored, or users have deleted the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlencode

import sqlalchemy as sa

from include.crm.salesforce import SalesforceSession
from include.errors import ConfigurationError

MARKS = 20
"""Number of marks per object."""

_NEWEST = sa.text("""
select salesforce_id from control.crm_state where sobject = :sobject and missing is null
order by accepted_at desc limit :most
""")
# Without the records that users are known to have deleted.
_READ = sa.text("""
select sobject, array_agg(salesforce_id) as ids from control.crm_mark m
where not exists (select from control.crm_state s where (s.sobject, s.salesforce_id) = (m.sobject, m.salesforce_id) and s.missing is not null)
group by 1 order by 1
""")
_FORGET = sa.text("delete from control.crm_mark where sobject = :sobject")
_STORE = sa.text("insert into control.crm_mark values (:sobject, :id, cast(:modified_at as timestamptz))")
_IS_OLDER = sa.text("""
select exists (select from control.crm_mark m
               join unnest(cast(:ids as text[]), cast(:stamps as timestamptz[])) n(id, stamp) on n.id = m.salesforce_id
               where m.sobject = :sobject and n.stamp < m.modified_at)
""")

State = Literal["same", "older", "absent"]


def store(db: sa.Connection, session: SalesforceSession, sobjects: Iterable[str]) -> None:
    """Replace the marks of the objects that a sync has written."""
    for sobject in sobjects:
        with db.begin():
            ids = list(db.scalars(_NEWEST, {"sobject": sobject, "most": MARKS}))
        rows = [{"sobject": sobject, "id": id_, "modified_at": at} for id_, at in _query(session, sobject, ids).items()]
        with db.begin():
            db.execute(_FORGET, {"sobject": sobject})
            if rows:
                db.execute(_STORE, rows)


def compare(db: sa.Connection, session: SalesforceSession) -> State:
    """Query the marks in Salesforce, one query per object, and return whether the org seems to be restored.

    Returns:
        `older` if a mark now has an earlier time than stored; `absent` if more than half of an object's marks are missing; otherwise
        `same`.
    """
    with db.begin():
        marks = db.execute(_READ).all()
    is_absent = False
    for sobject, ids in marks:
        stamps = _query(session, sobject, ids)
        with db.begin():
            values = {"sobject": sobject, "ids": list(stamps), "stamps": list(stamps.values())}
            if db.scalar(_IS_OLDER, values):
                return "older"
        is_absent = is_absent or len(stamps) * 2 < len(ids)
    return "absent" if is_absent else "same"


def _query(session: SalesforceSession, sobject: str, ids: list[str]) -> dict[str, str]:
    """Return the time of each record's last change in Salesforce, by record id; deleted records are left out."""
    if not ids:
        return {}
    listed = ", ".join(f"'{id_}'" for id_ in ids)  # Salesforce's own ids: letters and digits
    query = f"SELECT Id, SystemModstamp FROM {sobject} WHERE Id IN ({listed})"  # noqa: S608
    answer = session.call("GET", f"/query?{urlencode({'q': query})}")
    if not answer.is_ok:
        raise ConfigurationError("Salesforce rejected a query", sobject=sobject, status=answer.status, code=answer.code)
    return {record["Id"]: record["SystemModstamp"] for record in answer.body["records"]}
