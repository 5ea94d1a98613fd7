"""Benchmark of libraries that read names and addresses, beside `include.names` and `read_street`.

Run it with `python -m local.bench.libraries`. It installs the libraries into an environment of its own, `.tributary/libraries`. rigour
needs a C++ compiler and the headers of ICU, and is left out if it can't be installed. Of the names, only every second entry is measured:
the other half was looked at while `include.names` was written.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".tributary" / "libraries"
PACKAGES = ("nameparser==2.6.0", "probablepeople==0.5.6", "usaddress==0.5.16")
WITH_ICU = "rigour==2.6.1"

Person = list[str | None]
"""First name, last name, and generation from `1` for Sr to `5`; missing parts are None."""

_AND = re.compile(r"(?i)\s*,?\s*(?:&|\+|;|/|\band/or\b|\band\b|\bor\b)\s*(?!wife|husband)")
_OWNERSHIP = re.compile(
    r"(?i)[\s,]+(?:jt\b|jtwros|joint\b|as joint|tic\b|ten(?:ants)?\b|comm(?:unity)? prop|h/w|husband and wife|tod\b).*$"
)
_GENERATIONS = {"sr": "1", "senior": "1", "jr": "2", "ii": "2", "2nd": "2", "iii": "3", "3rd": "3", "iv": "4", "v": "5"}


# --- in the environment of the libraries ------------------------------------------------------------------------------


def _load_nameparser() -> Callable[..., list[Person]]:
    from nameparser import FAMILY_FIRST, Parser, Policy  # type: ignore[import-not-found]

    parsers = Parser(), Parser(policy=Policy(name_order=FAMILY_FIRST))

    def read(text: str, is_turned: bool = False, is_joint: bool = False) -> list[Person]:
        people: list[Person] = []
        for part in _AND.split(text)[:2] if is_joint else [text]:
            name = parsers[is_turned].parse(part)
            is_given = is_joint and all(len(word.strip(".")) == 1 for word in part.split()[1:])  # "Mary J."
            given, family = (part.split()[0], "") if is_given else (name.given, name.family)
            if is_joint and not given:
                given, family = family, ""  # "Mr. John"
            people.append([given, family, _find_generation(name.suffix)])
        return _share_last_name(people)

    return read


def _load_probablepeople() -> Callable[..., list[Person]]:
    import probablepeople  # type: ignore[import-not-found]

    def read(text: str, is_turned: bool = False, is_joint: bool = False) -> list[Person]:
        people: list[dict[str, list[str]]] = [{}]
        for word, label in probablepeople.parse(text):
            if label == "And":
                people.append({})
            else:
                people[-1].setdefault(label, []).append(word.strip(",."))
        return _share_last_name(
            [
                [
                    " ".join(each.get("GivenName") or each.get("FirstInitial") or []),
                    " ".join(each.get("Surname") or each.get("LastInitial") or []),
                    _find_generation(" ".join(each.get("SuffixGenerational", []))),
                ]
                for each in people
            ]
        )

    return read


def _load_probablepeople_entity() -> Callable[..., bool]:
    import probablepeople

    return lambda text: any("Corporation" in label for _, label in probablepeople.parse(text))


def _load_rigour_entity() -> Callable[..., bool]:
    from rigour.names.org_types import extract_org_types  # type: ignore[import-not-found]

    return lambda text: bool(extract_org_types(text))


def _load_usaddress() -> Callable[..., Person]:
    import usaddress  # type: ignore[import-not-found]

    def read(text: str) -> Person:
        words: dict[str, list[str]] = {}
        for word, label in usaddress.parse(text):
            words.setdefault(label, []).append(word.strip(",.;"))

        def join(*ends: str) -> str | None:
            return " ".join(word for label in words if label.endswith(ends) for word in words[label]) or None

        if "USPSBoxID" in words:
            return [join("BoxID"), join("GroupType", "GroupID", "BoxType"), None]
        is_named = "OccupancyIdentifier" not in words
        unit = join("SubaddressIdentifier", "OccupancyIdentifier", *(("OccupancyType",) if is_named else ()))
        return [
            join("AddressNumber", "AddressNumberSuffix"),
            join("Directional", "PreModifier", "PreType", "StreetName"),
            unit,
        ]

    return read


def _share_last_name(people: list[Person]) -> list[Person]:
    """Return people of whom one without a last name has the other's: `Ronald & Karen Smith`."""
    last = next((each[1] for each in people if each[1]), None)
    shared = [[each[0] or None, each[1] or last, each[2]] for each in people]
    return sorted(shared, key=lambda each: each[0] is None)


