"""Decode Salesforce's events into changes of records: Avro, bitmaps and compound fields.

An event of the Pub/Sub API contains every field of the object, most of them empty. A bitmap marks the changed fields by their
position in the event's schema. A part of a compound field, such as an address, gets its name in queries, such as `MailingCity`.
See https://developer.salesforce.com/docs/platform/pub-sub-api/guide/event-deserialization-considerations.html
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import orjson

from include.errors import SchemaDrift

HEADER = "ChangeEventHeader"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one record.

    Attributes:
        kind: CREATE, UPDATE, DELETE, UNDELETE; REREAD (the whole record, by query); EVENT (a platform event).
        fields: The new value of each changed field that is stored; None if the field was cleared.
        committed_at: Time of the change, by Salesforce's clock.
        transaction: The key of the transaction. Together with `sequence`, object and record, it identifies a change that arrives again.
        changed: Names of the changed fields that our user may read, whether their values are stored or not; for REREAD, the fields that
            were read.
        nulled: Those of `changed` that have no value.
    """

    object: str
    record_id: str
    kind: str
    fields: Mapping[str, Any]
    committed_at: datetime
    transaction: str
    changed: tuple[str, ...]
    nulled: tuple[str, ...] = ()
    sequence: int = 0
    commit_number: int = 0
    user: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A platform event that can't be decoded, with its original payload and the reason."""

    event_id: str
    schema_id: str
    payload: bytes = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """The content of one event.

    Attributes:
        changes: Changes of records.
        unread_ids: Ids of records that must be read by query, because the event does not contain their full change.
        is_overflow: Whether the changes of the whole object must be read by query.
        unread: The event itself, if it is a platform event that can't be decoded; otherwise None.
    """

    object: str
    committed_at: datetime
    origin: str = ""
    changes: list[Change] = field(default_factory=list)
    unread_ids: list[str] = field(default_factory=list)
    is_overflow: bool = False
    unread: Unreadable | None = None


