"""A household's rows in Tamarac's report `AccountHoldingsAV`. All cells are text.

The report also has rows of reporting groups, with the sums of their members' positions. So the sum of all rows counts positions
twice.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import Any, NamedTuple

from sandbox.firm.households import Account
from sandbox.firm.market import Market, Security, round_money
from sandbox.tamarac.groups import find_accounts
from sandbox.tamarac.house import House, label_account
from sandbox.tamarac.rows import GROUP_TYPE

Row = dict[str, Any]

# fmt: off
HOLDINGS = (
    "Account ID", "Account Number", "Account Type", "Symbol", "CUSIP", "Description", "Asset Class", "Security Type",
    "Quantity", "Price", "Market Value", "Cost Basis", "As Of Date",
)
# fmt: on
_LOTS = 23  # one in 23 positions has two rows


class Position(NamedTuple):
    """The position of an account or group in one security. Value and cost are in dollars.

    If `is_split` is true, the report shows the position as two rows (lots).
    """

    security: Security
    quantity: Decimal
    price: Decimal
    value: Decimal
    cost: Decimal
    is_split: bool = False


def write_holdings(house: House, day: date) -> list[Row]:
    """Return the household's rows at the end of `day`: positions of accounts, then sums of reporting groups."""
    rows, held = [], {}
    for account in house.accounts:
        label = label_account(account.id)
        held[label] = list(_list_positions(account, house.market, day))
        head = {"Account ID": label, "Account Number": account.number, "Account Type": house.find_type(account)}
        lots = (lot for position in held[label] for lot in _split_lots(position))
        rows += [head | _write_position(lot, day) for lot in lots]
    for group in house.reported:
        head = {"Account ID": group.id, "Account Number": "", "Account Type": GROUP_TYPE}
        members = sorted(find_accounts(group, house.groups))
        summed = _add_up(position for label in members for position in held[label])
        rows += [head | _write_position(position, day) for position in summed]
    return rows


def _list_positions(account: Account, market: Market, day: date) -> Iterator[Position]:
    for asset in sorted(account.assets.values(), key=lambda asset: asset.id):
        if quantity := asset.find_quantity(day):
            price = market.find_price(asset.security.id, day)
            is_split = asset.id % _LOTS == 0 and not asset.security.is_cash
            value = round_money(quantity * price)
            yield Position(asset.security, quantity, price, value, asset.find_cost(day), is_split)


def _add_up(positions: Iterable[Position]) -> list[Position]:
    """Add up positions by security. Return one position per security."""
    totals: dict[int, Position] = {}
    for position in positions:
        total = totals.get(position.security.id)
        totals[position.security.id] = (
            position
            if total is None
            else total._replace(
                quantity=total.quantity + position.quantity,
                value=total.value + position.value,
                cost=total.cost + position.cost,
            )
        )
    return list(totals.values())


def _split_lots(position: Position) -> list[Position]:
    """Split a position marked `is_split` into two lots that add up to it; return any other position as the only lot."""
    part = (position.quantity * Decimal("0.6")).quantize(position.quantity, ROUND_DOWN)
    if not position.is_split or not part:
        return [position]
    value, cost = round_money(part * position.price), round_money(position.cost * Decimal("0.6"))
    remainder = position._replace(
        quantity=position.quantity - part, value=position.value - value, cost=position.cost - cost
    )
    return [position._replace(quantity=part, value=value, cost=cost), remainder]


def _write_position(position: Position, day: date) -> Row:
    security = position.security
    return {
        "Symbol": write_symbol(security),
        "CUSIP": "" if security.is_cash else security.cusip,
        "Description": security.name,
        "Asset Class": security.asset_class,
        "Security Type": "Cash" if security.is_cash else security.sub_type,
        "Quantity": write_number(position.quantity),
        "Price": write_number(position.price),
        "Market Value": write_number(position.value),
        "Cost Basis": write_number(position.cost),
        "As Of Date": write_day(day),
    }


def write_symbol(security: Security) -> str:
    """Return the symbol: "CASH" for cash, empty for a security without a ticker (bonds)."""
    return "CASH" if security.is_cash else security.ticker or ""


def write_number(number: Decimal) -> str:
    """Write a number with commas for thousands. Zero has no sign."""
    return f"{number + 0:,f}"


def write_day(day: date) -> str:
    """Write a day as MM/DD/YYYY."""
    return f"{day:%m/%d/%Y}"
