"""Changes that require approval: a first load, a large change, many closings; nothing is sent before it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from include.crm.settings import Settings
from include.crm.sync import holding
from include.crm.sync.delta import Delta
from include.crm.sync.guard import Concern, find_concerns, find_unapproved
from include.crm.sync.preview import preview
from include.errors import ApprovalNeeded
from tests.crm.conftest import ACCOUNTS, HOLDINGS, Crm

SETTINGS = Settings("sample", few=10, most_changed_ratio=Decimal("0.3"), most_closed=5)


def delta(new: int = 0, changed: int = 0, *, held: int, notable: int | None = None, closing: int = 0) -> Delta:
    return Delta(new, changed, 0, held=held, notable=new + changed if notable is None else notable, closing=closing)


@pytest.mark.parametrize(
    ("account_delta", "asks"),
    [
        pytest.param(delta(held=0), False, id="nothing at all"),
        pytest.param(delta(10, held=0), False, id="a first load of a few"),
        pytest.param(delta(11, held=0), True, id="a first load of one more"),
        pytest.param(delta(changed=10, held=12), False, id="a few, whatever their share"),
        pytest.param(delta(changed=30, held=100), False, id="just the share"),
        pytest.param(delta(changed=31, held=100), True, id="one more than the share"),
        pytest.param(delta(20, 11, held=100), True, id="new ones count like changed ones"),
        pytest.param(delta(changed=1000, held=1000, notable=0), False, id="what changes every day"),
        pytest.param(delta(changed=1000, held=1000, notable=31), False, id="a little more than what changes every day"),
        pytest.param(delta(changed=5, held=1000, closing=5), False, id="as many closings as may be"),
        pytest.param(delta(changed=6, held=1000, closing=6), True, id="one closing more"),
        pytest.param(replace(delta(1, held=1000), separated=1), True, id="one that is separated"),
    ],
)
def test_a_run_beyond_its_bounds_requires_approval(account_delta: Delta, asks: bool) -> None:
    assert bool(find_concerns({"account": account_delta}, SETTINGS)) is asks


def test_a_firm_can_require_approval_of_every_change() -> None:
    settings = replace(SETTINGS, few=0, most_changed_ratio=Decimal(0), most_closed=0)

    assert find_concerns({"account": delta(held=0)}, settings) == []
    assert len(find_concerns({"account": delta(changed=1, held=1000, closing=1)}, settings)) == 2


def test_an_approval_request_describes_its_changes() -> None:
    deltas = {
        "household": delta(40, held=0),
        "account": delta(100, 300, held=1000, closing=26),
        "position": delta(changed=1, held=1000),
    }

    assert find_concerns(deltas, SETTINGS) == [
        Concern("household", "change", 40, "household: a first load (40 new, 40 in all)"),
        Concern("account", "change", 400, "account: 40% of 1,000 records would change (100 new, 400 in all)"),
        Concern("account", "close", 26, "account: 26 accounts would close"),
    ]


def change(records: int, entity: str = "account") -> Concern:
    return Concern(entity, "change", records, f"{entity}: {records} would change")


def closing(records: int) -> Concern:
    return Concern("account", "close", records, f"{records} would close")


def separate(records: int) -> Concern:
    return Concern("legal_entity", "separate", records, f"{records} would be separated")


def worth(dollars: int) -> Concern:
    return Concern("account", "worth", dollars, f"worth would change by {dollars}")


@pytest.mark.parametrize(
    ("concerns", "approved", "is_refused"),
    [
        ([], [], False),
        ([change(100)], [], True),
        ([change(100)], [change(100)], False),
        ([change(90)], [change(100)], False),
        ([change(110)], [change(100)], False),
        ([change(111)], [change(100)], True),
        ([change(100)], [change(100, "position")], True),
        ([change(100), change(100, "position")], [change(100)], True),
        ([closing(26)], [change(26)], True),
        ([closing(26)], [closing(26)], False),
        ([closing(25)], [closing(26)], False),
        ([closing(36)], [closing(26)], True),
        ([separate(3)], [separate(3)], False),
        ([separate(4)], [separate(3)], True),
        ([worth(10_100)], [worth(10_000)], False),
        ([worth(10_101)], [worth(10_000)], True),
    ],
)
def test_what_was_approved_may_happen_and_no_more(
    concerns: list[Concern], approved: list[Concern], is_refused: bool
) -> None:
    assert bool(find_unapproved(concerns, approved, SETTINGS)) is is_refused


def test_only_what_was_not_approved_is_left() -> None:
    unapproved = find_unapproved([change(100), change(70, "position"), closing(26)], [change(100)], SETTINGS)

    assert unapproved == [change(70, "position"), closing(26)]


@pytest.fixture
def crm(crm: Crm) -> Crm:
    """An org of a firm whose limit without approval is two changed records."""
    crm.settings = Settings("sample", few=2)
    return crm


def concerns(crm: Crm) -> list[Concern]:
    return preview(crm.engine, crm.settings).concerns


def test_a_first_load_is_refused_and_nothing_sent(crm: Crm) -> None:
    with pytest.raises(ApprovalNeeded, match="household: a first load"):
        crm.sync()

    assert crm.records("Account") == crm.records(HOLDINGS) == {}
    assert crm.database.value("select count(*) from control.crm_job") == 0


def test_an_approved_first_load_goes(crm: Crm) -> None:
    approved = concerns(crm)

    counts = crm.sync(approved=approved)

    assert len(approved) == len([c for c in counts.values() if c.created])
    assert all(c.created == c.sent for c in counts.values())


def read_held_back(crm: Crm) -> dict[str, str]:
    """Read the objects that are held back, with the cause of each."""
    return {each.entity: each.cause for each in holding.read(crm.engine)}


def test_an_object_that_was_not_approved_is_held_back_and_the_others_are_sent(crm: Crm) -> None:
    approved = [concern for concern in concerns(crm) if concern.entity != "position"]

    counts = crm.sync(approved=approved)

    assert counts["account"].created == len(crm.records(ACCOUNTS)) > 0
    assert crm.records(HOLDINGS) == {}
    assert read_held_back(crm) == {"position": "approval"}


def test_records_wait_for_a_parent_that_was_not_approved(crm: Crm) -> None:
    approved = [concern for concern in concerns(crm) if concern.entity != "account"]

    counts = crm.sync(approved=approved)

    assert counts["household"].created > 0
    assert crm.records(ACCOUNTS) == crm.records(HOLDINGS) == {}
    assert read_held_back(crm) == {"account": "approval", "position": "parent"}
    assert crm.dead_letters() == []


@pytest.mark.synced
def test_holdings_of_accounts_without_an_approved_closing_keep_their_shares(crm: Crm) -> None:
    crm.settings = replace(crm.settings, few=1_000, most_closed=3)
    close_accounts(crm, 4)
    crm.database.do("update warehouse.position set quantity = quantity + 1")
    before = crm.records(HOLDINGS)

    sent = crm.sync()["position"].updated

    after = crm.records(HOLDINGS)
    closing = {
        crm.records(ACCOUNTS)[f"sample:orion:account:{row['account_key']}"]["Id"]
        for row in crm.database.rows("select account_key from warehouse.account where close_date = '2026-11-20'")
    }
    unchanged = {key for key in before if after[key]["FinServ__Shares__c"] == before[key]["FinServ__Shares__c"]}
    assert (
        unchanged
        == {key for key, record in after.items() if record["FinServ__FinancialAccount__c"] in closing}
        != set()
    )
    assert sent == len(after) - len(unchanged) > 0
    assert read_held_back(crm) == {"account": "approval", "position": "parent"}


@pytest.mark.synced
def test_price_changes_of_all_holdings_need_no_approval(crm: Crm) -> None:
    crm.database.do(
        "update warehouse.position set price_usd = price_usd * 1.01, market_value_usd = market_value_usd + 1"
    )
    crm.database.do("update warehouse.account_value set market_value_usd = market_value_usd + 1")

    counts = crm.sync()

    assert counts["position"].updated == len(crm.records(HOLDINGS))


@pytest.mark.synced
def test_removing_half_of_the_holdings_requires_approval(crm: Crm) -> None:
    before = crm.records(HOLDINGS)
    crm.database.do("update warehouse.position set recorded_to = now() where position_key::bigint % 2 = 0")

    with pytest.raises(ApprovalNeeded, match=r"position: \d\d% of"):
        crm.sync()

    assert crm.records(HOLDINGS) == before


@pytest.mark.synced
def test_changed_share_counts_of_all_holdings_require_approval(crm: Crm) -> None:
    crm.database.do("update warehouse.position set quantity = quantity * 2")

    assert [concern.entity for concern in concerns(crm)] == ["position"]


def close_accounts(crm: Crm, count: int) -> None:
    crm.database.do(
        "update warehouse.account set is_active = false, close_date = '2026-11-20' where account_id in"
        " (select account_id from warehouse.account where is_active order by account_id limit :count)",
        count=count,
    )


@pytest.mark.synced
def test_closings_beyond_the_limit_require_approval(crm: Crm) -> None:
    crm.settings = replace(crm.settings, few=1_000, most_closed=3)
    close_accounts(crm, 4)

    with pytest.raises(ApprovalNeeded, match="4 accounts would close"):
        crm.sync()

    assert all(record.get("FinServ__CloseDate__c") != "2026-11-20" for record in crm.records(ACCOUNTS).values())
    assert crm.sync(approved=concerns(crm))["account"].updated == 4
    assert concerns(crm) == []


@pytest.mark.synced
def test_closed_accounts_that_change_again_are_no_closings(crm: Crm) -> None:
    crm.settings = replace(crm.settings, few=1_000, most_closed=3)
    close_accounts(crm, 4)
    crm.sync(approved=concerns(crm))
    crm.database.do("update warehouse.account set name = 'Renamed' where not is_active")

    assert concerns(crm) == []


@pytest.mark.synced
def test_more_closings_than_approved_require_another_approval(crm: Crm) -> None:
    crm.settings = replace(crm.settings, few=1_000, most_closed=3)
    close_accounts(crm, 4)
    approved = concerns(crm)
    close_accounts(crm, 2)

    with pytest.raises(ApprovalNeeded, match="6 accounts would close"):
        crm.sync(approved=approved)


def test_more_changes_than_approved_require_another_approval(crm: Crm) -> None:
    approved = [replace(concern, records=concern.records - 6) for concern in concerns(crm)]

    with pytest.raises(ApprovalNeeded):
        crm.sync(approved=approved)

    assert crm.records("Account") == {}


def test_a_preview_sends_no_request_to_salesforce(crm: Crm) -> None:
    preview(crm.engine, crm.settings)

    assert crm.database.value("select count(*) from control.api_call where vendor = 'salesforce'") == 0


def test_a_second_attempt_with_the_same_approval_sends_nothing(crm: Crm) -> None:
    approved = concerns(crm)
    crm.sync(approved=approved)

    assert crm.sync(approved=approved)["position"].sent == 0


@pytest.mark.synced
def test_a_large_value_jump_requires_approval(crm: Crm) -> None:
    crm.database.do("update warehouse.account_value set market_value_usd = 0, cash_usd = 0")
    crm.database.do("update warehouse.position set market_value_usd = 0, price_usd = 0")

    assert {(c.entity, c.question) for c in concerns(crm)} == {("account", "worth"), ("position", "worth")}
    with pytest.raises(ApprovalNeeded, match="worth"):
        crm.sync()


@pytest.mark.synced
def test_a_market_move_requires_no_approval(crm: Crm) -> None:
    crm.database.do("update warehouse.account_value set market_value_usd = market_value_usd * 0.93")
    crm.database.do("update warehouse.position set market_value_usd = market_value_usd * 0.93")

    assert concerns(crm) == []
