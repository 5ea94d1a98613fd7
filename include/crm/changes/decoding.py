"""Events of Salesforce as changes of records: Avro, its bitmaps and compound fields undone.

An event of Pub/Sub API holds every field of the object, most of them empty; which of them changed, a bitmap says, by their place in
the event's schema. Parts of a compound field are told under the name that they have on the record, as a query would.
See https://developer.salesforce.com/docs/platform/pub-sub-api/guide/event-deserialization-considerations.html
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import orjson

from include.errors import SchemaDrift

HEADER = "ChangeEventHeader"
SECRET = re.compile(r"ssn|social_?security|tax_?(payer_?)?id|passport|driver|account_?number", re.IGNORECASE)
"""Fields of such names are not heard, whatever our user may read."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one record.

    Attributes:
        kind: CREATE, UPDATE, DELETE, UNDELETE; REREAD (all that we know of it); EVENT (a platform event).
        fields: New values by field, of those that changed; null where one was cleared.
        committed_at: By Salesforce's clock.
        transaction: With `sequence` the change's name, by which it is known when it comes again.
    """

    object: str
    record_id: str
    kind: str
    fields: Mapping[str, Any]
    committed_at: datetime
    transaction: str
    sequence: int = 0
    commit_number: int = 0
    user: str = ""
    origin: str = ""

    @property
    def changed(self) -> list[str]:
        """Names of the fields."""
        return sorted(self.fields)

    @property
    def nulled(self) -> list[str]:
        """Those that were cleared."""
        return sorted(name for name, value in self.fields.items() if value is None)


@dataclass(frozen=True, slots=True)
class Unread:
    """A platform event that can't be read, as it came; `words` say why."""

    event_id: str
    schema_id: str
    payload: bytes = field(repr=False)
    words: str


@dataclass(frozen=True, slots=True)
class Told:
    """What one event says: changes, records that have to be read again, or that a whole object has; or nothing that can be read."""

    object: str
    committed_at: datetime
    origin: str = ""
    changes: list[Change] = field(default_factory=list)
    unread_ids: list[str] = field(default_factory=list)
    is_overflow: bool = False
    unread: Unread | None = None


