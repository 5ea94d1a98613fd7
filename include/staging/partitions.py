"""Partitions: typed Parquet on disk or in an object store, one partition per vendor, table, business date and pull.

    <root>/<vendor>/<table>/<business_date>/<pull_id>/
        part-00000.parquet ...    staged rows, zstd, exact decimals
        dead.jsonl                rows that could not be read: declared fields, sensitive ones as tokens
        manifest.json             written last; without it the partition does not exist
        faults.parquet            rows that validation refused (part, row, expectations)
        canonical/<entity>/...    canonical rows

Each pull writes to its own folder, so that a late writer can't overwrite another pull, an old pull can be replayed, and the
warehouse can be rebuilt. Reads are repeatable: each part is verified against its checksum. Every file is encrypted: see
`include.staging.files`.

Tasks, the ledger and dead letters identify a partition by its path below the root. A step opens the partition once, as a `Partition`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.errors import FatalError
from include.keys.sealer import Sealer
from include.sensitive import Redactor
from include.staging.files import Folder, Part, Parts, lift_columns, translate_errors
from include.staging.reference import Reference, partition_path

FAULTS = pa.schema(
    [
        ("part", pa.string()),
        ("row_number", pa.int64()),
        ("row_key", pa.string()),
        ("expectations", pa.list_(pa.string())),
    ]
)
"""Schema of `faults.parquet`: one row per row that validation refused.

It contains the row's part, its index in the part from 0, its key as text, and the expectations that failed.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that made a pull, so that a rebuild can group and repeat pulls without the ledger.

    Attributes:
        run_id: Airflow's run id; empty if an earlier version wrote the manifest.
        is_replay: Whether the pull contains only the rows of dead letters.
        accepted_by: The operator who accepted an unusual day; empty if the day was not accepted.
    """

    run_id: str = ""
    is_replay: bool = False
    accepted_by: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest of one pull: its request, row counts, money and parts.

    Attributes:
        pulled: Kind of pull: `current` (current state of all rows), `historical` (data as of a past date), `selected` (current state of
            selected keys), or `pushed` (rows that arrived between daily runs).
        extracted_at: When the pull started.
        contract: `Table.staged_hash` of the declaration.
        window: Edit window of the pull, (from, to) as ISO times; None if there was none.
        fetched: Number of rows received; equal to `staged + duplicate + dead`.
        dead: Number of rows in `dead.jsonl`.
        money: Sum of the table's money column over the staged rows; None if the table has no money column.
        undeclared: Names of fields that the contract does not declare.
        origin: The run that made the pull.
    """

    vendor: str
    table: str
    business_date: date
    pull_id: str
    pulled: str
    extracted_at: datetime
    api_version: str
    contract: str
    window: tuple[str, str] | None
    fetched: int
    staged: int
    duplicate: int
    dead: int
    money: Decimal | None
    undeclared: tuple[str, ...]
    parts: tuple[Part, ...]
    origin: Origin = Origin()

    @property
    def path(self) -> str:
        """The partition's path below the staging root."""
        return partition_path(self.vendor, self.table, self.business_date, self.pull_id)


_WRITTEN = ("LastModified", "mtime", "created")
"""The names under which file systems of fsspec list the time of a file: of S3, of a disk, and others."""


