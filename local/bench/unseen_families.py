"""Families of an invented firm, their homes, legal entities and registrations: the truth behind `local.bench.unseen_firm`."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from local.bench.people import read_census
from local.bench.unseen_lexicon import FullName, draw_family, draw_name, draw_origin
from local.bench.unseen_titles import JOINT, LEGAL, name_entity

_TODAY = date(2026, 6, 30)
_STATES = ("CA", "TX", "AZ", "FL", "NY", "PA", "OH", "MN", "GA", "WA", "NM", "VA", "MO", "NV")
_COMMUNITY_STATES = ("CA", "TX", "AZ", "WA", "NM", "NV")
_STREETS = ("Street", "Avenue", "Road", "Drive", "Lane", "Court", "Circle", "Place", "Terrace", "Trail", "Parkway")
_OWN = {
    "individual": 0.45,
    "ira": 0.35,
    "roth": 0.3,
    "rollover": 0.18,
    "401k": 0.07,
    "inherited": 0.05,
    "sep": 0.04,
    "simple": 0.02,
}
_ENTITIES = dict(zip(LEGAL, (0.46, 0.11, 0.03, 0.16, 0.06, 0.04, 0.04, 0.05, 0.05), strict=True))


@dataclass(frozen=True)
class Home:
    """An address with its telephone number. Only homes in towers and retirement communities, and some others, have a unit."""

    street: str
    unit: str | None
    city: str
    state: str
    postal_code: str
    phone: str


@dataclass
class Human:
    """A natural person with the true values.

    Attributes:
        number: The true id; entities are numbered in the same sequence.
        name: The present name.
        birth: Birth date.
        tax_id: Social security number, nine digits of a range that is not issued.
        home: The present home.
        generation: `Sr`, `Jr` or `III`.
        emails: Own e-mails, and those that the couple shares.
        mobile: Own telephone.
        before: The home before a move.
        former: Family names before a marriage or a remarriage.
    """

    number: int
    name: FullName
    birth: date
    tax_id: str
    home: Home
    generation: str | None = None
    emails: list[str] = field(default_factory=list)
    mobile: str | None = None
    before: Home | None = None
    former: list[str] = field(default_factory=list)

    @property
    def is_minor(self) -> bool:
        """Whether the person is younger than 18."""
        return self.birth > _TODAY.replace(year=_TODAY.year - 18)


@dataclass(frozen=True)
class Entity:
    """A legal entity. `owners` are the person who controls it, and this person's spouse if he or she shares the control."""

    number: int
    kind: str
    core: str
    dated: date
    tax_id: str
    has_ein: bool
    owners: list[Human]


@dataclass(frozen=True)
class Registration:
    """A registration: of one person, of two persons (joint), of a minor (with the adult in `custodian`) or of an entity."""

    kind: str
    number: str
    owners: list[Human]
    entity: Entity | None = None
    custodian: Human | None = None


@dataclass(frozen=True)
class Family:
    """A household as the firm serves it, with its legal entities and its registrations."""

    number: int
    members: list[Human]
    entities: list[Entity]
    registrations: list[Registration]


