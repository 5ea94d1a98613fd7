"""The clients of the firm as all portfolio vendors know them together: households with their accounts at any of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from sandbox.firm.households import TRUST, Account, Firm, Household, Registration, Representative
from sandbox.firm.likeness import write_entity_key, write_person_key
from sandbox.firm.market import Market
from sandbox.tamarac.house import COMMON, OWN, Drawing


@dataclass(frozen=True, slots=True)
class ClientAccount:
    """One account of a client.

    Attributes:
        account: The account; never a sleeve.
        owners: The indexes of its owners in the household's people, the first owner first.
        entity: The registration of the trust that owns it; None if the owners do.
    """

    account: Account
    owners: tuple[int, ...]
    entity: Registration | None

    @property
    def key(self) -> str:
        """Return the account's key in the truth."""
        return f"account:{self.account.id}"


@dataclass(frozen=True, slots=True)
class Client:
    """A household of the firm, without trades, with its accounts at all vendors.

    Attributes:
        household: The household. At another vendor than the firm's own, it has other accounts and registrations.
        accounts: The accounts at all vendors.
        entities: The registrations of the trusts that a vendor has.
    """

    household: Household
    accounts: tuple[ClientAccount, ...]
    entities: tuple[Registration, ...] = ()

    @property
    def key(self) -> str:
        """Return the household's key in the truth."""
        return f"household:{self.household.id}"

    def list_keys(self) -> list[str]:
        """Return the keys of the household, its people, accounts and trusts."""
        people = [write_person_key(self.household, place) for place in range(len(self.household.people))]
        return [self.key, *people, *(each.key for each in self.accounts), *map(write_entity_key, self.entities)]


@dataclass(frozen=True, slots=True)
class Office:
    """An advisor, a name that no other advisor has, and the households of the advisor, which are drawn one by one."""

    advisor: Representative
    name: str
    clients: Iterator[Client]


def list_offices(firm: Firm, through: date) -> Iterator[Office]:
    """Yield every advisor of the firm, then those of the office that it acquired, whose households only one vendor has.

    Args:
        firm: The firm.
        through: Last day on which an account of the clients was opened.
    """
    drawing, market = Drawing(firm), Market(firm.seed, firm.first, through)
    advisors = firm.draw_representatives()
    for place, advisor in enumerate(advisors):
        numbers = range(place, firm.households, len(advisors))
        yield Office(
            advisor, f"advisor.{advisor.id}", (_draw_client(firm, number, drawing, market) for number in numbers)
        )
    advisors = drawing.office.draw_representatives()
    for place, advisor in enumerate(advisors):
        own = [number for number in drawing.numbers if number >= OWN and number % len(advisors) == place]
        yield Office(advisor, f"acquired.{advisor.id}", (_draw_acquired(number, drawing, market) for number in own))


def _draw_client(firm: Firm, number: int, drawing: Drawing, market: Market) -> Client:
    household = firm.draw_household(number, market, has_trades=False)
    accounts = [
        ClientAccount(
            account,
            tuple(household.people.index(owner) for owner in account.registration.owners),
            account.registration if account.registration.kind is TRUST else None,
        )
        for account in household.accounts
        if account.parent is None
    ]
    if COMMON + number in drawing.places:
        other = drawing.office.draw_household(COMMON + number, market, has_trades=False)
        accounts += _list_others(other, len(household.people))
    return Client(household, tuple(accounts), tuple(each for each in household.registrations if each.kind is TRUST))


def _draw_acquired(number: int, drawing: Drawing, market: Market) -> Client:
    household = drawing.office.draw_household(number, market, has_trades=False)
    return Client(household, tuple(_list_others(household, len(household.people))))


def _list_others(drawn: Household, people: int) -> Iterator[ClientAccount]:
    """Yield the accounts at the vendor that has accounts of its own and knows no trusts, in a household with this number of people."""
    for account in drawn.accounts:
        if account.sleeve is None:
            places = (drawn.people.index(owner) for owner in account.registration.owners)
            yield ClientAccount(account, tuple(dict.fromkeys(p if p < people else 0 for p in places)), None)
