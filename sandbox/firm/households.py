"""The synthetic firm: households with their registrations, accounts, sleeves and histories, generated from a seed.

A household depends only on the seed, its own number and the firm's first session. So a firm of any size can be generated
household by household, without being held in memory. A new day adds rows, and changes old rows only where an event of that day
changes them.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from sandbox.firm.holdings import Asset
from sandbox.firm.market import CASH_ID, SECURITIES, Market, Security, round_money
from sandbox.firm.people import Home, Person, draw_home, draw_person, draw_spouse
from sandbox.firm.trading import Trader, enter_at

REGISTRATIONS, ACCOUNTS = 8, 20
"""Maximum numbers of registrations and accounts per household. They set the distance between two households' ids."""
_SLOTS = {security.id: slot for slot, security in enumerate(SECURITIES)}
_TRADEABLE = SECURITIES[1:]


class RegistrationKind(NamedTuple):
    """A type of registration; `code` and `name` are free text of the vendor."""

    id: int
    code: str
    name: str
    is_qualified: bool


INDIVIDUAL = RegistrationKind(1, "IND", "Individual", False)
JOINT = RegistrationKind(2, "JTWROS", "Joint Tenants WROS", False)
IRA = RegistrationKind(3, "IRA", "Traditional IRA", True)
ROTH = RegistrationKind(4, "ROTH", "Roth IRA", True)
ROLLOVER = RegistrationKind(5, "IRAR", "IRA Rollover", True)
TRUST = RegistrationKind(6, "TRUST", "Revocable Trust", False)
PLAN = RegistrationKind(7, "401K", "401(K)", True)
SEP = RegistrationKind(8, "SEP", "SEP IRA", True)
LLC = RegistrationKind(9, "LLC", "Limited Liability Company", False)
FOUNDATION = RegistrationKind(10, "FOUND", "Private Foundation", False)
REGISTRATION_KINDS = (INDIVIDUAL, JOINT, IRA, ROTH, ROLLOVER, TRUST, PLAN, SEP, LLC, FOUNDATION)

CUSTODIANS = ((1, "Schwab", "SCHW"), (2, "Fidelity", "FIDE"), (3, "Pershing", "PERS"))
SLEEVES = ("Core Equity", "Fixed Income", "Tactical")
STYLES = ((1, "Growth"), (2, "Balanced"), (3, "Income"), (4, "Preservation"))


@dataclass(frozen=True, slots=True)
class Representative:
    """An advisor of the firm."""

    id: int
    person: Person

    @property
    def number(self) -> str:
        """Return the representative's number: the id as text with leading zeros."""
        return f"{self.id:05d}"


@dataclass(slots=True, eq=False)
class Registration:
    """A registration: the people who own accounts together in one legal form, or an organization with a title and tax id of its own."""

    id: int
    household: "Household"
    kind: RegistrationKind
    owners: tuple[Person, ...]
    edited_at: datetime
    title: str = ""
    employer_id: str | None = None

    @property
    def owner(self) -> Person | None:
        """Return the first owner; None for an organization."""
        return self.owners[0] if self.owners else None

    @property
    def name(self) -> str:
        """Return the title, or the owners' names, as the vendor writes them: "A & B", or "The A & B Trust" for a trust."""
        if self.title:
            return self.title
        names = " & ".join(owner.name for owner in self.owners)
        return f"The {names} Trust" if self.kind is TRUST else names