class EventSchema:
    """One version of the schema of a topic.

    Args:
        text: The schema in JSON, as the API returns it.
        kinds: Field -> its type in Salesforce's `describe`, for each field that our user may read. The type shows whether a number in an
            event is a date or a time in milliseconds. The schema also has fields that our user may not read; they are empty in events.
        stored: Names of the fields whose values are stored.

    Raises:
        SchemaDrift: The schema can't be read.
    """

    def __init__(self, text: str, kinds: Mapping[str, str], stored: Collection[str]) -> None:
        try:
            self._declared = orjson.loads(text)
            self._parsed = fastavro.parse_schema(orjson.loads(text))
            self._fields = [(each["name"], _find_record(each["type"])) for each in self._declared["fields"]]
        except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
            raise SchemaDrift(f"Unreadable event schema: {type(error).__name__}") from error
        self._kinds, self._stored = kinds, frozenset(stored)

    @property
    def name(self) -> str:
        """Name of the event."""
        return str(self._declared["name"])

    def list_names(self) -> list[str]:
        """Return the names of the fields that events can contain, that we may read, and whose values are stored."""
        return [
            name
            for parent, parts in self._fields
            if parent != HEADER
            for name in ([parent] if parts is None else [parent, *(_name_part(parent, part) for part in parts)])
            if self.is_readable(name) and name in self._stored
        ]

    def is_readable(self, name: str) -> bool:
        """Return whether our user may read a field."""
        return name in self._kinds

    def select_stored(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that are stored."""
        return {name: value for name, value in values.items() if name in self._stored}

    def read(self, payload: bytes) -> dict[str, Any]:
        """Decode an event, whose payload is in Avro.

        Raises:
            SchemaDrift: The event does not match this schema, or a text in it contains a null character.
        """
        try:
            body = fastavro.schemaless_reader(io.BytesIO(payload), self._parsed, None)
        except (ValueError, EOFError, KeyError, IndexError, TypeError, StopIteration, OverflowError) as error:
            raise SchemaDrift(f"An event can't be decoded: {type(error).__name__}", event=self.name) from error
        if "\\u0000" in orjson.dumps(body, default=str).decode():
            raise SchemaDrift("An event can't be decoded: a text contains a null character", event=self.name)
        return body  # type: ignore[return-value]  # a record, as declared

    def flatten(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a decoded event by the record's field names; None for a field without a value."""
        flat: dict[str, Any] = {}
        for parent, parts in self._fields:
            value = body.get(parent)
            if parent == HEADER:
                continue
            if parts is None or isinstance(value, str):
                flat[parent] = self._read_value(parent, value)
                continue
            for part in parts:
                name = _name_part(parent, part)
                flat[name] = self._read_value(name, value[part] if isinstance(value, dict) else None)
        return flat

    def read_bitmap(self, bitmaps: list[str]) -> set[str]:
        """Return the names of the fields that an event's bitmaps mark as changed.

        A bitmap `0x..` marks top-level fields. A bitmap `4-0x..` marks parts of the compound field at index 4.
        """
        names: set[str] = set()
        inside = {int(place): bits for place, _, bits in (each.partition("-") for each in bitmaps) if bits}
        for place in _list_bits(next((each for each in bitmaps if "-" not in each), "0x0")):
            parent, parts = self._fields[place]
            # If a compound field has a bitmap of its parts, its own bit adds nothing.
            if parts is None or place not in inside:
                names |= {parent} if parts is None else {parent, *(_name_part(parent, part) for part in parts)}
        for place, bits in inside.items():
            parent, parts = self._fields[place]
            part_names = list(parts or ())
            names |= {_name_part(parent, part_names[index]) for index in _list_bits(bits)}
        return names

    def _read_value(self, name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        kind = self._kinds.get(name)
        if kind not in ("date", "datetime"):
            return value
        moment = read_millis(value)
        return moment.date().isoformat() if kind == "date" else moment.isoformat(timespec="milliseconds")


def read_change(schema: EventSchema, payload: bytes, follows: Mapping[str, frozenset[str]]) -> Decoded:
    """Decode a change event.

    Args:
        schema: The schema that the event names.
        payload: The event's bytes.
        follows: Field -> the fields that Salesforce derives from it. If the field changed and the event can't contain one of its derived
            fields, the record is also read by query.

    Returns:
        The changes, and the ids of the records to read by query because the event does not contain all of their change. For a gap event
        there are only ids, or `is_overflow`. A gap event of a deletion is also a change, because no query finds a record that is not in
        the recycle bin either.

    Raises:
        SchemaDrift: The event can't be read.
    """
    body = schema.read(payload)
    try:
        header = body[HEADER]
        kind, ids = str(header["changeType"]), [str(each) for each in header["recordIds"]]
        decoded = Decoded(header["entityName"], read_millis(header["commitTimestamp"]), header["changeOrigin"])
        changed = schema.read_bitmap(header["changedFields"])
        diffed = bool(header["diffFields"])
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise SchemaDrift(f"Unexpected header of a change event: {type(error).__name__}", event=schema.name) from error
    if kind.startswith("GAP_") or any("*" in each for each in ids):
        is_whole = kind == "GAP_OVERFLOW" or not ids or any("*" in each for each in ids)
        deleted = ids if kind == "GAP_DELETE" and not is_whole else []
        changes = [_build_change(schema, decoded, header, each, "DELETE", {}) for each in deleted]
        return replace(decoded, changes=changes, unread_ids=[] if is_whole else ids, is_overflow=is_whole)
    flat = {} if kind == "DELETE" else schema.flatten(body)
    # A new record has no bitmap: its changed fields are those with a value.
    values = {n: v for n, v in flat.items() if (n in changed if kind == "UPDATE" else v is not None)}
    readable = {name: value for name, value in values.items() if schema.is_readable(name)}
    is_lacking = any(name in readable and not derived <= flat.keys() for name, derived in follows.items())
    changes = [_build_change(schema, decoded, header, each, kind, readable) for each in ids]
    return replace(decoded, changes=changes, unread_ids=ids if diffed or is_lacking else [])


def _build_change(
    schema: EventSchema,
    decoded: Decoded,
    header: Mapping[str, Any],
    record_id: str,
    kind: str,
    values: Mapping[str, Any],
) -> Change:
    return Change(
        decoded.object, record_id, kind, schema.select_stored(values), decoded.committed_at, str(header["transactionKey"]),
        tuple(sorted(values)), _list_nulled(values), int(header["sequenceNumber"]), int(header["commitNumber"]), str(header["commitUser"]),
        decoded.origin,
    )  # fmt: skip


def read_event(schema: EventSchema, payload: bytes, event_id: str) -> Change:
    """Decode a platform event into a change of kind EVENT, identified by the event's id.

    Raises:
        SchemaDrift: The event can't be read.
    """
    flat = schema.flatten(schema.read(payload))
    created = flat.get("CreatedDate")
    try:
        at = read_millis(created) if isinstance(created, int) else datetime.fromisoformat(created) if created else EPOCH
    except (ValueError, OverflowError, TypeError) as error:
        raise SchemaDrift("An event's CreatedDate is not a time", event=schema.name) from error
    values = {name: value for name, value in flat.items() if value is not None and name != "CreatedDate"}
    user = str(flat.get("CreatedById") or "")
    return Change(
        schema.name, event_id, "EVENT", schema.select_stored(values), at, event_id, tuple(sorted(values)), user=user
    )


def read_row(name: str, row: Mapping[str, Any], fields: list[str]) -> Change:
    """Convert a row of a query into a change of kind REREAD.

    Args:
        name: The object.
        row: The row.
        fields: The fields that the query has read; all of them are stored.
    """
    stamp = datetime.fromisoformat(str(row["SystemModstamp"]))
    values: dict[str, Any] = {each: _read_json(row.get(each)) for each in fields}
    values["IsDeleted"] = bool(row.get("IsDeleted"))
    # The stamp has whole seconds, and the record may have changed at any time within the second.
    at = stamp.replace(microsecond=0) + timedelta(milliseconds=999)
    return Change(
        name, str(row["Id"]), "REREAD", values, at, _name_reread(stamp, values), tuple(sorted(values)), _list_nulled(values),
        user=str(row["LastModifiedById"]),
    )  # fmt: skip


def _list_nulled(values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(name for name, value in values.items() if value is None))


def _name_reread(stamp: datetime, values: Mapping[str, Any]) -> str:
    """Return an id for a record that was read by query: the same content has the same id.

    `SystemModstamp` alone is not enough, because it has a resolution of a second.
    """
    digest = hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"reread {stamp.isoformat()} {digest[:16]}"


def read_millis(value: int) -> datetime:
    """Convert milliseconds since 1970 to a time in UTC."""
    return EPOCH + timedelta(milliseconds=value)


def _read_json(value: Any) -> Any:
    """Return a value of a query's row; convert a time to the form that it has in a decoded event."""
    if isinstance(value, str) and len(value) == 28 and value.endswith("+0000"):
        return datetime.fromisoformat(value).isoformat(timespec="milliseconds")
    return value


def _find_record(kind: Any) -> list[str] | None:
    """Return the names of the parts of a compound field, given the Avro type of a field; None if the field is not compound."""
    for each in kind if isinstance(kind, list) else [kind]:
        if isinstance(each, dict) and each.get("type") == "record":
            return [str(part["name"]) for part in each["fields"]]
    return None


def _name_part(parent: str, part: str) -> str:
    if parent.endswith("Address"):
        return parent.removesuffix("Address") + part
    return part if parent == "Name" else f"{parent}.{part}"


def _list_bits(text: str) -> Iterator[int]:
    bits, place = int(text, 16), 0
    while bits:
        if bits & 1:
            yield place
        bits, place = bits >> 1, place + 1


def is_ours(origin: str, client: str) -> bool:
    """Return whether a change was made by the program with this client name."""
    return origin.endswith(f"client={client}")
