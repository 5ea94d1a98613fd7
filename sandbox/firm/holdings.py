"""The activity of an account: trades, and the positions that result from them.

A day's position is the sum of the signed quantities of all `Complete` trades up to that day: yesterday's position plus
today's trades, without further rules. Cash is a position like any other. A purchase or a sale is two trades that share a link
code: one in the security, and one in cash (the cash leg).
"""

import bisect
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sandbox.firm.market import CENT, Security, round_money

COMPLETE, PENDING, REVERSED, REJECTED, INACTIVE = "Complete", "Pending", "Reversed", "Rejected", "Inactive"


class Kind(NamedTuple):
    """A type of trade. A trade's quantity and amount are unsigned; `sign` (1 or -1) is the direction of the quantity."""

    id: int
    code: str
    name: str
    sign: int
    financial_type: str


BUY = Kind(1, "BUY", "Buy", 1, "None")
SELL = Kind(2, "SEL", "Sell", -1, "None")
CONTRIBUTION = Kind(3, "CON", "Contribution", 1, "Contribution")
DISTRIBUTION = Kind(4, "DST", "Distribution", -1, "Distribution")
DIVIDEND = Kind(5, "DIV", "Dividend", 1, "DivCash")
REINVESTMENT = Kind(6, "DRI", "DivReinvest", 1, "DivReinvest")
FEE = Kind(7, "FEE", "Management Fee", -1, "MgmntFees")
TRANSFER_IN = Kind(8, "TIN", "Transfer In", 1, "Journal")
TRANSFER_OUT = Kind(9, "TOT", "Transfer Out", -1, "Journal")
SPLIT = Kind(10, "SPL", "Split", 1, "None")
CASH_OUT = Kind(11, "CDB", "Cash Debit", -1, "None")
CASH_IN = Kind(12, "CCR", "Cash Credit", 1, "None")
INTEREST = Kind(13, "INT", "Interest", 1, "Other")  # "Other" is not in the documented enumeration

_LEGS = (CASH_OUT, CASH_IN)


@dataclass(slots=True, eq=False)
class Trade:
    """One row of an asset's history.

    `event` lists the trades that are corrected or reversed together: this trade, its cash leg, and the copies of both in a
    custodial parent.
    """

    asset: "Asset"
    kind: Kind
    trade_date: date
    quantity: Decimal
    price: Decimal
    amount: Decimal
    entered_at: datetime
    edited_at: datetime
    link: str | None = None
    status: str = COMPLETE
    note: str | None = None
    event: "list[Trade]" = field(default_factory=list)
    id: int = 0


@dataclass(slots=True, eq=False)
class Asset:
    """One security in one account, with its trades in order of entry."""

    id: int
    account_id: int
    security: Security
    trades: list[Trade] = field(default_factory=list)
    edited_at: datetime | None = None
    _dates: list[date] = field(default_factory=list)
    _quantities: list[Decimal] = field(default_factory=list)
    _costs: list[Decimal] = field(default_factory=list)

    def settle(self) -> None:
        """Compute quantities and costs from the trades. Call it again after any trade has changed."""
        self._dates, self._quantities, self._costs = [], [], []
        self.edited_at = max((trade.edited_at for trade in self.trades), default=None)
        quantity = cost = Decimal(0)
        for trade in sorted(self.trades, key=lambda trade: trade.trade_date):
            if trade.status != COMPLETE:
                continue
            if trade.kind.sign > 0:
                cost += trade.amount
            elif quantity:
                cost -= round_money(cost * min(trade.quantity / quantity, Decimal(1)))
            quantity += trade.kind.sign * trade.quantity
            self._dates.append(trade.trade_date)
            self._quantities.append(quantity)
            self._costs.append(cost)

    @property
    def opened_on(self) -> date | None:
        """Return the trade date of the first `Complete` trade, or None if there is none."""
        return self._dates[0] if self._dates else None

    def find_quantity(self, day: date) -> Decimal:
        """Return the units held at the end of `day`; 0 before the first trade."""
        index = bisect.bisect_right(self._dates, day)
        return self._quantities[index - 1] if index else Decimal(0)

    def find_cost(self, day: date) -> Decimal:
        """Return the total cost of the units held at the end of `day`, in dollars, by the average-cost method."""
        index = bisect.bisect_right(self._dates, day)
        return self._costs[index - 1] if index else Decimal(0).quantize(CENT)


# Trades are entered in the evening. `max` dates an edit after the entry, even if the sandbox's clock shows an earlier hour.
def reverse_event(event: list[Trade], at: datetime) -> None:
    """Reverse all trades of an event: the trade, its cash leg, and their copies in a custodial parent."""
    for trade in event:
        trade.status, trade.edited_at = REVERSED, max(at, trade.edited_at)


def complete_event(event: list[Trade], at: datetime) -> None:
    """Set all trades of a pending event to `Complete`."""
    for trade in event:
        trade.status, trade.edited_at = COMPLETE, max(at, trade.edited_at)


def correct_event(event: list[Trade], at: datetime, quantity: Decimal | None, price: Decimal | None) -> None:
    """Correct the units or the price of an event's trade, and recompute its amount and cash leg. None keeps a value."""
    main = [trade for trade in event if trade.kind not in _LEGS]
    for trade in main:
        trade.quantity = trade.quantity if quantity is None else quantity
        trade.price = trade.price if price is None else price
        trade.amount = round_money(trade.quantity * trade.price)
    for trade in event:
        if trade.kind in _LEGS:
            trade.quantity = trade.amount = main[0].amount
        trade.edited_at = max(at, trade.edited_at)
