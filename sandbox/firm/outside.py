"""A household's accounts in a planning tool: copies of the firm's accounts, and accounts held away from the firm."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sandbox.firm.book import Book
from sandbox.firm.households import Account, Household, find_value

_AWAY = (
    ("401(k)", "401(K)", "Sample Retirement Services"),
    ("Checking", "Bank", "Example Savings Bank"),
    ("Brokerage", "Individual", "Placeholder Brokerage"),
    ("529 Plan", "529", "Specimen College Trust"),
)


@dataclass(frozen=True, slots=True)
class Holding:
    """One account as a planning vendor lists it.

    Attributes:
        slot: Number of the account within the household. It never changes.
        name: The planner's name for the account.
        number: The custodian's account number; None if it was never entered.
        institution: The institution that holds the account.
        kind: Type of account, as free text.
        value: Value at the end of `as_of`, in dollars.
        as_of: Day of the value. An account without a feed has an earlier day of the month, usually the first.
        is_linked: Whether the value comes from a feed.
        owner: Index of the owner in the household's people; None for joint owners.
        account: The firm's account of which this is a copy; None for an account held away.
    """

    slot: int
    name: str
    number: str | None
    institution: str
    kind: str
    value: Decimal
    as_of: date
    is_linked: bool
    owner: int | None
    account: Account | None = None


def draw_holdings(seed: int, vendor: str, household: Household, book: Book, day: date) -> list[Holding]:
    """Return a household's holdings on `day`: copies of the firm's open accounts first, then accounts held away."""
    key = f"{seed}:holdings:{vendor}:{household.id}"
    return [*_draw_copies(key, household, book, day), *_draw_away(key, household, book.firm.first, day)]


def _draw_copies(key: str, household: Household, book: Book, day: date) -> Iterator[Holding]:
    for account in sorted(household.accounts, key=lambda account: account.id):
        draw = random.Random(f"{key}:{account.id}")
        is_known, is_linked, is_typed = draw.random() < 0.85, draw.random() < 0.9, draw.random() < 0.93
        is_open = account.started_on <= day and (account.closed_on is None or account.closed_on > day)
        if account.parent is not None or not is_open or not (is_known or account is household.accounts[0]):
            continue
        as_of = day if is_linked else max(day.replace(day=1), book.firm.first, account.started_on)
        owners = account.registration.owners
        yield Holding(
            slot=account.id,
            name=f"{account.registration.kind.name} at {account.custodian[1]}",
            number=account.number if is_typed or account is household.accounts[0] else None,
            institution=account.custodian[1],
            kind=account.registration.kind.name,
            value=find_value(account, book.market, as_of)[0],
            as_of=as_of,
            is_linked=is_linked,
            owner=None if len(owners) > 1 or owners[0] not in household.people else household.people.index(owners[0]),
            account=account,
        )


def _draw_away(key: str, household: Household, first: date, day: date) -> Iterator[Holding]:
    draw = random.Random(f"{key}:away")
    for slot, (name, kind, institution) in enumerate(draw.sample(_AWAY, draw.choice((0, 1, 1, 2, 3)))):
        value, number, chance = int(draw.lognormvariate(11, 1)) + 1000, draw.randrange(10**9), draw.random()
        is_linked, owner = draw.random() < 0.5, draw.randrange(len(household.people))
        as_of = day if is_linked else max(day.replace(day=1), first)
        drift = 1 + sum(
            random.Random(f"{key}:{slot}:{week}").gauss(0.001, 0.01) for week in range(_weeks(first, as_of))
        )
        yield Holding(
            slot=slot,
            name=name,
            number=None if chance < 0.3 else f"{number:09d}",
            institution=institution,
            kind=kind,
            value=Decimal(f"{value * drift:.2f}"),
            as_of=as_of,
            is_linked=is_linked,
            owner=owner,
        )


def _weeks(first: date, day: date) -> int:
    return max((day - first) // timedelta(days=7), 0)
