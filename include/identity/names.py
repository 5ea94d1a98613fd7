"""Parse names of people: one or two people in a text, suffixes and titles, accents, nicknames."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from nicknames import NickNamer


def lexicon(text: str) -> frozenset[str]:
    """Return the set of a text's words."""
    return frozenset(text.split())


_TITLES = lexicon("mr mrs ms miss mx dr prof rev hon sir")
_DEGREES = lexicon("md phd esq cpa cfa cfp dds dvm jd mba rn ret")
_GENERATIONS = {
    "sr": "1",
    "senior": "1",
    "jr": "2",
    "junior": "2",
    "ii": "2",
    "2nd": "2",
    "iii": "3",
    "3rd": "3",
    "iv": "4",
}
_ENDS = _DEGREES | _GENERATIONS.keys()
_PARTICLES = lexicon("van von der den de del della da di du la le los st ter ten")
_AND = re.compile(r"\s*(?:&|\+|\band\b)\s*")
_OTHER = re.compile(r"[^a-z0-9\s,&+-]")
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "AE", "'": "", "’": "", ".": " "}
)


class Name(NamedTuple):
    """One person's name, in lower-case ASCII; missing parts are None.

    Attributes:
        first: Given name, or its initial.
        middle: Further given names and nicknames, separated by spaces.
        last: Family name; parts of a double name are joined by a hyphen, particles are written together.
        generation: `1` for Sr, `2` for Jr and II, `3` for III, ...
    """

    first: str | None
    middle: str | None
    last: str | None
    generation: str | None


def plain(text: str | None) -> str:
    """Return a text in lower-case ASCII, without accents and apostrophes; the only punctuation left is `,`, `&`, `+` and `-`."""
    ascii_text = unicodedata.normalize("NFKD", (text or "").translate(_LETTERS)).encode("ascii", "ignore").decode()
    return " ".join(_OTHER.sub(" ", ascii_text.lower()).split())


def read_given(text: str | None) -> tuple[Name, ...]:
    """Parse a field for given names, such as `John & Mary`, into one or two people; their last names are None."""
    parts = [part.split() for part in _AND.split(plain(text).replace(",", " "))]
    return tuple(_read_given(words) for words in parts[:2] if not set(words) <= _TITLES)


def read_family(text: str | None) -> Name:
    """Parse a field for family names, such as `O'Brien, Jr.`, into last name and generation; the other parts are None."""
    words = [word for word in plain(text).replace(",", " ").split() if word not in _TITLES]
    parts = words[:1] + [word for word in words[1:] if word not in _ENDS]
    return Name(None, None, "".join(parts).strip("-") or None, _find_generation(words[1:]))


def read_whole(text: str | None) -> tuple[Name, ...]:
    """Parse a full name, such as `John Q. Smith Jr` or `Smith, John & Mary`, into one or two people."""
    head, comma, tail = plain(text).partition(",")
    if comma and not set(tail.replace(",", " ").split()) <= _ENDS:
        family, given = read_family(head), read_given(tail)
        return tuple(_combine(each, family) for each in given)
    parts = [part.split() for part in _AND.split(f"{head} {tail}".replace(",", " "))]
    named = [_split(words) for words in parts[:2] if not set(words) <= _TITLES]
    shared = next((last for _, last in reversed(named) if last), None)  # "John & Mary Smith": both are Smiths
    return tuple(_combine(_read_given(given), read_family(last or shared)) for given, last in named)


@cache
def roots(first: str) -> tuple[str, ...]:
    """Return a given name and the formal names that it may stand for, such as `bob` and `robert` for `bob`."""
    return tuple(sorted({first} | _nicknames().canonicals_of(first)))


@cache
def is_listed(first: str) -> bool:
    """Return whether a given name is a known one: in the list of nicknames and formal names.

    A name that is not listed may be a typing error.
    """
    return bool(_nicknames().canonicals_of(first) or _nicknames().nicknames_of(first))


def _read_given(words: list[str]) -> Name:
    parts = [part for word in words if word not in _TITLES for part in word.split("-") if part]
    generation = _find_generation(parts[1:])
    parts = parts[:1] + [word for word in parts[1:] if word not in _ENDS]
    if len(parts) > 1 and len(parts[0]) == 1 < len(parts[1]):
        parts = [parts[1], parts[0], *parts[2:]]  # "J. Robert" is called Robert
    return Name(parts[0] if parts else None, " ".join(parts[1:]) or None, None, generation)


def _split(words: list[str]) -> tuple[list[str], str | None]:
    """Return the given names, and the last name with its suffixes; the last name is None if there is only one word."""
    ends = len(words)
    while ends > 1 and words[ends - 1] in _ENDS:
        ends -= 1
    at = ends - 1
    while at > 1 and words[at - 1] in _PARTICLES:
        at -= 1
    has_last = len([word for word in words[:ends] if word not in _TITLES]) > 1
    return (words[:at], " ".join(words[at:])) if has_last else (words, None)


def _combine(given: Name, family: Name) -> Name:
    return Name(given.first, given.middle, family.last, family.generation or given.generation)


def _find_generation(words: list[str]) -> str | None:
    return next((_GENERATIONS[word] for word in words if word in _GENERATIONS), None)


@cache
def _nicknames() -> NickNamer:
    return NickNamer()
