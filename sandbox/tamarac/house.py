"""One household in Tamarac, generated from the seed like the firm's own households.

Some of Tamarac's households are households of the firm: the same people, with other accounts than in Orion. All others are
clients of an acquired office, which only Tamarac has.
"""

import random
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from itertools import chain

from sandbox.firm.holdings import Trade
from sandbox.firm.households import ACCOUNTS, INDIVIDUAL, JOINT, Account, Firm, Household, Representative
from sandbox.firm.likeness import Likeness, Share, draw_likenesses, has_household, write_couple
from sandbox.firm.market import Market
from sandbox.tamarac.groups import Group, Member

VENDOR = "tamarac"
SHARE = Share("portfolio", 0.0, 0.15)
COMMON, OWN = 500_000, 700_000
"""The first household number in Tamarac for households of the firm, and for households of the acquired office."""
_OFFICE_SEED = 1_000_003
_FIRST_ACCOUNT = 300_001


@dataclass(slots=True)
class House:
    """One household in Tamarac.

    Attributes:
        number: Number of the household, from which all ids are derived.
        household: The generated registrations and accounts. `people` is drawn from it only if `origin` is None.
        origin: The same household in the firm; None if only Tamarac has it.
        people: The people as recorded by Tamarac.
        name: Name of the household.
        advisor: Id and name of the advisor.
        accounts: The accounts without custodial parents, which would repeat their sleeves.
        market: Prices up to the last closed day.
        groups: All groups, including closed ones.
        members: The direct members: accounts and groups.
        moved: Account that moved to another household -> client id of the first person in that household.
    """

    number: int
    household: Household
    origin: Household | None
    people: list[Likeness]
    name: str
    advisor: tuple[str, str]
    accounts: list[Account]
    market: Market
    groups: list[Group] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return Tamarac's id of the household, such as "H501001"."""
        return f"H{self.household.id}"

    @property
    def day(self) -> date:
        """Return the last closed day."""
        return self.market.sessions[-1]

    @property
    def reported(self) -> list[Group]:
        """Return the groups that Tamarac lists among the accounts."""
        return [group for group in self.groups if group.is_reported]

    def find_owners(self, account: Account) -> list[int]:
        """Return the indexes of an account's owners in `people`. The first person replaces an owner who is not in `people`."""
        people = self.household.people
        places = (people.index(owner) for owner in account.registration.owners)
        return list(dict.fromkeys(place if place < len(self.people) else 0 for place in places))

    def name_account(self, account: Account) -> str:
        """Return the account's title: the names of the owners, and the type."""
        owners = [self.people[place] for place in self.find_owners(account)]
        return f"{write_couple(owners)} {self.find_type(account)}"

    def find_type(self, account: Account) -> str:
        """Return the account's type as text. A joint account with one known owner is an individual account."""
        kind = account.registration.kind
        return (INDIVIDUAL if kind is JOINT and len(self.find_owners(account)) == 1 else kind).name


def label_account(account_id: int) -> str:
    """Return Tamarac's id of an account: "A" and its number."""
    return f"A{account_id}"


def label_client(household_id: int, place: int) -> str:
    """Return Tamarac's id of a person. `place` is the person's index in the household."""
    return f"C{household_id}{place + 1}"


def read_account(label: str) -> tuple[int, int]:
    """Parse an account's id: return its number, and the number of the household for which the account was generated.

    Raises:
        ValueError: the text is not an account's id.
    """
    if not label.startswith("A"):
        raise ValueError(f"{label!r} is not an account's id")
    id_ = int(label[1:])
    return id_, (id_ - _FIRST_ACCOUNT) // ACCOUNTS


def list_trades(account: Account) -> list[Trade]:
    """Return the trades of all assets of an account, in order of entry."""
    trades = chain.from_iterable(asset.trades for asset in account.assets.values())
    return sorted(trades, key=lambda trade: (trade.entered_at, trade.asset.id))


class Drawing:
    """Generates Tamarac's households.

    Args:
        firm: The synthetic firm. Some of its households are also in Tamarac.
    """

    def __init__(self, firm: Firm) -> None:
        self.firm = firm
        self.office = replace(firm, seed=firm.seed + _OFFICE_SEED, households=firm.households // 10 + 3)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of all of Tamarac's households, in ascending order."""
        numbers = (n for n in range(self.firm.households) if has_household(self.firm.seed, SHARE, n))
        return (*(COMMON + n for n in numbers), *(OWN + n for n in range(self.office.households)))

    @cached_property
    def places(self) -> dict[int, int]:
        """Return the index of each household in `numbers`, by its number."""
        return {number: place for place, number in enumerate(self.numbers)}

    def draw_origin(self, number: int) -> Household | None:
        """Return the firm's household that has `number` in Tamarac, without history; None if only Tamarac has the household."""
        if number >= OWN:
            return None
        start = Market(self.firm.seed, self.firm.first, self.firm.first)
        return self.firm.draw_household(number - COMMON, start)

    def draw_house(self, number: int, market: Market) -> House:
        """Return a household with the trades of its accounts, numbered from 1 in each account. It has no groups yet."""
        household, origin = self.office.draw_household(number, market), self.draw_origin(number)
        people = draw_likenesses(self.firm.seed, VENDOR, origin or household)
        accounts = [account for account in household.accounts if not account.is_parent]
        for account in accounts:
            for place, trade in enumerate(list_trades(account), 1):
                trade.id = place
        return House(
            number=number,
            household=household,
            origin=origin,
            people=people,
            name=write_couple(people),
            advisor=self._find_advisor(household, origin),
            accounts=accounts,
            market=market,
        )

    def draw_luck(self, number: int) -> random.Random:
        """Return the random generator for a household's groups."""
        return random.Random(f"{self.firm.seed}:{VENDOR}:groups:{number}")

    def _find_advisor(self, household: Household, origin: Household | None) -> tuple[str, str]:
        prefix, advisors = ("ADV-", self._advisors) if origin else ("OFF-", self._office_advisors)
        advisor = advisors[(origin or household).representative_id]
        return f"{prefix}{advisor.id}", advisor.person.name

    @cached_property
    def _advisors(self) -> dict[int, Representative]:
        return {rep.id: rep for rep in self.firm.draw_representatives()}

    @cached_property
    def _office_advisors(self) -> dict[int, Representative]:
        return {rep.id: rep for rep in self.office.draw_representatives()}
