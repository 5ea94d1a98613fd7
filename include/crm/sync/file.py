"""Write one part of the outgoing records as a CSV file for Salesforce, directly from the database; manage the folder of these files."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from psycopg import sql

from include.crm.objects.mapping import CrmObject
from include.crm.temporary import TempTable
from include.database.driver import find_driver


@dataclass(frozen=True, slots=True)
class File:
    """A written file; `rows` excludes the header."""

    path: Path
    rows: int
    sha256: str


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Create a private folder for one run, below `folder`; remove it at the end. First remove folders of killed runs older than a day."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for leftover in folder.iterdir():
        if leftover.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(leftover, ignore_errors=True)
    own = Path(tempfile.mkdtemp(dir=folder))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def write(db: sa.Connection, sending: TempTable, mapping: CrmObject, part: int, path: Path) -> File:
    """Write one part of the records to send as a CSV file in UTF-8; return its path, number of rows and hash.

    A cell is `#N/A` for null, and empty for a field that stays unchanged in Salesforce.

    Args:
        db: The sync's connection.
        sending: The table of records to send, from `rounds.cut`.
        mapping: The object.
        part: Number of the part.
        path: Path of the file; an existing file is replaced.
    """
    statement = sql.SQL("copy ({}) to stdout (format csv, header, encoding 'UTF8')").format(
        lines(sending, mapping, part)
    )
    digest = hashlib.sha256()
    with path.open("wb") as file, find_driver(db).cursor() as cursor:
        with cursor.copy(statement) as copy:
            for line in copy:
                file.write(line)
                digest.update(line)
        rows = cursor.rowcount
    return File(path, rows, digest.hexdigest())


def lines(sending: TempTable, mapping: CrmObject, part: int) -> sql.Composed:
    """Return the query that selects the lines of one part's file, in order."""
    cell = "coalesce(payload ->> {name}, case when payload ? {name} then '#N/A' end) as {column}"
    cells = [sql.SQL("external_key as {}").format(sql.Identifier(mapping.key_field))] + [
        sql.SQL(cell).format(name=sql.Literal(field.name), column=sql.Identifier(field.column))
        for field in mapping.fields
    ]
    query = sql.SQL("select {} from {} where part = {} order by row_number")
    return query.format(sql.SQL(", ").join(cells), sql.Identifier(sending.name), sql.Literal(part))
