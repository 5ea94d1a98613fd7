"""Labeled names, to measure how well a matcher reads them: joint titles, kinds of names, and names of single persons.

They come from templates and from the names of `local.bench.unseen_lexicon`; the same seed gives the same corpora.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from itertools import chain, cycle
from typing import NamedTuple, TypeVar

from local.bench.unseen_lexicon import OTHER_SCRIPTS, PARTICLES, FullName, draw_name, draw_origin
from local.bench.unseen_titles import (
    JOINT,
    LEGAL,
    PERSONAL,
    name_entity,
    write_entity,
    write_joint,
    write_minor,
    write_own,
    write_plain,
    write_surname_first,
)

Pair = tuple[str | None, str | None]
"""First and last name of a person. The first name is None if the text has none (`Mrs` in `Mr & Mrs James Davis`)."""


class JointTitle(NamedTuple):
    """A title of two persons, in order.

    Attributes:
        text: The title.
        people: First and last name of each.
        style: Name of the template.
        is_surname_first: Whether the vendor writes surnames first, without a comma, as a reader would know of a custodian.
    """

    text: str
    people: tuple[Pair, Pair]
    style: str
    is_surname_first: bool


class LabeledName(NamedTuple):
    """A name with its kind: `person`, `joint`, `utma`, or one of `ENTITY_KINDS`.

    `registration_type` and `tax_id_form` are sent by the vendor with the name. Both are None if the name alone shows the kind.
    """

    text: str
    kind: str
    registration_type: str | None
    tax_id_form: str | None


class SingleName(NamedTuple):
    """A name of one person, with the expected parts.

    `first` is the first given name. `generation` is `1` for Sr to `5` for V, or None. Further names, degrees and designations are left out.
    """

    text: str
    first: str
    last: str
    generation: str | None
    style: str
    is_surname_first: bool


ENTITY_KINDS = frozenset({"company", "trust", "estate", "foundation", "partnership", "plan"})
"""Kinds that are legal entities. A minor's account (`utma`) belongs to the minor, so it is a person's."""

Label = TypeVar("Label", JointTitle, LabeledName, SingleName)
_KIND_OF = {
    "revocable": "trust",
    "irrevocable": "trust",
    "charitable": "trust",
    "llc": "company",
    "corporation": "company",
}
_COUNTS = {"person": 600, "trap": 100, "joint": 250, "company": 300, "unmarked": 50, "trust": 300, "estate": 80, "foundation": 100,
           "partnership": 100, "plan": 70, "utma": 50}  # fmt: skip
_TRAPS = (
    "Banks", "Church", "King", "Bond", "Price", "Rich", "Stock", "Cash", "Field", "Power", "Case", "Law", "Temple", "House", "Hall",
    "Parish", "Abbott", "Bishop", "Chase", "Wells", "Estes", "Partner", "Funk", "Limb", "Company", "Coe", "Incze", "Fund", "Capital",
    "Golden", "Silver", "Gold", "Foundas", "Marsh", "Mills", "Farmer", "Plumber", "Baker", "Pool", "Trustman", "Estate", "Trust", "Holding",
)  # fmt: skip
_TRAP_GIVEN = (
    "Grant", "Charity", "Faith", "Bill", "Major", "Prince", "Earl", "Dean", "Art", "Mark", "Penny", "Sterling", "Cash", "Chase", "Rich",
    "Hope", "Royal", "Will", "Justice", "Price",
)  # fmt: skip
_COMPANIES = (
    "{w} Trust Company", "Trust Company of {w}", "First {w} Bank NA", "{l} Estate Planning LLC", "{l} Bros Inc", "{w} Baptist Church",
    "{l} Trust Advisors LLC", "{w} Foundation Repair Inc", "{l} & {k} PA", "{l}, {k} & {m} P.C.", "{g} {l} DDS PLLC", "{w} Credit Union",
    "{l} Partnership Consulting Inc", "The {l} Group Ltd", "{l} Farms Co", "{w} {l} GmbH", "{l} Capital Corp", "{w} Homeowners Association",
)  # fmt: skip
_DEGREES = ("M.D.", "MD", "PhD", "Ph.D.", "Esq.", "ESQ", "DDS", "D.D.S.", "DMD", "D.O.", "DVM", "J.D.", "LL.M.", "RN", "Attorney at Law", "Pharm.D.")  # fmt: skip
_DESIGNATIONS = (
    "CFP",
    "CFP®",
    "CLU",
    "ChFC",
    "CPA",
    "CFA",
    "CLTC",
    "AIF®",
    "CPWA",
    "EA",
    "CLU, ChFC",
    "CFP, CPA",
    "RICP",
    "CRPC",
)
_GENERATIONS = {"Sr": "1", "Sr.": "1", "Senior": "1", "Jr": "2", "Jr.": "2", "II": "2", "2nd": "2", "III": "3", "3rd": "3", "IV": "4", "V": "5"}  # fmt: skip


def make_joint_titles(count: int = 500, seed: int = 43) -> list[JointTitle]:
    """Return this many different titles of two persons; the templates take turns."""
    draw = random.Random(f"{seed} joint")
    return _collect(_write_joint_titles(draw), count)


def make_labeled_names(seed: int = 43) -> list[LabeledName]:
    """Return 2,000 different names of persons, couples and entities, shuffled."""
    draw = random.Random(f"{seed} kinds")
    labels: list[LabeledName] = []
    for kind, count in _COUNTS.items():
        labels = _collect(chain(labels, _write_kind(draw, kind)), len(labels) + count)
    draw.shuffle(labels)
    return labels


def make_single_names(count: int = 500, seed: int = 43) -> list[SingleName]:
    """Return this many different names of one person; the styles take turns."""
    draw = random.Random(f"{seed} single")
    scripts = [
        SingleName(text, first, last, None, "other script", is_turned) for text, first, last, is_turned in OTHER_SCRIPTS
    ]
    return [*scripts, *_collect(_write_single_names(draw), count - len(scripts))]


def _collect(labels: Iterator[Label], count: int) -> list[Label]:
    """Return the first labels with different texts."""
    chosen: list[Label] = []
    texts: set[str] = set()
    while len(chosen) < count:
        label = next(labels)
        if label.text not in texts:
            texts.add(label.text)
            chosen.append(label)
    return chosen


def _draw_person(
    draw: random.Random, family: tuple[str, ...] | None = None, origin: str | None = None, sex: str | None = None
) -> FullName:
    """Return a name with a middle name, whose given and middle name are one word each."""
    while True:
        name = draw_name(draw, origin or draw_origin(draw), sex or draw.choice("MF"), family)
        if " " not in name.given:
            return name._replace(
                middle=name.middle if name.middle and " " not in name.middle else draw.choice("ABCDEJKLMPRT")
            )


# --- joint titles ----------------------------------------------------------------------------------------------------

_SHARED = {  # both have the last name {l}
    "initials & last": "{a} {i}. & {b} {j}. {l}", "initials without points": "{a} {i} & {b} {j} {l}", "first & first last": "{a} & {b} {l}",
    "and": "{a} and {b} {l}", "or": "{a} or {b} {l}", "plus": "{a} + {b} {l}", "slash": "{a}/{b} {l}", "and/or": "{a} and/or {b} {l}",
    "both whole": "{a} {l} & {b} {l} JTWROS", "both with initials": "{a} {i} {l} & {b} {j} {l} JT TEN", "tic": "{a} {l} and {b} {l} TIC",
    "tenants in common": "{a} {l} and {b} {l}, Tenants in Common", "community": "{a} {i}. {l} & {b} {l} COMMUNITY PROPERTY",
    "survivorship": "{a} {l} and {b} {l} as joint tenants with right of survivorship", "ten com": "{A} {I} {L} & {B} {J} {L} TEN COM",
    "ten ent": "{A} {L} & {B} {L} TEN ENT", "tod": "{a} {i}. & {b} {l} JTWROS TOD", "comm prop": "{a} & {b} {l} Comm Prop WROS",
    "comma": "{l}, {a} {i} and {b}", "comma &": "{l}, {a} & {b}", "comma initials": "{l}, {a} {i}. & {b} {j}.", "comma or": "{l}, {a} or {b}",
    "comma jt": "{l}, {a} & {b} JT WROS", "degree": "{a} {l}, MD & {b} {l}", "degrees": "{a} {i}. {l}, M.D. and {b} {l}, Esq.",
    "doctor": "Dr. {a} {l} & Mrs. {b} {l}", "doctors": "Drs. {a} & {b} {l}", "mr & mrs names": "Mr. {a} and Mrs. {b} {l}",
    "junior": "{a} {i}. {l} Jr. & {b} {l}", "third": "{a} {l} III and {b} {j} {l}", "junior shared": "{a} & {b} {l}, Jr",
    "middle names": "{a} {m} {l} & {b} {n} {l}", "middle names shared": "{a} {m} and {b} {n} {l}", "nickname": "{a} \"Skip\" {l} & {b} {l}",
    "nickname in brackets": "{a} (Buddy) & {b} {l}", "joint account": "{a} & {b} {l} Joint Account", "jt": "{a} {l} & {b} {l} JT",
    "capitals": "{A} {I} & {B} {J} {L} JT TEN", "tbe": "{a} and {b} {l} Tenants by the Entirety", "husband": "{a} {l} and {b} {l}, husband and wife",
    "jt ten wros": "{a} {i} & {b} {j} {l} Jt Ten WROS", "comma between": "{a} {l}, {b} {l} JTWROS", "h/w": "{a} {i}. {l} & {b} {j}. {l} H/W",
}  # fmt: skip
_SEPARATE = {  # the second has the last name {k}
    "two last names": "{a} {l} & {b} {k}", "two last names jtwros": "{a} {i}. {l} & {b} {j}. {k} JTWROS", "two jt ten": "{A} {I} {L} & {B} {J} {K} JT TEN",
    "two or": "{a} {l} or {b} {k}", "two tod": "{a} {l} and {b} {k} JT TEN TOD", "two commas": "{l}, {a} & {k}, {b}", "two tic": "{a} {l} & {b} {k} TIC",
    "hyphenated": "{a} {l} and {b} {k}-{l}", "two degrees": "{a} {l}, PhD & {b} {k}, CPA", "two suffix": "{a} {l} Sr & {b} {k}",
    "two slash": "{a} {l} / {b} {k}", "two middle": "{a} {m} {l} and {b} {n} {k}, Joint Tenants", "two semicolon": "{l}, {a}; {k}, {b}",
}  # fmt: skip
_TURNED = {  # surname first, without a comma
    "surname first shared": "{L} {A} {I} & {B} {J} JT TEN", "surname first both": "{L} {A} & {L} {B} JTWROS",
    "surname first two": "{L} {A} {I} & {K} {B} {J} TEN COM", "surname first plain": "{L} {A} & {B}", "surname first tod": "{L} {A} {I} & {L} {B} JT TEN TOD",
}  # fmt: skip
_ONE_NAMED = {"mr & mrs": "Mr & Mrs {a} {m} {l}", "mr. and mrs.": "Mr. and Mrs. {a} {l}", "dr & mrs": "Dr. & Mrs. {a} {i}. {l}", "capitals mr": "MR & MRS {A} {I} {L}"}  # fmt: skip


def _write_joint_titles(draw: random.Random) -> Iterator[JointTitle]:
    templates: Mapping[str, str] = _SHARED | _SEPARATE | _TURNED | _ONE_NAMED
    for style, template in cycle(templates.items()):
        origin = "english" if style in _TURNED or style == "hyphenated" else draw_origin(draw)
        sexes = "FM" if style not in _ONE_NAMED and draw.random() < 0.3 else "MF"
        first, second = (_draw_person(draw, origin=origin, sex=sex) for sex in sexes)
        if first.given == second.given or first.last == second.last:
            continue
        texts = {
            "a": first.given,
            "b": second.given,
            "l": first.last,
            "k": second.last,
            "m": str(first.middle),
            "n": str(second.middle),
        }
        texts |= {"i": texts["m"][0], "j": texts["n"][0]}
        second_last = texts["k"] if style in _SEPARATE or style == "surname first two" else texts["l"]
        if style == "hyphenated":
            second_last = f"{texts['k']}-{texts['l']}"
        named = None if style in _ONE_NAMED else texts["b"]
        text = template.format(**texts, **{key.upper(): value.upper() for key, value in texts.items()})
        yield JointTitle(text, ((texts["a"], texts["l"]), (named, second_last)), style, style in _TURNED)


# --- kinds -----------------------------------------------------------------------------------------------------------


def _write_kind(draw: random.Random, kind: str) -> Iterator[LabeledName]:
    traps = cycle(_TRAPS)
    while True:
        first = _draw_person(draw)
        if kind == "trap":
            given = first._replace(given=draw.choice(_TRAP_GIVEN))
            first = first._replace(family=(next(traps),)) if draw.random() < 0.7 else given
        second = _draw_person(draw, first.family if draw.random() < 0.8 else None)
        is_custodian = draw.random() < 0.3
        if kind in ("person", "trap"):
            yield _write_person(draw, first, is_trap=kind == "trap", is_custodian=is_custodian)
        elif kind == "joint":
            style = draw.choice(JOINT)
            text = write_joint(draw, first, second, style, is_custodian=is_custodian)
            yield LabeledName(text, kind, _draw_type(draw, style, is_custodian), draw.choice(("SSN", None)))
        elif kind == "utma":
            text = write_minor(draw, second, first, draw.choice(("NE", "CA", "TX", "NY")), is_custodian=is_custodian)
            yield LabeledName(text, kind, _draw_type(draw, kind, is_custodian), draw.choice(("SSN", None)))
        elif kind == "unmarked":  # two words that may be a person's: the type or the tax id tells
            text = draw.choice(
                (f"{first.last} {second.given}", f"{first.last} & {second.given}", f"{first.given} {first.last}")
            )
            yield LabeledName(
                text,
                "company",
                *draw.choice((("LLC", "EIN"), ("Corporation", None), (None, "EIN"), ("Business", "EIN"))),
            )
        elif kind == "company" and draw.random() < 0.4:
            words = {
                "w": draw.choice(("Summit", "Cardinal", "Riverside", "Omaha", "Pacific", "Heartland", "Lone Star")),
                "g": first.given,
            }
            text = draw.choice(_COMPANIES).format(**words, l=first.last, k=second.last, m=_draw_person(draw).last)
            yield LabeledName(text.upper() if is_custodian else text, kind, None, draw.choice(("EIN", None)))
        else:
            legal = draw.choice([each for each in LEGAL if _KIND_OF.get(each, each) == kind])
            core = name_entity(draw, legal, first, second if draw.random() < 0.5 else None)
            text = write_entity(
                draw, legal, core, date(1985, 1, 1) + timedelta(draw.randrange(15000)), first, is_custodian=is_custodian
            )
            kind_type = _draw_type(draw, legal, is_custodian) if draw.random() < 0.5 or not _has_marker(text) else None
            form = "SSN" if kind == "trust" else "EIN"
            yield LabeledName(text, kind, kind_type, draw.choice((form, None)))


def _write_person(draw: random.Random, name: FullName, *, is_trap: bool, is_custodian: bool) -> LabeledName:
    generation = draw.choice((None, None, "Jr", "III")) if name.sex == "M" else None
    own = draw.choice(("individual", "individual", "individual", "ira", "roth", "rollover", "sep"))
    text = write_own(draw, name, own, generation, is_custodian=is_custodian)
    if is_trap or own != "individual" or draw.random() < 0.4:
        return LabeledName(text, "person", _draw_type(draw, own, is_custodian), draw.choice(("SSN", None)))
    if draw.random() < 0.3:
        text = f"{write_plain(draw, name)}{draw.choice((', ', ' '))}{draw.choice(_DEGREES + _DESIGNATIONS)}"
    return LabeledName(text, "person", None, draw.choice(("SSN", None, None)))


def _draw_type(draw: random.Random, kind: str, is_custodian: bool) -> str:
    return draw.choice((PERSONAL | LEGAL)[kind][is_custodian].split("|"))


def _has_marker(text: str) -> bool:
    words = text.casefold().replace(",", " ").replace(".", "").split()
    return bool({*words} & _MARKERS) or "l l c" in " ".join(words)


_MARKERS = {
    "llc", "inc", "incorporated", "corporation", "corp", "pc", "trust", "tr", "trst", "ttee", "trustee", "estate", "est", "foundation", "fdn",
    "fndn", "fund", "llp", "lp", "partnership", "plan", "psp", "unitrust",
}  # fmt: skip


# --- single persons --------------------------------------------------------------------------------------------------


def _write_single_names(draw: random.Random) -> Iterator[SingleName]:
    for style, write in cycle(_STYLES.items()):
        name = _draw_person(
            draw,
            origin="spanish"
            if style == "double surname"
            else draw.choice(("english", "english", "indian", "european")),
        )
        text, name, generation = write(draw, name)
        yield SingleName(text, name.given, name.last, generation, style, style.startswith("surname first"))


Written = tuple[str, FullName, str | None]


def _write_degree(draw: random.Random, name: FullName) -> Written:
    text = f"{write_plain(draw, name)}{draw.choice((', ', ', ', ' '))}{draw.choice(_DEGREES)}"
    return (f"Dr. {text}" if draw.random() < 0.15 else text), name, None


def _write_designation(draw: random.Random, name: FullName) -> Written:
    return f"{write_plain(draw, name)}{draw.choice((', ', ', ', ' '))}{draw.choice(_DESIGNATIONS)}", name, None


def _write_suffix(draw: random.Random, name: FullName) -> Written:
    name = _draw_person(draw, origin=name.origin, sex="M")
    suffix = draw.choice([*_GENERATIONS])
    degree = f", {draw.choice(_DEGREES)}" if draw.random() < 0.25 else ""
    return f"{write_plain(draw, name)}{draw.choice((' ', ', '))}{suffix}{degree}", name, _GENERATIONS[suffix]


def _write_comma(draw: random.Random, name: FullName) -> Written:
    suffix = (
        draw.choice((None, "Jr", "Jr.", "Sr", "II", "III", "IV")) if name.sex == "M" else None
    )  # V would be an initial
    middle = draw.choice(("", f" {str(name.middle)[0]}.", f" {name.middle}"))
    text = draw.choice((f"{name.last}{f' {suffix}' if suffix else ''}, {name.given}{middle}", f"{name.last}, {name.given}{middle}{f' {suffix}' if suffix else ''}"))  # fmt: skip
    return text, name, suffix and _GENERATIONS[suffix]


def _write_turned(draw: random.Random, name: FullName) -> Written:
    suffix = draw.choice((None, None, "Jr", "III")) if name.sex == "M" else None
    return write_surname_first(draw, name, generation=suffix), name, suffix and _GENERATIONS[suffix]


def _write_asian(draw: random.Random, name: FullName) -> Written:
    name = _draw_person(draw, origin=draw.choice(("chinese", "vietnamese")))
    middle = draw.choice(("Van ", "Thi ")) if name.origin == "vietnamese" else ""
    return f"{name.last} {middle}{name.given}", name, None


def _write_particle(draw: random.Random, name: FullName) -> Written:
    name = name._replace(family=(draw.choice(PARTICLES),))
    return write_plain(draw, name), name, None


def _write_double(draw: random.Random, name: FullName) -> Written:
    if draw.random() < 0.5:
        name = name._replace(family=("-".join(name.family),))
    return f"{name.given} {name.last}", name, None


def _write_plain(draw: random.Random, name: FullName) -> Written:
    title = draw.choice(("", "", "Mr. ", "Mrs ", "Ms. ", "Rev. ", "Hon. "))
    return f"{title}{write_plain(draw, name)}", name, None


def _write_called(draw: random.Random, name: FullName) -> Written:
    nickname = draw.choice(('"Buddy"', "(Skip)", "'Chip'", "“Dot”"))
    return f"{name.given} {nickname} {name.last}", name, None


_STYLES: dict[str, Callable[[random.Random, FullName], Written]] = {
    "degree": _write_degree,
    "designation": _write_designation,
    "suffix": _write_suffix,
    "surname, first": _write_comma,
    "surname first in capitals": _write_turned,
    "surname first, Asian": _write_asian,
    "particle": _write_particle,
    "double surname": _write_double,
    "plain": _write_plain,
    "nickname in quotes": _write_called,
}
