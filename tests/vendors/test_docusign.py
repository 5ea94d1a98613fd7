"""DocuSign's own code: flags and numbers as texts, seven decimals, recipients in many arrays, custom fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.contract import Basic, Vendor
from include.extract.pull import Span, request
from include.vendors.docusign import DOCUSIGN
from include.vendors.docusign.envelopes import ENVELOPES, ROLES, TEMPLATES
from include.vendors.docusign.recipients import order_of, pick_first
from sandbox.docusign.life import KINDS
from tests.conftest import Firm
from tests.extract.vendor_server import Puller, RecordedCall, Reply, listen
from tests.running_sandbox import NOW
from tests.vendors.conftest import Run
from tests.vendors.golden_day import Day, Responses, Row, change_response, goldens, reply_from, run_day

GOLDEN = goldens(DOCUSIGN)
TABLES = ("envelopes", "recipients")
FIRST = "0a6633de-3dad-4d21-a3a2-000000000001"


@pytest.fixture(scope="module")
def golden_day(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of the unchanged goldens."""
    return run_day(engine, tmp_path_factory.mktemp("signed"), DOCUSIGN, GOLDEN)


def envelope(**fields: Any) -> Responses:
    """Return the goldens with these fields of the first envelope."""
    return change_response(GOLDEN, "envelopes", lambda body: body["envelopes"][0].update(fields))


def recipients(**arrays: Any) -> Responses:
    """Return the goldens with these recipients of the first envelope."""
    return envelope(recipients=arrays)


def fields(value: Any) -> Responses:
    """Return the goldens with these text custom fields of the first envelope."""
    return envelope(customFields={"textCustomFields": value})


def first(day: Day) -> Row:
    [row] = [row for row in day.read_canonical("envelopes", "envelope") if row["envelope_key"] == FIRST]
    return row


# --- texts for everything ---


@pytest.mark.parametrize(
    ("written", "microsecond"),
    [
        ("2026-11-16T14:05:09.1234567Z", 123456),
        ("2026-11-16T14:05:09.9999999Z", 999999),
        ("2026-11-16T14:05:09.1Z", 100000),
        ("2026-11-16T14:05:09Z", 0),
        ("2026-11-16T06:05:09.2500000-08:00", 250000),
    ],
)
def test_time_has_up_to_seven_decimals_and_is_rounded_down(run: Run, written: str, microsecond: int) -> None:
    day = run(DOCUSIGN, envelope(createdDateTime=written), "envelopes")
    assert first(day)["created_at"] == datetime(2026, 11, 16, 14, 5, 9, microsecond, UTC)


@pytest.mark.parametrize("flag", ["true", "false", "", True, None])
def test_flag_that_is_a_text_or_none_costs_no_envelope(run: Run, flag: object) -> None:
    day = run(DOCUSIGN, envelope(enableWetSign=flag, isDynamicEnvelope=flag), "envelopes")
    assert first(day)["status"] == "completed"
    assert day.partitions["envelopes"].manifest.undeclared == ()


def test_place_in_the_order_of_signing_is_a_number_where_it_is_one() -> None:
    texts = pa.array(["1", "12", "", "two", "-1", "1.5", "99999999999", None])
    assert order_of(texts).to_pylist() == [1, 12, None, None, None, None, None, None]


def test_empty_text_is_none() -> None:
    assert pick_first(pa.array(["", "a", None, ""]), pa.array(["b", "c", "d", ""])).to_pylist() == ["b", "a", "d", None]


# --- states ---


@pytest.mark.parametrize(
    ("theirs", "status", "is_final"),
    [
        ("created", "draft", False),
        ("sent", "sent", False),
        ("delivered", "delivered", False),
        ("signed", "delivered", False),
        ("completed", "completed", True),
        ("declined", "declined", True),
        ("voided", "voided", True),
        ("deleted", "deleted", True),
        ("timedout", "expired", True),
        ("authoritativecopy", "other", False),
    ],
)
def test_status_is_mapped_and_marked_final(run: Run, theirs: str, status: str, is_final: bool) -> None:
    day = run(DOCUSIGN, envelope(status=theirs), *TABLES)
    assert (first(day)["status"], first(day)["is_final"]) == (status, is_final)
    of = [row for row in day.read_canonical("recipients", "envelope_recipient") if row["envelope_key"] == FIRST]
    assert {row["is_final"] for row in of} == {is_final}


def test_draft_has_no_stamp_but_that_of_its_creation(run: Run) -> None:
    draft = {"envelopeId": FIRST, "status": "created", "createdDateTime": "2026-11-16T14:00:00Z"}
    rows = [draft | {"lastModifiedDateTime": "2026-11-16T14:00:00Z"}]
    day = run(DOCUSIGN, change_response(GOLDEN, "envelopes", lambda body: body.update(envelopes=rows)), *TABLES)
    assert [row["event"] for row in day.read_canonical("envelopes", "envelope_event")] == ["created"]
    assert (first(day)["status"], first(day)["sent_at"]) == ("draft", None)


