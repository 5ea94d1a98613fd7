"""Adobe Sign's own code: one list per user, states from events, agreements that end and are reopened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from include.pipeline import vendor_day
from include.pipeline.plan import keep_keyed
from include.vendors.adobe_sign import ADOBE_SIGN
from include.vendors.adobe_sign.agreements import COMPLETED, OUT, VOIDED, is_final, purpose_of
from include.vendors.adobe_sign.members import member_status
from local.postgres import Postgres
from sandbox.adobe_sign.agreements import ROLES
from tests.conftest import Firm, new_database
from tests.extract.vendor_server import RecordedCall, Reply
from tests.running_sandbox import LAST, NOW, run_sandbox
from tests.vendors.conftest import Run
from tests.vendors.golden_day import Day, Responses, Row, change_response, goldens, reply_from, run_day

GOLDEN = change_response(
    goldens(ADOBE_SIGN), "agreement_events", lambda body: body["agreements/A2/events"]["events"].pop()
)
"""The goldens without the dead event, because its agreement is held back while it is dead."""


@pytest.fixture(scope="module")
def golden_day(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of the unchanged goldens."""
    return run_day(engine, tmp_path_factory.mktemp("agreed"), ADOBE_SIGN, GOLDEN)


def agreement(key: str, **fields: Any) -> Responses:
    """Return the goldens with these fields of one agreement."""
    return change_response(GOLDEN, "agreement_details", lambda body: body[f"agreements/{key}"].update(fields))


def replace_events(key: str, *events: tuple[str, str]) -> Responses:
    """Return the goldens with these events (kind and time) of one agreement."""
    rows = [{"type": kind, "date": at, "description": f"{kind} {n}"} for n, (kind, at) in enumerate(events)]
    return change_response(
        GOLDEN, "agreement_events", lambda body: body[f"agreements/{key}/events"].update(events=rows)
    )


def envelope(day: Day, key: str) -> Row:
    [row] = [row for row in day.read_canonical("agreement_details", "envelope") if row["envelope_key"] == key]
    return row


def people(day: Day, key: str) -> dict[str, Row]:
    rows = day.read_canonical("participants", "envelope_recipient")
    return {row["envelope_recipient_key"]: row for row in rows if row["envelope_key"] == key}


# --- states ---


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *((f"OUT_FOR_{what}", "sent") for what in OUT),
        *((word, "completed") for word in COMPLETED),
        *((word, "voided") for word in VOIDED),
        *((word, "draft") for word in ("DRAFT", "AUTHORING", "DOCUMENTS_NOT_YET_PROCESSED")),
        ("EXPIRED", "expired"),
        ("SOMETHING_NEW", "other"),
    ],
)
def test_status_is_mapped_to_ours(run: Run, theirs: str, ours: str) -> None:
    assert envelope(run(ADOBE_SIGN, agreement("A1", status=theirs)), "A1")["status"] == ours


def test_every_status_of_the_sandbox_is_known(golden_day: Day) -> None:
    awaited = pa.array([role.awaited for role in ROLES.values()])
    done = pa.array([role.done for role in ROLES.values()])
    assert set(is_final(awaited).to_pylist()) == {False}
    assert set(is_final(done).to_pylist()) == {True}


def test_withdrawn_and_rejected_share_a_status_and_differ_by_events(run: Run) -> None:
    withdrawn = run(
        ADOBE_SIGN, replace_events("A3", ("CREATED", "2026-11-10T09:00:00Z"), ("RECALLED", "2026-11-11T09:00:00Z"))
    )
    refused = run(
        ADOBE_SIGN, replace_events("A3", ("CREATED", "2026-11-10T09:00:00Z"), ("REJECTED", "2026-11-11T09:00:00Z"))
    )
    assert [envelope(day, "A3")["status"] for day in (withdrawn, refused)] == ["voided", "declined"]
    assert envelope(withdrawn, "A3")["ended_at"] == datetime(2026, 11, 11, 9, tzinfo=UTC)


def test_agreement_that_ended_and_is_open_was_reopened_when_it_changed_last(golden_day: Day) -> None:
    row = envelope(golden_day, "A4")
    assert (row["status"], row["is_final"], row["ended_at"]) == ("sent", False, None)
    assert row["reopened_at"] == row["changed_at"] == datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize("key", ["A1", "A2", "A3", "A5"])