class Town:
    """Generator of families.

    Args:
        draw: Source of randomness.
        people: About how many people there will be.
    """

    def __init__(self, draw: random.Random, people: int) -> None:
        self._draw = draw
        self._numbers = self.humans = self._families = 0
        self._emails: set[str] = set()
        names = read_census("all.last")[0][:6000]
        self._streets = draw.sample(names, 900)
        self._places = [(f"{draw.choice(names)}{draw.choice(('ton', ' Falls', ' Heights', ' Springs', 'burg', ''))}",
                         draw.choice(_STATES), f"{draw.randrange(10000, 99950):05d}") for _ in range(max(12, people // 150))]  # fmt: skip
        self._towers = [
            replace(self._draw_home(), unit=kind) for kind in ("tower", "community") for _ in range(people // 4000 + 1)
        ]

    def draw_families(self) -> list[Family]:
        """Return a family; if the head is divorced, also the family of the former spouse."""
        draw, home, origin = self._draw, self._choose_home(), draw_origin(self._draw)
        is_common = draw.random() < (0.12 if home.unit else 0.012)
        head = self._add_human(
            origin, draw.choice("MF"), date(1930, 1, 1) + timedelta(draw.randrange(22000)), home, None, is_common
        )
        adults, kind = [head], draw.random()
        if kind < 0.62:
            adults.append(self._add_spouse(head))
        children = self._add_children(head, adults) if kind < 0.75 and draw.random() < 0.42 else []
        members = adults + children
        if draw.random() < 0.04:
            sex, born = draw.choice("MF"), head.birth - timedelta(draw.randrange(8000, 12000))
            members.append(
                self._add_human(head.name.origin, sex, born, home, head.name.family if draw.random() < 0.5 else None)
            )
        families = [self._register(members, adults)]
        if kind > 0.62 and draw.random() < 0.08 and head.before:
            sex = "F" if head.name.sex == "M" else "M"
            former = self._add_human(
                head.name.origin,
                sex,
                head.birth + timedelta(draw.randrange(-1500, 1500)),
                head.before,
                head.name.family,
            )
            families.append(self._register([former], [former]))
        return families

    def _add_human(
        self,
        origin: str,
        sex: str,
        birth: date,
        home: Home,
        family: tuple[str, ...] | None = None,
        is_common: bool = False,
    ) -> Human:
        draw = self._draw
        self.humans += 1
        self._numbers += 1
        name = draw_name(draw, origin, sex, family, is_common=is_common)
        human = Human(self._numbers, name, birth, f"9{draw.randrange(10**8):08d}", home)
        human.emails = [self._draw_email(name, birth) for _ in range(draw.choice((1, 1, 2)))]
        human.mobile = draw_phone(draw) if draw.random() < 0.7 else None
        human.before = self._draw_home() if draw.random() < 0.12 else None
        return human

    def _add_spouse(self, head: Human) -> Human:
        draw, name = self._draw, head.name
        sex = name.sex if draw.random() < 0.02 else "F" if name.sex == "M" else "M"
        origin = name.origin if draw.random() < 0.9 else draw_origin(draw)
        own = draw_family(draw, origin)
        takes = {"english": 0.82, "european": 0.75, "indian": 0.75}.get(origin, 0.15)
        chance = draw.random()
        family = name.family if chance < takes else (f"{own[0]}-{name.family[0]}",) if chance < takes + 0.05 else own
        spouse = self._add_human(origin, sex, head.birth + timedelta(int(draw.gauss(500, 1300))), head.home, family)
        if family != own and draw.random() < 0.3:
            spouse.former = [own[0]]
        if draw.random() < 0.06:
            spouse.former.append(draw_family(draw, origin)[0])  # of an earlier marriage
        spouse.before = head.before if draw.random() < 0.7 else spouse.before
        if draw.random() < 0.22:
            spouse.emails = head.emails = [draw.choice((head.emails[0], self._draw_email(name, None)))]
        if draw.random() < 0.08:
            spouse.mobile = head.mobile
        return spouse

    def _add_children(self, head: Human, adults: list[Human]) -> list[Human]:
        draw = self._draw
        children: list[Human] = []
        family = head.name.family
        if head.name.origin == "spanish" and len(adults) > 1:
            family = (head.name.family[0], adults[1].name.family[0])
        for _ in range(draw.choice((1, 1, 2, 2, 3))):
            born = min(
                head.birth + timedelta(draw.randrange(8000, 14000)), _TODAY - timedelta(draw.randrange(30, 4000))
            )
            child = self._add_human(head.name.origin, draw.choice("MF"), born, head.home, family)
            if not child.is_minor and draw.random() < 0.55:
                child.home = self._choose_home()
            elif draw.random() < 0.4:
                child.emails, child.mobile = head.emails, head.mobile
            if child.name.sex == head.name.sex and draw.random() < (0.1 if head.name.sex == "M" else 0.02):
                child.name = child.name._replace(given=head.name.given, called=head.name.called)
                if head.name.sex == "M" and draw.random() < 0.75:
                    head.generation, child.generation = draw.choice(((None, "Jr"), ("Sr", "Jr"), ("Jr", "III")))
            children.append(child)
            if draw.random() < 0.03:
                twin = self._add_human(head.name.origin, draw.choice("MF"), born, child.home, family)
                if draw.random() < 0.3:
                    twin.name = twin.name._replace(
                        given=f"{child.name.given[:2]}{draw.choice(('ylin', 'son', 'ela', 'den', 'nie'))}"
                    )
                children.append(twin)
        return children

    def _register(self, members: list[Human], adults: list[Human]) -> Family:
        draw, head = self._draw, members[0]
        accounts: list[Registration] = []
        entities: list[Entity] = []
        grantors: list[Human] = []

        def register(
            kind: str, owners: list[Human], entity: Entity | None = None, custodian: Human | None = None
        ) -> None:
            accounts.append(Registration(kind, f"{draw.randrange(10**9):09d}", owners, entity, custodian))

        for human in members:
            if human.is_minor:
                if draw.random() < 0.8:
                    register("utma", [human], custodian=draw.choice(adults))
                continue
            kinds = [kind for kind, share in _OWN.items() if draw.random() < share]
            for kind in kinds or ["individual"] * (draw.random() < 0.5):
                register(kind, [human])
        if len(adults) > 1 and draw.random() < 0.55:
            kind = draw.choices(JOINT, (0.78, 0.07, 0.1 if head.home.state in _COMMUNITY_STATES else 0, 0.05))[0]
            register(kind, draw.sample(adults, 2) if draw.random() < 0.2 else adults)
        if len(members) > 2 and not members[2].is_minor and draw.random() < 0.06:
            register(draw.choice(("tic", "jtwros")), [head, members[2]])
        if draw.random() < 0.2:
            for _ in range(draw.choice((1, 1, 1, 2, 3))):
                entity = self._add_entity(adults)
                if entity.core in {each.core for each in entities} or (
                    entity.kind == "revocable" and entity.owners[0] in grantors
                ):
                    continue  # no person has two revocable trusts
                grantors += entity.owners if entity.kind == "revocable" else []
                entities.append(entity)
                for _ in range(draw.choice((1, 1, 2))):
                    register(entity.kind, entity.owners, entity)
        self._families += 1
        return Family(self._families, members, entities, accounts)

    def _add_entity(self, adults: list[Human]) -> Entity:
        draw = self._draw
        owners = draw.sample(adults, len(adults)) if draw.random() < 0.4 else adults[: draw.choice((1, 2))]
        kind = draw.choices([*_ENTITIES], [*_ENTITIES.values()])[0]
        # A revocable trust, and a company of one person, use the owner's social security number.
        has_ein = draw.random() >= {"revocable": 0.85, "llc": 0.25}.get(kind, 0.0)
        self._numbers += 1
        return Entity(
            self._numbers, kind,
            name_entity(draw, kind, owners[0].name, owners[1].name if len(owners) > 1 else None),
            date(1985, 1, 1) + timedelta(draw.randrange(15000)),
            f"0{draw.choice('789')}{draw.randrange(10**7):07d}" if has_ein else owners[0].tax_id, has_ein, owners,
        )  # fmt: skip

    def _choose_home(self) -> Home:
        draw = self._draw
        if draw.random() >= 0.035:
            return self._draw_home()
        tower = draw.choice(self._towers)
        is_desk = tower.unit == "community" and draw.random() < 0.3  # the telephone at the front desk
        phone = tower.phone if is_desk else draw_phone(draw)
        return replace(tower, unit=str(draw.randrange(1, 25) * 100 + draw.randrange(1, 13)), phone=phone)

    def _draw_home(self) -> Home:
        draw = self._draw
        city, state, postal_code = draw.choice(self._places)
        street = f"{draw.randrange(1, 9900)} {draw.choice(('', '', '', 'North ', 'East ', 'SW '))}{draw.choice(self._streets)} {draw.choice(_STREETS)}"
        unit = str(draw.randrange(1, 60)) if draw.random() < 0.1 else None
        return Home(street, unit, city, state, postal_code, draw_phone(draw))

    def _draw_email(self, name: FullName, birth: date | None) -> str:
        """Return a unique e-mail address of a person, or of a couple if `birth` is None."""
        draw = self._draw
        first, last = (
            "".join(char for char in part.casefold() if char.isascii() and char.isalnum())
            for part in (name.given, name.family[0])
        )
        own = f"{last}{draw.randrange(90)}.example"
        domain = draw.choices(("mail.example", "inbox.example", "office.example", own), (5, 3, 2, 1))[0]
        word = draw.choice(("golf", "sail", "grandma", "fish", "tex"))
        shapes = (
            f"{first}.{last}",
            f"{first[:1]}{last}",
            f"{last}.{first}",
            f"{first}{birth.year % 100}" if birth else "",
            word,
        )
        local = draw.choice(shapes) if birth else f"{last}family"
        while (email := f"{local}@{domain}") in self._emails:
            local += str(draw.randrange(10))
        self._emails.add(email)
        return email


def draw_phone(draw: random.Random) -> str:
    """Return the ten digits of a telephone number."""
    return f"{draw.randrange(201, 989)}{draw.randrange(220, 990)}{draw.randrange(10000):04d}"
