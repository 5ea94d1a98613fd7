"""One call for each row of another table, several at once under the vendor's budget; what was answered is kept at once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import quote

from include.contract import FanOut, Table, Vendor
from include.control.answers import Answers
from include.errors import ConfigurationError
from include.extract.flatten import flatten, unwrap
from include.extract.session import Ask, VendorSession
from include.sensitive import Redactor
from include.staging import Staging

log = logging.getLogger(__name__)

Keys = Mapping[str, str]
_TELL_EVERY = 100


def keys_of(
    table: Table, shape: FanOut, parent: Table, staged: str | None, chosen: Sequence[str], staging: Staging
) -> list[Keys]:
    """What a fan-out asks for: one mapping of column to value for each call, in order.

    Args:
        table: Fans out.
        shape: How.
        parent: The table that it is over.
        staged: Partition of that table in this run; None where it was not pulled.
        chosen: Keys of the parent that somebody chose, instead of a partition.
        staging: Where partitions are.

    Raises:
        ConfigurationError: Neither is there.
    """
    names = sorted({*re.findall(r"{(\w+)}", table.path), *table.carried})
    if chosen and not parent.over and names == list(parent.key):
        return [{names[0]: key} for key in chosen]
    if staged is None:
        raise ConfigurationError("The table that this one is over was not pulled", table=table.name, over=parent.name)
    found: dict[tuple[str, ...], Keys] = {}
    for _, rows in staging.rows(staged, [*names, *filter(None, [shape.only])]):
        for row in rows.to_pylist():
            if not shape.only or row[shape.only]:
                found[tuple(str(row[name]) for name in names)] = {name: str(row[name]) for name in names}
    return [found[key] for key in sorted(found)]


def fan_out(
    vendor: Vendor,
    table: Table,
    shape: FanOut,
    keys: Iterable[Keys],
    session: VendorSession,
    answers: Answers,
    redactor: Redactor,
    clock: Callable[[], datetime],
) -> Iterator[bytes]:
    """Asks for every key that was not answered yet, then yields all rows as JSON arrays.

    Raises:
        TributaryError: As `VendorSession.ask` raises; what was answered before is kept.
    """
    known = answers.known()
    wanted = {name: each for each in keys if (name := _name(each)) not in known}
    log.info("%s %s: %s to ask for, %s answered before", vendor.name, table.name, len(wanted), len(known))
    declared = {col.source for col in table.columns}
    hidden = {col.source for col in table.columns if col.kind == "sensitive"}
    kept = {col.source for col in table.columns if col.kind == "value"} | hidden

    def hide(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name not in kept:
                row[name] = None  # nobody knows what it holds; that it was there is told
            elif name in hidden and value is not None:
                row[name] = redactor.token(value)

    def ask(name: str, each: Keys) -> None:
        def read(body: bytes) -> bytes:
            told = {f"@{column}": value for column, value in each.items()} | {"@asked_at": clock().isoformat()}
            added = {source: value for source, value in told.items() if source in declared}
            return flatten(unwrap(table, body, vendor.name), vendor.name, table.name, added, hide)

        path = table.path.format_map({column: quote(value, safe="") for column, value in each.items()})
        question = Ask(path, table.params, bucket=shape.bucket, grant=each.get("grant", ""), missing=shape.missing)
        answers.keep(name, session.ask(question, read) or b"[]")

    with ThreadPoolExecutor(vendor.connections, thread_name_prefix="fan-out") as pool:
        running = [pool.submit(ask, name, each) for name, each in wanted.items()]
        try:
            for n, future in enumerate(running, 1):
                future.result()
                if n % _TELL_EVERY == 0:
                    log.info("%s %s: %s of %s", vendor.name, table.name, n, len(running))
        finally:
            for future in running:
                future.cancel()
    yield from answers.pieces()


def _name(each: Keys) -> str:
    return "/".join(quote(value, safe="") for value in each.values())
