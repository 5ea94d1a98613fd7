"""Generate a firm's people as five vendors record them, with the true person of each record.

Names have the frequencies of the 1990 US census, so that different people share common names. There are couples, Jr and Sr, twins,
shared e-mails and telephones, nicknames, typing errors, and people who moved or married. All numbers and addresses are fictitious.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from include.identity.record import PERSONS

# Written by hand, because identity resolution must not be measured with its own list of nicknames.
_CALLED = {
    "Robert": ("Bob", "Rob"), "William": ("Bill", "Will"), "Richard": ("Dick", "Rick"), "James": ("Jim", "Jimmy"),
    "John": ("Jack", "Johnny"), "Michael": ("Mike", "Mick"), "Charles": ("Chuck", "Charlie"), "Thomas": ("Tom", "Tommy"),
    "Joseph": ("Joe", "Joey"), "Edward": ("Ed", "Ted"), "Daniel": ("Dan", "Danny"), "Anthony": ("Tony",),
    "Kenneth": ("Ken",), "Steven": ("Steve",), "Andrew": ("Andy", "Drew"), "Timothy": ("Tim",), "Ronald": ("Ron",),
    "Donald": ("Don",), "Lawrence": ("Larry",), "Henry": ("Hank", "Harry"), "Samuel": ("Sam",), "Benjamin": ("Ben",),
    "Francis": ("Frank",), "Eugene": ("Gene",), "Christopher": ("Chris", "Kit"), "Alexander": ("Alex", "Sandy"),
    "Margaret": ("Peggy", "Maggie"), "Elizabeth": ("Liz", "Betty", "Beth"), "Patricia": ("Pat", "Patty", "Trish"),
    "Susan": ("Sue", "Susie"), "Deborah": ("Debbie",), "Barbara": ("Barb", "Babs"), "Jennifer": ("Jen", "Jenny"),
    "Catherine": ("Cathy", "Kate"), "Kathleen": ("Kathy",), "Rebecca": ("Becky",), "Virginia": ("Ginny",),
    "Dorothy": ("Dot", "Dottie"), "Victoria": ("Vicky",), "Christine": ("Chris", "Tina"), "Cynthia": ("Cindy",),
    "Judith": ("Judy",), "Sandra": ("Sandy",), "Mary": ("Molly", "Polly"), "Martha": ("Patsy", "Marty"), "Theresa": ("Terry",),
}  # fmt: skip
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_STREETS = ("St", "Ave", "Rd", "Dr", "Ln", "Ct", "Blvd", "Pl", "Way", "Cir")
_LONG = {"St": "Street", "Ave": "Avenue", "Rd": "Road", "Dr": "Drive", "Ln": "Lane", "Ct": "Court", "Blvd": "Boulevard"}
_STATES = ("NE", "CO", "MA", "TX", "WI", "NC", "FL", "ID", "CA", "NY", "IL", "OH")


@dataclass(frozen=True)
class Feed:
    """How complete a vendor's records are. All numbers are shares (0-1).

    `covers` is the share of the firm's people that the vendor has; the other numbers are the share of its records that have the field.
    """

    vendor: str
    covers: float
    tax: float
    last4: float
    birth: float
    email: float
    phone: float
    address: float
    whole_name: float = 0.0  # the name is one text, without first and last name
    joint: float = 0.0  # of the couples: both are in one record
    cross: float = 0.0  # contains the key of this person at the first vendor


FEEDS = (
    Feed("portfolio", 0.95, tax=0.9, last4=0.9, birth=0.92, email=0.55, phone=0.7, address=0.95),
    Feed(
        "reporting", 0.4, tax=0.8, last4=0.85, birth=0.85, email=0.4, phone=0.6, address=0.9, whole_name=1.0, joint=0.05
    ),
    Feed("planning", 0.6, tax=0.0, last4=0.1, birth=0.9, email=0.85, phone=0.5, address=0.7, joint=0.03),
    Feed("risk", 0.45, tax=0.0, last4=0.0, birth=0.3, email=0.95, phone=0.3, address=0.1),
    Feed("crm", 0.9, tax=0.0, last4=0.5, birth=0.75, email=0.85, phone=0.85, address=0.9, cross=0.4),
)


@dataclass
class Home:
    """An address with its telephone number."""

    street: str
    city: str
    state: str
    zip_code: str
    phone: str


@dataclass
class Human:
    """A person with the true values, which records may misstate. `before` is the home before a move, `maiden` the name before a marriage."""

    number: int
    first: str
    middle: str
    last: str
    sex: str
    birth: date
    tax_id: str
    home: Home
    suffix: str | None = None
    emails: list[str] = field(default_factory=list)
    mobile: str | None = None
    before: Home | None = None
    maiden: str | None = None


@dataclass(frozen=True)
class Firm:
    """Generated records, with the true person of each.

    Attributes:
        persons: The records of all vendors, shuffled; schema `include.identity.record.PERSONS`.
        truth: The number of the person, by `record_id`. A joint record describes a second person, under the negated id.
        tax_ids: The true tax id, by the person's number.
        birth_dates: The true birth date, by the person's number.
    """

    persons: pa.Table
    truth: dict[int, int]
    tax_ids: dict[int, str]
    birth_dates: dict[int, date]


def make_firm(people: int, seed: int = 7) -> Firm:
    """Generate a firm with about this many people. The same seed gives the same people; a further feed would add records but change no others."""
    town = _Town(random.Random(f"{seed} people"), people)
    households: list[list[Human]] = []
    while sum(map(len, households[-1:])) + (town.count if households else 0) < people:
        households.append(town.household())
    rows: list[dict[str, Any]] = []
    truth: dict[int, int] = {}
    for feed in FEEDS:
        draw = random.Random(f"{seed} {feed.vendor}")
        for at, household in enumerate(households):
            for row, meant in _write(draw, feed, at, household, first_id=len(rows) + 1):
                rows.append(row)
                truth.update(zip((row["record_id"], -row["record_id"]), meant, strict=False))
    random.Random(seed).shuffle(rows)
    humans = [human for household in households for human in household]
    return Firm(
        pa.Table.from_pylist(rows, schema=PERSONS), truth,
        {human.number: human.tax_id for human in humans}, {human.number: human.birth for human in humans},
    )  # fmt: skip


class _Town:
    """Generator of households with realistic frequencies of names and addresses."""

    def __init__(self, draw: random.Random, people: int) -> None:
        self.draw = draw
        self.count = 0
        lasts, weights = read_census("all.last")
        self.zips = [(f"{draw.choice(lasts[:4000])}{draw.choice(('ville', ' City', 'ton', ' Park', ''))}", draw.choice(_STATES), f"{z:05d}")
                     for z in draw.sample(range(10000, 99999), max(20, min(3000, people // 60)))]  # fmt: skip
        self.zip_weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(self.zips))))
        self.street_names = [
            "Main",
            "Oak",
            "Maple",
            "Park",
            "2nd",
            "3rd",
            "Cedar",
            "Elm",
            "Washington",
            "Lake",
            "Hill",
            *lasts[:3000],
        ]
        self.street_weights = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(self.street_names))))
        self.lasts, self.last_weights = lasts, weights

    def household(self) -> list[Human]:
        draw = self.draw
        last, home = self._last(), self.home()
        head = self.human(last, home, draw.choice("MF"), date(1935, 1, 1) + timedelta(days=draw.randrange(20000)))
        members = [head]
        kind = draw.random()
        if kind < 0.6:
            spouse = self.human(last if draw.random() < 0.85 else self._last(), home, "F" if head.sex == "M" else "M",
                                head.birth + timedelta(days=int(draw.gauss(0, 1200))))  # fmt: skip
            if spouse.sex == "F" and spouse.last == last and draw.random() < 0.1:
                spouse.maiden = self._last()
            if draw.random() < 0.25:
                spouse.emails = head.emails = [
                    draw.choice([head.emails[0], f"the{last.lower()}s{draw.randrange(99)}@{_domain(draw)}"])
                ]
            members.append(spouse)
        if kind < 0.3:
            for _ in range(draw.choice((1, 1, 2))):
                born = head.birth + timedelta(days=draw.randrange(8000, 13000))
                child = self.human(last, home if draw.random() < 0.6 else self.home(), draw.choice("MF"), born)
                if child.sex == head.sex == "M" and draw.random() < 0.2:
                    child.first, child.suffix = head.first, "Jr"
                    head.suffix = "Sr" if draw.random() < 0.5 else None
                members.append(child)
                if draw.random() < 0.03:
                    members.append(self.human(last, child.home, draw.choice("MF"), born))  # a twin
        for human in members:
            if draw.random() < 0.1:
                human.before = self.home()
            if draw.random() < 0.5:
                human.mobile = self.phone()
        return members

    def human(self, last: str, home: Home, sex: str, birth: date) -> Human:
        draw = self.draw
        names, weights = read_census("male.first" if sex == "M" else "female.first")
        first, middle = draw.choices(names, cum_weights=weights, k=2)
        self.count += 1
        tax_id = f"9{draw.randrange(10**8):08d}"
        human = Human(self.count, first, middle, last, sex, birth, tax_id, home)
        human.emails = [_email(draw, human) for _ in range(draw.choice((1, 1, 1, 2)))]
        return human

    def home(self) -> Home:
        draw = self.draw
        city, state, zip_code = draw.choices(self.zips, cum_weights=self.zip_weights)[0]
        street = draw.choices(self.street_names, cum_weights=self.street_weights)[0]
        compass = draw.choice(("", "", "", "N ", "S ", "West "))
        unit = f", Apt {draw.randrange(1, 400)}" if draw.random() < 0.15 else ""
        number = int(10 ** draw.uniform(0.5, 4))
        return Home(f"{number} {compass}{street} {draw.choice(_STREETS)}{unit}", city, state, zip_code, self.phone())

    def phone(self) -> str:
        return f"{self.draw.randrange(201, 990)}{self.draw.randrange(200, 999)}{self.draw.randrange(10000):04d}"

    def _last(self) -> str:
        return self.draw.choices(self.lasts, cum_weights=self.last_weights)[0]


def _write(
    draw: random.Random, feed: Feed, at: int, household: list[Human], first_id: int
) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Yield a vendor's records of a household, each with the numbers of the one or two people that it describes."""
    known = [human for human in household if draw.random() < feed.covers]
    couple = len(known) > 1 and household[:2] == known[:2] and draw.random() < feed.joint
    for human in known[1:] if couple else known:
        meant = [human.number]
        row = _record(draw, feed, at, human) | {"record_id": first_id}
        if couple and human is known[1]:
            head = known[0]
            row = _record(draw, feed, at, head) | {"record_id": first_id}
            same = head.last == human.last
            row["name"] = (
                f"{head.first} & {human.first} {head.last}"
                if same
                else f"{head.first} {head.last} & {human.first} {human.last}"
            )
            row["first_name"] = row["last_name"] = None
            meant = [head.number, human.number]
        yield row, meant
        first_id += 1


