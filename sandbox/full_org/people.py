"""A person as users entered it in the org: the firm's own values, or these values with errors of one kind."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from sandbox.firm.households import Household
from sandbox.firm.likeness import OTHER_NAMES, mistype, write_email
from sandbox.firm.people import Home, Person, draw_home, draw_person


@dataclass(frozen=True, slots=True)
class Profile:
    """The values of one person in the org."""

    first_name: str
    last_name: str
    born: date | None
    email: str | None
    phone: str | None
    home: Home

    @property
    def name(self) -> str:
        """Return first and last name."""
        return f"{self.first_name} {self.last_name}"


def profile_client(household: Household, place: int) -> Profile:
    """Return the firm's own values of person `place` of a household."""
    person, home = household.people[place], household.home
    return Profile(person.first_name, person.last_name, person.born, write_email(household, place), home.phone, home)


def profile_stranger(draw: random.Random, person: Person | None = None) -> Profile:
    """Return the values of a person whom no vendor has: a new one, or `person`; with half of the birth dates."""
    person, home = person or draw_person(draw), draw_home(draw)
    address = f"{person.first_name}{person.last_name}{draw.randrange(10**6)}@example.net".lower().replace("'", "")
    born = person.born if draw.random() < 0.5 else None
    return Profile(person.first_name, person.last_name, born, address, home.phone, home)


def draw_last_name(draw: random.Random, name: str) -> str:
    """Return a last name other than `name`."""
    return next(other for _ in iter(int, 1) if (other := draw_person(draw).last_name) != name)


def draw_phone(draw: random.Random) -> str:
    """Return a telephone number in the fictional range 555-01xx."""
    return draw_home(draw).phone


def can_have(kind: str, household: Household, place: int) -> bool:
    """Return whether a kind of error can occur in the record of person `place`."""
    person = household.people[place]
    if kind == "nickname":
        return person.first_name in OTHER_NAMES
    if kind == "former_name":
        return place > 0 and person.gender == "F"
    return True


def _mistype(draw: random.Random, profile: Profile) -> Profile:
    if draw.random() < 0.5 and len(profile.first_name) > 2:
        return replace(profile, first_name=mistype(draw, profile.first_name))
    return replace(profile, last_name=mistype(draw, profile.last_name))


def _misdate(draw: random.Random, profile: Profile) -> Profile:
    born = profile.born
    if born is None or (born.day <= 12 and born.day != born.month):
        return replace(profile, born=born and born.replace(month=born.day, day=born.month))
    return replace(profile, born=born + timedelta(days=draw.choice((-1, 1, 10))))


def _write_other_email(draw: random.Random, profile: Profile) -> Profile:
    address = f"{profile.last_name}{draw.randrange(10**5)}@example.com".lower().replace("'", "")
    return replace(profile, email=address)


ERRORS: Mapping[str, Callable[[random.Random, Profile], Profile]] = {
    "nickname": lambda draw, profile: replace(
        profile, first_name=OTHER_NAMES.get(profile.first_name, profile.first_name)
    ),
    "former_name": lambda draw, profile: replace(profile, last_name=draw_last_name(draw, profile.last_name)),
    "typo": _mistype,
    "wrong_birth_date": _misdate,
    "no_birth_date": lambda draw, profile: replace(profile, born=None),
    "other_email": _write_other_email,
    "no_email": lambda draw, profile: replace(profile, email=None),
    "old_address": lambda draw, profile: replace(profile, home=draw_home(draw)),
}
"""The errors that a person's record can have, in the order in which they are made."""
