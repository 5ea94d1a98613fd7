"""Tamarac's books of the synthetic firm: households that are generated on request, with users' edits applied.

A day closes when the custodians' nightly files are complete, at 05:30 in New York on the following day.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.firm.edits import Edit
from sandbox.firm.market import Market, find_session
from sandbox.firm.world import World
from sandbox.tamarac.edits import apply_edits, find_account, find_number, find_override, find_row_edits, read_household
from sandbox.tamarac.groups import PARTNER_PERCENT, Accounts, Member, draw_groups, list_members
from sandbox.tamarac.house import VENDOR, Drawing, House, label_account, label_client, read_account
from sandbox.tamarac.positions import write_holdings
from sandbox.tamarac.rows import IDS, WRITERS, Row
from sandbox.tamarac.trades import write_transactions

NEW_YORK = ZoneInfo("America/New_York")
SYNCED_AT = time(5, 30)
_CACHED_HOUSEHOLDS = 256  # enough for all households of the demo's firm
_PLACES = 1000  # positions per household, more than any household has rows in a table
_EVERY = 5  # every fifth household shares an account with the next household


class Office:
    """Tamarac's data of the synthetic firm. All methods may be called from several threads.

    Args:
        world: The firm, its clock and its edits.
    """

    def __init__(self, world: World) -> None:
        self.world, self.drawing = world, Drawing(world.firm)
        self._lock = threading.RLock()
        self._state: tuple[date, int] | None = None
        self._houses: OrderedDict[int, House] = OrderedDict()
        self._market: Market

    @property
    def is_synced(self) -> bool:
        """Return whether the nightly files are complete: from 05:30 to midnight in New York, or if a test set the closed day."""
        now = self.world.clock.now().astimezone(NEW_YORK)
        return find_override(self._list_edits()) is not None or now.time() >= SYNCED_AT

    @property
    def closed_through(self) -> date:
        """Return the last closed session: the one that a test set, or else the last one whose nightly files are complete."""
        synced = find_synced_session(self.world.clock.now())
        return find_override(self._list_edits()) or max(synced, self.world.firm.first)

    def _list_edits(self) -> list[Edit]:
        return self.world.edits.list_book_edits(VENDOR)

    def read(self, table: str, start: int = 0) -> Iterator[tuple[int, Row]]:
        """Yield a table's rows from position `start` on, household by household, each with its position.

        Raises:
            KeyError: Tamarac has no such table.
        """
        write, row_edits = WRITERS[table], find_row_edits(self.world.edits.all, table)
        for place in range(start // _PLACES, len(self.drawing.numbers)):
            house = self.find_house(self.drawing.numbers[place])
            for n, row in enumerate(write(house, house.day)):
                if place * _PLACES + n >= start:
                    row |= row_edits.get(row[IDS[table]], {})
                    yield place * _PLACES + n, {name: value for name, value in row.items() if value is not None}

    def read_holdings(self, day: date) -> Iterator[list[Row]]:
        """Yield the rows of `AccountHoldingsAV` at the end of `day`, or of the last closed day if it is earlier, household by household."""
        day = find_session(min(day, self.closed_through))
        for number in self.drawing.numbers:
            yield write_holdings(self.find_house(number), day)

    def read_transactions(self, by: str, first: date, last: date) -> Iterator[list[Row]]:
        """Yield the rows of `AccountTransactions` from `first` through `last`, household by household.

        `by` selects the date: "Entry" or "Trade".
        """
        for number in self.drawing.numbers:
            yield write_transactions(self.find_house(number), by, first, last)

    def find_house(self, number: int) -> House:
        """Return a household as of the last closed day, with edits applied.

        Raises:
            KeyError: there is no household with this number.
        """
        with self._lock:
            state = (self.closed_through, len(self.world.edits.all))
            if state != self._state:
                self._houses.clear()
                self._state, firm = state, self.world.firm
                self._market = Market(firm.seed, firm.first, state[0])
            if number not in self._houses:
                self._houses[number] = self._draw(number, self._list_edits())
                if len(self._houses) > _CACHED_HOUSEHOLDS:
                    self._houses.popitem(last=False)
            self._houses.move_to_end(number)
            return self._houses[number]

    def _draw(self, number: int, edits: list[Edit]) -> House:
        if number not in self.drawing.places:
            raise KeyError(f"unknown household {number}")
        house = self.drawing.draw_house(number, self._market)
        list_book_edits = [edit for edit in edits if edit["kind"] not in ("move_account", "closed_through")]
        apply_edits(house, (edit for edit in list_book_edits if find_number(edit) == number))
        moved = {e["account_id"]: read_household(e["household_id"]) for e in edits if e["kind"] == "move_account"}
        self._group(house, moved)
        return house

    def _group(self, house: House, moved: Mapping[str, int]) -> None:
        """Set a household's groups and members, from its own accounts that did not move away and from accounts that moved in."""
        labels = [label_account(account.id) for account in house.accounts]
        house.moved = {
            label: label_client(moved[label] + 1001, 0)
            for label in labels
            if moved.get(label, house.number) != house.number
        }
        shares = self.drawing.places[house.number] % _EVERY == 0 and house.number != self.drawing.numbers[-1]
        shared = labels[-1] if shares and labels and labels[-1] not in moved else None
        accounts = Accounts([label for label in labels if label not in house.moved and label != shared], shared)
        luck, surname = self.drawing.draw_luck(house.number), house.people[0].last_name
        house.groups = draw_groups(luck, str(house.household.id), surname, accounts, self.world.firm.first)
        house.members = list_members(house.groups, accounts)
        if (partner := self._find_shared_before(house.number)) and partner not in moved:
            house.members.append(Member("Account", partner, PARTNER_PERCENT))
        arrived = [label for label, to in moved.items() if to == house.number and label not in labels]
        house.members += [Member("Account", label) for label in arrived]

    def _find_shared_before(self, number: int) -> str | None:
        """Return the id of the account that the previous household shares with this one; None if it shares none."""
        place = self.drawing.places[number]
        if place % _EVERY != 1:
            return None
        accounts = self.find_house(self.drawing.numbers[place - 1]).accounts
        return label_account(accounts[-1].id) if accounts else None

    def edit(self, kind: str, values: Mapping[str, Any]) -> Edit:
        """Store an edit, and return it; see `sandbox.tamarac.app.edit` for the kinds.

        Raises:
            KeyError, ValueError: the edit is unknown or impossible; nothing is stored.
        """
        edit: Edit = dict(values) | {"vendor": VENDOR, "kind": kind, "at": self.world.clock.now().isoformat()}
        with self._lock, self.world.lock:
            if kind == "set_fields":
                _ = IDS[edit["table"]], edit["id"], edit["set"].items()
            elif kind == "closed_through":
                if edit["date"] and date.fromisoformat(edit["date"]) < self.world.firm.first:
                    raise ValueError(f"the firm's history begins on {self.world.firm.first}")
            elif kind == "move_account":
                find_account(self.find_house(read_account(edit["account_id"])[1]), edit["account_id"])
                self.find_house(read_household(edit["household_id"]))
            elif (number := find_number(edit)) is not None:
                self.find_house(number)  # brings the market up to date
                self._draw(number, [*self._list_edits(), edit])
            self.world.edits.append(edit)
            return edit


def find_synced_session(now: datetime) -> date:
    """Return the last session whose nightly files are complete at `now`."""
    local = now.astimezone(NEW_YORK)
    return find_session(local.date() - timedelta(days=1 if local.time() >= SYNCED_AT else 2))