def test_agreement_that_is_open_or_ended_for_the_first_time_was_not_reopened(golden_day: Day, key: str) -> None:
    assert envelope(golden_day, key)["reopened_at"] is None


def test_agreement_without_events_changed_when_created(golden_day: Day) -> None:
    row = envelope(golden_day, "A5")
    assert (row["status"], row["changed_at"]) == ("draft", row["created_at"])


def test_draft_has_no_members_or_events_and_affects_no_other(golden_day: Day) -> None:
    for table in ("members", "agreement_events"):
        assert {row["agreement_id"] for row in golden_day.staged(table)} == {"A1", "A2", "A3", "A4"}


def test_status_in_the_list_is_the_caller_s_and_does_not_count(golden_day: Day) -> None:
    [listed] = [row for row in golden_day.staged("agreements") if row["agreement_id"] == "A2"]
    assert listed["status_to_user"] == "WAITING_FOR_MY_APPROVAL"
    assert envelope(golden_day, "A2")["status"] == "sent"


@pytest.mark.parametrize("written", ["2026-11-19T06:07:19-07:00", "2026-11-19T13:07:19Z"])
def test_times_are_in_any_offset(run: Run, written: str) -> None:
    day = run(ADOBE_SIGN, agreement("A2", createdDate=written))
    assert envelope(day, "A2")["created_at"] == datetime(2026, 11, 19, 13, 7, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        ("Advisory agreement - Sample", "advisory agreement"),
        ("Advisory agreement \u2013 Sample - 2", "advisory agreement"),
        ("Fee-schedule change", "fee-schedule change"),
        (None, None),
    ],
)
def test_purpose_is_the_name_up_to_its_first_dash(name: str | None, purpose: str | None) -> None:
    assert purpose_of(pa.array([name], pa.string())).to_pylist() == [purpose]


# --- members ---


def test_replaced_member_is_counted_and_dropped(golden_day: Day) -> None:
    assert set(people(golden_day, "A2")) == {"A2:P2", "A2:P4"}
    assert golden_day.produced("participants", "envelope_recipient").dropped["replaced by another member"] == 1


def test_member_carries_the_role_the_order_and_the_state_of_the_set(golden_day: Day) -> None:
    last = people(golden_day, "A2")["A2:P4"]
    assert (last["role"], last["routing_order"], last["status"]) == ("signer", 2, "waiting")
    assert {row["created_on"] for row in people(golden_day, "A2").values()} == {
        envelope(golden_day, "A2")["created_on"]
    }


def test_member_action_time_comes_from_the_events(golden_day: Day) -> None:
    assert people(golden_day, "A1")["A1:P1"]["signed_at"] == datetime(2026, 11, 18, 10, 30, tzinfo=UTC)
    assert people(golden_day, "A3")["A3:P5"]["declined_at"] == datetime(2026, 11, 11, 9, tzinfo=UTC)


def test_every_state_of_a_set_is_mapped() -> None:
    theirs = ["COMPLETED", "NOT_YET_VISIBLE", "WAITING_FOR_MY_SIGNATURE", "CANCELLED", "EXPIRED", None]
    assert member_status(pa.array(theirs)).to_pylist() == ["completed", "waiting", "sent", "other", "other", "sent"]


def test_password_of_a_member_is_left_behind(golden_day: Day) -> None:
    staged = [golden_day.staged(table) for table in golden_day.partitions]
    assert "never kept" not in json.dumps(staged, default=str)


# --- every user's list ---


