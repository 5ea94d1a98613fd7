"""The synthetic firm's books: all data up to the last closed day, with users' edits applied. The vendors serve them.

The books depend only on the firm, the last closed day and the list of edits. So a restart needs only `firm.json` and
`edits.jsonl`.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

from sandbox.firm.holdings import TRANSFER_OUT, Trade, correct_event, reverse_event
from sandbox.firm.households import REGISTRATION_KINDS, Account, Firm, Household, Registration, Representative
from sandbox.firm.market import Market, find_session, round_money

FIRST_TRADE_ID, FIRST_EDITED_TRADE_ID = 5_000_001, 1_500_000_001
_MOVE_SESSION = 30
Edit = dict[str, Any]


class Book:
    """The books of one firm, in memory.

    Args:
        firm: The inputs from which the firm is generated.
        through: Last day in the books.
        edits: People's edits, oldest first: `{"kind", "at" (ISO 8601), ...}`.
    """

    def __init__(self, firm: Firm, through: date, edits: list[Edit]) -> None:
        self.firm, self.through = firm, through
        self.market = Market(firm.seed, firm.first, through)
        self.representatives: list[Representative] = firm.draw_representatives()
        self.households = [firm.draw_household(n, self.market) for n in range(firm.households)]
        self._move_between_households()
        self.registrations: dict[int, Registration] = {
            registration.id: registration for house in self.households for registration in house.registrations
        }
        self.accounts: dict[int, Account] = {
            account.id: account for house in self.households for account in house.accounts
        }
        self._trades = self._number_trades()
        self._edited_ids = FIRST_EDITED_TRADE_ID
        for edit in edits:
            self.apply(edit)

    @property
    def trades(self) -> Iterator[Trade]:
        """Iterate over all trades in order of id."""
        return iter(sorted(self._trades.values(), key=lambda trade: trade.id))

    def _number_trades(self) -> dict[int, Trade]:
        """Assign ids in order of the day of entry, so that a new day only appends ids. Return the trades by id."""
        assets = chain.from_iterable(account.assets.values() for account in self.accounts.values())
        trades = [trade for asset in assets for trade in asset.trades]
        trades.sort(key=lambda trade: (trade.entered_at.date(), trade.asset.id))
        for number, trade in enumerate(trades, FIRST_TRADE_ID):
            trade.id = number
        return {trade.id: trade for trade in trades}

    def _move_between_households(self) -> None:
        """Move the last account of every 29th household to the next household, at session 30 of the history."""
        if len(self.market.sessions) <= _MOVE_SESSION:
            return
        for number in range(11, len(self.households) - 1, 29):
            account = self.households[number].accounts[-1]
            if account.sleeve is None:
                moved_at = datetime.fromisoformat(f"{self.market.sessions[_MOVE_SESSION]}T21:00:00+00:00")
                self._move(account, self.households[number + 1].registrations[0], moved_at)

    def _move(self, account: Account, registration: Registration, at: datetime) -> None:
        account.registration.household.accounts.remove(account)
        account.registration, account.edited_at = registration, at
        registration.household.accounts.append(account)

    def apply(self, edit: Edit) -> None:
        """Apply `edit` to the books.

        The kinds and their values:

        - `correct_price`: product_id, date, price.
        - `reverse_transaction`: transaction_id.
        - `correct_transaction`: transaction_id, and any of quantity, price, trade_date.
        - `move_account`: account_id, registration_id.
        - `close_account`: account_id, date.
        - `rename_household`: client_id, name.
        - `add_registration`: client_id, kind_id, and name and employer_id of an organization, or none for a registration of all members.

        Raises:
            KeyError: an id is unknown, or a value is missing.
            ValueError: the kind of edit is unknown, or the edit is impossible.
        """
        edits: dict[str, Callable[[Edit, datetime], None]] = {
            "correct_price": self._correct_price,
            "reverse_transaction": self._reverse_transaction,
            "correct_transaction": self._correct_transaction,
            "move_account": self._move_account,
            "close_account": self._close_account,
            "rename_household": self._rename_household,
            "add_registration": self._add_registration,
        }
        if edit["kind"] not in edits:
            raise ValueError(f"unknown edit {edit['kind']!r}")
        edits[edit["kind"]](edit, datetime.fromisoformat(edit["at"]))

    def _correct_price(self, edit: Edit, at: datetime) -> None:
        day = date.fromisoformat(edit["date"])
        self.market.find_price(int(edit["product_id"]), day)
        self.market.correct_price(int(edit["product_id"]), day, Decimal(str(edit["price"])))

    def _reverse_transaction(self, edit: Edit, at: datetime) -> None:
        event = self._trades[int(edit["transaction_id"])].event
        reverse_event(event, at)
        _settle(event)

    def _correct_transaction(self, edit: Edit, at: datetime) -> None:
        event = self._trades[int(edit["transaction_id"])].event
        quantity, price = (None if edit.get(k) is None else Decimal(str(edit[k])) for k in ("quantity", "price"))
        correct_event(event, at, quantity, price)
        if edit.get("trade_date"):
            for trade in event:
                trade.trade_date = date.fromisoformat(edit["trade_date"])
        _settle(event)

    def _move_account(self, edit: Edit, at: datetime) -> None:
        account, registration = (
            self.accounts[int(edit["account_id"])],
            self.registrations[int(edit["registration_id"])],
        )
        main = account.parent or account
        for each in [a for a in self.accounts.values() if a is main or a.parent is main]:
            self._move(each, registration, at)

    def _close_account(self, edit: Edit, at: datetime) -> None:
        account = self.accounts[int(edit["account_id"])]
        day = find_session(date.fromisoformat(edit["date"]))
        if account.sleeve:
            raise ValueError("an account with sleeves cannot be closed by one edit")
        account.closed_on, account.edited_at = day, at
        for asset in account.assets.values():
            for trade in [trade for trade in asset.trades if trade.trade_date > day]:
                asset.trades.remove(trade)
                del self._trades[trade.id]
            asset.settle()
            if held := asset.find_quantity(day):
                price = self.market.find_price(asset.security.id, day)
                amount = round_money(held * price)
                trade = Trade(asset, TRANSFER_OUT, day, held, price, amount, at, at, id=self._edited_ids)
                self._edited_ids += 1
                trade.event = [trade]
                asset.trades.append(trade)
                self._trades[trade.id] = trade
                asset.settle()

    def _rename_household(self, edit: Edit, at: datetime) -> None:
        household = self.find_household(int(edit["client_id"]))
        household.name, household.edited_at = edit["name"], at

    def _add_registration(self, edit: Edit, at: datetime) -> None:
        household = self.find_household(int(edit["client_id"]))
        kind = next(each for each in REGISTRATION_KINDS if each.id == int(edit["kind_id"]))
        id_ = household.registrations[0].id + len(household.registrations)
        title = edit.get("name", "")
        owners = () if title else household.people
        registration = Registration(id_, household, kind, owners, at, title, edit.get("employer_id"))
        household.registrations.append(registration)
        self.registrations[id_] = registration

    def find_household(self, client_id: int) -> Household:
        """Return the household with this id.

        Raises:
            KeyError: no household has this id.
        """
        number = client_id - self.households[0].id
        if not 0 <= number < len(self.households):
            raise KeyError(client_id)
        return self.households[number]


def _settle(event: list[Trade]) -> None:
    for asset in {trade.asset.id: trade.asset for trade in event}.values():
        asset.settle()