def _find_generation(suffix: str) -> str | None:
    words = re.split(r"[\s,.]+", suffix.casefold())
    return next((_GENERATIONS[word] for word in words if word in _GENERATIONS), None)


READERS = {"nameparser": _load_nameparser, "probablepeople": _load_probablepeople, "probablepeople entity": _load_probablepeople_entity,
           "rigour entity": _load_rigour_entity, "usaddress": _load_usaddress}  # fmt: skip


def _answer() -> None:
    """Read a request from the standard input; write the readings, and the microseconds of one."""
    name, items = json.load(sys.stdin)
    json.dump(measure(READERS[name](), items), sys.stdout)


def measure(read: Callable[..., Any], items: list[list[Any]]) -> tuple[list[Any], float]:
    """Return the reading of each item, and the microseconds of the processor for one, after a first item that warms up."""
    read(*items[0])
    start = time.process_time()
    readings = [read(*item) for item in items]
    return readings, (time.process_time() - start) / len(items) * 1e6


# --- in the project's environment -------------------------------------------------------------------------------------


def bench_libraries() -> None:
    """Measure the libraries and the project's own readers; print a table."""
    for title, reader, scores, microseconds in [*_measure_names(), *_measure_streets()]:
        print(f"{title:24} {reader:22} {scores:60} {microseconds:6.0f} us")  # noqa: T201


def install() -> Path:
    """Install the libraries, and return the interpreter of their environment."""
    python = HOME / "bin" / "python"
    if not python.exists():
        venv.create(HOME, with_pip=True)
        for packages, must_succeed in ((PACKAGES, True), ((WITH_ICU,), False)):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=must_succeed)
    return python


def _request(reader: str, items: list[list[Any]]) -> tuple[list[Any], float] | None:
    """Read items in the environment of the libraries; None if the library is not installed there."""
    done = subprocess.run(
        [install(), __file__, "read"], input=json.dumps([reader, items]), capture_output=True, text=True
    )
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr:
            return None
        raise RuntimeError(done.stderr)
    readings, microseconds = json.loads(done.stdout)
    return readings, microseconds


