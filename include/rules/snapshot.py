"""The snapshot: the input of the rules, with one vendor's data of one business date as Arrow tables, as known now.

A vendor's present day is its latest business date whose positions a current pull loaded. A backfill or a replay never makes a day the
present day, so that an old day never opens a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.database import columns
from include.database.columns import cents
from include.rules import snapshot_queries
from include.rules.policy import FLOW_DAYS

USD = pa.decimal128(18, 2)
SHARE = pa.decimal128(9, 8)
SUM_OF_SHARES = pa.decimal128(12, 8)

ACCOUNTS = pa.schema(
    {
        "account_id": pa.int64(),
        "household_id": pa.int64(),
        "representative_id": pa.int64(),
        "open_date": pa.date32(),
        "close_date": pa.date32(),
        "is_active": pa.bool_(),
        "was_active": pa.bool_(),
        "absent_since": pa.date32(),
        "market_value_usd": USD,
        "cash_usd": USD,
        "before_usd": USD,
        "net_flow_usd": USD,
    }
)
SLEEVED = pa.schema({"household_id": pa.int64(), "sleeved_usd": USD})
OWNERS = pa.schema({"account_id": pa.int64(), "household_id": pa.int64(), "share_ratio": SHARE})
HOUSEHOLDS = pa.schema({"household_id": pa.int64(), "representative_id": pa.int64(), "absent_since": pa.date32()})
POSITIONS = pa.schema(
    {"account_id": pa.int64(), "security_id": pa.int64(), "market_value_usd": USD, "is_cash": pa.bool_()}
)
SECURITIES = pa.schema(
    {"security_id": pa.int64(), "title": pa.string(), "category": pa.string(), "security_type": pa.string()}
)
FLOWS = pa.schema({"account_id": pa.int64(), "trade_date": pa.date32(), "flow": pa.string(), "amount_usd": USD})
BREAKS = pa.schema({"account_id": pa.int64(), "difference_quantity": pa.decimal128(38, 8)})
SILENT = pa.schema({"subject_entity": pa.string(), "subject_id": pa.int64()})


@dataclass(frozen=True, slots=True)
class PresentDay:
    """The newest loaded day of a vendor, and with what it can be compared.

    Attributes:
        vendor: Name of the vendor.
        business_date: The day.
        run_id: The run that loaded the day.
        before: The newest earlier day of which all account values were loaded; None if there is none.
        known_at: Time at which the transactions of `before` were loaded; None if none were loaded.
        is_complete: Whether the complete transaction history had been loaded by `known_at`. If so, a transaction loaded later is also
            new at the vendor.
        is_compared: Whether the day was reconciled.
        is_rolled: Whether the day's positions were compared with those of the previous day (roll-forward).
        is_balanced: Whether every check of the reconciliation passed, and no push has changed positions or account values since.
        is_unused: Whether the firm no longer uses the vendor, so that the day stays its last.
        read_at: Time of reading, by the database's clock; findings of an older reading never replace those of a newer one.
    """

    vendor: str
    business_date: date
    run_id: str
    before: date | None
    known_at: datetime | None
    is_complete: bool
    is_compared: bool
    is_rolled: bool
    is_balanced: bool
    is_unused: bool
    read_at: datetime


@dataclass(frozen=True)
class Snapshot:
    """One vendor's day. `accounts` and `owners` leave out an account whose sleeves are also listed, because it would count twice, and a copy
    of another vendor's account, which is evaluated at that vendor.

    Attributes:
        business_date: The day.
        before: The earlier day that the day is compared with; None if there is none.
        accounts: One row per account. Values are null if the vendor states none. `was_active` and `before_usd` are the state and value
            on the day `before`. `net_flow_usd` is the part of the difference in value that deposits and withdrawals explain.
            `absent_since` is the first day on which the vendor no longer listed the account; null if it does.
        sleeved: Value on the day `before` of a household's accounts that counted then, and of which only the sleeves count now.
        owners: Share of each owner of an account; several persons of one household may own shares.
        households: Households with their representative; `absent_since` is as for accounts, null also if another portfolio vendor lists
            the household.
        positions: The accounts' positions.
        securities: The vendor's securities; `title` is the ticker, or the name if there is no ticker.
        flows: Deposits (`contribution`, positive) and withdrawals (`distribution`, negative) of the last `FLOW_DAYS` days.
        breaks: Positions that did not roll forward; the account is null if unknown. None if there was no roll-forward for the day.
        silent_before: As `silent`, for the accounts' values on the day `before`.
        silent: Subjects on which no finding opens or closes, because one of their rows is a dead letter. With a null id, no finding
            closes, because the dead letter may concern any account.
    """

    business_date: date
    before: date | None
    accounts: pa.Table
    sleeved: pa.Table
    owners: pa.Table
    households: pa.Table
    positions: pa.Table
    securities: pa.Table
    flows: pa.Table
    breaks: pa.Table | None
    silent_before: pa.Table
    silent: pa.Table

    @cached_property
    def shares(self) -> pa.Table:
        """account_id, household_id, share_ratio: each household's share of an account, one row per pair."""
        owned = self.owners.filter(pc.is_valid(self.owners["household_id"]))
        return total(owned, ["account_id", "household_id"], {"share_ratio": SUM_OF_SHARES})

    @cached_property
    def held(self) -> pa.Table:
        """account_id, held_usd: the sum of an account's positions."""
        return total(self.positions, ["account_id"], {"market_value_usd": USD}).rename_columns(
            ["account_id", "held_usd"]
        )

    def sum_owned(self, accounts: pa.Table, *names: str) -> pa.Table:
        """Return for each household the sums of account columns, weighted by the household's shares; null counts as 0.

        Args:
            accounts: Table with account_id and columns in dollars.
            names: Names of the columns to add up.

        Returns:
            Table with household_id and the columns.
        """
        pairs = self.shares.join(accounts.select(["account_id", *names]), "account_id", join_type="inner")
        parts = {n: pc.multiply(pc.fill_null(pairs[n], Decimal(0)), pairs["share_ratio"]) for n in names}
        table = pa.table({"household_id": pairs["household_id"]} | parts)
        return total(table, ["household_id"], dict.fromkeys(names, USD))


