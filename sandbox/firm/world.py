"""The synthetic firm over time: its books up to the last closed day, which the clock or a test sets, with all edits."""

import threading
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from sandbox.firm.book import Book
from sandbox.firm.edits import Edits
from sandbox.firm.households import Firm
from sandbox.firm.market import find_closed_session, find_session, list_sessions
from sandbox.server.clock import Clock

HISTORY = 80
"""Default number of sessions of history before the first start."""


class World:
    """One firm, its clock and its edits. All methods may be called from several threads.

    Args:
        state: Folder of `firm.json` and `edits.jsonl`. A restart with the same folder continues the same firm.
        clock: The sandbox's time.
        seed: Seed of the firm.
        households: Number of households.
        first: First session of its history; by default HISTORY sessions before the clock's day.

    Raises:
        ValueError: the folder holds a firm of another seed or size.
    """

    def __init__(
        self, state: Path, clock: Clock, seed: int = 7, households: int = 200, first: date | None = None
    ) -> None:
        self.clock, self.path = clock, state / "firm.json"
        self.edits = Edits(state / "edits.jsonl")
        self.version = 0
        self._override: date | None = None
        self._book: Book | None = None
        self.lock = threading.RLock()
        self.firm = self._open_firm(seed, households, first)

    def _open_firm(self, seed: int, households: int, first: date | None) -> Firm:
        if self.path.exists():
            saved = orjson.loads(self.path.read_bytes())
            if (saved["seed"], saved["households"]) != (seed, households):
                raise ValueError(
                    f"{self.path} holds another firm: seed {saved['seed']}, {saved['households']} households"
                )
            through = saved["closed_through"]
            self._override = date.fromisoformat(through) if through else None
            return Firm(seed, households, date.fromisoformat(saved["first"]))
        closed = find_closed_session(self.clock.now())
        sessions = list_sessions()
        firm = Firm(seed, households, first or sessions[sessions.index(closed) - HISTORY])
        self._save(firm)
        return firm

    def _save(self, firm: Firm) -> None:
        through = self._override.isoformat() if self._override else None
        saved = {"seed": firm.seed, "households": firm.households, "first": firm.first.isoformat()}
        self.path.write_bytes(orjson.dumps(saved | {"closed_through": through}))

    @property
    def closed_through(self) -> date:
        """Return the last day in the books: the day that a test set, or else the latest session that has closed by the clock."""
        return self._override or find_closed_session(self.clock.now())

    def close_through(self, day: date | None) -> None:
        """Set the last closed day. None makes the books follow the clock again.

        Raises:
            ValueError: the day is before the firm's history.
        """
        if day is not None and day < self.firm.first:
            raise ValueError(f"the firm's history begins on {self.firm.first}")
        with self.lock:
            self._override = None if day is None else find_session(day)
            self._save(self.firm)
            self.version += 1

    def open_book(self) -> Book:
        """Return the books through the last closed day. Call it again after an edit or a new day."""
        with self.lock:
            through = self.closed_through
            if self._book is None or self._book.through != through:
                self._book = Book(self.firm, through, self.edits.list_book_edits())
                self.version += 1
            return self._book

    def edit(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        """Apply and store an edit: `set_fields`, or a kind of `Book.apply`. Return it with `kind` and `at` added.

        Raises:
            KeyError, ValueError: the edit is unknown or impossible; nothing is stored.
        """
        edit = values | {"kind": kind, "at": self.clock.now().isoformat()}
        with self.lock:
            try:
                if kind == "set_fields":
                    _ = edit["table"], edit["id"], edit["set"].items()
                else:
                    self.open_book().apply(edit)
            except Exception:
                self._book = None  # it may be partly changed
                raise
            self.edits.append(edit)
            self.version += 1
            return edit