def _measure_names() -> Iterator[tuple[str, str, str, float]]:
    from include.names.organization import find_legal_form
    from include.names.person import read_whole
    from local.bench.unseen import read_kind
    from local.bench.unseen_names import (
        ENTITY_KINDS,
        LabeledName,
        make_joint_titles,
        make_labeled_names,
        make_single_names,
    )

    def read_own(text: str, is_turned: bool = False, is_joint: bool = False) -> list[Person]:
        return [[each.first, each.last, each.generation] for each in read_whole(text, is_family_first=is_turned)]

    titles, singles, kinds = make_joint_titles()[1::2], make_single_names()[1::2], make_labeled_names()[1::2]
    joint: list[list[Any]] = [[title.text, title.is_surname_first, True] for title in titles]
    single: list[list[Any]] = [[name.text, name.is_surname_first, False] for name in singles]
    pairs: list[list[Person]] = [[[*person] for person in title.people] for title in titles]
    parts: list[list[Person]] = [[[name.first, name.last, name.generation]] for name in singles]
    for corpus, items, truth in (("joint titles", joint, pairs), ("names of one person", single, parts)):
        bare = [[_OWNERSHIP.sub("", text), *rest] for text, *rest in items]
        results = {"include.names": measure(read_own, items)}
        for reader in ("nameparser", "probablepeople"):
            answers = [answer for each in (items, bare) if (answer := _request(reader, each))]
            results[reader] = max(answers, key=lambda answer: _count_right(answer[0], truth))
        for reader, (readings, microseconds) in results.items():
            right = f"{_count_right(readings, truth) / len(truth):.1%} of {len(truth)} right"
            yield corpus, reader, right, microseconds
    entities = [label.kind in ENTITY_KINDS for label in kinds]
    texts = [[label.text] for label in kinds]
    own = {
        "with type and tax id": measure(lambda label: read_kind(label) in ENTITY_KINDS, [[label] for label in kinds]),
        "include.names": measure(lambda text: read_kind(LabeledName(text, "", None, None)) in ENTITY_KINDS, texts),
        "its legal forms only": measure(lambda text: find_legal_form(text) is not None, texts),
    }
    for reader, answer in [
        *own.items(),
        *((each, _request(each, texts)) for each in READERS if each.endswith("entity")),
    ]:
        if answer:
            pairs_of_kinds = list(zip(answer[0], entities, strict=True))
            wrong = sum(got and not is_entity for got, is_entity in pairs_of_kinds)
            scores = f"{_share_of(got == is_entity for got, is_entity in pairs_of_kinds)} right; {wrong} persons taken for entities"
            yield "person or entity", reader, scores, answer[1]


def _measure_streets() -> Iterator[tuple[str, str, str, float]]:
    from include.identity.features import read_street
    from local.bench.street_lines import LINES, MISREAD

    lines = [*LINES, *MISREAD]
    texts = [[text] for text, *_ in lines]
    for reader, answer in (("read_street", measure(read_street, texts)), ("usaddress", _request("usaddress", texts))):
        if answer:
            rights = [
                [got == part for got, part in zip(_fold(reading), _fold(parts), strict=True)]
                for reading, (_, *parts) in zip(answer[0], lines, strict=True)
            ]
            shares = [_share_of([right[at] for right in rights]) for at in range(3)]
            scores = f"house {shares[0]}, street {shares[1]}, unit {shares[2]}, all {_share_of(map(all, rights))}"
            yield "street lines", reader, scores, answer[1]


def _count_right(readings: list[list[Person]], truth: list[list[Person]]) -> int:
    """Count the readings with the expected people. The truth has no generation for the people of a joint title."""
    return sum(
        len(people) == len(expected)
        and all(
            _letters(got) == _letters(part)
            for person, parts in zip(people, expected, strict=True)
            for got, part in zip(person, parts, strict=False)
        )
        for people, expected in zip(readings, truth, strict=True)
    )


def _letters(text: str | None) -> str:
    from include.names.words import plain

    return "".join(letter for letter in plain(text) if letter.isalnum())


def _fold(line: Person) -> list[str]:
    """Return house number, street and unit in one spelling, so that a library is not charged with `Third` for `3rd` or `PH-2` for `PH2`."""
    from include.identity import features
    from include.names.words import plain

    house, street, unit = (plain((part or "").replace("#", " ").replace("/", "-")) for part in line)
    words = [features._SHORT.get(word, word) for word in features._SPACED.sub(r"\1\2\3\4", street).split()]
    named = [word for word in words if word not in features._KINDS] or words[:1]
    units = [re.sub(r"(?<=\d)(?:st|nd|rd|th)$", "", features._SHORT.get(word, word)) for word in unit.split()]
    number = features._IN_WORDS.get(house, house.replace(" ", "-"))
    return [number, features._BOX.sub("po box", " ".join(named)), "".join(units).replace("-", "").lstrip("0")]


def _share_of(answers: Iterable[bool]) -> str:
    known = list(answers)
    return f"{sum(known) / len(known):.1%}"


if __name__ == "__main__":
    if sys.argv[1:] == ["read"]:
        _answer()
    else:
        bench_libraries()
