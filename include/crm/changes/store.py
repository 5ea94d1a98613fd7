"""Store changes in the warehouse and move their topic's cursor in one transaction, so that the two always match."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import sqlalchemy as sa

from include.control import inbox
from include.control.inbox import Delivery
from include.crm.changes.decoding import Change, Unreadable
from include.keys.inbox import ReceivingKey

CHANNEL = "tributary_changes"

# A change that arrives again has the same key and is not inserted again. Deals get surrogate ids, which findings refer to.
_INSERT = sa.text("""
insert into warehouse.crm_change
    (object, salesforce_id, change_type, fields, changed, nulled, committed_at, commit_number, transaction_key, sequence_number,
     commit_user, origin)
select object, salesforce_id, change_type, fields, changed, nulled, committed_at, commit_number, transaction_key, sequence_number,
       commit_user, origin
from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    object text, salesforce_id text, change_type text, fields jsonb, changed text[], nulled text[], committed_at timestamptz,
    commit_number bigint, transaction_key text, sequence_number int, commit_user text, origin text)
on conflict (transaction_key, sequence_number, object, salesforce_id) do nothing
returning object, salesforce_id
""")
_NUMBER_DEALS = sa.text("""
insert into warehouse.source_key (entity, vendor, source_key)
select distinct 'deal', 'salesforce', id from unnest(cast(:ids as text[])) as i(id) order by 3
on conflict do nothing
""")
# Only responses of the stream (with a replay id) prove that the subscription works, so only they clear the error.
_MOVE_CURSOR = sa.text("""
insert into control.crm_topic as t (topic, replay_id, received_at, checked_at) values (:topic, :replay_id, :received_at, clock_timestamp())
on conflict (topic) do update
set replay_id = coalesce(excluded.replay_id, t.replay_id), received_at = greatest(t.received_at, excluded.received_at),
    checked_at = case when excluded.replay_id is null then t.checked_at else excluded.checked_at end,
    trouble = case when excluded.replay_id is null then t.trouble end,
    trouble_since = case when excluded.replay_id is null then t.trouble_since end
""")
_CLEAR_CURSOR = sa.text("update control.crm_topic set replay_id = null where topic = :topic")
_RECORD_ERROR = sa.text("""
insert into control.crm_topic as t (topic, trouble, trouble_since) values (:topic, :trouble, clock_timestamp())
on conflict (topic) do update
set trouble = excluded.trouble, trouble_since = coalesce(t.trouble_since, excluded.trouble_since)
""")
_NOTIFY = sa.text("select pg_notify(:channel, :topic)")

OnEvent = Callable[[sa.Connection, Change], None]


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a topic was received.

    Attributes:
        replay_id: Where to resume. If it is None, missed changes must be read by query.
        received_at: Time of the newest change received, by Salesforce's clock; None if none was received.
    """

    replay_id: bytes | None = None
    received_at: datetime | None = None


def read_cursor(engine: sa.Engine, topic: str) -> Cursor:
    """Return a topic's cursor; an empty cursor if nothing was received from the topic yet."""
    with engine.connect() as db:
        row = db.execute(
            sa.text("select replay_id, received_at from control.crm_topic where topic = :topic"), {"topic": topic}
        ).first()
    return Cursor(row.replay_id and bytes(row.replay_id), row.received_at) if row else Cursor()


def store_changes(
    engine: sa.Engine,
    topic: str,
    changes: Sequence[Change],
    *,
    replay_id: bytes | None = None,
    received_at: datetime | None = None,
    on_event: OnEvent | None = None,
    unread: Sequence[Unreadable] = (),
    key: ReceivingKey,
) -> int:
    """Store changes and move the cursor past them; notify listeners if any change is new.

    Args:
        engine: The database, as the listening or the loading role.
        topic: The topic that sent the changes.
        changes: The changes; those that are already stored are skipped.
        replay_id: The new position of the cursor; None leaves the position unchanged.
        received_at: Time of the newest of these changes; None leaves the cursor's time unchanged.
        on_event: Called for each new platform event, in the transaction.
        unread: Platform events that can't be decoded. They are sealed and stored in the inbox, each with its error.
        key: Seals the unread events.

    Returns:
        The number of new changes.
    """
    with engine.begin() as db:
        new = (
            db.execute(_INSERT, {"rows": orjson.dumps([_row(each) for each in changes]).decode()}).all()
            if changes
            else []
        )
        known = {(row.object, row.salesforce_id) for row in new}
        if deals := [row.salesforce_id for row in new if row.object == "Opportunity"]:
            db.execute(_NUMBER_DEALS, {"ids": deals})
        for change in changes:
            if on_event is not None and change.kind == "EVENT" and (change.object, change.record_id) in known:
                on_event(db, change)
        for each in unread:
            content_hash = hashlib.sha256(each.event_id.encode() + each.payload).hexdigest()
            headers = {"schema_id": each.schema_id}
            inbox.refuse(db, Delivery(topic, each.payload, content_hash, each.event_id, headers), each.reason, key)
        db.execute(_MOVE_CURSOR, {"topic": topic, "replay_id": replay_id, "received_at": received_at})
        if new:
            db.execute(_NOTIFY, {"channel": CHANNEL, "topic": topic})
    return len(new)


def clear_cursor(engine: sa.Engine, topic: str) -> None:
    """Delete a topic's replay id, because Salesforce no longer accepts it."""
    with engine.begin() as db:
        db.execute(_CLEAR_CURSOR, {"topic": topic})


def record_error(engine: sa.Engine, topic: str, error: str) -> None:
    """Record why a topic's subscription fails. The error is cleared when the subscription works again."""
    with engine.begin() as db:
        db.execute(_RECORD_ERROR, {"topic": topic, "trouble": error})


def find_troubles(engine: sa.Engine, topics: Sequence[str], patience_s: float) -> dict[str, str]:
    """Return the topics that need attention, each with the reason.

    A topic needs attention if nothing was ever received from it, or if it was silent or failed for longer than `patience_s` seconds.
    """
    with engine.connect() as db:
        rows = db.execute(
            sa.text("""
            select n.topic, coalesce(t.trouble, 'nothing was received') as reason
            from unnest(cast(:topics as text[])) as n(topic) left join control.crm_topic t on t.topic = n.topic
            where t.topic is null or coalesce(t.checked_at, t.trouble_since) < clock_timestamp() - make_interval(secs => :patience)
               or t.trouble_since < clock_timestamp() - make_interval(secs => :patience)
            """),
            {"topics": list(topics), "patience": patience_s},
        )
        return {row.topic: row.reason for row in rows}


def find_unread(engine: sa.Engine, topics: Sequence[str], within_s: float) -> dict[str, list[int]]:
    """Return the inbox ids, by topic, of platform events that arrived in the last `within_s` seconds and could not be decoded."""
    with engine.connect() as db:
        rows = db.execute(
            sa.text("""
            select sender, array_agg(inbox_id order by inbox_id) as ids from control.inbox
            where sender = any(:topics) and error is not null and received_at > clock_timestamp() - make_interval(secs => :within)
            group by 1
            """),
            {"topics": list(topics), "within": within_s},
        )
        return {row.sender: list(row.ids) for row in rows}


def _row(change: Change) -> dict[str, object]:
    return {
        "object": change.object,
        "salesforce_id": change.record_id,
        "change_type": change.kind,
        "fields": dict(change.fields),
        "changed": change.changed,
        "nulled": change.nulled,
        "committed_at": change.committed_at,
        "commit_number": change.commit_number,
        "transaction_key": change.transaction,
        "sequence_number": change.sequence,
        "commit_user": change.user,
        "origin": change.origin,
    }
