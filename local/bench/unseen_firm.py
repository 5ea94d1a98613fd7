"""Generate a firm's records by other rules than `local.bench.people`, to measure the identity matcher on data that did not tune it.

A quarter of the families are not of English origin; a fifth have trusts, companies, foundations, partnerships, estates or retirement plans.
Six vendors describe them, each in its own way:

- `portfolio`: one record per registration, with its title, type and the first owner's number and birth date; contact details of the household
- `custody`: one record per account, in capitals with the surname first, in a single name field; no household
- `reporting`: persons by first and last name; some entities in the last-name field
- `planning`: a client and a spouse; no tax id
- `risk`: a single name field and an e-mail; some couples in one record
- `crm`: persons as they are called, and business accounts

The shares of missing values are assumptions: no vendor publishes them. All numbers, addresses and people are invented.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from include.identity.record import PERSONS
from local.bench.unseen_errors import fold, misstate_birth, misstate_name, misstate_tax, slip
from local.bench.unseen_families import Entity, Family, Home, Human, Registration, Town, draw_phone
from local.bench.unseen_lexicon import FullName
from local.bench.unseen_titles import (
    LEGAL,
    PERSONAL,
    write_entity,
    write_joint,
    write_minor,
    write_own,
    write_plain,
    write_surname_first,
)

RECORDS = pa.schema(
    [*PERSONS, pa.field("title", pa.string())]
)  # fmt: skip
"""PERSONS, with three columns that are null where the vendor has none.

