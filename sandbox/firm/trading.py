"""The seeded trading history of one account, session by session. Adding sessions does not change the trades of earlier ones."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, Decimal

from sandbox.firm.holdings import (
    BUY,
    CASH_IN,
    CASH_OUT,
    CONTRIBUTION,
    DISTRIBUTION,
    DIVIDEND,
    FEE,
    INACTIVE,
    INTEREST,
    PENDING,
    REINVESTMENT,
    REJECTED,
    SELL,
    SPLIT,
    TRANSFER_IN,
    TRANSFER_OUT,
    Asset,
    Kind,
    Trade,
    complete_event,
    correct_event,
    reverse_event,
)
from sandbox.firm.market import CASH, CASH_ID, SPLIT_RATIO, SPLIT_SESSION, SPLIT_TICKER, Market, Security, round_money

ONE = Decimal(1)
_WHOLE, _FOUR, _EIGHT = Decimal(1), Decimal("0.0001"), Decimal("0.00000001")
_FEE_RATIO = Decimal("0.0025")  # of the value, each quarter: one percent a year

Open = Callable[[Security], Sequence[Asset]]


def enter_at(session: date, draw: random.Random) -> datetime:
    """Return a random time in the evening of `session`, when the day's file is loaded, in UTC (so on the next date)."""
    evening = datetime.combine(session, time(0, 30), UTC) + timedelta(days=1)
    return evening + timedelta(milliseconds=draw.randrange(7_200_000))


