"""Likenesses: one vendor's record of a person of the firm, with a nickname, a typo, an old address or a married name.

A likeness depends only on the seed, the vendor and the household. So a vendor returns the same record every time without
storing anything, and the errors of two vendors are independent.
"""

import random
from dataclasses import dataclass
from datetime import date, timedelta

from sandbox.firm.households import Household, Registration
from sandbox.firm.people import Home, Person, draw_home, draw_person


@dataclass(frozen=True, slots=True)
class Share:
    """The share of the firm's households that a vendor has.

    A draw gives each household a random number from 0 to 1. The vendor has the households whose number is in its range. Two
    vendors with the same draw have the households in the overlap of their ranges in common.

    Attributes:
        draw: Name of the random draw.
        low: Start of the range (included).
        high: End of the range (excluded).
    """

    draw: str
    low: float
    high: float


OTHER_NAMES = {
    "Abe": "Abraham",
    "Ada": "Adaline",
    "Bea": "Beatrice",
    "Ben": "Benjamin",
    "Cleo": "Cleopatra",
    "Dora": "Theodora",
    "Elsie": "Elizabeth",
    "Ezra": "Ez",
    "Greta": "Margaret",
    "Gus": "Augustus",
    "Ivan": "Van",
    "Jude": "Judah",
    "Lena": "Helena",
    "Leo": "Leonard",
    "Mabel": "Mae",
    "Milo": "Miles",
}
"""Another form of a first name that its bearer also uses."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """One person as recorded by one vendor.

    Attributes:
        first_name: Sometimes with a middle initial.
        last_name: Sometimes with a suffix ("Sample Jr.").
        gender: "F" or "M".
        born: Birth date, sometimes with a typo; None if the vendor has no date.
        email: Sometimes the partner's address; None if the vendor has none.
        phone: In varying formats; None if the vendor has none.
        home: The household's address; sometimes an old one.
        tax_id: The same as in the firm's records.
    """

    first_name: str
    last_name: str
    gender: str
    born: date | None
    email: str | None
    phone: str | None
    home: Home
    tax_id: str

    @property
    def name(self) -> str:
        """Return first and last name."""
        return f"{self.first_name} {self.last_name}"


def has_household(seed: int, share: Share, number: int) -> bool:
    """Return whether a vendor with this share has the firm's household `number` (from 0). Every vendor has household 0."""
    return number == 0 or share.low <= random.Random(f"{seed}:{share.draw}:{number}").random() < share.high


def draw_likenesses(seed: int, vendor: str, household: Household) -> list[Likeness]:
    """Return the household's people as recorded by `vendor`, in the order of `household.people`."""
    draw = random.Random(f"{seed}:likeness:{vendor}:{household.id}")
    old = draw_home(draw)
    home = old if draw.random() < 0.08 else household.home
    phone = _draw_phone(draw, household.home, old)
    return [
        _draw_likeness(random.Random(f"{seed}:likeness:{vendor}:{household.id}:{place}"), household, place, home, phone)
        for place in range(len(household.people))
    ]


def write_person_key(household: Household, place: int) -> str:
    """Return the key of a person in `list_true_matches`: "person:1001:0" is the first person of household 1001.

    `place` is the person's index in `household.people`.
    """
    return f"person:{household.id}:{place}"


def write_entity_key(registration: Registration) -> str:
    """Return the key in `list_true_matches` of the trust or other legal entity that owns a registration: "entity:20005"."""
    return f"entity:{registration.id}"


def write_couple(people: list[Likeness]) -> str:
    """Join the names of one or two people: "John & Mary Smith", "John Smith & Mary Jones" or "John Smith"."""
    head, *others = people
    if others and others[0].last_name == head.last_name:
        return f"{head.first_name} & {others[0].first_name} {head.last_name}"
    return " & ".join(person.name for person in people)


def _draw_likeness(draw: random.Random, household: Household, place: int, home: Home, phone: str | None) -> Likeness:
    person = household.people[place]
    return Likeness(
        first_name=_draw_first_name(draw, person),
        last_name=_draw_last_name(draw, household, place),
        gender=person.gender,
        born=_draw_birth_date(draw, person),
        email=_draw_email(draw, household, place),
        phone=phone if draw.random() < 0.9 else None,
        home=home,
        tax_id=person.tax_id,
    )


def _draw_first_name(draw: random.Random, person: Person) -> str:
    chance, name = draw.random(), person.first_name
    if chance < 0.12:
        return OTHER_NAMES.get(name, name)
    if chance < 0.15:
        return mistype(draw, name)
    return f"{name} {draw.choice('ABEJLMR')}." if chance < 0.20 else name


def _draw_last_name(draw: random.Random, household: Household, place: int) -> str:
    """Return a last name. The second person of a household sometimes gets a maiden name, or the first person's last name."""
    name, head = household.people[place].last_name, household.people[0].last_name
    chance, maiden = draw.random(), draw_person(draw).last_name
    if place and chance < 0.08:
        return maiden if name == head else head
    if chance > 0.97:
        return mistype(draw, name)
    return f"{name} Jr." if place == 0 and household.people[0].gender == "M" and chance > 0.95 else name


def _draw_birth_date(draw: random.Random, person: Person) -> date | None:
    chance, born = draw.random(), person.born
    if chance < 0.03:
        return None
    if chance < 0.045 and born.day <= 12:
        return born.replace(month=born.day, day=born.month)
    return born + timedelta(days=draw.choice((-1, 1, 10))) if chance > 0.985 else born


def write_email(household: Household, place: int) -> str:
    """Return the email address in the firm's own records of person `place` of `household.people`."""
    person = household.people[place]
    return f"{person.first_name}.{person.last_name}.{household.id}@example.org".lower().replace("'", "")


def _draw_email(draw: random.Random, household: Household, place: int) -> str | None:
    chance, own = draw.random(), write_email(household, place)
    if chance < 0.15:
        return None
    if chance < 0.30:
        person = household.people[place]
        return f"{person.first_name[0]}{person.last_name}{person.born:%y}@example.com".lower().replace("'", "")
    if chance < 0.40:
        return write_email(household, 0)
    return own.upper() if chance < 0.43 else own


def _draw_phone(draw: random.Random, home: Home, old: Home) -> str | None:
    area, middle, last = (old if draw.random() < 0.08 else home).phone.split("-")
    chance = draw.random()
    if chance < 0.5:
        return f"({area}) {middle}-{last}"
    return f"{area}{middle}{last}" if chance < 0.7 else f"{area}-{middle}-{last}"


def mistype(draw: random.Random, name: str) -> str:
    """Return a name of at least three letters with a typing error: one letter after the first swapped, dropped or doubled."""
    at = draw.randrange(1, len(name) - 1)
    return draw.choice(
        (
            name[:at] + name[at + 1] + name[at] + name[at + 2 :],
            name[:at] + name[at + 1 :],
            name[: at + 1] + name[at:],
        )
    )