`title` is the title of a registration (then `name` is the same), `registration_type` its type in the vendor's words, and `tax_id_form` is
`SSN` or `EIN` where the vendor writes the tax id with hyphens, before it is hashed.
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A vendor. `covers` is the share of the families that it has; the other numbers are the share of its records that have the field (0-1)."""

    vendor: str
    covers: float
    birth: float
    tax: float
    last4: float
    email: float
    phone: float
    address: float


PORTFOLIO = Source("portfolio", 0.95, birth=0.86, tax=0.9, last4=0.9, email=0.6, phone=0.7, address=0.97)
CUSTODY = Source("custody", 0.6, birth=0.3, tax=0.97, last4=0.97, email=0.0, phone=0.45, address=0.99)
REPORTING = Source("reporting", 0.35, birth=0.7, tax=0.75, last4=0.8, email=0.8, phone=0.5, address=0.85)
PLANNING = Source("planning", 0.5, birth=0.93, tax=0.0, last4=0.08, email=0.8, phone=0.45, address=0.65)
RISK = Source("risk", 0.4, birth=0.0, tax=0.0, last4=0.0, email=0.95, phone=0.25, address=0.0)
CRM = Source("crm", 0.92, birth=0.7, tax=0.0, last4=0.4, email=0.82, phone=0.85, address=0.88)
SOURCES = (PORTFOLIO, CUSTODY, REPORTING, PLANNING, RISK, CRM)

_NO_PHONE = ("999-999-9999", "000-000-0000", "(555) 555-5555", "1234567890")
_NO_EMAIL = ("none@none.com", "noemail@advisors.example", "n/a", "ops@advisors.example")
_SHORT = {"Street": "St", "Avenue": "Ave", "Road": "Rd", "Drive": "Dr.", "Lane": "Ln", "Court": "Ct", "Circle": "Cir", "Place": "Pl",
          "Terrace": "Ter", "Trail": "Trl", "Parkway": "Pkwy", "North": "N", "East": "E.", "SW": "Southwest"}  # fmt: skip


@dataclass(frozen=True)
class Unseen:
    """Generated records, with the truth.

    Attributes:
        persons: RECORDS of all vendors, shuffled.
        truth: The true id of each record: a person's or an entity's number. The second person of a joint record has the negated record id.
        entities: Kind of each entity (`local.bench.unseen_titles.LEGAL`), by number. All other numbers are persons.
        joint_titles: Ids of the registrations with a joint title.
        tax_ids: The person's true tax id, by number.
        birth_dates: The person's true birth date, by number.
        origins: Origin of the person's name (`local.bench.unseen_lexicon.ORIGINS`), by number.
    """

    persons: pa.Table
    truth: dict[int, int]
    entities: dict[int, str]
    joint_titles: frozenset[int]
    tax_ids: dict[int, str]
    birth_dates: dict[int, date]
    origins: dict[int, str]


def make_unseen(people: int, seed: int = 41) -> Unseen:
    """Generate a firm with about this many natural persons; the same seed gives the same firm."""
    town = Town(random.Random(f"{seed} families"), people)
    families: list[Family] = []
    while town.humans < people:
        families += town.draw_families()
    rows: list[Row] = []
    truth: dict[int, int] = {}
    joint = set()
    for source in SOURCES:
        draw = random.Random(f"{seed} {source.vendor}")
        for family in families:
            links = random.Random(f"{seed} links {family.number}")
            if draw.random() < source.covers:
                for row, meant in _Writer(draw, source, family, links).write():
                    row["record_id"] = record = len(rows) + 1
                    rows.append(row)
                    truth.update(zip((record, -record), meant, strict=False))
                    joint.update([record] if row["title"] and len(meant) > 1 else [])
    random.Random(seed).shuffle(rows)
    humans = [human for family in families for human in family.members]
    return Unseen(
        persons=pa.Table.from_pylist(rows, schema=RECORDS),
        truth=truth,
        entities={entity.number: entity.kind for family in families for entity in family.entities},
        joint_titles=frozenset(joint),
        tax_ids={human.number: human.tax_id for human in humans},
        birth_dates={human.number: human.birth for human in humans},
        origins={human.number: human.name.origin for human in humans},
    )


def hash_tax_id(tax_id: str) -> str:
    """Return the hash of a tax id as the records contain it."""
    return hashlib.sha256(tax_id.encode()).hexdigest()


class _Writer:
    """Writes a vendor's records of one family.

    Args:
        draw: Source of randomness of the vendor.
        source: The vendor.
        family: The family.
        links: Source of randomness of the keys, which is the same for all vendors.
    """

    def __init__(self, draw: random.Random, source: Source, family: Family, links: random.Random) -> None:
        self._draw, self._source, self._family = draw, source, family
        self._is_linked, self._has_plan_key = links.random() < 0.4, links.random() < 0.3
        self._in_crm = {entity.number for entity in family.entities if links.random() < 0.6}
        self._shared: Row = {}  # contact details of the household
        self._is_moved = draw.random() < 0.35  # the vendor still has the homes before the moves

    def write(self) -> Iterator[tuple[Row, list[int]]]:
        """Yield each record, with the true ids that it describes: one, or two persons in order."""
        draw, family = self._draw, self._family
        if self._source in (PORTFOLIO, CUSTODY):
            for registration in family.registrations:
                if draw.random() < 0.96:
                    yield self._write_registration(registration)
            return
        known = [human for human in family.members if draw.random() < (0.35 if human.is_minor else 0.95)]
        if self._source == PLANNING:
            known = known[:2]
        if self._source == RISK and known[:2] == family.members[:2] and len(known) > 1 and draw.random() < 0.08:
            first, second = known[:2]
            row = self._write_person(first) | {
                "name": write_joint(draw, first.name, second.name, "jtwros").split(",")[0]
            }
            yield row, [first.number, second.number]
            known = known[2:]
        for human in known:
            yield self._write_person(human), [human.number]
        for entity in family.entities:
            if (
                entity.number in self._in_crm
                if self._source == CRM
                else self._source == REPORTING and draw.random() < 0.3
            ):
                yield self._write_entity(entity), [entity.number]

    def _write_registration(self, registration: Registration) -> tuple[Row, list[int]]:
        draw, kind, entity = self._draw, registration.kind, registration.entity
        is_custodian = self._source == CUSTODY
        head, names = registration.owners[0], [self._misstate(human) for human in registration.owners]
        if entity:
            title = write_entity(draw, kind, self._fold(entity.core), entity.dated, names[0], is_custodian=is_custodian)
            meant = [entity.number]
        elif len(names) > 1:
            title = write_joint(draw, names[0], names[1], kind, is_custodian=is_custodian)
            meant = [human.number for human in registration.owners]
        else:
            adult = registration.custodian
            title = (
                write_minor(draw, names[0], self._misstate(adult), head.home.state, is_custodian=is_custodian) if adult
                else write_own(draw, names[0], kind, self._write_generation(head), is_custodian=is_custodian)
            )  # fmt: skip
            meant = [head.number]
        row = self._write_common(
            head, entity.tax_id if entity else head.tax_id, has_birth=not entity or draw.random() < 0.25
        )
        words = (LEGAL | PERSONAL)[kind][is_custodian].split("|")
        row |= {
            "name": title,
            "title": title,
            "registration_type": draw.choice(words) if draw.random() < 0.94 else None,
        }
        if row["tax_id_hash"] and draw.random() < 0.6:
            row["tax_id_form"] = "ein" if entity and entity.has_ein else "ssn"
        keys = [f"number:account:{registration.number}"]
        if not is_custodian:
            row["first_name"], row["last_name"] = self._fill_names(registration, names, title)
            keys = [f"number:account:{each.number}" for each in self._family.registrations]
            if self._is_linked:
                keys.append(f"crm:person:{entity.number if entity and entity.number in self._in_crm else head.number}")
            if self._has_plan_key:
                keys.append(f"portfolio:household:{self._family.number}")
        return row | {"strong_keys": keys}, meant

    def _fill_names(
        self, registration: Registration, names: list[FullName], title: str
    ) -> tuple[str | None, str | None]:
        """Return the first and last name of a registration: the first owner's, both owners', the title, or none."""
        chance, first = self._draw.random(), names[0]
        if registration.entity:
            return (None, None) if chance < 0.5 else (None, title) if chance < 0.75 else (first.given, first.last)
        if len(names) > 1 and chance < 0.35:
            return (f"{first.given} & {names[1].given}", first.last) if first.last == names[1].last else (None, None)
        return (
            (None, None) if chance > 0.95 else (first.given, self._add_generation(first.last, registration.owners[0]))
        )

    def _write_person(self, human: Human) -> Row:
        draw, source = self._draw, self._source
        name = self._misstate(human)
        row = self._write_common(human, human.tax_id)
        middle = name.middle and draw.choice((f"{name.middle[0]}.", name.middle, "", ""))
        row["first_name"] = f"{name.given} {middle}" if middle else name.given
        row["last_name"] = self._add_generation(name.last, human)
        row["name"] = f"{row['first_name']} {row['last_name']}"
        if source == RISK:
            row["name"] = self._write_whole(name, self._write_generation(human))
            row["first_name"] = row["last_name"] = None
        elif draw.random() < 0.004:
            row["first_name"], row["last_name"] = row["last_name"], row["first_name"]
        keys = [f"crm:person:{human.number}"] if source == CRM and self._is_linked else []
        if source == PLANNING and self._has_plan_key:
            keys = [f"portfolio:household:{self._family.number}"]
            keys += [f"number:account:{each.number}" for each in self._family.registrations]
        return row | {"strong_keys": keys or None}

    def _write_entity(self, entity: Entity) -> Row:
        draw, head = self._draw, entity.owners[0]
        name = write_entity(draw, entity.kind, self._fold(entity.core), entity.dated, head.name)
        row = self._write_common(head, entity.tax_id, has_birth=False) | {"name": name, "last_name": name}
        if self._source == CRM:
            is_trust = entity.kind in ("revocable", "irrevocable", "charitable")
            row |= {
                "last_name": None,
                "registration_type": draw.choice(("Trust" if is_trust else "Business", "Business Account", None)),
            }
            row["strong_keys"] = [f"crm:person:{entity.number}"] if self._is_linked else None
        return row

    def _write_common(self, human: Human, tax_id: str, *, has_birth: bool = True) -> Row:
        """Return the fields that do not depend on the kind of record."""
        draw, source = self._draw, self._source
        row: Row = dict.fromkeys(RECORDS.names)
        row["vendor"] = source.vendor
        if source not in (CUSTODY, RISK):
            row["household"] = f"{source.vendor}-{self._family.number}"
        if has_birth and draw.random() < source.birth:
            row["birth_date"] = misstate_birth(draw, human.birth)
        elif draw.random() < 0.05 and source.birth:
            row["birth_date"] = draw.choice((date(1900, 1, 1), date(1900, 1, 1), date(1970, 1, 1)))
        stated = misstate_tax(draw, tax_id, self._family.members[0].tax_id)
        if draw.random() < source.tax:
            row |= {"tax_id_hash": hash_tax_id(stated), "tax_id_last4": stated[-4:]}
        elif draw.random() < source.last4:
            row["tax_id_last4"] = stated[-4:]
        if source != PORTFOLIO:
            return row | self._write_contact(human)
        self._shared = self._shared or self._write_contact(self._family.members[0])
        return row | self._shared

    def _write_contact(self, human: Human) -> Row:
        """Return a person's e-mail, telephone and address; at `portfolio`, they are the household's."""
        draw, source = self._draw, self._source
        row: Row = {}
        email = "household_email" if source == PORTFOLIO else "email"
        if draw.random() < source.email:
            row[email] = draw.choice(human.emails)
        elif draw.random() < 0.03:
            row[email] = draw.choice(_NO_EMAIL)
        home = human.before if human.before and self._is_moved else human.home
        if draw.random() < source.phone:
            digits = human.mobile if human.mobile and source != PORTFOLIO and draw.random() < 0.55 else home.phone
            digits = draw_phone(draw) if draw.random() < 0.03 else digits
            phone = draw.choice(("({}) {}-{}", "{}-{}-{}", "+1 {} {} {}", "{}{}{}"))
            row["phone"] = phone.format(digits[:3], digits[3:6], digits[6:])
        elif draw.random() < 0.05:
            row["phone"] = draw.choice(_NO_PHONE)
        return row | (self._write_address(home) if draw.random() < source.address else {})

    def _write_address(self, home: Home) -> Row:
        draw = self._draw
        street = home.street
        if draw.random() < 0.5:
            street = " ".join(_SHORT.get(word, word) for word in street.split())
        street = slip(draw, street, 0.015)
        if home.unit and draw.random() < 0.93:
            street += draw.choice((", Apt {}", " #{}", " Unit {}", ", Apt. {}", " Apt # {}", " No. {}")).format(
                home.unit
            )
        postal_code = home.postal_code
        if draw.random() < 0.1:
            postal_code += f"-{draw.randrange(1000, 9999)}"
        city = slip(draw, home.city, 0.01)
        if self._source == CUSTODY:
            street, city = street.upper(), city.upper()
        return {"street": street, "city": city, "state_code": home.state, "postal_code": postal_code}

    def _misstate(self, human: Human) -> FullName:
        """Return a person's name as this record has it."""
        is_casual = self._source in (CRM, PLANNING, RISK)
        name = misstate_name(self._draw, human.name, human.former, is_casual=is_casual)
        middle = name.middle and self._fold(name.middle)
        return name._replace(given=self._fold(name.given), middle=middle, family=(self._fold(name.last),))

    def _fold(self, text: str) -> str:
        """Return the text with its accents, or without: always at custodians and portfolio systems, less often elsewhere."""
        keeps = self._source not in (CUSTODY, PORTFOLIO) and self._draw.random() < 0.6
        return text if keeps else fold(self._draw, text)

    def _write_whole(self, name: FullName, generation: str | None) -> str:
        draw = self._draw
        if draw.random() < 0.15:
            return f"{name.last}{' ' + generation if generation else ''}, {name.given}{' ' + name.middle[0] if name.middle else ''}"
        if name.origin in ("chinese", "vietnamese") and draw.random() < 0.3:
            return write_surname_first(draw, name).title()
        return write_plain(draw, name, generation=generation)

    def _write_generation(self, human: Human) -> str | None:
        return human.generation if human.generation and self._draw.random() < 0.6 else None

    def _add_generation(self, last: str, human: Human) -> str:
        generation = self._write_generation(human)
        return f"{last}{self._draw.choice((' ', ', '))}{generation}" if generation else last