class Trader:
    """Simulates the trades of one account.

    Args:
        market: Prices and sessions.
        draw: The account's own random numbers.
        securities: Securities that the account holds or may buy.
        find_assets: Returns the assets that record a trade in a security: the account's asset, and the custodial parent's, if
            any.
        key: Prefix of the link codes.
        is_steady: Whether trades never change after their entry. It is true for accounts that close, because they must end at
            zero.
    """

    def __init__(
        self,
        market: Market,
        draw: random.Random,
        securities: Sequence[Security],
        find_assets: Open,
        key: str,
        is_steady: bool,
    ) -> None:
        self.market, self.draw, self.securities, self.find_assets = market, draw, securities, find_assets
        self.key, self.is_steady = key, is_steady
        self.held: dict[int, Decimal] = defaultdict(Decimal)
        self.links = 0
        self.due: dict[int, list[Callable[[datetime], None]]] = defaultdict(list)

    def simulate(self, opened: int, closed: int | None, value: int) -> None:
        """Simulate the sessions from `opened` through `closed`, starting with `value` dollars.

        `opened` and `closed` are indexes of the market's sessions. On `closed`, all holdings are transferred out. If it is None
        or later than the market's last session, trading continues through that session.
        """
        for index in range(opened, len(self.market.sessions)):
            self.index, self.day = index, self.market.sessions[index]
            if index == opened:
                self._begin(value, is_transfer=opened == 0)
            elif index == closed:
                self._leave()
                return
            else:
                self._spend_day(opened)

    def _begin(self, value: int, is_transfer: bool) -> None:
        invested = Decimal(value) * Decimal(self.draw.randrange(90, 97)) / 100
        if is_transfer:
            self._post(TRANSFER_IN, CASH, value - round_money(invested), ONE)
        else:
            self._post(CONTRIBUTION, CASH, Decimal(value), ONE)
        weights = [self.draw.randrange(1, 10) for _ in self.securities]
        for security, weight in zip(self.securities, weights, strict=True):
            price = self._price(security)
            quantity = self._round_units(security, invested * weight / sum(weights) / price)
            if is_transfer:
                self._post(TRANSFER_IN, security, quantity, price)
            else:
                self._trade(BUY, security, quantity, price)

    def _leave(self) -> None:
        for security_id in [key for key, quantity in self.held.items() if quantity]:
            security = self._find(security_id)
            self._post(TRANSFER_OUT, security, self.held[security_id], self._price(security))

    def _spend_day(self, opened: int) -> None:
        for change in self.due.pop(self.index, ()):
            change(enter_at(self.day, self.draw))
        self._take_corporate_actions()
        if self.index % 21 == 10 and self.held[CASH_ID] > 200:
            self._post(INTEREST, CASH, round_money(self.held[CASH_ID] * Decimal("0.0031")), ONE)
        if self.index % 63 == 6:
            self._pay_fee()
        luck = self.draw.random()
        if luck < 0.025:
            self._buy()
        elif luck < 0.040:
            self._sell()
        elif luck < 0.046:
            self._post(CONTRIBUTION, CASH, Decimal(self.draw.randrange(2, 90) * 250), ONE)
        elif luck < 0.050 and self.held[CASH_ID] > 4000:
            self._post(DISTRIBUTION, CASH, Decimal(self.draw.randrange(1, 8) * 250), ONE)
        elif luck < 0.053 and self.index > opened + 5:
            late = self.market.sessions[self.index - self.draw.randrange(2, 6)]
            amount = Decimal(self.draw.randrange(4, 60) * 125)
            self._post(CONTRIBUTION, CASH, amount, ONE, trade_date=late, note="Posted late")
        elif luck < 0.054:
            status = self.draw.choice((REJECTED, INACTIVE))
            security = self.draw.choice(self.securities)
            self._post(BUY, security, Decimal(10), self._price(security), status=status)

    def _take_corporate_actions(self) -> None:
        for security in self.securities:
            held = self.held[security.id]
            if not held:
                continue
            if security.payout == "cash" and (self.index + security.id) % 63 == 0:
                amount = round_money(held * self._price(security) * Decimal("0.0045"))
                note = f"Dividend {security.ticker}"
                self._unsettle(self._post(DIVIDEND, CASH, amount, ONE, note=note), 0.05)
            elif security.payout == "reinvested" and (self.index + security.id) % 21 == 0:
                places = _EIGHT if security.id % 2 else _FOUR
                units = (held * Decimal("0.0013")).quantize(places, ROUND_DOWN)
                self._post(REINVESTMENT, security, units, self._price(security))
            if security.ticker == SPLIT_TICKER and self.index == SPLIT_SESSION:
                note = f"{SPLIT_RATIO}-for-1 split"
                self._post(SPLIT, security, held * (SPLIT_RATIO - 1), Decimal(0), note=note)

    def _pay_fee(self) -> None:
        value = sum((self.held[s.id] * self._price(s) for s in self.securities), self.held[CASH_ID])
        fee = round_money(value * _FEE_RATIO)
        if Decimal(0) < fee < self.held[CASH_ID]:
            self._unsettle(self._post(FEE, CASH, fee, ONE), 0.04)

    def _buy(self) -> None:
        security = self.draw.choice(self.securities)
        price = self._price(security)
        budget = self.held[CASH_ID] * Decimal(self.draw.randrange(10, 60)) / 100
        quantity = self._round_units(security, budget / price)
        if quantity and budget > 300:
            self._unsettle(self._trade(BUY, security, quantity, price), 0.03, is_purchase=True)

    def _sell(self) -> None:
        security = self.draw.choice(self.securities)
        held = self.held[security.id]
        is_all = self.draw.random() < 0.1
        quantity = held if is_all else self._round_units(security, held * self.draw.randrange(5, 50) / 100)
        if quantity:
            self._trade(SELL, security, quantity, self._price(security))

    def _trade(self, kind: Kind, security: Security, quantity: Decimal, price: Decimal) -> list[Trade]:
        """Post a purchase or a sale with its cash leg."""
        self.links += 1
        link = f"{self.key}-{self.links}"
        event = self._post(kind, security, quantity, price, link=link)
        leg = CASH_OUT if kind is BUY else CASH_IN
        event += self._post(leg, CASH, event[0].amount, ONE, link=link)
        for trade in event:
            trade.event = event
        return event

    def _post(
        self,
        kind: Kind,
        security: Security,
        quantity: Decimal,
        price: Decimal,
        trade_date: date | None = None,
        link: str | None = None,
        status: str = "Complete",
        note: str | None = None,
    ) -> list[Trade]:
        at, amount = enter_at(self.day, self.draw), round_money(quantity * price)
        event: list[Trade] = []
        for asset in self.find_assets(security):
            trade = Trade(asset, kind, trade_date or self.day, quantity, price, amount, at, at, link, status, note)
            trade.event = event
            event.append(trade)
            asset.trades.append(trade)
        if status == "Complete":
            self.held[security.id] += kind.sign * quantity
        return event

    def _unsettle(self, event: list[Trade], share: float, is_purchase: bool = False) -> None:
        """Draw a later change of an event, unless the account is steady.

        With probability `share`, the event is reversed two sessions later. A purchase may instead be pending until the next
        session, or get a new price three sessions later.
        """
        luck = self.draw.random()
        if self.is_steady:
            return
        if luck < share:
            self.due[self.index + 2].append(lambda at: self._reverse(event, at))
        elif is_purchase and luck < share * 4:
            for trade in event:
                trade.status = PENDING
            self.due[self.index + 1].append(lambda at: complete_event(event, at))
        elif is_purchase and luck < share * 5:
            price = round_money(event[0].price * Decimal("1.01"))
            self.due[self.index + 3].append(lambda at: self._correct(event, at, price))

    def _reverse(self, event: list[Trade], at: datetime) -> None:
        own = [trade for trade in event if trade.asset.account_id == event[0].asset.account_id]
        quantities = {trade.asset.security.id: trade.kind.sign * trade.quantity for trade in own}
        if all(self.held[key] >= quantity for key, quantity in quantities.items()):
            reverse_event(event, at)
            for key, quantity in quantities.items():
                self.held[key] -= quantity

    def _correct(self, event: list[Trade], at: datetime, price: Decimal) -> None:
        before = event[0].amount
        correct_event(event, at, None, price)
        self.held[CASH_ID] -= event[0].amount - before

    def _price(self, security: Security) -> Decimal:
        return self.market.find_price(security.id, self.day)

    def _find(self, security_id: int) -> Security:
        return CASH if security_id == CASH_ID else next(s for s in self.securities if s.id == security_id)

    def _round_units(self, security: Security, units: Decimal) -> Decimal:
        is_whole = security.product_type in ("Bond", "CD") or (
            security.product_type == "StockOrETF" and security.sub_type != "ETF"
        )
        return units.quantize(_WHOLE if is_whole else _FOUR, ROUND_DOWN)