@dataclass(slots=True, eq=False)
class Account:
    """An ordinary account, a custodial parent account, or a sleeve of a custodial parent.

    `sleeve` is None for an ordinary account, "CustodialAccount" for a custodial parent, and the strategy's name for a sleeve.
    """

    id: int
    number: str
    registration: Registration
    custodian: tuple[int, str, str]
    style: tuple[int, str]
    created_at: datetime | None
    started_on: date
    edited_at: datetime
    sleeve: str | None = None
    parent: "Account | None" = None
    closed_on: date | None = None
    assets: dict[int, Asset] = field(default_factory=dict)

    @property
    def is_parent(self) -> bool:
        """Return whether this is a custodial parent, whose positions repeat those of its sleeves."""
        return self.sleeve is not None and self.parent is None

    def find_assets(self, security: Security) -> list[Asset]:
        """Return this account's asset of `security`, then the custodial parent's, if any. Create missing assets."""
        asset = self.assets.get(security.id)
        if asset is None:
            asset = Asset(self.id * 64 + _SLOTS[security.id], self.id, security)
            self.assets[security.id] = asset
        return [asset, *(self.parent.find_assets(security) if self.parent else ())]


@dataclass(slots=True, eq=False)
class Household:
    """A family. `additional` has the ids of accounts of other households that this household can also see."""

    id: int
    name: str
    people: tuple[Person, ...]
    home: Home
    representative_id: int
    created_at: datetime | None
    edited_at: datetime
    registrations: list[Registration] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    additional: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Firm:
    """The inputs of a generated firm: the seed, its size, and the first session of its history."""

    seed: int
    households: int
    first: date

    def draw_representatives(self) -> list[Representative]:
        """Return the advisors: one per 40 households, and at least two."""
        draw = random.Random(f"{self.seed}:representatives")
        return [Representative(101 + n, draw_person(draw)) for n in range(self._count_representatives())]

    def _count_representatives(self) -> int:
        return max(2, self.households // 40)

    def draw_household(self, number: int, market: Market, *, has_trades: bool = True) -> Household:
        """Return household `number` (from 0) with its history up to the market's last session.

        Without trades, it is drawn forty times faster: accounts have no assets, and none is closed.
        """
        draw = random.Random(f"{self.seed}:household:{number}")
        head = draw_person(draw)
        spouse = draw_spouse(draw, head) if draw.random() < 0.6 else None
        people = (head, spouse) if spouse else (head,)
        created = datetime.combine(self.first, time(15), UTC) - timedelta(days=draw.randrange(30, 3000))
        household = Household(
            id=1001 + number,
            name=_name_household(people),
            people=people,
            home=draw_home(draw),
            representative_id=101 + number % self._count_representatives(),
            created_at=None if draw.random() < 0.05 else created,
            edited_at=created,
        )
        self._draw_registrations(draw, household, number)
        slot = 0
        for registration in household.registrations:
            for _ in range(draw.choice((1, 1, 1, 2))):
                slot = self._draw_account(draw, market, registration, number, slot, has_trades)
        self._change_household(draw, household, number, market)
        for account in household.accounts:
            for asset in account.assets.values():
                asset.settle()
        return household

    def _draw_registrations(self, draw: random.Random, household: Household, number: int) -> None:
        head, *others = household.people
        registrations: list[tuple[RegistrationKind, tuple[Person, ...]]] = [(INDIVIDUAL, (head,))]
        if others:
            registrations.append((JOINT, household.people))
            registrations.append((draw.choice((ROTH, IRA, PLAN)), (others[0],)))
        registrations.append((draw.choice((IRA, ROLLOVER, ROTH, SEP)), (head,)))
        if draw.random() < 0.25:
            registrations.append((TRUST, household.people))
        for slot, (kind, owners) in enumerate(registrations[:REGISTRATIONS]):
            id_ = 20_001 + number * REGISTRATIONS + slot
            household.registrations.append(Registration(id_, household, kind, owners, household.edited_at))

    def _draw_account(
        self, draw: random.Random, market: Market, registration: Registration, number: int, slot: int, has_trades: bool
    ) -> int:
        """Draw an account, sometimes with sleeves, and its trades. Return the household's next free account slot."""
        first = 300_001 + number * ACCOUNTS
        is_sleeved, life = draw.random() < 0.05, draw.random()
        is_new, is_closing = life < 0.04, 0.04 <= life < 0.08
        opened = draw.randrange(5, 78) if is_new and not is_sleeved else 0
        closed = draw.randrange(20, 78) if is_closing and not is_sleeved else None
        number_text = f"{draw.randrange(10_000_000):08d}"
        if slot + 1 + is_sleeved * len(SLEEVES) > ACCOUNTS or opened >= len(market.sessions):
            return slot + 1
        parent = self._make_account(draw, market, registration, first + slot, number_text, opened)
        lived = [parent]
        if is_sleeved:
            parent.sleeve = "CustodialAccount"
            lived = [
                self._make_account(draw, market, registration, first + slot + n, f"{number_text}S{n}", opened)
                for n in range(1, len(SLEEVES) + 1)
            ]
            for sleeve, strategy in zip(lived, SLEEVES, strict=True):
                sleeve.sleeve, sleeve.parent = strategy, parent
        for account in lived if has_trades else ():
            self._simulate(market, account, opened, closed)
        return slot + 1 + is_sleeved * len(SLEEVES)

    def _make_account(
        self,
        draw: random.Random,
        market: Market,
        registration: Registration,
        id_: int,
        number: str,
        opened: int,
    ) -> Account:
        created = registration.edited_at if opened == 0 else enter_at(market.sessions[opened], draw)
        account = Account(
            id=id_,
            number=number,
            registration=registration,
            custodian=draw.choice(CUSTODIANS),
            style=draw.choice(STYLES),
            created_at=created,
            started_on=created.date() if opened == 0 else market.sessions[opened],
            edited_at=created,
        )
        registration.household.accounts.append(account)
        return account

    def _simulate(self, market: Market, account: Account, opened: int, closed: int | None) -> None:
        draw = random.Random(f"{self.seed}:account:{account.id}")
        count = draw.choice((3, 4, 4, 5, 6))
        trader = Trader(
            market=market,
            draw=draw,
            securities=draw.sample(_TRADEABLE, count),
            find_assets=account.find_assets,
            key=str(account.id),
            is_steady=closed is not None,
        )
        trader.simulate(opened, closed, value=int(draw.lognormvariate(12, 0.9)) + 5000)
        if closed is not None and closed < len(market.sessions):
            account.closed_on = market.sessions[closed]
            account.edited_at = enter_at(account.closed_on, draw)

    def _change_household(self, draw: random.Random, household: Household, number: int, market: Market) -> None:
        """Draw the household's changes: access to another household's account, a new address, an account moved to the trust."""
        if number and draw.random() < 0.08:
            household.additional.append(300_001 + (number - 1) * ACCOUNTS)
        moves, when, home = draw.random() < 0.06, draw.randrange(10, 79), draw_home(draw)
        if moves and when < len(market.sessions):
            household.home, household.edited_at = home, enter_at(market.sessions[when], draw)
        trust = household.registrations[-1]
        retitled, when = draw.random() < 0.3, draw.randrange(10, 79)
        if trust.kind is TRUST and retitled and when < len(market.sessions):
            account = household.accounts[0]
            if account.sleeve is None:
                account.registration, account.edited_at = trust, enter_at(market.sessions[when], draw)


def _name_household(people: tuple[Person, ...]) -> str:
    head, *others = people
    if others and others[0].last_name == head.last_name:
        return f"{head.last_name}, {head.first_name} & {others[0].first_name}"
    return f"{head.last_name}, {head.first_name}"


def find_value(account: Account, market: Market, day: date) -> tuple[Decimal, Decimal]:
    """Return the account's total value and the cash in it at the end of `day`, in dollars."""
    value = cash = Decimal("0.00")
    for asset in account.assets.values():
        worth = round_money(asset.find_quantity(day) * market.find_price(asset.security.id, day))
        value += worth
        if asset.security.id == CASH_ID:
            cash = worth
    return value, cash