@pytest.mark.parametrize(
    ("status", "stamp"),
    [
        ("declined", "declinedDateTime"),
        ("voided", "voidedDateTime"),
        ("deleted", "deletedDateTime"),
        ("timedout", "expireDateTime"),
    ],
)
def test_end_that_is_no_completion_has_its_time(run: Run, status: str, stamp: str) -> None:
    changed = {"lastModifiedDateTime": "2026-11-20T10:00:00Z", "expireDateTime": "2027-03-01T10:00:00Z"}
    responses = envelope(status=status, completedDateTime=None, **changed | {stamp: "2026-11-19T10:00:00Z"})
    assert first(run(DOCUSIGN, responses, "envelopes"))["ended_at"] == datetime(2026, 11, 19, 10, tzinfo=UTC)


def test_completed_envelope_in_the_bin_has_not_ended(run: Run) -> None:
    row = first(run(DOCUSIGN, envelope(deletedDateTime="2026-11-19T10:00:00Z"), "envelopes"))
    assert (row["status"], row["ended_at"]) == ("completed", None)


def test_each_stamp_is_an_event(golden_day: Day) -> None:
    events = [
        r["event"] for r in golden_day.read_canonical("envelopes", "envelope_event") if r["envelope_key"] == FIRST
    ]
    assert events == ["created", "sent", "delivered", "completed"]
    acts = [(r["event"], r["actor_name"]) for r in golden_day.read_canonical("recipients", "envelope_event")]
    assert ("signed", "Ann Sample") in acts
    assert ("refused", "Bo Sample") in acts


# --- recipients ---


@pytest.mark.parametrize(("array", "role"), ROLES.items())
def test_recipients_of_every_array_are_read_with_their_role(run: Run, array: str, role: str) -> None:
    who = {"recipientId": "7", "name": "Sample Person", "email": "sample@client.example", "status": "sent"}
    day = run(DOCUSIGN, recipients(**{array: [who]}), *TABLES)
    [row] = [r for r in day.read_canonical("recipients", "envelope_recipient") if r["envelope_key"] == FIRST]
    assert (row["role"], row["name"], row["status"]) == (role, "Sample Person", "sent")
    assert day.dead("recipients") == []


def test_every_array_of_the_sandbox_has_a_role() -> None:
    assert set(KINDS) <= ROLES.keys()


def test_unknown_array_is_reported_and_affects_no_other_recipient(run: Run) -> None:
    who = {"recipientId": "1", "name": "Sample Person", "status": "sent"}
    day = run(DOCUSIGN, recipients(signers=[who], hoverers=[who | {"recipientId": "2"}]), *TABLES)
    assert day.partitions["envelopes"].manifest.undeclared == ("recipients.hoverers",)
    rows = [r["role"] for r in day.read_canonical("recipients", "envelope_recipient") if r["envelope_key"] == FIRST]
    assert rows == ["signer"]


@pytest.mark.parametrize("array", ["N/A", {"recipientId": "1"}, ["x"]])
def test_array_that_is_none_costs_no_envelope_and_no_other_recipient(run: Run, array: object) -> None:
    who = {"recipientId": "2", "name": "Sample Person", "status": "sent"}
    day = run(DOCUSIGN, recipients(signers=array, carbonCopies=[who]), *TABLES)
    assert first(day)["status"] == "completed"
    rows = [r["role"] for r in day.read_canonical("recipients", "envelope_recipient") if r["envelope_key"] == FIRST]
    assert rows == ["carbon_copy"]
    assert len(day.dead("recipients")) + len(day.dead("envelopes")) >= 1


def test_recipient_without_a_name_is_known_by_the_signer_s(golden_day: Day) -> None:
    rows = {r["envelope_recipient_key"]: r for r in golden_day.read_canonical("recipients", "envelope_recipient")}
    assert (rows[f"{FIRST}:2"]["name"], rows[f"{FIRST}:2"]["email"]) == ("Bob Sample", None)
    assert (rows[f"{FIRST}:5"]["role"], rows[f"{FIRST}:5"]["name"]) == ("seal", None)


def test_what_a_signer_filled_in_and_codes_to_open_it_are_left_behind(run: Run) -> None:
    who = {"recipientId": "1", "name": "Sample", "tabs": {"textTabs": [{"value": "t4b-value"}]}, "accessCode": "c0de"}
    day = run(DOCUSIGN, recipients(signers=[who]), *TABLES)
    assert "t4b-value" not in json.dumps([day.staged(table) for table in TABLES], default=str)
    assert "c0de" not in json.dumps([day.staged(table) for table in TABLES], default=str)


# --- custom fields ---


