"""Fictitious people: no name, number or address belongs to a real person."""

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta

_FIRST = {
    "F": ("Ada", "Bea", "Cleo", "Dora", "Elsie", "Fern", "Greta", "Hazel", "Iris", "Juno", "Kira", "Lena", "Mabel"),
    "M": ("Abe", "Ben", "Carl", "Dean", "Ezra", "Finn", "Gus", "Hugo", "Ivan", "Jude", "Karl", "Leo", "Milo"),
}
# fmt: off
_LAST = (
    "Sample", "Example", "Specimen", "Placeholder", "Testerly", "Mockford", "Demoson", "Fixture",
    "Pretend", "Imaginary", "Fictus", "Sampleton", "Exampleson", "O'Sample", "Van-Example",
    "Testwell", "Dummyson", "Makebelieve", "Nonesuch", "Invento", "Seedling", "Prototype",
    "Stubbs-Sample", "Examplová", "Muñoz-Sample",
)
# fmt: on
_PLACES = (
    ("Omaha", "NE", "68102"),
    ("Denver", "CO", "80202"),
    ("Boston", "MA", "02108"),
    ("Austin", "TX", "78701"),
    ("Madison", "WI", "53703"),
    ("Raleigh", "NC", "27601"),
    ("Tampa", "FL", "33602"),
    ("Boise", "ID", "83702"),
)
_STREETS = ("Example St", "Sample Ave", "Placeholder Ln", "Specimen Blvd", "Demo Ct")
_JOBS = ("Teacher", "Engineer", "Physician", "Attorney", "Retired", "Business Owner", "Nurse", "Electrician")


@dataclass(frozen=True, slots=True)
class Person:
    """One fictitious person."""

    first_name: str
    last_name: str
    gender: str
    born: date
    tax_id: str
    job: str

    @property
    def name(self) -> str:
        """Return first and last name."""
        return f"{self.first_name} {self.last_name}"


@dataclass(frozen=True, slots=True)
class Home:
    """A household's address and telephone number. The number is in the fictional range 555-01xx."""

    street: str
    unit: str | None
    city: str
    state: str
    zip_code: str
    phone: str


def draw_person(draw: random.Random, last_name: str | None = None) -> Person:
    """Draw an adult. The tax id starts with 9, with a middle group from 01 to 49; such numbers are never issued."""
    gender = draw.choice("FM")
    return Person(
        first_name=draw.choice(_FIRST[gender]),
        last_name=last_name or draw.choice(_LAST),
        gender=gender,
        born=date(1938, 1, 1) + timedelta(days=draw.randrange(60 * 365)),
        tax_id=f"9{draw.randrange(100):02d}-{draw.randrange(1, 50):02d}-{draw.randrange(10000):04d}",
        job=draw.choice(_JOBS),
    )


def draw_spouse(draw: random.Random, head: Person) -> Person:
    """Draw a spouse of about the same age as `head`, usually with the same last name."""
    spouse = draw_person(draw, head.last_name if draw.random() < 0.85 else None)
    return replace(spouse, born=head.born + timedelta(days=draw.randrange(-2000, 2000)))


def draw_home(draw: random.Random) -> Home:
    """Draw an address and a telephone number."""
    city, state, zip_code = draw.choice(_PLACES)
    return Home(
        street=f"{draw.randrange(1, 990)} {draw.choice(_STREETS)}",
        unit=f"Apt {draw.randrange(1, 40)}" if draw.random() < 0.2 else None,
        city=city,
        state=state,
        zip_code=zip_code,
        phone=f"{draw.randrange(201, 990)}-555-01{draw.randrange(100):02d}",
    )
