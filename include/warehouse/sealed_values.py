"""The sensitive values that a firm retains, sealed: store them, open one, and seal all again under a new key.

A value is stored once per record. The hash in each version of the record shows which value the record had at that time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from include.canonical import Entity
from include.errors import DataQualityError, InputRejected
from include.keys import register
from include.keys.keyring import Keyring
from include.keys.values import ValueKey

NAMES = {"person": "tax_id", "legal_entity": "tax_id", "account": "account_number"}
"""Entity -> its value that a firm can retain."""

_REQUEST = sa.text("select control.request_values(:entity, :vendor, :key, :name, :actor, :reason)")
_READ = sa.text("select vendor, source_key, value_hash, sealed from control.read_values(:entry)")
_BATCH = sa.text("""
select entity, id, name, value_hash, sealed from warehouse.sealed_value where key_fingerprint <> :current limit 1000 for update
""")
_RESEAL = sa.text("""
update warehouse.sealed_value set sealed = :sealed where (entity, id, name, value_hash) = (:entity, :id, :name, :value_hash)
""")
_COUNT = sa.text("""
select coalesce(k.key_id, v.key_fingerprint), count(*) from warehouse.sealed_value v
left join control.key k on k.purpose = 'value' and k.fingerprint = v.key_fingerprint group by 1
""")
_RECORD_RESEALED = sa.text("""
insert into control.audit (happened_at, database_user, actor, action, subject, details)
values (clock_timestamp(), session_user, :actor, 'value.resealed', :key_id, jsonb_build_object('values', cast(:values as bigint)))
""")


@dataclass(frozen=True, slots=True)
class OpenedValue:
    """A value in clear, with the vendor and the vendor's key of the record that has it."""

    vendor: str
    key: str
    value: str = field(repr=False)


def insert(connection: sa.Connection, entity: Entity, name: str, vendor: str, source_run_id: int) -> None:
    """Store the sealed values of copied rows, except those that the record had before.

    Args:
        connection: The load's transaction, with the temporary table `incoming_<entity>`.
        entity: The entity that has the value.
        name: The value's name, such as `tax_id`.
        vendor: The vendor.
        source_run_id: Written on every new row.
    """
    statement = f"""
        insert into warehouse.sealed_value (entity, id, name, value_hash, sealed, source_run_id)
        select k.entity, k.id, :name, i.{name}_hash, i.{name}_sealed, :source_run_id
        from incoming_{entity.name} i
        join warehouse.source_key k on k.entity = '{entity.name}' and k.vendor = :vendor and k.source_key = i.{entity.key}
        where i.{name}_sealed is not null
          and not exists (select from warehouse.sealed_value s
                          where (s.entity, s.id, s.name, s.value_hash) = (k.entity, k.id, :name, i.{name}_hash))
        on conflict do nothing
    """  # noqa: S608
    connection.execute(sa.text(statement), {"name": name, "vendor": vendor, "source_run_id": source_run_id})


def open_values(
    engine: sa.Engine, keyring: Keyring, entity: str, reference: str, actor: str, reason: str
) -> list[OpenedValue]:
    """Open the current value of a record, and those of the records that identity resolution linked to it.

    The audit trail has the entry before a value is read: the database returns sealed values only for a committed entry.

    Args:
        engine: The database, as `tributary_values`.
        keyring: The private keys of values, and the hash keys.
        entity: One of `NAMES`.
        reference: Our id of the record, or `<vendor>:<key>`.
        actor: Who opens the value.
        reason: Why; required.

    Raises:
        InputRejected: There is no reason, no such record, or no value of it is retained.
        ConfigurationError: A key is missing or is not the registered one.
        DataQualityError: A value was altered, or is not that of the record.
    """
    if not (actor.strip() and reason.strip()):
        raise InputRejected("State who opens the value, and why")
    vendor, _, key = ("", "", reference) if reference.isdigit() else reference.partition(":")
    values = {"entity": entity, "vendor": vendor, "key": key, "name": NAMES[entity], "actor": actor, "reason": reason}
    with engine.begin() as connection:
        register.compare(keyring.registered, register.read(connection))
        entry = connection.scalar(_REQUEST, values)
    if entry is None:
        raise InputRejected("No such record, or none of its values is retained", entity=entity, record=reference)
    with engine.begin() as connection:
        rows = connection.execute(_READ, {"entry": entry}).all()
    return [OpenedValue(row.vendor, row.source_key, _open(keyring, row)) for row in rows]


def reseal(engine: sa.Engine, keyring: Keyring, actor: str) -> int:
    """Seal all values again under the newest key; return the number of values. The audit trail records it.

    Args:
        engine: The database, as the migrating role.
        keyring: The private keys of values: the old ones, and the new one after them.
        actor: Who does it, for the audit trail.

    Raises:
        ConfigurationError: A key is missing or is not the registered one.
        DataQualityError: A value was altered.
    """
    opener, newest = keyring.opener, [key for key in keyring.registered.keys if key.purpose == "value"][-1]
    current, resealed = ValueKey(newest.key_id, newest.secret), 0
    with engine.begin() as connection:
        register.compare(keyring.registered, register.read(connection))
        while rows := connection.execute(_BATCH, {"current": current.fingerprint}).mappings().all():
            sealed = [{**row, "sealed": current.seal(opener.open(bytes(row["sealed"])))} for row in rows]
            connection.execute(_RESEAL, sealed)
            resealed += len(rows)
        values = {"actor": actor, "key_id": f"value:{current.key_id}", "values": resealed}
        connection.execute(_RECORD_RESEALED, values)
    return resealed


def count_by_key(engine: sa.Engine) -> dict[str, int]:
    """Return key id -> number of values that are sealed under the key."""
    with engine.connect() as connection:
        return dict(connection.execute(_COUNT).tuples().all())


def _open(keyring: Keyring, row: sa.Row[tuple[str, str, str, bytes]]) -> str:
    """Open a value, and compare its hash with the record's, so that a value that was moved to another record is not shown."""
    value = keyring.opener.open(bytes(row.sealed))
    if keyring.redactor.split(value)[0] != row.value_hash:
        raise DataQualityError(
            "The sealed value is not that of the record: it was moved from another one",
            vendor=row.vendor,
            key=row.source_key,
        )
    return value
