"""Changes in the warehouse, and how far each topic was heard: both in one transaction, so that neither is ahead of the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import sqlalchemy as sa

from include.control import inbox
from include.control.inbox import Delivery
from include.crm.changes.decoding import Change, Unread

CHANNEL = "tributary_changes"

# What comes a second time is known by its name. Deals get ids of their own, by which findings name them.
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
# Only what the stream itself told shows that the topic is heard.
_MOVE_ON = sa.text("""
insert into control.crm_topic as t (topic, replay_id, heard_at, looked_at) values (:topic, :replay_id, :heard_at, clock_timestamp())
on conflict (topic) do update
set replay_id = coalesce(excluded.replay_id, t.replay_id), heard_at = greatest(t.heard_at, excluded.heard_at),
    looked_at = case when excluded.replay_id is null then t.looked_at else excluded.looked_at end,
    trouble = case when excluded.replay_id is null then t.trouble end,
    trouble_since = case when excluded.replay_id is null then t.trouble_since end
""")
_LOSE_PLACE = sa.text("update control.crm_topic set replay_id = null where topic = :topic")
_NOTE_TROUBLE = sa.text("""
insert into control.crm_topic as t (topic, trouble, trouble_since) values (:topic, :trouble, clock_timestamp())
on conflict (topic) do update
set trouble = excluded.trouble, trouble_since = coalesce(t.trouble_since, excluded.trouble_since)
""")
_RING = sa.text("select pg_notify(:channel, :topic)")

OnEvent = Callable[[sa.Connection, Change], None]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a topic was heard.

    Attributes:
        replay_id: Where to go on; None where there is no such place, so that what was missed has to be read by query.
        heard_at: The newest commit that we heard of, by Salesforce's clock.
    """

    replay_id: bytes | None = None
    heard_at: datetime | None = None


def read_place(engine: sa.Engine, topic: str) -> Place:
    """Returns how far a topic was heard."""
    with engine.connect() as db:
        row = db.execute(
            sa.text("select replay_id, heard_at from control.crm_topic where topic = :topic"), {"topic": topic}
        ).first()
    return Place(row.replay_id and bytes(row.replay_id), row.heard_at) if row else Place()


def keep(
    engine: sa.Engine,
    topic: str,
    changes: Sequence[Change],
    *,
    replay_id: bytes | None = None,
    heard_at: datetime | None = None,
    on_event: OnEvent | None = None,
    unread: Sequence[Unread] = (),
) -> int:
    """Keeps changes with the place behind them, and rings if any is new.

    Args:
        engine: As the hearing role, or the loading one.
        topic: Where they came from.
        changes: Those that are known already are left alone.
        replay_id: The place; None leaves it as it is.
        heard_at: The newest commit among what was heard.
        on_event: Called for each platform event that is new, in the transaction.
        unread: Platform events that can't be read: they are kept in the inbox, each with why it came to nothing.

    Returns:
        How many were new.
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
            inbox.refuse(db, Delivery(topic, each.payload, content_hash, each.event_id, headers), each.words)
        db.execute(_MOVE_ON, {"topic": topic, "replay_id": replay_id, "heard_at": heard_at})
        if new:
            db.execute(_RING, {"channel": CHANNEL, "topic": topic})
    return len(new)


def lose_place(engine: sa.Engine, topic: str) -> None:
    """The place is worth nothing any more."""
    with engine.begin() as db:
        db.execute(_LOSE_PLACE, {"topic": topic})


def note_trouble(engine: sa.Engine, topic: str, words: str) -> None:
    """Keeps why a topic can't be heard, until it is heard again."""
    with engine.begin() as db:
        db.execute(_NOTE_TROUBLE, {"topic": topic, "trouble": words})


def find_troubles(engine: sa.Engine, topics: Sequence[str], patience_s: float) -> dict[str, str]:
    """Returns topics that are not heard, or not for so many seconds, and why."""
    with engine.connect() as db:
        rows = db.execute(
            sa.text("""
            select wanted.topic, coalesce(t.trouble, 'nothing was heard') as words
            from unnest(cast(:topics as text[])) as wanted(topic) left join control.crm_topic t on t.topic = wanted.topic
            where t.topic is null or coalesce(t.looked_at, t.trouble_since) < clock_timestamp() - make_interval(secs => :patience)
               or t.trouble_since < clock_timestamp() - make_interval(secs => :patience)
            """),
            {"topics": list(topics), "patience": patience_s},
        )
        return {row.topic: row.words for row in rows}


def find_unread(engine: sa.Engine, topics: Sequence[str], within_s: float) -> dict[str, list[int]]:
    """Returns topics of which events could not be read within the last so many seconds, and where in the inbox those are."""
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
