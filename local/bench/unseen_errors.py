"""How records misstate names, tax ids and birth dates. Every share is of all calls."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from datetime import date

from local.bench.unseen_lexicon import FullName

_NO_TAX = ("000000000", "999999999", "111111111", "123456789")
_NEAR = {
    "a": "sq",
    "e": "wr",
    "i": "uo",
    "o": "ip",
    "n": "bm",
    "r": "et",
    "s": "ad",
    "t": "ry",
    "l": "k",
    "d": "sf",
    "m": "n",
}
_SOUNDS = (
    ("ph", "f"),
    ("ie", "y"),
    ("ck", "k"),
    ("ai", "ay"),
    ("ll", "l"),
    ("nn", "n"),
    ("tt", "t"),
    ("ey", "ie"),
    ("sch", "sh"),
)
_PLAIN = str.maketrans({"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "æ": "ae", "Æ": "Ae"})
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


def misstate_name(draw: random.Random, name: FullName, former: Sequence[str], *, is_casual: bool) -> FullName:
    """Return a name as a record has it: with a nickname, a former name, an initial or a typing error.

    Args:
        draw: Source of randomness.
        name: The true name.
        former: Former family names.
        is_casual: Whether people at the firm typed it, and so use nicknames.
    """
    given, middle, family = name.given, name.middle, name.last
    if name.called and draw.random() < (0.35 if is_casual else 0.12):
        if name.origin in ("chinese", "vietnamese"):
            middle = given if draw.random() < 0.5 else None
        given = draw.choice(name.called)
    elif " " in given and name.origin == "spanish":
        given = given.split()[0] if draw.random() < 0.25 else given
    elif " " in given:
        given = draw.choice((given, given, given.replace(" ", "").capitalize(), given.replace(" ", "-")))
    elif draw.random() < 0.02:
        given = given[0]
    elif middle and draw.random() < 0.02:
        given, middle = draw.choice(((middle, None), (f"{given[0]}. {middle}", None)))
    if former and draw.random() < 0.25:
        before = draw.choice(former)
        family = draw.choice((before, before, f"{before}-{family}", f"{before} {family}"))
    elif len(name.family) == 2:
        first, second = name.family
        family = draw.choices((name.last, first, f"{first}-{second}", f"{first} {second[0]}."), (9, 8, 3, 1))[0]
    return name._replace(given=slip(draw, given, 0.015), middle=middle, family=(slip(draw, family, 0.015),))


def fold(draw: random.Random, text: str) -> str:
    """Return the text in ASCII, sometimes with the German transliteration."""
    if text.isascii():
        return text
    plain = text.translate(_GERMAN if draw.random() < 0.3 else {}).translate(_PLAIN)
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()


def misstate_tax(draw: random.Random, tax_id: str, other: str) -> str:
    """Return a tax id with a wrong digit or two exchanged, a placeholder, or the `other` one (the head's); most are right."""
    chance, at = draw.random(), draw.randrange(8)
    if chance < 0.004:
        return tax_id[:at] + str((int(tax_id[at]) + draw.randrange(1, 10)) % 10) + tax_id[at + 1 :]
    if chance < 0.006:
        return tax_id[:at] + tax_id[at + 1] + tax_id[at] + tax_id[at + 2 :]
    if chance < 0.009:
        return other
    return draw.choice(_NO_TAX) if chance < 0.015 else tax_id


def misstate_birth(draw: random.Random, birth: date) -> date:
    """Return a birth date with another day, with day and month exchanged, another year, or 1 January; most are right."""
    chance = draw.random()
    if chance < 0.004:
        return birth.replace(day=draw.randrange(1, 29))
    if chance < 0.008 and birth.day <= 12:
        return birth.replace(month=birth.day, day=birth.month)
    if chance < 0.012:
        return birth.replace(year=birth.year + draw.choice((-10, -1, 1)), day=min(birth.day, 28))
    return birth.replace(month=1, day=1) if chance < 0.016 else birth


def slip(draw: random.Random, text: str, share: float) -> str:
    """Return the text with a typing error in this share of the calls: a neighboring key, a sound, two letters exchanged, a lost letter."""
    if draw.random() >= share or len(text) < 4:
        return text
    sounds = [(old, new) for pair in _SOUNDS for old, new in (pair, pair[::-1]) if len(old) > 1 and old in text]
    if sounds and draw.random() < 0.4:
        return text.replace(*draw.choice(sounds), 1)
    at = draw.randrange(1, len(text) - 1)
    near = draw.choice(_NEAR.get(text[at], "e"))
    return draw.choice(
        (
            text[:at] + near + text[at + 1 :],
            text[:at] + text[at + 1] + text[at] + text[at + 2 :],
            text[:at] + text[at + 1 :],
        )
    )
