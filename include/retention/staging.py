"""Dispose of expired files of the staging folder: partitions, incomplete pulls and signed documents.

A partition's manifest is deleted first. It contains the keys of the Parquet parts, so the parts are unreadable from then on. A disposal
that was killed leaves an incomplete pull, which the next disposal deletes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from include.control.ledger import IS_LOADED, LAST_PARTITIONS
from include.retention.rows import Expired, total
from include.staging.partitions import Staging

DOCUMENTS = "documents"
LOGS = "logs"
PAGES = "pages"
"""Folder of staging with the pages of Data Docs and of changes to Salesforce."""
_OTHERS = (DOCUMENTS, LOGS, PAGES)
"""Folders of staging that belong to no vendor."""
MANIFEST = "manifest.json"
_PULLED = re.compile(r"(\d{8}T\d{6})-[0-9a-f]+(?:-push\d+)?")

# Partitions that a later run or an operator needs: those with open dead letters; each table's last loaded one, on which requests per parent
# are based; and those of the last two loaded days, with which a new day is compared (see `ledger.find_earlier_partitions`).
_NEEDED = sa.text(f"""
with days as (
    select s.*, dense_rank() over (partition by vendor, table_name order by business_date desc) as day
    from control.ledger s where stage = 'stage' and pulled in ('current', 'historical') and {IS_LOADED}
)
select vendor || '/' || table_name || '/' || business_date || '/' || pull_id from days where day <= 2
union select partition from ({LAST_PARTITIONS}) p
union select partition from control.dead_letter where status = 'open'
""")  # noqa: S608
_STORED = sa.text("select content_hash from control.document where disposed_at is null")


@dataclass(frozen=True, slots=True)
class Pulled:
    """The folder of one pull.

    Attributes:
        path: Path below the staging root.
        pulled_at: When the pull started.
        files: Paths of its files, including those in folders below.
        bytes: Size of all files.
    """

    path: str
    pulled_at: datetime
    files: tuple[str, ...]
    bytes: int

    @property
    def is_complete(self) -> bool:
        """Whether the folder has a manifest, which is written last."""
        return MANIFEST in self.files


def expire_partitions(staging: Staging, engine: sa.Engine, before: datetime, *, is_dry: bool) -> Expired:
    """Dispose of complete partitions that were pulled before a time, or with `is_dry` only count them; those still needed stay."""
    with engine.connect() as connection:
        needed = set(connection.scalars(_NEEDED))
    return _expire(staging, lambda each: each.is_complete and each.path not in needed, before, is_dry=is_dry)


def expire_incomplete(staging: Staging, before: datetime, *, is_dry: bool) -> Expired:
    """Dispose of folders without a manifest whose pulls started before a time, or with `is_dry` only count them."""
    return _expire(staging, lambda each: not each.is_complete, before, is_dry=is_dry)


def expire_documents(staging: Staging, engine: sa.Engine, before: datetime, *, is_dry: bool) -> Expired:
    """Delete files of documents that have no row in `control.document`, or only rows that were disposed of; with `is_dry`, only count them.

    A file that was written at `before` or later stays: it may belong to a running download, which writes the file before the row.
    """
    with engine.connect() as connection:
        stored = set(connection.scalars(_STORED))
    return total(_delete_documents(staging, stored, before, is_dry=is_dry))


def expire_written(staging: Staging, place: str, before: datetime, *, is_dry: bool) -> Expired:
    """Delete the files in a folder that were written before a time, or with `is_dry` only count them."""
    return total(_delete_written(staging, place, before, is_dry=is_dry))


def list_pulls(staging: Staging) -> Iterator[Pulled]:
    """Yield the folders of all pulls, one table at a time."""
    for vendor in staging.list_folders(""):
        for table in () if vendor in _OTHERS else staging.list_folders(vendor):
            yield from _group(f"{vendor}/{table}", staging.list_files(f"{vendor}/{table}"))


def delete_pull(staging: Staging, pull: Pulled) -> None:
    """Delete the folder of a pull, the manifest first."""
    folder = staging.folder(pull.path)
    folder.delete(MANIFEST)
    folder.remove()


def _group(place: str, files: Iterator[tuple[str, int]]) -> Iterator[Pulled]:
    """Group the files (path, size) of a table by pull; skip files that belong to no pull."""
    pulls: dict[str, list[tuple[str, int]]] = {}
    for name, size in files:
        day, pull_id, *below = name.split("/", 2)
        if below:
            pulls.setdefault(f"{day}/{pull_id}", []).append((below[0], size))
    for pull, own in sorted(pulls.items()):
        if match := _PULLED.fullmatch(pull.partition("/")[2]):
            pulled_at = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            yield Pulled(f"{place}/{pull}", pulled_at, tuple(name for name, _ in own), sum(size for _, size in own))


def _expire(staging: Staging, is_due: Callable[[Pulled], bool], before: datetime, *, is_dry: bool) -> Expired:
    result = Expired()
    for each in list_pulls(staging):
        if each.pulled_at < before and is_due(each):
            if not is_dry:
                delete_pull(staging, each)
            result = result.plus(Expired(1, each.pulled_at, each.pulled_at, each.bytes))
    return result


def _delete_written(staging: Staging, place: str, before: datetime, *, is_dry: bool) -> Iterator[Expired]:
    for path, size, written_at in list(staging.list_written(place)):
        if written_at < before:
            if not is_dry:
                folder, _, name = f"{place}/{path}".rpartition("/")
                staging.folder(folder).delete(name)
            yield Expired(1, written_at, written_at, size)


def _delete_documents(
    staging: Staging, stored: Collection[str], before: datetime, *, is_dry: bool
) -> Iterator[Expired]:
    for path, size, written_at in list(staging.list_written(DOCUMENTS)):
        place, _, name = path.rpartition("/")
        if name.removesuffix(".pdf") not in stored and written_at < before:
            if not is_dry:
                staging.folder(f"{DOCUMENTS}/{place}").delete(name)
            yield Expired(1, written_at, written_at, size)
