"""Read names of people: one or two people in a text, in the usual order or with the family name first."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from include.names.census import is_rather_family, is_rather_given, share_of_family, share_of_given
from include.names.words import AMBIGUOUS_DESIGNATIONS, DESIGNATIONS, GENERATIONS, PARTICLES, TITLES, lexicon, plain

if TYPE_CHECKING:
    from nicknames import NickNamer

AND = re.compile(r"\s*,?\s*(?:&|\+|\band\b|\bor\b)\s*")
_SLASH = re.compile(r"(?i)\band\s*/\s*or\b|(?<=[^\W\d]{2})\s*/\s*(?=[^\W\d]{2})")
_BETWEEN = re.compile(
    r"(?i)[\s,]+(?:jt\.? ?ten\.?|jt\.? ?wros|jtwros|ten\.? ?com\.?|ten\.? ?ent\.?|and (?:his |her )?(?:wife|husband|spouse)|& (?:wife|husband|spouse))[\s,]+(?=[^\W\d]+\.? +[^\W\d]{2}|[^\W\d]{2,}$)"
)
_NICKNAME = re.compile(r"\([^)]*\)")
_OWNERSHIP = re.compile(
    r"[\s,]+(?:(?:as )?(?:jt ?(?:wros|wrs|ten\w*|tic)|jtwros|wros|joint(?: tenants?| account| tenancy)?|jt|tic|t i c|tbe|tbye"
    r"|ten(?:ants?)? (?:in )?(?:com\w*|ent\w*)|tenants? by (?:the )?entiret\w+|(?:com|comm|community) prop\w*|cpwros|cp"
    r"|husband (?:&|and) wife|h ?w|ttees?|trustees?|co-?ttees?|tod|pod|(?:with|w) ?r?ros?|rights? of survivorship)\b.*)$"
)  # fmt: skip
"""How people own together, at the end of a name: `JTWROS`, `Tenants in Common`, `TOD`, ..."""

_WORD = re.compile(r"[^\s,&+/]+")
_ENDS = DESIGNATIONS | GENERATIONS.keys()
_AFTER_COMMA = _ENDS | AMBIGUOUS_DESIGNATIONS | lexicon("attorney at law i")
_PLAIN_TITLES = lexicon("mr mrs ms miss mx dr drs")
_SECOND_GIVEN = lexicon("ann anne jo lou beth ellen kay sue jane pat louise lynn lee marie grace rose frances alice")
_AFTER_FIRST_GIVEN = lexicon(
    "mary sue jo betty anna ann anne billy bobbie bobby peggy lee lou martha sarah ruth rose jean carol"
)
_HOUSEHOLD = lexicon("family household")
_VIETNAMESE = lexicon("nguyen tran le pham huynh hoang phan vu vo dang bui do ho ngo duong ly dinh truong lam mai")
_VIETNAMESE_MIDDLE = lexicon("van thi huu duc minh ngoc quang thanh xuan anh")
# Frequent family names of Chinese and Korean origin as they are written in Latin letters.
_ASIAN = _VIETNAMESE | lexicon(
    "wang li zhang liu chen yang huang zhao wu zhou xu sun ma zhu hu guo lin luo liang song zheng xie tang deng feng cao peng zeng xiao tian "
    "dong pan yuan cai jiang yu ye cheng wei su lu ding ren shen yao fan jin chang chan cheung wong leung lau lam kwok tsai hsu hsieh chiu "
    "kim park choi jung kang cho yoon jang lim han shin seo kwon hwang ahn hong yoo"
)
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Family names of two characters.
_COMPOUND = ("欧阳", "歐陽", "司马", "司馬", "诸葛", "諸葛", "上官", "남궁", "황보", "선우")  # fmt: skip
# Source: frequent surnames of Hispanic origin in the 2010 census of the United States, beside those that end in -ez.
_IBERIAN = lexicon(
    "garcia flores rivera torres diaz reyes cruz morales ortiz gutierrez ramos ruiz mendoza castillo vargas castro moreno guzman salazar "
    "munoz delgado ortega rios medina soto vega guerrero avila silva rojas campos acosta molina contreras figueroa luna cabrera aguilar "
    "herrera romero santos santiago estrada sandoval pena padilla maldonado valencia navarro miranda serrano trujillo fuentes cervantes "
    "salas robles calderon duran leon juarez marin solis cardenas ochoa rosales mejia villarreal lara montoya escobar macias olmedo vergara garza soto tovar zamora cantu barrera esparza huerta ibarra ayala "
    "murillo nava rangel trevino zavala bernal cortes cisneros rosario colon franco gallegos galvan beltran bautista barajas avalos arroyo "
    "arias aguirre alvarado andrade camacho carrillo castaneda cordova duarte espinosa espinoza guerra jaramillo leal lozano lugo magana mata "
    "meza montes olivares orozco osorio palacios parra pineda ponce quintana quintero renteria rincon rivas robledo rocha rosas rubio saenz "
    "salgado salinas sepulveda sierra tapia toledo valdes valdivia valenzuela vela velasco villa villalobos zepeda zuniga"
)  # fmt: skip

EITHER_SEX = lexicon(
    "alex andy bobbie bobby charlie chris dani danny frankie gerry jackie jamie jerry jess jessie jo joey kim kit lee les lou max mel mickey nat nick "
    "nicky pat patsy randy ronnie sal sam sandy sid steph stevie terry theo val vic willie"
)
"""Nicknames of men and of women."""


class Name(NamedTuple):
    """One person's name, in lower case without accents; missing parts are None.

    Attributes:
        first: Given name, or its initial.
        middle: Further given names and nicknames, separated by spaces.
        last: Family name; the parts of a double name are joined by a hyphen, particles are written together.
        generation: `1` for Sr, `2` for Jr and II, `3` for III, ...
    """

    first: str | None
    middle: str | None
    last: str | None
    generation: str | None


def read_given(text: str | None) -> tuple[Name, ...]:
    """Read a field for given names, such as `John & Mary`, as one or two people; their last names are None."""
    fields = [part.replace(",", " ").split() for part in AND.split(_prepare(text))]
    return tuple(
        _name_part(_Part(*_drop_ends(_drop_titles(words)))) for words in fields[:2] if not set(words) <= TITLES
    )


def read_family(text: str | None) -> tuple[Name, ...]:
    """Read a field for family names, such as `O'Brien, Jr.` or `Smith & Jones`, as last names and generations; the other parts are None."""
    fields = [part.replace(",", " ").split() for part in AND.split(_prepare(text))]
    read = [_drop_ends([word for word in words if word not in TITLES] or words) for words in fields[:2] if words]
    return tuple(_name_part(_Part([], generation, family)) for family, generation in read)


def read_whole(text: str | None, *, is_family_first: bool = False) -> tuple[Name, ...]:
    """Read a full name, such as `John Q. Smith Jr`, `Smith, John & Mary` or `Ronald T. & Karen P. Smith JTWROS`, as one or two people.

    Args:
        text: The name.
        is_family_first: Whether the vendor writes the family name first, without a comma.
    """
    return tuple(map(_name_part, _read_parts(text, is_family_first=is_family_first))) if text else ()


def split_people(text: str | None) -> tuple[str, ...]:
    """Return the full name of each person in a text, spelled as there: `Ronald T. Smith` and `Karen P. Smith` of the example above."""
    written = {plain(word): word.strip("()") for word in _WORD.findall(text or "")}
    people = [[*part.given, *part.family] for part in _read_parts(text)]
    return tuple(" ".join(written.get(word, word.title()) for word in words) for words in people)


@cache
def roots(first: str) -> tuple[str, ...]:
    """Return a given name and the formal names that it may stand for, such as `bob` and `robert` for `bob`."""
    return tuple(sorted({first} | _nicknames().canonicals_of(first)))


@cache
def is_listed(first: str) -> bool:
    """Return whether a given name is a known one: in the census, or in the list of nicknames and formal names.

    A name that is not listed may be a typing error.
    """
    return bool(share_of_given(first) or _nicknames().canonicals_of(first) or _nicknames().nicknames_of(first))


class _Part(NamedTuple):
    """One person in a text: the words of the given and the family name; without a family name, it may be shared with the other person."""

    given: list[str]
    generation: str | None = None
    family: list[str] = []  # noqa: RUF012 - never changed


def _prepare(text: str | None) -> str:
    joined = _BETWEEN.sub(" & ", _SLASH.sub(" & ", _NICKNAME.sub(" ", text or "").replace(";", " & ")))
    whole = plain(joined)
    without = _OWNERSHIP.sub("", whole)
    words, removed = without.split(), whole[len(without) :].replace(",", " ").split()
    # "John Tod" is a name, and not John's registration "transfer on death".
    is_given_only = words and is_rather_given(words[0]) and all(len(word) == 1 for word in words[1:])
    return f"{without} {removed[0]}" if is_given_only and removed[:1] in (["tod"], ["pod"]) else without


def _read_parts(text: str | None, *, is_family_first: bool = False) -> list[_Part]:
    """Return the one or two people of a text. Of `Mr & Mrs James Davis`, the second person has only the family name."""
    texts = _split_two(_prepare(text))
    parts = [
        _read_part(each, is_family_first=is_family_first and not (at and _is_given_and_initials(each)))
        for at, each in enumerate(texts)
        if each.strip(" ,")
    ]
    if not any(part.given or part.family for part in parts):
        return []
    if len(parts) > 1 and _is_double_given(*parts[:2]):
        parts[0] = parts[0]._replace(given=parts[0].given + parts[0].family, family=[])
    shared = next((part.family for part in reversed(parts) if part.family), [])  # "John & Mary Smith": both are Smiths
    if not shared and set(texts[0].split()[:1]) & _PLAIN_TITLES:  # "Mr. & Mrs. Davis"
        shared = next((part.given for part in parts if part.given), [])
        parts = [part._replace(given=[]) for part in parts]
    return sorted((part._replace(family=part.family or shared) for part in parts), key=lambda part: not part.given)


def _split_two(text: str) -> list[str]:
    """Return the texts of one or two people; a comma may also stand between two full names: `John Smith, Mary Smith`."""
    texts = AND.split(text)[:2]
    head, comma, tail = texts[0].partition(",")
    first, second = head.split(), tail.replace(",", " ").split()
    if (
        len(texts) == 1
        and comma
        and min(len(first), len(second)) > 1
        and is_rather_given(first[0])
        and is_rather_given(second[0])
    ) and (
        first[-1] == second[-1]
        or not (is_rather_given(second[-1]) or len(second[-1]) == 1 or second[-1] in _AFTER_COMMA)
    ):
        return [head, tail]
    return texts


def _read_part(text: str, *, is_family_first: bool) -> _Part:
    head, comma, tail = text.partition(",")
    after = tail.replace(",", " ").split()
    if comma and not set(after) <= _AFTER_COMMA:
        given, generation = _drop_ends(_drop_titles(after))
        family, of_family = _drop_ends(head.split())
        return _Part(given, of_family or generation, family)
    words, generation = _drop_ends(_drop_titles(_separate(head).split()))
    if len(words) > 1 and words[-1] in _HOUSEHOLD:
        return _Part([], None, [word for word in words[:-1] if word != "the"])
    generation = generation or next((GENERATIONS[word] for word in after if word in GENERATIONS), None)
    at = _find_family(words, is_family_first=is_family_first)
    given = words[: at.start] + words[at.stop :]
    if _is_vietnamese(words) and at.start == 0:
        given = [given[-1], *given[:-1]]  # the last word is the given name
    return _Part(given, generation, words[at])


def _separate(text: str) -> str:
    """Return a Chinese or Korean name that is written as one word with a blank after the family name."""
    if " " in text or not 2 <= len(text) <= 4 or not _EAST_ASIAN.match(text):
        return text
    at = 2 if text.startswith(_COMPOUND) and len(text) > 2 else 1
    return f"{text[:at]} {text[at:]}"


def _drop_titles(words: list[str]) -> list[str]:
    """Return the words without the titles in front. A title that is also a name, such as `Judge`, counts only before two words."""
    at = 0
    while at < len(words) and (words[at] in _PLAIN_TITLES or (words[at] in TITLES and len(words) - at > 2)):
        at += 1
    return words[at:] if at or not set(words) <= TITLES else []


def _drop_ends(words: list[str]) -> tuple[list[str], str | None]:
    """Return the words without the designations and suffixes at their end, and the generation."""
    end, generation = len(words), None
    while end > 1 and words[end - 1] in _ENDS and not (words[end - 1] == "v" and _is_initial_v(words)):
        generation = GENERATIONS.get(words[end - 1], generation)
        end -= 1
    return words[:end], generation


def _find_family(words: list[str], *, is_family_first: bool) -> slice:
    """Return where the family name is in a name without comma; an empty slice if there is none."""
    count = len(words)
    if count < 2 or (not is_family_first and all(len(word) == 1 for word in words[1:])):
        return slice(count, count)  # given names only: "Ronald T."
    if is_family_first or _is_family_first(words):
        end = 1
        while end < count - 1 and words[end - 1] in PARTICLES - _VIETNAMESE:
            end += 1
        return slice(0, end)
    at = count - (2 if len(words[-1]) == 1 < count - 1 else 1)  # "John Smith M"
    end = at + 1
    while at > 1 and words[at - 1] in PARTICLES and words[at] not in _VIETNAMESE:
        at -= 1
    if at > 1 and end - at == 1 and _is_iberian(words[at]) and _is_iberian(words[at - 1]):
        at -= 1
    return slice(at, end)


def _is_family_first(words: list[str]) -> bool:
    """Return whether a name clearly begins with the family name: `Smith John M`, `Smith John`, `Nguyen Van Hung`, `Wang Xiaoming`."""
    if not words[0].isascii():
        return bool(_EAST_ASIAN.match(words[0]))
    if _is_vietnamese(words):
        return True
    if len(words) > 2 and len(words[-1]) == 1 < len(words[-2]):
        return not is_rather_given(words[0]) or is_rather_given(words[1])
    if is_rather_given(words[0]) or words[0] in PARTICLES:
        return False
    if share_of_family(words[0]) > 10 * share_of_given(words[0]):
        return all(share_of_given(word) > 5 * share_of_family(word) or len(word) == 1 for word in words[1:]) or (
            len(words) == 2 and words[0] in _ASIAN and not is_rather_family(words[1])
        )
    return len(words) == 2 and words[0] in _ASIAN and words[1] not in _ASIAN and not is_rather_family(words[1])


def _is_initial_v(words: list[str]) -> bool:
    """Return whether the `v` at the end of a name is an initial, and not the fifth of that name."""
    return len(words) < 3 or (is_rather_given(words[1]) and not is_rather_given(words[0]))


def _is_given_and_initials(text: str) -> bool:
    """Return whether a text has no family name: the `Mary T` of `Smith John & Mary T`."""
    first, *rest = text.split()
    return is_rather_given(first) and all(len(word) == 1 for word in rest)


def _is_vietnamese(words: list[str]) -> bool:
    is_middle = len(words) > 2 and words[0] in _VIETNAMESE and words[1] in _VIETNAMESE_MIDDLE
    return is_middle and (words[1] in ("van", "thi") or words[-1] not in _VIETNAMESE)


def _is_iberian(word: str) -> bool:
    return word in _IBERIAN or (word.endswith("ez") and len(word) > 4)


def _is_double_given(one: _Part, other: _Part) -> bool:
    """Return whether both words of the first person are given names: `Mary Ann & Bob Lindsay`, `David Henry & Ruth Ellen Porter`."""
    if len(one.given) != 1 or len(one.family) != 1 or not (other.given and other.family):
        return False
    is_usual = one.given[0] in _AFTER_FIRST_GIVEN and one.family[0] in _SECOND_GIVEN
    return is_usual or (is_rather_given(one.family[0]) and len(other.given) > 1 and len(other.given[1]) > 1)


def _name_part(part: _Part) -> Name:
    given = [piece for word in part.given for piece in word.split("-") if piece]
    if len(given) > 1 and len(given[0]) == 1 < len(given[1]):
        given = [given[1], given[0], *given[2:]]  # "J. Robert" is called Robert
    first, middle = (given[0] if given else None), " ".join(given[1:]) or None
    return Name(first, middle, _join_family(part.family), part.generation)


def _join_family(words: list[str]) -> str | None:
    """Return a family name as one word: particles are joined to the next word, the parts of a double name by a hyphen."""
    pieces: list[str] = []
    if len(words) > 1 and len(words[-1]) == 1:
        words = words[:-1]  # the initial of a second family name: "Olmedo V."
    for at, word in enumerate(words):
        is_joined = at > 0 and words[at - 1] in PARTICLES
        pieces[-1:] = [pieces[-1] + word] if is_joined else [*pieces[-1:], word]
    return "-".join(pieces).strip("-") or None


@cache
def _nicknames() -> NickNamer:
    from nicknames import NickNamer

    return NickNamer()