class Users:
    """A vendor of two users; each has a list in pages of one agreement, and both lists share an agreement."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.lists = {"ann@firm.example": ["A1", "A2"], "bo@firm.example": ["A2", "A3", "A4"]}
        self.answer = reply_from(ADOBE_SIGN, GOLDEN)

    def __call__(self, call: RecordedCall) -> Reply:
        user = call.headers.get("x-api-user", "").removeprefix("email:")
        self.calls.append((call.path, user, call.params.get("cursor", "")))
        if call.path == "/users":
            return Reply({"page": {}, "userInfoList": [{"id": f"U-{name}", "email": name} for name in self.lists]})
        if call.path != "/agreements":
            return self.answer(call)
        place, ids = int(call.params.get("cursor", "0")), self.lists[user]
        page = {"nextCursor": str(place + 1)} if place + 1 < len(ids) else {}
        return Reply({"page": page, "userAgreementList": [{"id": ids[place], "name": "Sample", "status": "SIGNED"}]})


def test_list_of_every_user_is_read_to_its_end_on_that_user_s_behalf(run: Run) -> None:
    users = Users()
    day = run(ADOBE_SIGN, users)
    listed = sorted((user, cursor) for path, user, cursor in users.calls if path == "/agreements")
    assert listed == [
        *(("ann@firm.example", cursor) for cursor in ("", "1")),
        *(("bo@firm.example", cursor) for cursor in ("", "1", "2")),
    ]
    manifest = day.partitions["agreements"].manifest
    assert (manifest.fetched, manifest.staged, manifest.duplicate) == (5, 4, 1)


def test_agreement_of_two_users_is_requested_once_for_one_of_them(run: Run) -> None:
    users = Users()
    day = run(ADOBE_SIGN, users)
    calls = [(path, user) for path, user, _ in users.calls if path.startswith("/agreements/A2")]
    assert len(calls) == len({path for path, _ in calls}) == 3
    assert len({user for _, user in calls}) == 1
    assert {row["envelope_key"] for row in day.read_canonical("agreement_details", "envelope")} == {
        "A1",
        "A2",
        "A3",
        "A4",
    }


# --- agreements that have ended ---


@pytest.fixture(scope="module")
def firm(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """A firm whose agreements are in the warehouse."""
    folder = tmp_path_factory.mktemp("firm")
    with new_database(postgres) as database, run_sandbox(folder / "sandbox", households=12) as sandbox:
        firm = Firm(ADOBE_SIGN, sandbox, database, folder)
        firm.day()
        yield firm
        firm.engine.dispose()


def keys(firm: Firm, where: str) -> set[str]:
    query = f"select envelope_key as key from warehouse.envelope where recorded_to is null and {where}"
    return {row["key"] for row in firm.database.rows(query)}


def list_requested(firm: Firm) -> set[str]:
    """Return the agreements that the newest run requested one by one."""
    query = "select distinct split_part(path, '/', 2) as key from control.api_call where path like 'agreements/%'"
    return {row["key"] for row in firm.database.rows(f"{query} and run_id = 'run-{firm._runs}'")}


def request_agreement(firm: Firm, key: str) -> None:
    """Request one agreement on its sender's behalf, as a webhook or an operator does."""
    sender = firm.database.value(
        "select sender_email from warehouse.envelope where envelope_key = :key and recorded_to is null", key=key
    )
    run = firm.new_run(LAST, on_demand=True, keys=(f"{key}|{sender}",))
    partitions = firm.stage(run, *keep_keyed(firm.vendor, [table.name for table in firm.vendor.requested_tables]))
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()), rows_only=True)
    firm.publish(run, partitions)


def test_ended_agreement_is_not_requested_again_and_others_are(firm: Firm) -> None:
    ended, going_on = keys(firm, "is_final"), keys(firm, "not is_final")
    assert ended
    assert going_on
    firm.day()
    assert list_requested(firm) == going_on


def test_full_refresh_requests_all(firm: Firm) -> None:
    firm.day(full_refresh=True)
    assert list_requested(firm) == keys(firm, "true")


def test_ended_agreement_is_requested_when_selected(firm: Firm) -> None:
    key = min(keys(firm, "is_final"))
    request_agreement(firm, key)
    assert list_requested(firm) == {key}


def test_agreement_that_expired_and_was_started_again_is_open(firm: Firm) -> None:
    key = min(keys(firm, "status = 'sent'"))
    firm.sandbox.admin("adobe_sign/expire", agreement_id=key)
    request_agreement(firm, key)
    assert key in keys(firm, "status = 'expired' and is_final")
    firm.turn_to(NOW + timedelta(hours=1))  # the vendor's times have no fractions
    firm.sandbox.admin("adobe_sign/restart", agreement_id=key)
    firm.day()  # its webhook was lost; the user's list shows that it is open again
    assert key in keys(firm, "status = 'sent' and not is_final and reopened_at is not null")
