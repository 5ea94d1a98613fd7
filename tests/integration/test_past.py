"""Records known only from a past date stay out of Salesforce until the vendor lists them today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from include.crm.sync.preview import preview
from include.vendors.orion import ORION
from tests.conftest import Database, Firm
from tests.crm.conftest import ACCOUNTS, SECURITIES, Crm
from tests.running_sandbox import LAST, run_sandbox

PAST, NEXT = date(2026, 11, 10), datetime(2026, 11, 23, 23, tzinfo=UTC)
GONE_ACCOUNT, GONE_SECURITY = 2, 777


class Data:
    """A folder of Orion's objects, with one household and a test's accounts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "orion"
        self._folder.mkdir(parents=True)
        self.put("representatives", {"id": 1, "fullName": "A Sample", "isActive": True})
        self.put("clients", {"id": 1, "name": "Sample", "isActive": True, "representativeId": 1})
        self.put("registrations", {"id": 1, "clientId": 1, "name": "Sample, Ada", "isActive": True})
        self.put("transactions", *({
            "id": number, "accountId": account, "assetId": account * 10, "productId": security, "transDate": midnight(day),
            "transAmount": 0, "noUnits": units, "status": "Complete", "typeCode": "BUY", "editedDate": midnight(day),
        } for number, account, security, units, day in ((1, 1, 701, 0, LAST), (2, 2, 777, 10, NEXT.date()))))  # fmt: skip

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        every = dict.fromkeys(column.source for column in ORION.table(table).columns)
        (self._folder / f"{table}.jsonl").write_text("".join(json.dumps(every | row) + "\n" for row in rows))

    def hold(self, *accounts: tuple[int, int, date]) -> None:
        """Write accounts, each with one security, on days."""
        self.put("accounts", *({
            "id": account, "name": f"Sample {account}", "number": f"9900{account:05d}", "isActive": True, "currentValue": 100,
            "cashBalance": 0, "registrationId": 1, "clientId": 1, "representativeId": 1, "sleeveType": "None",
            "lastPositionDate": midnight(LAST), "asOfDate": str(day),
        } for account, _, day in accounts))  # fmt: skip
        self.put("assets", *({
            "id": account * 10, "accountId": account, "productId": security, "name": f"Security {security}", "isActive": True,
            "currentShares": 10, "currentPrice": 10, "currentValue": 100, "assetClass": "Equity", "asOfDate": midnight(day),
        } for account, security, day in accounts))  # fmt: skip


def midnight(day: date) -> str:
    return f"{day}T00:00:00-06:00"


@pytest.fixture
def firm(tmp_path: Path, database: Database) -> Iterator[Firm]:
    """A firm with an account and a security that exist on the past date, not on the last, and again on the next."""
    gone = GONE_ACCOUNT, GONE_SECURITY
    Data(tmp_path / "data").hold(
        (1, 701, PAST), (*gone, PAST), (1, 701, LAST), (1, 701, NEXT.date()), (*gone, NEXT.date())
    )
    with run_sandbox(tmp_path / "vendor", data=tmp_path / "data") as sandbox:
        sandbox.admin("orion/closed_through", date=str(LAST))
        firm = Firm(ORION, sandbox, database, tmp_path)
        yield firm
        firm.engine.dispose()


@pytest.fixture
def org(firm: Firm) -> Iterator[Crm]:
    org = Crm(firm.database, firm.sandbox, firm.folder / "work")
    yield org
    org.engine.dispose()


def test_a_backfill_sends_nothing(firm: Firm, org: Crm) -> None:
    firm.day()
    org.sync()
    assert firm.day(PAST)["position"].inserted == 2
    assert org.sent() == {}
    assert len(org.records(ACCOUNTS)) == len(org.records(SECURITIES)) == 1


def test_history_shows_closed_accounts(firm: Firm) -> None:
    firm.day()
    firm.day(PAST)
    aum = firm.database.rows("select business_date, aum_usd, accounts from mart.aum_by_household order by 1")
    assert [tuple(row.values()) for row in aum] == [(PAST, 200, 2), (LAST, 100, 1)]
    assert firm.database.rows("select managed_usd, accounts from mart.net_worth") == [
        {"managed_usd": 100, "accounts": 1}
    ]


def test_what_was_missing_already_is_not_absent_of_today(firm: Firm) -> None:
    firm.day(PAST)
    firm.day()
    assert firm.database.rows("select * from control.absence") == []


def test_what_is_back_today_is_sent(firm: Firm, org: Crm) -> None:
    firm.day()
    firm.day(PAST)
    org.sync()
    firm.turn_to(NEXT)
    firm.sandbox.admin("orion/closed_through", date=str(NEXT.date()))
    firm.day(NEXT.date())
    deltas = preview(org.engine, org.settings).deltas
    assert deltas["account"].new == deltas["security"].new == 1
    assert firm.database.value("select count(*) from warehouse.account where is_past_only") == 0
