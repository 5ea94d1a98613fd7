"""Bitmaps, compound fields and times of change events, written as Salesforce's documentation shows them."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.connection import Connection
from include.crm.changes.decoding import Decoded, EventSchema, is_ours, read_change, read_row
from include.crm.changes.stored import USED, find_stored
from include.errors import ConfigurationError, SchemaDrift

STRINGS = {"type": "array", "items": "string"}
HEADER = [
    ("entityName", "string"), ("recordIds", STRINGS), ("changeType", "string"), ("changeOrigin", "string"),
    ("transactionKey", "string"), ("sequenceNumber", "int"), ("commitTimestamp", "long"), ("commitNumber", "long"),
    ("commitUser", "string"), ("nulledFields", STRINGS), ("diffFields", STRINGS), ("changedFields", STRINGS),
]  # fmt: skip
PARTS = ["FirstName", "LastName"]
UNLISTED = ["TIN__c", "EIN__c", "Bank_Acct_No__c", "Routing_Number__c", "Description"]
FIELDS = ["Phone", "Birthdate", "Name", "MailingAddress", "Amount", *UNLISTED]
SIMPLE = ["Phone", "Birthdate", "Amount"]
NAMES = ["Phone", "Amount", "FirstName", "LastName", "MailingStreet", "MailingCity"]
KINDS = {"Birthdate": "date"} | dict.fromkeys([*NAMES, *UNLISTED], "string")
STORED = {"Birthdate", *NAMES}


def record(name: str, fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": each, "type": kind} for each, kind in fields]}


def make_schema() -> dict[str, Any]:
    """The header is the first field, so that `Phone` has the second bit."""
    name = record("PersonName", [(part, ["null", "string"]) for part in PARTS])
    place = record("Address", [("Street", ["null", "string"]), ("City", ["null", "string"])])
    kinds = ["string", "long", name, place, "double", *["string"] * len(UNLISTED)]
    fields = [("ChangeEventHeader", record("ChangeEventHeader", HEADER))]
    return record(
        "ContactChangeEvent", [*fields, *((n, ["null", kind]) for n, kind in zip(FIELDS, kinds, strict=True))]
    )


SCHEMA = EventSchema(orjson.dumps(make_schema()).decode(), KINDS, STORED)


def read(
    changed: list[str],
    kind: str = "UPDATE",
    follows: Any = None,
    header: Any = None,
    schema: EventSchema | None = None,
    **values: Any,
) -> Decoded:
    decoded = {
        "entityName": "Contact", "recordIds": ["003000000000001AAA"], "changeType": kind, "changeOrigin": "",
        "transactionKey": "t", "sequenceNumber": 1, "commitTimestamp": 1_795_215_600_123, "commitNumber": 7, "commitUser": "u",
        "nulledFields": [], "diffFields": [], "changedFields": changed,
    }  # fmt: skip
    out = io.BytesIO()
    body = {"ChangeEventHeader": decoded | (header or {}), **dict.fromkeys(FIELDS), **values}
    fastavro.schemaless_writer(out, fastavro.parse_schema(make_schema()), body)
    return read_change(schema or SCHEMA, out.getvalue(), follows or {})


def fields_of(decoded: Decoded) -> dict[str, Any]:
    [change] = decoded.changes
    return dict(change.fields)


def test_a_bit_is_the_place_of_a_field() -> None:
    assert fields_of(read(["0x02"], Phone="5550100")) == {"Phone": "5550100"}
    assert fields_of(read(["0x26"], Phone="5550100", Amount=1.5)) == {
        "Phone": "5550100",
        "Birthdate": None,
        "Amount": 1.5,
    }


def test_the_bits_behind_a_place_are_parts_of_its_field() -> None:
    address = {"Street": None, "City": "Springfield"}
    decoded = read(["3-0x02", "4-0x02"], Name={"FirstName": None, "LastName": "Sample"}, MailingAddress=address)
    assert fields_of(decoded) == {"LastName": "Sample", "MailingCity": "Springfield"}


def test_a_compound_field_that_is_marked_as_a_whole_is_all_its_parts() -> None:
    assert fields_of(read(["0x10"])) == {"MailingStreet": None, "MailingCity": None}


def test_parts_that_are_marked_beside_their_whole_are_the_only_ones_that_changed() -> None:
    decoded = read(["0x10", "4-0x02"], MailingAddress={"Street": None, "City": "Springfield"})
    assert fields_of(decoded) == {"MailingCity": "Springfield"}


def test_dates_are_days() -> None:
    assert fields_of(read(["0x04"], Birthdate=-272_592_000_000)) == {"Birthdate": "1961-05-13"}


def test_a_new_record_is_what_it_has() -> None:
    assert fields_of(read([], "CREATE", Phone="5550100")) == {"Phone": "5550100"}


def test_what_our_user_may_not_read_is_not_taken_for_cleared() -> None:
    schema = EventSchema(orjson.dumps(make_schema()).decode(), {"Birthdate": "date"}, STORED)
    assert schema.list_names() == ["Birthdate"]
    assert not schema.is_readable("Phone")


@pytest.mark.parametrize("kind", ["CREATE", "UPDATE"])
@pytest.mark.parametrize("name", [*UNLISTED, "Birthdate"])
def test_a_field_that_is_not_listed_is_stored_by_its_name_only(name: str, kind: str) -> None:
    schema = EventSchema(orjson.dumps(make_schema()).decode(), KINDS, {"Phone"})
    value = -272_592_000_000 if name == "Birthdate" else "000-00-0000"
    bits = 1 << (1 + FIELDS.index("Phone")) | 1 << (1 + FIELDS.index(name))
    decoded = read([f"0x{bits:02X}"], kind, schema=schema, Phone="1", **{name: value})
    [change] = decoded.changes
    assert (change.fields, change.changed) == ({"Phone": "1"}, tuple(sorted(["Phone", name])))
    assert schema.list_names() == ["Phone"]  # the fields that queries read


def test_a_cleared_field_that_is_not_listed_is_stored_by_its_name_only() -> None:
    [change] = read([f"0x{1 << (1 + FIELDS.index('TIN__c')):02X}"]).changes
    assert (change.fields, change.changed, change.nulled) == ({}, ("TIN__c",), ("TIN__c",))


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("no JSON", "must be a JSON object"), ("[]", "must be a JSON object"), ('{"Contact": "Title"}', "must be a JSON object"),
        ('{"Lead": ["Title"]}', "must be a JSON object"), ('{"Contact": ["SSN__c", "Title"]}', "fields=SSN__c"),
    ],
)  # fmt: skip
def test_invalid_list_of_fields_is_refused(listed: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        find_stored(Connection("https://org.example", extra={"change_fields": listed}), "Contact")


def test_listed_fields_are_stored_beside_those_that_tributary_uses() -> None:
    connection = Connection("https://org.example", extra={"change_fields": '{"Opportunity": ["NextStep"]}'})
    assert find_stored(connection, "Opportunity") == USED["Opportunity"] | {"NextStep"}
    assert find_stored(connection, "Contact") == frozenset()


@pytest.mark.parametrize("kind", ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"])
def test_a_gap_names_records_to_be_read(kind: str) -> None:
    decoded = read([], kind)
    assert (decoded.unread_ids, decoded.is_overflow) == (["003000000000001AAA"], False)
    assert [change.kind for change in decoded.changes] == (["DELETE"] if kind == "GAP_DELETE" else [])


@pytest.mark.parametrize("header", [{"changeType": "GAP_OVERFLOW", "recordIds": []}, {"recordIds": ["003*"]}])
def test_an_overflow_or_a_wildcard_is_everything(header: Any) -> None:
    decoded = read([], header=header)
    assert (decoded.changes, decoded.unread_ids, decoded.is_overflow) == ([], [], True)


def test_a_value_that_came_as_a_difference_is_read() -> None:
    assert read(["0x02"], header={"diffFields": ["0x02"]}, Phone="@@").unread_ids == ["003000000000001AAA"]


def test_a_field_that_events_leave_out_is_read_when_the_one_it_follows_changes() -> None:
    follows = {"Phone": frozenset({"IsWon"})}
    assert read(["0x02"], follows=follows, Phone="1").unread_ids == ["003000000000001AAA"]
    assert read(["0x04"], follows=follows, Birthdate=0).unread_ids == []


@given(st.sets(st.sampled_from(SIMPLE)))
def test_exactly_the_marked_fields_change(names: set[str]) -> None:
    bits = sum(1 << (1 + FIELDS.index(name)) for name in names)
    assert fields_of(read([f"0x{bits:02X}"] if bits else [])).keys() == names


@pytest.mark.parametrize("payload", [b"", b"\xff" * 40, b"\x02A"])
def test_what_is_no_event_is_drift(payload: bytes) -> None:
    with pytest.raises(SchemaDrift):
        read_change(SCHEMA, payload, {})


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"type": "record", "name": "X", "fields": [{"name": "A", "type": "?"}]}']
)
def test_what_is_no_schema_is_drift(text: str) -> None:
    with pytest.raises(SchemaDrift):
        EventSchema(text, {}, ())


def test_reading_again_what_did_not_change_has_the_same_name() -> None:
    row = {"Id": "1", "SystemModstamp": "2026-11-20T23:00:00.000+0000", "LastModifiedById": "u", "Phone": "1"}
    first, again, other = (read_row("Contact", row | more, ["Phone"]) for more in ({}, {}, {"Phone": "2"}))
    assert first.transaction == again.transaction != other.transaction


@pytest.mark.parametrize(
    ("origin", "is_so"),
    [
        ("com/salesforce/api/rest/66.0;client=Tributary", True),
        ("com/salesforce/api/rest/66.0;client=NotTributary", False),
        ("com/salesforce/api/rest/66.0;client=TributaryToo", False),
        ("com/salesforce/api/rest/66.0", False),
        ("", False),
    ],
)
def test_our_own_writes_are_known_by_their_origin(origin: str, is_so: bool) -> None:
    assert is_ours(origin, "Tributary") is is_so
