"""A wrong day after good ones: what analysts, operators and Salesforce see while it is rejected and once it is corrected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from include.contract import Table
from include.control.digest import write_digest
from include.crm.objects.portfolio import list_mappings
from include.pipeline import vendor_day
from include.pipeline.run import Run
from include.staging.partitions import Partition
from tests.conftest import Firm
from tests.crm.conftest import ACCOUNTS, HOLDINGS, Crm
from tests.faults.reshaping import Reshape, list_missing, list_renamed, list_shifted, read_rows, write_rows
from tests.faults.test_vendor_faults import warehouse

TRANSACTIONS = "FinServ__FinancialAccountTransaction__c"
FIRST_WORDS = {"validate": "The day failed validation and is not loaded", "load": "The day does not reconcile"}
_ABOUT_LOADS = ("freshness", "completeness", "day_in_force")
_COUNTED = """
join warehouse.account a on a.account_id = f.account_id and a.recorded_to is null and a.valid_to is null and a.is_counted
where f.vendor = :vendor and f.recorded_to is null
"""
_MONEY = {
    (ACCOUNTS, "account", "FinServ__Balance__c"): f"""
        select a.account_key as key, f.market_value_usd as money from warehouse.account_value f {_COUNTED} and f.business_date = :day""",
    (HOLDINGS, "position", "FinServ__MarketValue__c"): f"""
        select f.position_key as key, f.market_value_usd as money from warehouse.position f {_COUNTED} and f.business_date = :day""",
    (TRANSACTIONS, "transaction", "FinServ__Amount__c"): f"""
        select f.transaction_key as key, coalesce(f.amount_usd, 0) as money from warehouse.transaction f {_COUNTED}
        and f.status = 'posted' and f.trade_date between cast(:day as date) - 30 and :day""",
    ("Account", "household", "Tributary_Held_Away__c"): """
        select k.source_key as key, p.held_away_usd as money from mart.plan_assets p
        join mart.plan_freshness n on n.household_id = p.household_id and n.vendor = p.vendor and n.is_leading
        join warehouse.source_key k on k.id = p.household_id and k.entity = 'household' where p.vendor = :vendor""",
}  # fmt: skip
"""The expected money in Salesforce: SQL over the warehouse, independent of the loader."""


@dataclass
class WrongDay:
    """A Monday after two good days, pulled and not yet validated."""

    firm: Firm
    run: Run
    partitions: dict[str, Partition]

    def reshape(self, table: Table, reshape: Reshape) -> dict[str, Partition]:
        """Return the day's partitions, with the rows of one table reshaped."""
        partition = self.partitions[table.name]
        rows = reshape(read_rows(table, partition))
        return self.partitions | {table.name: write_rows(self.firm, table, partition, rows, self.run)}

    def publish(self, partitions: dict[str, Partition]) -> None:
        """Run the rest of the day."""
        vendor_day.validate(self.firm.vendor_run(self.run), list(partitions.values()))
        self.firm.publish(self.run, partitions)

    def cases(self, table: Table) -> Iterator[tuple[str, str, Reshape]]:
        """List kinds of wrong days of a table: what is wrong, and how."""
        rows = read_rows(table, self.partitions[table.name])
        yield from (("missing", *case) for case in list_missing(rows))
        yield from (("renamed", *case) for case in list_renamed(table, rows))
        yield from (("shifted", *case) for case in list_shifted(table, rows))


@dataclass
class LastGoodDay:
    """The last good day of a firm in the warehouse, the marts and Salesforce, which are in sync.

    Attributes:
        day: Its business date.
    """

    firm: Firm
    crm: Crm
    day: date
    _marts: dict[str, Any] = field(init=False)
    _warehouse: dict[str, Any] = field(init=False)
    _org: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.crm.sync()
        self._warehouse, self._marts, self._org = warehouse(self.firm), self._read_marts(), self._read_org()
        self._check_money(self.day)

    def check_rejected(self, run: Run, step: str, reason: str = "") -> None:
        """Check that a rejected day shows nothing except the rejection, its place and its reason."""
        assert warehouse(self.firm) == self._warehouse
        assert self._read_marts() == self._marts
        [force] = self._find_in_force()
        assert (force["business_date"], force["rejected_date"], force["rejected_in"]) == (
            self.day,
            run.business_date,
            step,
        )
        assert self._rows("select max(business_date) as day from mart.freshness where vendor = :vendor") == [
            {"day": self.day}
        ]
        assert self._find_states(run.business_date) == {"rejected"}
        assert "rejected" not in self._find_states(self.day)
        [rejected] = self._rows(
            "select reason from control.rejection where vendor = :vendor and run_id = :run and step = :step",
            run=run.run_id, step=step,
        )  # fmt: skip
        assert force["reason"] == rejected["reason"]
        assert FIRST_WORDS[step] in rejected["reason"]
        assert reason in rejected["reason"]
        line = f"- {self.firm.vendor.name} {run.business_date}: rejected by {step}; {self.day} is in force: {rejected['reason']}"
        assert line in write_digest(self.firm.site.engine, self.firm.clock())

    def check_salesforce(self) -> None:
        """Check that a sync sends nothing, and that Salesforce holds the last good day."""
        assert self.crm.sent() == {}
        assert self._read_org() == self._org

    def check_corrected(self, day: date) -> None:
        """Check that the corrected day is in force everywhere, and in Salesforce after a sync."""
        [force] = self._find_in_force()
        assert (force["business_date"], force["rejected_date"]) == (day, None)
        assert "rejected" not in self._find_states(day)
        assert "Rejected" not in write_digest(self.firm.site.engine, self.firm.clock())
        self.crm.sync()
        self._check_money(day)
        if any(self._org.values()):  # Salesforce has no envelopes without a household
            assert self._read_org() != self._org
        assert self.crm.sent() == {}

    def _check_money(self, day: date) -> None:
        for (sobject, entity, name), query in _MONEY.items():
            if sobject == TRANSACTIONS and not self.crm.settings.has_transactions:
                continue
            prefix = f"{self.crm.settings.firm}:{self.firm.vendor.name}:{entity}:"
            records = self.crm.records(sobject, entity)
            for row in self._rows(query, day=day):
                assert Decimal(str(records[prefix + row["key"]][name])) == row["money"], (sobject, row)

    def _read_marts(self) -> dict[str, Any]:
        names = [row["name"] for row in self._rows("select viewname as name from pg_views where schemaname = 'mart'")]
        assert len(names) > len(_ABOUT_LOADS)
        return {
            name: self._rows(f"select count(*), sum(hashtext(t::text)) from mart.{name} t")
            for name in names
            if name not in _ABOUT_LOADS
        }

    def _read_org(self) -> dict[str, bytes]:
        """Read every record of the objects that we send."""
        names = {each.sobject for each in list_mappings(self.crm.settings)}
        return {name: self.crm.http.get(f"/salesforce/_admin/records/{name}").content for name in names}

    def _find_in_force(self) -> list[dict[str, Any]]:
        return self._rows("select * from mart.day_in_force where vendor = :vendor")

    def _find_states(self, day: date) -> set[str]:
        """Read the state of a vendor's day in the marts."""
        rows = self._rows(
            "select state from mart.completeness where vendor = :vendor and business_date = :day", day=day
        )
        assert rows
        return {row["state"] for row in rows}

    def _rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        return self.firm.database.rows(
            query, **({"vendor": self.firm.vendor.name} if ":vendor" in query else {}), **values
        )