def _record(draw: random.Random, feed: Feed, at: int, human: Human) -> dict[str, Any]:
    def has(share: float) -> bool:
        return draw.random() < share

    first, last = human.first, human.last
    if has(0.25):
        first = draw.choice(_CALLED.get(first, (first,)))
    elif has(0.02):
        first = first[0]
    elif has(0.015):
        first = human.middle
    middle = draw.choice((human.middle[0] + ".", human.middle)) if has(0.25) else None
    if human.maiden and has(0.3):
        last = draw.choice((human.maiden, f"{human.maiden}-{last}"))
    if has(0.004):
        first, last = last, first
    first, last = _slip(draw, first, 0.02), _slip(draw, last, 0.02)
    suffix = human.suffix if human.suffix and has(0.6) else None
    row: dict[str, Any] = dict.fromkeys(PERSONS.names)
    row |= {"vendor": feed.vendor, "household": f"{feed.vendor}-{at}"}
    if has(feed.whole_name):
        parts = [first, middle, last, suffix]
        row["name"] = (
            " ".join(part for part in parts if part) if has(0.7) else f"{last}{' ' + suffix if suffix else ''}, {first}"
        )
    else:
        row["first_name"] = f"{first} {middle}" if middle else first
        row["last_name"] = f"{last} {suffix}" if suffix else last
        row["name"] = f"{first} {last}"
    if has(feed.birth):
        row["birth_date"] = _birth(draw, human.birth)
    tax_id = human.tax_id if draw.random() > 0.005 else _digit(draw, human.tax_id)
    if has(feed.tax):
        row["tax_id_hash"] = hashlib.sha256(tax_id.encode()).hexdigest()
    if row["tax_id_hash"] or has(feed.last4):
        row["tax_id_last4"] = tax_id[-4:]
    if has(feed.email):
        row["email"] = _slip(draw, draw.choice(human.emails), 0.01)
    if has(feed.phone):
        digits = human.mobile if human.mobile and has(0.5) else human.home.phone
        row["phone"] = draw.choice(("({}) {}-{}", "{}-{}-{}", "1{}{}{}", "{}.{}.{}")).format(
            digits[:3], digits[3:6], digits[6:]
        )
    if has(feed.address):
        home = human.before if human.before and has(0.4) else human.home
        street = home.street if has(0.6) else " ".join(_LONG.get(word, word) for word in home.street.split())
        row |= {"street": _slip(draw, street, 0.02), "city": _slip(draw, home.city, 0.01), "state_code": home.state}
        row["postal_code"] = home.zip_code if has(0.98) else _digit(draw, home.zip_code)
    key = f"portfolio:person:{human.number}"
    if feed.vendor == "portfolio" or has(feed.cross):
        row["strong_keys"] = [key]
    return row