class EventSchema:
    """One version of the schema of a topic.

    Args:
        text: As the API gives it, in JSON.
        kinds: Field -> its type as `describe` has it; dates and times are told in milliseconds. A schema also has fields that
            our user may not read, of which events say nothing: those that are not here.

    Raises:
        SchemaDrift: It can't be read.
    """

    def __init__(self, text: str, kinds: Mapping[str, str]) -> None:
        try:
            self._declared = orjson.loads(text)
            self._parsed = fastavro.parse_schema(orjson.loads(text))
            self._fields = [(each["name"], _find_record(each["type"])) for each in self._declared["fields"]]
        except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
            raise SchemaDrift(f"The schema of an event can't be read: {type(error).__name__}") from error
        self._kinds = kinds

    @property
    def name(self) -> str:
        """Of the event."""
        return str(self._declared["name"])

    def list_names(self) -> list[str]:
        """The fields of a record that its events can tell of."""
        return [
            name
            for parent, parts in self._fields
            if parent != HEADER
            for name in ([parent] if parts is None else [parent, *(_name_part(parent, part) for part in parts)])
            if self.is_readable(name)
        ]

    def is_readable(self, name: str) -> bool:
        """Whether a field is one that we may read, and keep."""
        return name in self._kinds and not SECRET.search(name)

    def read(self, payload: bytes) -> dict[str, Any]:
        """Decodes an event.

        Raises:
            SchemaDrift: It is not of this schema.
        """
        try:
            found = fastavro.schemaless_reader(io.BytesIO(payload), self._parsed, None)
        except (ValueError, EOFError, KeyError, IndexError, TypeError, StopIteration, OverflowError) as error:
            raise SchemaDrift(f"An event can't be decoded: {type(error).__name__}", event=self.name) from error
        if "\\u0000" in orjson.dumps(found, default=str).decode():
            raise SchemaDrift("An event can't be decoded: a text holds what no text does", event=self.name)
        return found  # type: ignore[return-value]  # a record, as declared

    def flatten(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of an event by the names that they have on the record; those of which nothing is told are null."""
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
        """Names of the fields that a bitmap marks: `0x..` of the event's own, `4-0x..` of the parts of its fifth."""
        named: set[str] = set()
        inside = {int(place): bits for place, _, bits in (each.partition("-") for each in bitmaps) if bits}
        for place in _list_bits(next((each for each in bitmaps if "-" not in each), "0x0")):
            parent, parts = self._fields[place]
            # The bit of a compound field that also tells of its parts says no more than they do.
            if parts is None or place not in inside:
                named |= {parent} if parts is None else {parent, *(_name_part(parent, part) for part in parts)}
        for place, bits in inside.items():
            parent, parts = self._fields[place]
            names = list(parts or ())
            named |= {_name_part(parent, names[index]) for index in _list_bits(bits)}
        return named

    def _read_value(self, name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        kind = self._kinds.get(name)
        if kind not in ("date", "datetime"):
            return value
        moment = read_millis(value)
        return moment.date().isoformat() if kind == "date" else moment.isoformat(timespec="milliseconds")


def read_change(schema: EventSchema, payload: bytes, wanted: Mapping[str, frozenset[str]]) -> Told:
    """Reads a change event.

    Args:
        schema: The one that the event names.
        payload: Its bytes.
        wanted: Field -> fields that follow from it: where it changed and the schema lacks them, the record is to be read again, too.

    Raises:
        SchemaDrift: It can't be read.
    """
    body = schema.read(payload)
    try:
        header = body[HEADER]
        kind, ids = str(header["changeType"]), [str(each) for each in header["recordIds"]]
        told = Told(header["entityName"], read_millis(header["commitTimestamp"]), header["changeOrigin"])
        changed = schema.read_bitmap(header["changedFields"])
        diffed = bool(header["diffFields"])
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise SchemaDrift(f"A change event has another header: {type(error).__name__}", event=schema.name) from error
    if kind.startswith("GAP_") or any("*" in each for each in ids):
        is_whole = kind == "GAP_OVERFLOW" or not ids or any("*" in each for each in ids)
        return replace(told, unread_ids=[] if is_whole else ids, is_overflow=is_whole)
    flat = {} if kind == "DELETE" else schema.flatten(body)
    # Of a new record the bitmap says nothing: it is what it has.
    told_of = {n: v for n, v in flat.items() if (n in changed if kind == "UPDATE" else v is not None)}
    fields = {name: value for name, value in told_of.items() if schema.is_readable(name)}
    is_lacking = any(name in fields and not follow <= flat.keys() for name, follow in wanted.items())
    changes = [
        Change(
            told.object, each, kind, fields, told.committed_at, str(header["transactionKey"]),
            int(header["sequenceNumber"]), int(header["commitNumber"]), str(header["commitUser"]), told.origin,
        )
        for each in ids
    ]  # fmt: skip
    return replace(told, changes=changes, unread_ids=ids if diffed or is_lacking else [])


def read_event(schema: EventSchema, payload: bytes, event_id: str) -> Change:
    """Reads a platform event: a change of its own, named by its id.

    Raises:
        SchemaDrift: It can't be read.
    """
    flat = schema.flatten(schema.read(payload))
    made = flat.get("CreatedDate")
    try:
        at = read_millis(made) if isinstance(made, int) else datetime.fromisoformat(made) if made else EPOCH
    except (ValueError, OverflowError, TypeError) as error:
        raise SchemaDrift("An event says no time of which it is", event=schema.name) from error
    fields = {name: value for name, value in flat.items() if value is not None and name != "CreatedDate"}
    return Change(schema.name, event_id, "EVENT", fields, at, event_id, user=str(flat.get("CreatedById") or ""))


def read_row(name: str, row: Mapping[str, Any], fields: list[str]) -> Change:
    """A record as a query answers it; `fields` are those to keep."""
    stamp = datetime.fromisoformat(str(row["SystemModstamp"]))
    kept: dict[str, Any] = {each: _read_json(row.get(each)) for each in fields}
    kept["IsDeleted"] = bool(row.get("IsDeleted"))
    # The stamp has whole seconds, and the record may have changed at any moment of them.
    at = stamp.replace(microsecond=0) + timedelta(milliseconds=999)
    return Change(
        name, str(row["Id"]), "REREAD", kept, at, _name_reread(stamp, kept), user=str(row["LastModifiedById"])
    )


def _name_reread(stamp: datetime, kept: Mapping[str, Any]) -> str:
    """Reading what has not changed is no change; within the second of the stamp it may have."""
    told = hashlib.sha256(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"reread {stamp.isoformat()} {told[:16]}"


def read_millis(value: int) -> datetime:
    """A time from milliseconds."""
    return EPOCH + timedelta(milliseconds=value)


def _read_json(value: Any) -> Any:
    """Times in one form, whichever way they came."""
    if isinstance(value, str) and len(value) == 28 and value.endswith("+0000"):
        return datetime.fromisoformat(value).isoformat(timespec="milliseconds")
    return value


def _find_record(kind: Any) -> list[str] | None:
    """Names of the parts, where a field is (or may be) compound."""
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
    """Whether a change came from a program that calls itself so."""
    return origin.endswith(f"client={client}")