def find_present_days(connection: sa.Connection) -> list[PresentDay]:
    """Return each vendor's present day: the latest business date whose positions a current pull loaded.

    A day that is not reconciled yet is included. A vendor without such a day is left out.
    """
    return [PresentDay(**row) for row in connection.execute(snapshot_queries.PRESENT_DAYS).mappings()]


def read_snapshot(connection: sa.Connection, day: PresentDay) -> Snapshot:
    """Read the snapshot of a present day, at about a million positions a second.

    Args:
        connection: In a transaction whose statements all see the same state (REPEATABLE READ).
        day: From `find_present_days` in the same transaction.
    """
    values = {
        "vendor": day.vendor, "day": day.business_date, "before": day.before, "run_id": day.run_id,
        "known_at": day.known_at, "is_complete": day.is_complete, "flow_days": FLOW_DAYS,
    }  # fmt: skip

    def read(query: str, schema: pa.Schema) -> pa.Table:
        return columns.read_table(connection, query, schema, values)

    return Snapshot(
        business_date=day.business_date,
        before=day.before,
        accounts=read(snapshot_queries.ACCOUNTS, ACCOUNTS),
        sleeved=read(snapshot_queries.SLEEVED, SLEEVED),
        owners=read(snapshot_queries.OWNERS, OWNERS),
        households=read(snapshot_queries.HOUSEHOLDS, HOUSEHOLDS),
        positions=_read_positions(connection, values),
        securities=read(snapshot_queries.SECURITIES, SECURITIES),
        flows=read(snapshot_queries.FLOWS, FLOWS),
        breaks=read(snapshot_queries.BREAKS, BREAKS) if day.is_rolled else None,
        silent_before=read(snapshot_queries.SILENT_BEFORE, SILENT),
        silent=read(snapshot_queries.SILENT, SILENT),
    )


def total(rows: pa.Table, by: list[str], sums: Mapping[str, pa.DataType]) -> pa.Table:
    """Group rows by columns and sum other columns.

    Args:
        rows: The rows.
        by: Columns to group by.
        sums: Column to sum -> decimal type of the sum, to which it is rounded.
    """
    grouped = rows.group_by(by).aggregate([(name, "sum") for name in sums])
    added = {name: to_decimal(grouped[f"{name}_sum"], type_) for name, type_ in sums.items()}
    return pa.table({name: grouped[name] for name in by} | added)


def to_decimal(values: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    """Round decimals half to even to the scale of a decimal type, and cast them to it."""
    return pc.round(values, type_.scale, round_mode="half_to_even").cast(type_)


def _read_positions(connection: sa.Connection, values: Mapping[str, Any]) -> pa.Table:
    names = ["account_id", "security_id", "market_value_cents", "is_cash"]
    read = columns.read_integers(connection, snapshot_queries.POSITIONS, names, values)
    arrays = [read["account_id"], read["security_id"], cents(read["market_value_cents"]), pc.equal(read["is_cash"], 1)]
    return pa.table(arrays, schema=POSITIONS)
