"""Read YAML with the line of each value, and collect all mistakes instead of stopping at the first.

A value is read by the type that its place requires, never by the look of the text: `NO` is the state code NO, and `1e3` a text where a
text is required.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

import yaml

T = TypeVar("T")
_MOST_SHOWN = 12


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the firm's folder: a file, by its path in the folder, and a line."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """A mistake: its place, what is wrong, and the correct form."""

    place: Place
    reason: str
    correct: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}. {self.correct}"


class Faults:
    """The mistakes in a folder."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def add(self, place: Place, reason: str, correct: str) -> None:
        """Add a mistake; `correct` is a sentence that describes the correct value."""
        self._found.append(Fault(place, reason, correct))

    def list(self) -> list[Fault]:
        """Return the mistakes, by file and line."""
        return sorted(self._found)


@dataclass(frozen=True, slots=True)
class Item:
    """A value of a file: a text, a list or a map.

    Attributes:
        place: Where the value is; of a map's entry, where its name is.
        text: The text of a scalar; None for a list, a map or an empty value.
        items: The values of a list.
        entries: The values of a map, by name.
        kind: `text`, `list`, `map` or `nothing`.
    """

    place: Place
    kind: str
    text: str | None = None
    items: tuple[Item, ...] = ()
    entries: Mapping[str, Item] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The value for a message."""
        return repr(self.text) if self.kind == "text" else {"nothing": "empty"}.get(self.kind, f"a {self.kind}")


def read_document(path: Path, name: str, faults: Faults) -> Item:
    """Read a YAML file; an empty map, with a fault, if it can't be parsed.

    Args:
        path: The file.
        name: Its path in the folder.
        faults: Receives syntax errors, names that occur twice, and aliases.
    """
    top = Place(name, 1)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        aliases = [token for token in yaml.scan(text) if isinstance(token, yaml.AliasToken)]
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or type(error).__name__
        place = Place(name, mark.line + 1 if mark else 1)
        faults.add(
            place,
            f"The file can't be read: {problem}",
            "Write YAML: indent with spaces, and quote a text with special characters.",
        )
        return Item(top, "nothing")
    if aliases:  # an alias can contain itself
        for alias in aliases:
            faults.add(
                Place(name, alias.start_mark.line + 1), "YAML's aliases are not supported", "Write the value again."
            )
        return Item(top, "nothing")
    return Item(top, "nothing") if node is None else _convert(node, top, faults)


def _convert(node: yaml.Node, place: Place, faults: Faults) -> Item:
    if isinstance(node, yaml.ScalarNode):
        is_nothing = node.style is None and node.value in ("", "~")
        return Item(place, "nothing") if is_nothing else Item(place, "text", node.value)
    if isinstance(node, yaml.SequenceNode):
        items = (_convert(each, Place(place.path, each.start_mark.line + 1), faults) for each in node.value)
        return Item(place, "list", items=tuple(items))
    entries: dict[str, Item] = {}
    for name, value in node.value:
        at = Place(place.path, name.start_mark.line + 1)
        if not isinstance(name, yaml.ScalarNode):
            faults.add(at, "A name must be a text", "Write `name: value`.")
        elif name.value in entries:
            first = entries[name.value].place.line
            faults.add(at, f"{name.value} occurs twice, first in line {first}", "Write each name once.")
        else:
            entries[name.value] = _convert(value, at, faults)
    return Item(place, "map", entries=entries)


class Reader:
    """Reads items as the types that their places require; a mistake is recorded, and the value then counts as absent."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def entries(self, item: Item | None, known: Collection[str], what: str) -> dict[str, Item]:
        """Return the entries of a map whose names are known.

        Args:
            item: The map; None or an empty value is an empty map.
            known: The names that are valid.
            what: The kind of thing that has the name, such as `an object`.
        """
        found = self.any_entries(item, what)
        for name in [name for name in found if name not in known]:
            self.unknown(found.pop(name).place, name, known, what)
        return found

    def any_entries(self, item: Item | None, what: str) -> dict[str, Item]:
        """Return the entries of a map with any names."""
        if item is None or item.kind == "nothing":
            return {}
        if item.kind != "map":
            self.faults.add(item.place, f"This is {item.shown}, not a map", f"Write {what} a line, as `name: value`.")
            return {}
        return dict(item.entries)

    def unknown(self, place: Place, name: str, known: Collection[str], what: str) -> None:
        """Record the mistake that a name is not known, and propose known names.

        Args:
            place: Place of the name.
            name: The unknown name.
            known: The names that are valid.
            what: The kind of thing that has the name, such as `an object`.
        """
        similar = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        names = similar or sorted(known)
        shown = ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")
        correct = f"Did you mean {' or '.join(similar)}?" if similar else f"Known are: {shown or 'none'}."
        self.faults.add(place, f"{name} is not {what}", correct)

    def word(self, item: Item | None, what: str) -> str:
        """Return a text that is not empty; an empty text for None or after a mistake."""
        return self._read(item, f"Write {what}.", lambda text: text.strip() or None) or ""

    def choice(self, item: Item | None, known: Collection[str], what: str) -> str:
        """Return one of the known texts; an empty text for None or after a mistake."""
        if item is None:
            return ""
        if item.kind != "text" or item.text not in known:
            self.faults.add(item.place, f"{item.shown} is not {what}", f"Write {' or '.join(known)}.")
            return ""
        return item.text or ""

    def flag(self, item: Item | None, what: str) -> bool | None:
        """Return a truth value; None for None or after a mistake."""
        return self._read(item, f"{what} is true or false.", {"true": True, "false": False}.get)

    def number(self, item: Item | None, what: str) -> Decimal | None:
        """Return an exact number; None for None or after a mistake."""

        def parse(text: str) -> Decimal | None:
            try:
                number = Decimal(text.replace("_", ""))
            except InvalidOperation:
                return None
            return number if number.is_finite() else None

        return self._read(item, f"{what} is a number, such as 1000 or 0.25.", parse)

    def matching(self, item: Item | None, is_valid: Callable[[str], bool], correct: str) -> str:
        """Return a text that fulfils a condition; an empty text for None or after a mistake."""
        return self._read(item, correct, lambda text: text if is_valid(text) else None) or ""

    def list(self, item: Item | None, what: str) -> Iterator[Item]:
        """Yield the values of a list; a single text is a list of one."""
        if item is None or item.kind == "nothing":
            return
        if item.kind == "map":
            self.faults.add(item.place, "This is a map, not a list", f"Write {what} as `[a, b]`.")
            return
        yield from item.items if item.kind == "list" else (item,)

    def _read(self, item: Item | None, correct: str, parse: Callable[[str], T | None]) -> T | None:
        if item is None:
            return None
        value = parse(item.text) if item.text is not None else None
        if value is None:
            self.faults.add(item.place, f"{item.shown[:1].upper()}{item.shown[1:]} is not valid here", correct)
        return value


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the folder changes.

    Attributes:
        place: Where the folder states it.
        subject: What is changed, such as `household Phone`.
        before: Our own; empty for something new.
        after: The firm's.
    """

    place: Place
    subject: str
    before: str
    after: str