class Staging:
    """The store of all partitions.

    Args:
        root: Folder or URL that fsspec supports (`/data/staging`, `s3://bucket/staging`).
        sealer: Encrypts the files.
        options: Storage options of fsspec (endpoint, credentials).
        redactor: Lifts the hashes in rows that are read to the firm's hash keys. Without it, rows are read as they were written.
    """

    def __init__(
        self, root: str, sealer: Sealer, options: Mapping[str, Any] | None = None, redactor: Redactor | None = None
    ) -> None:
        self._sealer, self._redactor = sealer, redactor or Redactor()
        self._fs, self._root = fsspec.core.url_to_fs(root, **(options or {}))

    @property
    def key_id(self) -> str:
        """Id of the key under which files are encrypted."""
        return self._sealer.current

    def walk(self) -> Iterator[tuple[str, list[str]]]:
        """Yield every folder with files: its path below the root, and the names of its files."""
        for path, _, names in self._fs.walk(self._root):
            if names:
                yield path.removeprefix(self._root).strip("/"), sorted(names)

    def folder(self, path: str) -> Folder:
        """Return the folder at a path below the root; the first write creates it."""
        return Folder(self._fs, self._root, path, self._sealer, self._redactor)

    def list_folders(self, path: str) -> list[str]:
        """Return the names of the folders in a folder below the root, sorted; none if it does not exist."""
        place = f"{self._root}/{path}".rstrip("/")
        with translate_errors(place), contextlib.suppress(FileNotFoundError):
            listed = self._fs.ls(place, detail=True)
            return sorted(each["name"].rstrip("/").rpartition("/")[2] for each in listed if each["type"] == "directory")
        return []

    def list_files(self, path: str) -> Iterator[tuple[str, int]]:
        """Yield each file below a folder as (path below this folder, bytes), in no order; none if it does not exist."""
        return ((name, size) for name, size, _ in self.list_written(path))

    def list_written(self, path: str) -> Iterator[tuple[str, int, datetime]]:
        """Yield each file below a folder as (path below this folder, bytes, time in UTC when it was written), in no order."""
        place = f"{self._root}/{path}"
        with translate_errors(place):
            self._fs.invalidate_cache(place)  # other processes write as well
            found = self._fs.find(place, detail=True)
        for name, facts in found.items():
            time = next(facts[key] for key in _WRITTEN if key in facts)
            written_at = time if isinstance(time, datetime) else datetime.fromtimestamp(time, UTC)
            yield name.removeprefix(place).lstrip("/"), facts["size"], written_at

    def open(self, path: str) -> Partition:
        """Open a partition.

        Steps open it with `Site.open`, which also compares its manifest with the ledger.

        Raises:
            FatalError: The partition is incomplete: its manifest is missing or invalid. Or the manifest is another partition's.
        """
        folder = self.folder(path)
        try:
            content = folder.read("manifest.json")
            manifest = _parse_manifest(json.loads(content))
        except (FileNotFoundError, ValueError, KeyError) as error:
            raise FatalError("The partition is incomplete: pull it again", partition=path) from error
        if manifest.path != path:
            raise FatalError("The manifest is another partition's: pull it again", partition=path, other=manifest.path)
        return Partition(folder, manifest, hashlib.sha256(content).hexdigest())

    def list_partitions(self) -> list[str]:
        """Return the paths of all complete partitions, sorted. It lists the whole store, so it takes time."""
        with translate_errors(self._root):
            found = self._fs.glob(f"{self._root}/*/*/*/*/manifest.json")
        return sorted("/".join(path.split("/")[-5:-1]) for path in found)

    def seal(self, manifest: Manifest) -> Partition:
        """Complete a partition by writing its manifest; return the partition."""
        folder = self.folder(manifest.path)
        content = json.dumps(asdict(manifest), default=str, indent=1).encode()
        folder.write("manifest.json", content)
        return Partition(folder, manifest, hashlib.sha256(content).hexdigest())


