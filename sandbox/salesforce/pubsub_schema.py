"""Encode change events and platform events in Avro, with one schema for each object's topic.

Every field may be null, compound fields are Avro records, and bitmaps list the changed fields. Change events do not contain fields
that Salesforce derives.

Source: https://developer.salesforce.com/docs/platform/pub-sub-api/guide/event-deserialization-considerations.html
"""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import fastavro
import orjson

from sandbox.salesforce.schema import Field, SObject
from sandbox.salesforce.values import NUMBERS

HEADER = "ChangeEventHeader"
_LISTS = ("nulledFields", "diffFields", "changedFields")
_TYPES = (
    *("CREATE", "UPDATE", "DELETE", "UNDELETE"),
    *("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"),
    "GAP_OVERFLOW",
)
_STRINGS: dict[str, Any] = {"type": "array", "items": "string"}
_HEADER: dict[str, Any] = {
    "type": "record",
    "name": HEADER,
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": _STRINGS},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": list(_TYPES)}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        *({"name": name, "type": _STRINGS} for name in _LISTS),
    ],
}
_LEFT_OUT = {"Id", "IsDeleted", "SystemModstamp", "MasterRecordId"}
_PARTS = ("Street", "City", "State", "PostalCode", "Country")
_PERSON = ("FirstName", "LastName", "Salutation")


class EventSchema:
    """The Avro schema of the events of one object. Its id changes if the object's fields change."""

    def __init__(self, sobject: SObject) -> None:
        self.object = sobject.name
        self.is_platform_event = sobject.name.endswith("__e")
        self.topic = f"/event/{sobject.name}" if self.is_platform_event else topic_of(sobject.name)
        self._fields = {
            name: item for name, item in sobject.fields.items() if _is_carried(item, self.is_platform_event)
        }
        self._compounds = _find_compounds(sobject.name, self._fields)
        inside = {name for names in self._compounds.values() for name in names.values()}
        plain = [name for name in self._fields if name not in inside and name not in self._compounds]
        self._order = [*plain, *self._compounds]
        self.json = orjson.dumps(self._declare()).decode()
        self.id = base64.urlsafe_b64encode(hashlib.sha256(self.json.encode()).digest())[:22].decode()
        self._parsed = fastavro.parse_schema(orjson.loads(self.json))

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the record's fields that its events contain."""
        return frozenset(self._fields)

    def encode(
        self, values: Mapping[str, Any], header: Mapping[str, Any] | None = None, changed: Iterable[str] = ()
    ) -> bytes:
        """Return an event in Avro.

        Args:
            values: The record's values in stored form; other fields are null.
            header: The header of a change event, without its bitmaps; None for a platform event.
            changed: The names of the changed fields of an update.
        """
        encoded = {name: _to_avro(self._fields[name], value) for name, value in values.items() if name in self._fields}
        body: dict[str, Any] = {name: encoded.get(name) for name in self._order if name not in self._compounds}
        for compound, parts in self._compounds.items():
            parts_encoded = {part: encoded.get(name) for part, name in parts.items()}
            body[compound] = parts_encoded if any(value is not None for value in parts_encoded.values()) else None
        if header is not None:
            names = set(changed)
            nulled = {name for name in names if encoded.get(name) is None}
            maps = {"changedFields": self._bitmaps(names), "nulledFields": self._bitmaps(nulled), "diffFields": []}
            body[HEADER] = {**header, **maps}
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed, body)
        return out.getvalue()

    def _bitmaps(self, names: set[str]) -> list[str]:
        first = 0 if self.is_platform_event else 1
        places = {name: place for place, name in enumerate(self._order, first)}
        top = sum(1 << places[name] for name in names if name in places)
        maps = [_to_hex(top)] if top else []
        for compound, parts in self._compounds.items():
            bits = sum(1 << place for place, name in enumerate(parts.values()) if name in names)
            maps += [f"{places[compound]}-{_to_hex(bits)}"] if bits else []
        return maps

    def _declare(self) -> dict[str, Any]:
        fields: list[dict[str, Any]] = [] if self.is_platform_event else [{"name": HEADER, "type": _HEADER}]
        for name in self._order:
            kind: Any = (
                _avro_type(self._fields[name]) if name not in self._compounds else _record(name, self._compounds[name])
            )
            fields.append({"name": name, "type": ["null", kind], "default": None})
        name = self.object if self.is_platform_event else event_name(self.object)
        return {"type": "record", "name": name, "namespace": "com.sforce.eventbus", "fields": fields}


def event_name(name: str) -> str:
    """Return the name of an object's change event: `AccountChangeEvent` for `Account`, `X__ChangeEvent` for `X__c`."""
    return f"{name.removesuffix('c')}ChangeEvent" if name.endswith("__c") else f"{name}ChangeEvent"


def topic_of(name: str) -> str:
    """Return the topic of an object's change events, such as `/data/AccountChangeEvent`."""
    return f"/data/{event_name(name)}"


@lru_cache(maxsize=32)
def _to_millis(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _is_carried(item: Field, is_platform_event: bool) -> bool:
    if is_platform_event:
        return item.name.endswith("__c") or item.name in {"CreatedDate", "CreatedById"}
    return (
        item.name not in _LEFT_OUT and item.formula is None and not (item.is_read_only and item.name.startswith("Is"))
    )


def _find_compounds(name: str, fields: Mapping[str, Field]) -> dict[str, dict[str, str]]:
    """Return the compound fields of an object: for each, the names of its parts and of the record's fields that hold them."""
    compounds = {}
    for kind in ("Billing", "Mailing"):
        if f"{kind}City" in fields:
            compounds[f"{kind}Address"] = {part: f"{kind}{part}" for part in _PARTS}
    if name == "Contact":
        compounds["Name"] = {part: part for part in _PERSON if part in fields}
    return compounds


def _record(name: str, parts: Mapping[str, str]) -> dict[str, Any]:
    kind = "PersonName" if name == "Name" else name
    fields = [{"name": part, "type": ["null", "string"], "default": None} for part in parts]
    return {"type": "record", "name": kind, "fields": fields}


def _avro_type(item: Field) -> str:
    if item.type in NUMBERS:
        return "double"
    return {"Checkbox": "boolean", "Date": "long", "DateTime": "long"}.get(item.type, "string")


def _to_avro(item: Field, value: Any) -> Any:
    if value is None:
        return None
    if item.type in NUMBERS:
        return float(value)
    if item.type in ("Date", "DateTime"):
        return _to_millis(value)
    return bool(value) if item.type == "Checkbox" else str(value)


def _to_hex(bits: int) -> str:
    digits = f"{bits:X}"
    return f"0x{digits:0>{len(digits) + len(digits) % 2}}"
