"""One part of what goes out as a CSV file that Salesforce reads, straight from the database; and the folder of a run's files."""

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


@dataclass(frozen=True, slots=True)
class File:
    """A written file; `rows` without the header."""

    path: Path
    rows: int
    sha256: str


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Make a private folder for one run and remove it at the end; also remove what a killed run left a day ago."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.iterdir():
        if left.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(left, ignore_errors=True)
    own = Path(tempfile.mkdtemp(dir=folder))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def write(db: sa.Connection, wanted: CrmObject, part: int, path: Path) -> File:
    """Writes one part of `sending`: UTF-8, `#N/A` for null, nothing for a field that is left alone.

    Args:
        db: With the table `sending`.
        wanted: The object.
        part: Which part.
        path: Of the file; replaced if it is there.
    """
    driver = db.connection.driver_connection
    assert driver is not None
    statement = sql.SQL("copy ({}) to stdout (format csv, header, encoding 'UTF8')").format(lines(wanted, part))
    digest = hashlib.sha256()
    with path.open("wb") as file, driver.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for line in copy:
                file.write(line)
                digest.update(line)
        rows = cursor.rowcount
    return File(path, rows, digest.hexdigest())


def lines(wanted: CrmObject, part: int) -> sql.Composed:
    """The query whose rows are the file's lines, in order."""
    cell = "coalesce(payload ->> {name}, case when payload ? {name} then '#N/A' end) as {column}"
    cells = [sql.SQL("external_key as {}").format(sql.Identifier(wanted.key_field))] + [
        sql.SQL(cell).format(name=sql.Literal(field.name), column=sql.Identifier(field.name)) for field in wanted.fields
    ]
    query = sql.SQL("select {} from sending where part = {} order by row_number")
    return query.format(sql.SQL(", ").join(cells), sql.Literal(part))
