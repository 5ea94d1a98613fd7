"""The chain of seals over the audit trail. It reveals whether a sealed entry was changed or removed.

Each seal is an HMAC-SHA256 of the previous seal, of its own entry, and of the time of sealing. The key is not in the database: only a
process with the firm's audit key can extend the chain, or write a new one over changed entries. A holder of the key could replace
the whole chain. Published heads (`include.audit.head`) reveal that.

An entry that was inserted with an earlier time gets a late seal, and is reported.

After a rotation, an earlier key only verifies the seals that it made before. The database refuses new seals made with it, and a
verification reports a seal of an earlier key that follows a seal of a newer key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from include.errors import ConfigurationError, FatalError, TargetUnavailable

log = logging.getLogger(__name__)

BATCH = 10_000
"""Maximum number of entries that are sealed in one transaction, or read at once."""
LATE = timedelta(hours=3)
"""An entry is reported if it was sealed later than this, or has no seal after this time. Normally, entries are sealed every hour."""

_ENTRY = "a.entry_id, a.happened_at, a.database_user, a.actor, a.action, a.subject, a.details::text as details"
_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtext('tributary audit'))")
_CURRENT_KEY = sa.text("select key_id from control.key where purpose = 'audit' order by place desc limit 1")
_NOW = sa.text("select clock_timestamp()")
_LAST = sa.text("select position, mac from control.audit_seal order by position desc limit 1")
_UNSEALED = sa.text(f"""
select {_ENTRY} from control.audit a
where not exists (select from control.audit_seal s where s.entry_id = a.entry_id) order by a.entry_id limit :batch
""")  # noqa: S608
_SEAL = sa.text("""
select control.seal_audit(:first, cast(:entry_ids as bigint[]), :key_id, cast(:macs as bytea[]), :sealed_at)
""")
_SEALED = sa.text(f"""
select s.position, s.key_id, s.mac, s.sealed_at, s.entry_id as sealed_id, {_ENTRY}
from control.audit_seal s left join control.audit a on a.entry_id = s.entry_id order by s.position
""")  # noqa: S608
_PUBLISHED = sa.text("""
insert into control.audit_head as known (position, published_at) values (:position, :at)
on conflict (only_row) do update set position = excluded.position, published_at = excluded.published_at
where known.published_at < excluded.published_at
""")
_COUNT_LATE = sa.text("""
select count(*) from control.audit a
where a.happened_at < :before and not exists (select from control.audit_seal s where s.entry_id = a.entry_id)
""")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain at one time.

    Attributes:
        position: Position of the last seal, which is the number of sealed entries; 0 for an empty chain.
        mac: The last seal.
    """

    position: int = 0
    mac: bytes = b""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification.

    Attributes:
        state: One of these:

            - `intact`: every seal fits its entry, and every published head fits the chain.
            - `edited`: an entry or its seal was changed or removed.
            - `truncated`: the chain ends before a published head.
            - `forked`: the seals fit their entries, but the chain differs from a published head. So a part of the chain was replaced.
        entries: Number of good entries before the first bad one.
        position: Position of the first bad entry; None if the chain is intact.
        reason: What is wrong; empty if the chain is intact.
        late: Number of entries that were sealed more than `LATE` after their `happened_at`, or still have no seal after that time. Either
            the DAG was paused, or an entry was inserted with an earlier time. Entries after a bad seal are not counted, unless they have
            no seal.
    """

    state: str
    entries: int
    position: int | None = None
    reason: str = ""
    late: int = 0


def seal(engine: sa.Engine, keys: Mapping[str, bytes]) -> Head:
    """Seal all entries that have no seal yet; return the new end of the chain.

    Args:
        engine: The database, as the loading role.
        keys: The audit keys by key id, oldest first; the last one makes the new seals.

    Raises:
        TargetUnavailable: The last of `keys` is not the newest registered audit key, because the audit key is being rotated.
    """
    key_id, key = list(keys.items())[-1]
    while True:
        with engine.begin() as connection:
            connection.execute(_ONE_AT_A_TIME)
            if connection.scalar(_CURRENT_KEY) not in (key_id, None):
                raise TargetUnavailable(
                    "A newer audit key is registered: set tributary_keys to the new keyring", key_id=key_id
                )
            head = _read_head(connection)
            entries = [dict(row) for row in connection.execute(_UNSEALED, {"batch": BATCH}).mappings()]
            if not entries:
                return head
            sealed_at = connection.scalar(_NOW)
            values = {
                "first": head.position + 1,
                "entry_ids": [entry["entry_id"] for entry in entries],
                "key_id": key_id,
                "macs": list(_chain(key, head.mac, [entry | {"sealed_at": sealed_at} for entry in entries])),
                "sealed_at": sealed_at,
            }
            connection.execute(_SEAL, values)


def read_head(engine: sa.Engine) -> Head:
    """Return the end of the chain."""
    with engine.connect() as connection:
        return _read_head(connection)


def record_publication(engine: sa.Engine, head: Head, at: datetime) -> None:
    """Record that a head was published, for the health signals; `at` has a time zone."""
    with engine.begin() as connection:
        connection.execute(_PUBLISHED, {"position": head.position, "at": at})


def verify(engine: sa.Engine, keys: Mapping[str, bytes], heads: Iterable[Head] = ()) -> Verdict:
    """Compare every seal with its entry, and the chain with the published heads. Stop at the first bad entry.

    Args:
        engine: The database, as any role that can read the schema `control`.
        keys: All audit keys that were ever used, by key id, oldest first.
        heads: The published heads, in any order.

    Raises:
        ConfigurationError: A seal was made with a key that is not in `keys`.
    """
    published: dict[int, set[bytes]] = {}
    for head in heads:
        published.setdefault(head.position, set()).add(head.mac)
    position, mac, fork, usable = 0, b"", None, list(keys)
    with engine.connect() as connection:
        late = int(connection.scalar(_COUNT_LATE, {"before": connection.scalar(_NOW) - LATE}) or 0)
        for row in connection.execution_options(yield_per=BATCH).execute(_SEALED).mappings():
            if reason := _find_fault(dict(row), position, mac, keys, usable):
                return Verdict("edited", position, position + 1, reason, late)
            position, mac = row["position"], bytes(row["mac"])
            del usable[: usable.index(row["key_id"])]
            late += row["sealed_at"] - row["happened_at"] > LATE
            if fork is None and published.get(position, {mac}) != {mac}:
                fork = position
    if fork is not None:
        return Verdict("forked", fork - 1, fork, "The chain differs from a published head", late)
    if position < max(published, default=0):
        reason = f"The chain ends before the published head at position {max(published)}"
        return Verdict("truncated", position, position + 1, reason, late)
    return Verdict("intact", position, late=late)


def require_intact(verdict: Verdict) -> None:
    """Raise an error unless the chain is intact; log a warning if entries were sealed late or have no seal.

    Raises:
        FatalError: The chain is not intact.
    """
    if verdict.state != "intact":
        raise FatalError(
            f"The audit trail is {verdict.state}: {verdict.reason}. Keep the database as it is, and inform the security officer",
            position=verdict.position, intact_entries=verdict.entries,
        )  # fmt: skip
    if verdict.late:
        log.warning(
            "%d entries of the audit trail were sealed hours after the time that they state, or have no seal: was the DAG audit_trail paused?",
            verdict.late,
        )


def _read_head(connection: sa.Connection) -> Head:
    last = connection.execute(_LAST).first()
    return Head(last.position, bytes(last.mac)) if last else Head()


def _find_fault(
    row: Mapping[str, Any], position: int, mac: bytes, keys: Mapping[str, bytes], usable: Collection[str]
) -> str:
    """Return what is wrong with a seal and its entry; an empty text if both are good.

    Args:
        row: The seal and its entry; the entry's columns are None if it was removed.
        position: Position of the previous seal; 0 for the first.
        mac: The previous seal; empty for the first.
        keys: All audit keys, by key id.
        usable: Ids of the keys that are not older than the key of the previous seal.

    Raises:
        ConfigurationError: The key of the seal is not in `keys`.
    """
    if row["position"] != position + 1:
        return f"The seals of {row['position'] - position - 1} entries are missing"
    if row["entry_id"] is None:
        return f"Entry {row['sealed_id']} was removed"
    if row["key_id"] not in keys:
        raise ConfigurationError("An audit key is missing from tributary_keys", key_id=row["key_id"])
    if row["key_id"] not in usable:
        return f"Entry {row['entry_id']} was sealed with the retired key {row['key_id']}"
    if not hmac.compare_digest(next(_chain(keys[row["key_id"]], mac, [row])), bytes(row["mac"])):
        return f"Entry {row['entry_id']} or its seal was changed"
    return ""


def _chain(key: bytes, mac: bytes, entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield the seal of each entry. Each seal covers the previous one; the first covers `mac`, the last seal so far (empty if none)."""
    for entry in entries:
        content = [
            entry["entry_id"],
            *(entry[name].astimezone(UTC).isoformat(timespec="microseconds") for name in ("happened_at", "sealed_at")),
            *(entry[name] for name in ("database_user", "actor", "action", "subject", "details")),
        ]
        mac = hmac.new(key, mac + json.dumps(content).encode(), hashlib.sha256).digest()
        yield mac