@pytest.mark.parametrize(
    ("value", "household", "purpose"),
    [
        ([{"name": "Household", "value": "orion:17"}], "orion:household:17", None),
        (
            [{"name": "HOUSEHOLD", "value": "tamarac:H1"}, {"name": "purpose", "value": "x"}],
            "tamarac:household:H1",
            "x",
        ),
        ([{"name": "Household", "value": "The Samples"}], None, None),
        ([{"name": "Household", "value": ""}, {"name": "Purpose"}], None, None),
        ([{"name": None, "value": "orion:17"}], None, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_household_and_purpose_are_custom_fields(
    run: Run, value: object, household: str | None, purpose: str | None
) -> None:
    row = first(run(DOCUSIGN, fields(value), "envelopes"))
    assert (row["household_reference"], row["purpose"]) == (household, purpose)


@pytest.mark.parametrize(
    "value",
    ["N/A", "", ["x", None], [{"name": "Household", "value": 7}], [{"name": "Household", "value": {"a": 1}}]],
)
def test_custom_fields_that_cannot_be_read_cost_no_envelope(run: Run, value: object) -> None:
    row = first(run(DOCUSIGN, fields(value), "envelopes"))
    assert (row["status"], row["household_reference"]) == ("completed", None)


def test_number_where_a_list_is_due_is_a_dead_letter_of_its_envelope(run: Run) -> None:
    day = run(DOCUSIGN, fields(5), "envelopes")
    assert {"key": FIRST, "reasons": ["customFields.textCustomFields: not string"]} in day.dead("envelopes")


# --- requests ---


def build_parameters(**span: Any) -> dict[str, str]:
    return request(DOCUSIGN, ENVELOPES, Span(date(2026, 11, 20), **span), NOW)[0]


def test_poll_requests_changes_since_the_last_one_with_an_overlap() -> None:
    params = build_parameters(edited_since=NOW - timedelta(hours=1))
    since, until = (datetime.fromisoformat(params[name]) for name in ("from_date", "to_date"))
    assert since == NOW - timedelta(hours=1, days=ENVELOPES.overlap_days)
    assert until > NOW
    assert (params["order_by"], params["order"]) == ("created", "asc")


def test_first_poll_and_full_refresh_request_all() -> None:
    assert datetime.fromisoformat(build_parameters()["from_date"]).year < 2003


def test_past_day_requests_its_changes_in_utc() -> None:
    params = build_parameters(is_past=True, first_date=date(2026, 11, 20))
    assert (params["from_date"], params["to_date"]) == ("2026-11-20T00:00:00Z", "2026-11-20T23:59:59Z")


def test_single_envelopes_are_requested_at_once_without_dates() -> None:
    params = build_parameters(selected=("e1", "e2"))
    assert params["envelope_ids"] == "e1,e2"
    assert not {"from_date", "to_date"} & params.keys()


def test_envelopes_come_with_recipients_and_custom_fields_in_one_list(run: Run) -> None:
    """The vendor flags callers that request envelopes one by one."""
    paths: list[str] = []
    respond = reply_from(DOCUSIGN, GOLDEN)

    def record_and_respond(call: RecordedCall) -> Reply:
        paths.append(call.path)
        assert call.params["include"] == "recipients,custom_fields"
        return respond(call)

    day = run(DOCUSIGN, record_and_respond, *TABLES)
    assert set(paths) == {"/envelopes"}
    assert len(day.staged("recipients")) > 1


@pytest.mark.parametrize("vendor", ["docusign"], indirect=True)
def test_poll_finds_a_signature_that_changed_no_status(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    """The vendor selects envelopes by the time of their last status change, so the poll reaches far back."""
    firm = start_firm(vendor, households=3)
    people = [{"name": f"Sample {name}", "email": f"{name}@client.example"} for name in ("ann", "bo", "cy")]
    key = firm.sandbox.admin("docusign/send", signers=people)["envelopeId"]
    firm.sandbox.admin("docusign/sign", envelope_id=key)
    firm.day()
    firm.turn_to(NOW + timedelta(days=5))
    firm.day(date(2026, 11, 25))
    firm.sandbox.admin("docusign/sign", envelope_id=key)
    counts = firm.day(date(2026, 11, 25))
    assert {name: counts[name].inserted + counts[name].updated for name in ("envelope", "template")} == {
        "envelope": 1, "template": 0,
    }  # fmt: skip
    signed = firm.database.rows(
        "select name from warehouse.envelope_recipient where envelope_key = :key and recorded_to is null"
        " and signed_at is not null order by 1", key=key,
    )  # fmt: skip
    assert [row["name"] for row in signed] == ["Sample ann", "Sample bo"]


# --- templates ---


def test_template_that_is_removed_during_the_pull_hides_no_other_one(engine: Any, tmp_path: Path) -> None:
    names = [f"{n:03}" for n in range(150)]

    def answer(call: RecordedCall) -> Reply:
        start, count = int(call.params["start_position"]), int(call.params["count"])
        page = [{"templateId": name, "name": name} for name in names[start : start + count]]
        names[:] = [name for name in names if name != "000"]
        return Reply({"envelopeTemplates": page})

    with listen(answer) as listener:
        rows = Puller(engine, replace(DOCUSIGN, login=Basic()), listener.url, tmp_path).rows(TEMPLATES)
    assert {row["template_id"] for row in rows} >= set(names)