def _email(draw: random.Random, human: Human) -> str:
    first, last = human.first.lower(), human.last.lower()
    shape = draw.choice(("{f}.{l}", "{f}{l}{n}", "{i}{l}{n}", "{f}{n}", "{l}{n}", "{f}_{l}"))
    return shape.format(f=first, l=last, i=first[0], n=draw.randrange(1, 1000)) + "@" + _domain(draw)


def _domain(draw: random.Random) -> str:
    return draw.choices(
        ("mail.example", "post.example", "inbox.example", f"d{draw.randrange(3000)}.example"), (4, 2, 1, 3)
    )[0]


def _birth(draw: random.Random, birth: date) -> date:
    chance = draw.random()
    if chance < 0.004:
        return birth.replace(day=1 + (birth.day + draw.choice((1, 9, 10))) % 28)
    if chance < 0.007 and birth.day <= 12:
        return birth.replace(month=birth.day, day=birth.month)
    if chance < 0.010:
        return birth.replace(year=birth.year + draw.choice((-10, -1, 1, 10)), day=min(birth.day, 28))
    if chance < 0.013:
        return birth.replace(month=1, day=1)
    return birth


def _digit(draw: random.Random, digits: str) -> str:
    at = draw.randrange(len(digits))
    return digits[:at] + draw.choice([d for d in "0123456789" if d != digits[at]]) + digits[at + 1 :]


def _slip(draw: random.Random, text: str, share: float) -> str:
    if draw.random() >= share or len(text) < 3:
        return text
    at = draw.randrange(1, len(text) - 1)
    return draw.choice((
        text[:at] + text[at + 1 :], text[:at] + draw.choice(_LETTERS) + text[at:],
        text[:at] + draw.choice(_LETTERS) + text[at + 1 :], text[:at] + text[at + 1] + text[at] + text[at + 2 :],
    ))  # fmt: skip


@cache
def read_census(kind: str) -> tuple[list[str], list[float]]:
    """Return the names of a kind, such as `female.first`, and their cumulative frequencies in the 1990 US census (package `names`)."""
    spec = importlib.util.find_spec("names")
    assert spec is not None
    assert spec.origin is not None
    lines = [line.split() for line in (Path(spec.origin).parent / f"dist.{kind}").read_text().splitlines()]
    return [line[0].capitalize() for line in lines], [float(line[2]) for line in lines]
