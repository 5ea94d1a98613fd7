"""People's edits in Tamarac: correct, reverse or backdate a trade, close or move an account, rename a household."""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sandbox.firm.edits import Edit
from sandbox.firm.holdings import BUY, CASH_IN, CASH_OUT, SELL, TRANSFER_OUT, Trade, correct_event, reverse_event
from sandbox.firm.households import Account
from sandbox.firm.market import CASH, SECURITIES, find_session, round_money
from sandbox.tamarac.house import VENDOR, House, label_account, list_trades, read_account

_FIRST_PLACE = 90_001
"""Number of the first trade that a person enters in an account. Generated trades always have lower numbers."""


def find_number(edit: Edit) -> int | None:
    """Return the number of the household that an edit changes; None for `move_account`, which changes two households.

    Raises:
        KeyError: a value is missing.
        ValueError: an id is malformed, or the kind of edit is unknown.
    """
    kind = edit["kind"]
    if kind in ("correct_transaction", "reverse_transaction"):
        return read_account(_split(edit["transaction_id"])[0])[1]
    if kind in ("backdate_trade", "close_account"):
        return read_account(edit["account_id"])[1]
    if kind == "rename_household":
        return read_household(edit["household_id"])
    if kind == "move_account":
        return None
    raise ValueError(f"unknown edit {kind!r}")


def find_override(edits: Iterable[Edit]) -> date | None:
    """Return the last closed day that a test has set, or None if the clock decides."""
    days = [edit["date"] for edit in edits if edit["kind"] == "closed_through"]
    return find_session(date.fromisoformat(days[-1])) if days and days[-1] else None


def find_row_edits(edits: Iterable[Edit], table: str) -> dict[str, dict[str, Any]]:
    """Return the changed properties of one list's rows, by id of the row."""
    row_edits: dict[str, dict[str, Any]] = {}
    for edit in edits:
        if edit["kind"] == "set_fields" and (edit.get("vendor"), edit["table"]) == (VENDOR, table):
            row_edits.setdefault(edit["id"], {}).update(edit["set"])
    return row_edits


def read_household(label: str) -> int:
    """Parse a household's id, such as "H501001"; return the household's number, in this case 500000.

    Raises:
        ValueError: the text is not a household's id.
    """
    if not label.startswith("H"):
        raise ValueError(f"{label!r} is not a household's id")
    return int(label[1:]) - 1001


def apply_edits(house: House, edits: Iterable[Edit]) -> None:
    """Apply edits to a generated household, in order.

    Raises:
        KeyError: an id in an edit is unknown, or a value is missing.
        ValueError: an edit is not possible.
    """
    changes: dict[str, Callable[[House, Edit], None]] = {
        "correct_transaction": _correct_transaction,
        "reverse_transaction": _reverse_transaction,
        "backdate_trade": _backdate_trade,
        "close_account": _close_account,
        "rename_household": _rename_household,
    }
    for edit in edits:
        changes[edit["kind"]](house, edit)


def _split(transaction: str) -> tuple[str, int]:
    """Split a transaction's id into the account's id and the trade's number in that account."""
    stem, _, place = transaction.rstrip("D").rpartition("-")
    if not stem.startswith("T"):
        raise ValueError(f"{transaction!r} is not a transaction's id")
    return f"A{stem[1:]}", int(place)


def find_account(house: House, label: str) -> Account:
    """Return the household's account with the id `label`.

    Raises:
        KeyError: the household has no account with this id.
    """
    for account in house.accounts:
        if label_account(account.id) == label:
            return account
    raise KeyError(label)


def _find_event(house: House, edit: Edit) -> list[Trade]:
    label, place = _split(edit["transaction_id"])
    for trade in list_trades(find_account(house, label)):
        if trade.id == place:
            return trade.event
    raise KeyError(edit["transaction_id"])


def _correct_transaction(house: House, edit: Edit) -> None:
    event = _find_event(house, edit)
    quantity, price = (None if edit.get(k) is None else Decimal(str(edit[k])) for k in ("quantity", "price"))
    correct_event(event, _read_moment(edit), quantity, price)
    for trade in event:
        if edit.get("trade_date"):
            trade.trade_date = date.fromisoformat(edit["trade_date"])
    _settle(event)


def _reverse_transaction(house: House, edit: Edit) -> None:
    event = _find_event(house, edit)
    reverse_event(event, _read_moment(edit))
    _settle(event)


def _backdate_trade(house: House, edit: Edit) -> None:
    account, at = find_account(house, edit["account_id"]), _read_moment(edit)
    day, quantity = find_session(date.fromisoformat(edit["trade_date"])), Decimal(str(edit["quantity"]))
    security = next((s for s in SECURITIES if s.ticker and s.ticker == edit["symbol"]), None)
    if security is None:
        raise KeyError(edit["symbol"])
    price = Decimal(str(edit["price"])) if edit.get("price") else house.market.find_price(security.id, day)
    amount, place = round_money(abs(quantity) * price), _next_place(account)
    legs = ((security, BUY, abs(quantity), price), (CASH, CASH_OUT, amount, Decimal(1)))
    if quantity < 0:
        legs = ((security, SELL, abs(quantity), price), (CASH, CASH_IN, amount, Decimal(1)))
    event: list[Trade] = []
    for offset, (held, kind, units, unit_price) in enumerate(legs):
        asset = account.find_assets(held)[0]
        trade = Trade(asset, kind, day, units, unit_price, amount, at, at, event=event, id=place + offset)
        event.append(trade)
        asset.trades.append(trade)
    _settle(event)


def _close_account(house: House, edit: Edit) -> None:
    account, at = find_account(house, edit["account_id"]), _read_moment(edit)
    day = find_session(date.fromisoformat(edit["date"]))
    account.closed_on, account.edited_at = day, at
    place = _next_place(account)
    for asset in account.assets.values():
        asset.trades = [trade for trade in asset.trades if trade.trade_date <= day]
        asset.settle()
        if held := asset.find_quantity(day):
            price = house.market.find_price(asset.security.id, day)
            amount = round_money(held * price)
            trade = Trade(asset, TRANSFER_OUT, day, held, price, amount, at, at, id=place)
            trade.event = [trade]
            asset.trades.append(trade)
            asset.settle()
            place += 1


def _rename_household(house: House, edit: Edit) -> None:
    house.name = str(edit["name"])


def _read_moment(edit: Edit) -> datetime:
    return datetime.fromisoformat(edit["at"])


def _next_place(account: Account) -> int:
    return max([_FIRST_PLACE - 1, *(trade.id for trade in list_trades(account))]) + 1


def _settle(event: list[Trade]) -> None:
    for asset in {trade.asset.id: trade.asset for trade in event}.values():
        asset.settle()
