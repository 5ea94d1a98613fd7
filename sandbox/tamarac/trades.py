"""A household's rows in Tamarac's report `AccountTransactions`. All cells are text.

The public documentation leaves these points open; our choices are:

- `Entry Date` is the day of the row's last change, so a correction or a reversal moves it.
- Cash changes by `Amount`. A transfer of a security is the exception: its amount is its value, and cash does not change.
- A split is a "Transfer In" of units with the amount 0.
- A reinvestment is a "Dividend" and a "Buy" of the same amount.
"""

import bisect
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from sandbox.firm.holdings import (
    BUY,
    CASH_IN,
    CASH_OUT,
    COMPLETE,
    CONTRIBUTION,
    DISTRIBUTION,
    DIVIDEND,
    FEE,
    INTEREST,
    PENDING,
    REINVESTMENT,
    REVERSED,
    SELL,
    SPLIT,
    TRANSFER_IN,
    TRANSFER_OUT,
    Trade,
)
from sandbox.firm.households import Account
from sandbox.firm.market import SECURITIES, Security, list_sessions
from sandbox.tamarac.house import House, label_account, list_trades
from sandbox.tamarac.positions import Row, write_day, write_number, write_symbol

# fmt: off
TRANSACTIONS = (
    "Transaction ID", "Account ID", "Trade Date", "Entry Date", "Settle Date", "Type", "Symbol", "CUSIP",
    "Description", "Quantity", "Price", "Amount", "Status",
)
# fmt: on
_NEW_YORK = ZoneInfo("America/New_York")
_STATUSES = {COMPLETE: "Posted", PENDING: "Pending", REVERSED: "Reversed"}
_TYPES = {
    BUY: "Buy",
    SELL: "Sell",
    DIVIDEND: "Dividend",
    INTEREST: "Interest",
    CONTRIBUTION: "Deposit",
    DISTRIBUTION: "Withdrawal",
    FEE: "Fee",
    TRANSFER_IN: "Transfer In",
    TRANSFER_OUT: "Transfer Out",
    SPLIT: "Transfer In",
}
_BY_TICKER = {security.ticker: security for security in SECURITIES if security.ticker}


def write_transactions(house: House, by: str, first: date, last: date) -> list[Row]:
    """Return the transactions from `first` through `last`. `by` selects the date: "Entry" or "Trade"."""
    rows: list[Row] = []
    for account in house.accounts:
        for trade in list_trades(account):
            day = find_entry_day(trade) if by == "Entry" else trade.trade_date
            if trade.status in _STATUSES and trade.kind not in (CASH_IN, CASH_OUT) and first <= day <= last:
                rows += _write_trade(trade, account)
    return rows


def find_entry_day(trade: Trade) -> date:
    """Return the day in New York on which a trade was entered or last changed."""
    return trade.edited_at.astimezone(_NEW_YORK).date()


def _write_trade(trade: Trade, account: Account) -> Iterator[Row]:
    security, kind = trade.asset.security, trade.kind
    quantity = kind.sign * trade.quantity
    amount = trade.amount * (-kind.sign if kind in (BUY, SELL) else kind.sign)
    if kind is DIVIDEND:
        security, quantity = _BY_TICKER[(trade.note or "").removeprefix("Dividend ")], Decimal(0)
    if kind is REINVESTMENT:
        yield _write_transaction(trade, account, "Dividend", security, Decimal(0), trade.amount, suffix="D")
        yield _write_transaction(trade, account, "Buy", security, quantity, -trade.amount)
        return
    yield _write_transaction(trade, account, _TYPES[kind], security, quantity, amount)


def _write_transaction(
    trade: Trade,
    account: Account,
    type_: str,
    security: Security,
    quantity: Decimal,
    amount: Decimal,
    suffix: str = "",
) -> Row:
    return {
        "Transaction ID": f"T{account.id}-{trade.id:05d}{suffix}",
        "Account ID": label_account(account.id),
        "Trade Date": write_day(trade.trade_date),
        "Entry Date": write_day(find_entry_day(trade)),
        "Settle Date": write_day(_find_settlement(trade.trade_date)),
        "Type": type_,
        "Symbol": write_symbol(security),
        "CUSIP": "" if security.is_cash else security.cusip,
        "Description": trade.note or f"{type_} {security.name}",
        "Quantity": write_number(quantity),
        "Price": write_number(trade.price) if quantity else "",
        "Amount": write_number(amount),
        "Status": _STATUSES[trade.status],
    }


def _find_settlement(day: date) -> date:
    """Return the settlement day of a trade: the next session."""
    sessions = list_sessions()
    return sessions[min(bisect.bisect_right(sessions, day), len(sessions) - 1)]