class Partition:
    """A complete partition: its manifest, its rows, and the other files in its folder.

    Attributes:
        folder: Folder of the partition.
        manifest: Manifest of the partition.
        manifest_hash: SHA-256 of the manifest's decrypted file, in hex. The ledger records it.
        table: Name of the table.
        path: Path below the staging root.
    """

    def __init__(self, folder: Folder, manifest: Manifest, manifest_hash: str) -> None:
        self.folder, self.manifest, self.manifest_hash = folder, manifest, manifest_hash
        self.table, self.path = manifest.table, manifest.path
        self._parts = Parts(folder, manifest.parts)

    @property
    def reference(self) -> Reference:
        """The reference to this partition that a task returns."""
        return {"table": self.table, "path": self.path}

    def rows(self, columns: list[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Yield the staged rows part by part, as (name of the part, rows).

        Args:
            columns: Columns to read; None for all.

        Raises:
            FatalError: A part is missing, or its checksum differs from the manifest.
        """
        return self._parts.read(columns)

    def good_rows(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the rows that validation did not refuse, part by part. The partition must be validated.

        Raises:
            FatalError: A part is missing, or its checksum differs from the manifest.
        """
        for part, rows in self.rows(columns):
            refused = self._list_refused(part)
            if len(refused):
                place = pa.array(range(rows.num_rows), pa.int64())
                rows = rows.filter(pc.invert(pc.is_in(place, value_set=refused.combine_chunks())))
            yield rows

    def refused_rows(self, columns: list[str]) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Yield the rows that validation refused, as (faults, rows) for each part that has some. The partition must be validated.

        `faults` has the schema `FAULTS` and one row per row of `rows`, in the same order.

        Raises:
            FatalError: A part is missing, or its checksum differs from the manifest.
        """
        affected = self.faults.column("part")
        for part, rows in self._parts.read(columns, set(affected.to_pylist())):
            yield self.faults.filter(pc.equal(affected, part)), rows.take(self._list_refused(part))

    def _list_refused(self, part: str) -> pa.ChunkedArray:
        return self.faults.filter(pc.equal(self.faults.column("part"), part)).column("row_number")

    @functools.cached_property
    def faults(self) -> pa.Table:
        """The faults of the rows that validation refused, with the schema `FAULTS`.

        Raises:
            FileNotFoundError: The partition is not validated.
        """
        rows = pq.read_table(io.BytesIO(self.folder.read("faults.parquet")))
        return lift_columns(rows, self.folder.redactor)

    def write_faults(self, faults: pa.Table) -> None:
        """Record which rows validation refused and why. Also record an empty table: the file shows that validation is done."""
        faults, buffer = faults.cast(FAULTS), io.BytesIO()
        pq.write_table(faults, buffer)
        self.folder.write("faults.parquet", buffer.getvalue())
        self.faults = faults

    def read_dead_lines(self) -> list[bytes]:
        """Return the rows that could not be read, each as a line of JSON: an object with the fields key, reasons and row."""
        lines = self.folder.read("dead.jsonl").decode()
        return self.folder.redactor.lift(lines).encode().splitlines()

    def find_commonest_reason(self) -> str | None:
        """Return the most common reason why rows could not be read; None if all rows could be read.

        The reasons of one row count together, joined by `; `.
        """
        reasons = Counter(map("; ".join, self._list_reasons()))
        return reasons.most_common(1)[0][0] if reasons else None

    def count_reasons(self) -> Counter[str]:
        """Count the rows that could not be read, and those that validation refused, by reason. A row may have several reasons.

        The partition must be validated.
        """
        reasons = Counter(itertools.chain.from_iterable(self._list_reasons()))
        refused = pc.value_counts(pc.list_flatten(self.faults.column("expectations")))
        reasons.update({each["values"]: each["counts"] for each in refused.to_pylist()})
        return reasons

    def _list_reasons(self) -> list[list[str]]:
        return [json.loads(line)["reasons"] for line in self.read_dead_lines()]


def _parse_manifest(raw: dict[str, Any]) -> Manifest:
    return Manifest(
        **raw
        | {
            "business_date": date.fromisoformat(raw["business_date"]),
            "extracted_at": datetime.fromisoformat(raw["extracted_at"]),
            "window": None if raw["window"] is None else tuple(raw["window"]),
            "money": None if raw["money"] is None else Decimal(raw["money"]),
            "undeclared": tuple(raw["undeclared"]),
            "parts": tuple(Part(**part) for part in raw["parts"]),
            "origin": Origin(**raw.get("origin", {})),
        }
    )
