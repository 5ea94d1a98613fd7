"""The rules about signatures: their thresholds and their texts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.rules.policy import Policy
from include.rules.signatures import find_ended_envelopes, find_unopened_accounts, find_waiting_envelopes
from tests.rules.household_views import DAY, make_view
from tests.rules.snapshots import details, read_measures

POLICY = Policy()


def ago(days: int) -> Any:
    return DAY - timedelta(days=days)


def envelope(status: str = "sent", sent: int = 20, **more: Any) -> dict[str, Any]:
    row = {
        "household_id": 1, "envelope_key": "e1", "purpose": "account opening", "status": status, "sent_on": ago(sent),
        "is_replaced": False, "signers": 2, "signed": 1,
    }  # fmt: skip
    return row | more


@pytest.mark.parametrize("status", ["sent", "delivered"])
@pytest.mark.parametrize(("days", "is_found"), [(5, False), (6, True)])
def test_an_envelope_may_wait_for_some_days(status: str, days: int, is_found: bool) -> None:
    findings = find_waiting_envelopes(make_view(envelopes=[envelope(status, days)]), POLICY)
    assert read_measures(findings) == ({1: Decimal(days)} if is_found else {})


@pytest.mark.parametrize("status", ["completed", "declined", "voided", "expired", "deleted", "other"])
def test_one_that_came_to_an_end_does_not_wait(status: str) -> None:
    assert read_measures(find_waiting_envelopes(make_view(envelopes=[envelope(status)]), POLICY)) == {}


def test_the_oldest_envelope_is_reported_and_the_others_are_counted() -> None:
    rows = [envelope(sent=9), envelope(sent=12, envelope_key="e2", purpose=None), envelope(sent=2, envelope_key="e3")]
    assert details(find_waiting_envelopes(make_view(envelopes=rows), POLICY)) == [
        "A document has waited for signatures since 2026-11-08, more than 5 days; 1 of 2 signers have signed."
        " Other waiting documents: 1."
    ]


@pytest.mark.parametrize("status", ["declined", "voided", "expired"])
@pytest.mark.parametrize(("days", "is_found"), [(30, True), (31, False)])
def test_an_uncompleted_envelope_is_found_for_some_days(status: str, days: int, is_found: bool) -> None:
    row = envelope(status, 40, ended_on=ago(days))
    findings = find_ended_envelopes(make_view(envelopes=[row]), POLICY)
    assert read_measures(findings) == ({1: Decimal(days)} if is_found else {})


@pytest.mark.parametrize("is_replaced", [False, True])
def test_an_envelope_that_was_sent_again_is_settled(is_replaced: bool) -> None:
    declined = envelope("declined", 9, ended_on=ago(4), is_replaced=is_replaced)
    text = "Account opening was declined on 2026-11-16 and has not been sent again."
    assert details(find_ended_envelopes(make_view(envelopes=[declined]), POLICY)) == [text] * (not is_replaced)


@pytest.mark.parametrize(("days", "is_found"), [(10, False), (11, True), (365, True), (366, False)])
def test_signed_papers_lead_to_an_account_within_some_days(days: int, is_found: bool) -> None:
    row = envelope("completed", days + 2, completed_on=ago(days))
    findings = find_unopened_accounts(make_view(envelopes=[row]), POLICY)
    assert read_measures(findings) == ({1: Decimal(days)} if is_found else {})


@pytest.mark.parametrize(("opened", "is_found"), [(19, False), (20, False), (21, True)])
def test_an_account_opened_since_the_envelope_was_sent_settles_it(opened: int, is_found: bool) -> None:
    row = envelope("completed", 20, completed_on=ago(15))
    openings = [{"household_id": 1, "opened_on": ago(opened)}]
    findings = find_unopened_accounts(make_view(envelopes=[row], openings=openings), POLICY)
    assert bool(read_measures(findings)) is is_found


def test_papers_for_another_purpose_open_no_account() -> None:
    row = envelope("completed", 20, completed_on=ago(15), purpose="Asset transfer")
    assert read_measures(find_unopened_accounts(make_view(envelopes=[row]), POLICY)) == {}
    assert read_measures(find_unopened_accounts(make_view(envelopes=[row | {"purpose": "New Account "}]), POLICY)) != {}
