"""Approval of large changes: each is requested once, decided by a user, and stored with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.crm.settings import Settings
from include.crm.sync import approval
from include.crm.sync.preview import preview
from include.errors import FatalError
from tests.crm.conftest import HOLDINGS, Crm

pytestmark = pytest.mark.synced


@pytest.fixture
def crm(crm: Crm) -> Crm:
    """An org that holds the day, of a firm whose limit without approval is five changed records."""
    crm.settings = Settings("sample", few=5)
    return crm


def double_shares(crm: Crm) -> None:
    crm.database.do("update warehouse.position set quantity = quantity * 2")


def request_approval(crm: Crm, **options: bool) -> list[approval.Question]:
    shown = preview(crm.engine, crm.settings)
    return approval.request_approval(crm.engine, shown.concerns, shown.deltas, crm.settings, "a-run", **options)


def decide(crm: Crm, questions: list[approval.Question], is_approved: bool, reason: str = "Asked the advisor") -> None:
    ids = [question.question_id for question in questions]
    assert approval.decide(crm.engine, ids, is_approved, reason, "ursula") == len(ids)


def test_an_approval_request_names_object_and_counts(crm: Crm) -> None:
    double_shares(crm)

    [question] = request_approval(crm)

    assert question.entity == "position"
    assert question.wording.startswith("position: 95% of ")


def test_a_pending_approval_is_not_requested_again_for_a_changed_difference(crm: Crm) -> None:
    double_shares(crm)
    request_approval(crm)
    double_shares(crm)

    assert request_approval(crm) == []


def test_an_unanswered_approval_is_requested_again_after_a_day(crm: Crm) -> None:
    double_shares(crm)
    request_approval(crm)
    crm.database.do("update control.crm_question set requested_at = requested_at - interval '25 hours'")

    assert len(request_approval(crm)) == 1


def test_a_rejected_difference_is_not_requested_again_and_its_reason_is_stored(crm: Crm) -> None:
    double_shares(crm)
    decide(crm, request_approval(crm), False, "The vendor sent shares twice")
    # Prices change every day, so they are not part of the rejected change.
    crm.database.do("update warehouse.position set price_usd = price_usd + 1")

    assert request_approval(crm) == []
    assert approval.find_approved(crm.engine) == []
    assert approval.describe(crm.engine, ["position"])["position"].endswith("The vendor sent shares twice")


def test_a_difference_changed_since_its_rejection_is_requested_again(crm: Crm) -> None:
    double_shares(crm)
    decide(crm, request_approval(crm), False)
    crm.database.do(
        "update warehouse.position set quantity = quantity + 1 where position_key = (select min(position_key) from warehouse.position)"
    )

    assert len(request_approval(crm)) == 1


def test_a_rejected_difference_is_requested_again_if_an_operator_wants_it_and_can_be_approved(crm: Crm) -> None:
    double_shares(crm)
    decide(crm, request_approval(crm), False)
    decide(crm, request_approval(crm, reopens=True), True)

    assert [concern.entity for concern in approval.find_approved(crm.engine)] == ["position"]
    assert request_approval(crm, reopens=True) == []


def test_what_was_approved_is_sent_once(crm: Crm) -> None:
    double_shares(crm)
    decide(crm, request_approval(crm), True)

    counts = crm.sync(run_id="sent", approved=approval.find_approved(crm.engine))
    approval.use(crm.engine, "sent")

    assert 0 < counts["position"].updated <= len(crm.records(HOLDINGS))
    assert approval.find_approved(crm.engine) == []
    double_shares(crm)
    assert len(request_approval(crm)) == 1


def test_an_approved_unsent_difference_is_not_requested_again(crm: Crm) -> None:
    double_shares(crm)
    decide(crm, request_approval(crm), True)

    assert request_approval(crm) == []


def test_a_rejection_without_a_reason_is_refused(crm: Crm) -> None:
    double_shares(crm)
    [question] = request_approval(crm)

    with pytest.raises(FatalError, match="needs a reason"):
        approval.decide(crm.engine, [question.question_id], False, "  ", "ursula")


def test_a_decision_is_not_overruled(crm: Crm) -> None:
    double_shares(crm)
    [question] = request_approval(crm)
    decide(crm, [question], False)

    assert approval.decide(crm.engine, [question.question_id], True, "", "vera") == 0


def test_a_total_worth_that_moves_differently_is_another_difference(crm: Crm) -> None:
    crm.settings = replace(crm.settings, few=1_000_000)
    crm.database.do("update warehouse.position set market_value_usd = market_value_usd * 2")
    decide(crm, request_approval(crm), False)
    assert request_approval(crm) == []
    crm.database.do("update warehouse.position set market_value_usd = market_value_usd + 1")

    assert [question.entity for question in request_approval(crm)] == ["position"]
