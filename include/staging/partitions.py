"""Typed Parquet on disk or object store: one partition per vendor, table, business date and pull.

    <root>/<vendor>/<table>/<business_date>/<pull_id>/
        part-00000.parquet ...    staged rows, zstd, exact decimals
        dead.jsonl                rows that could not be read: declared fields, sensitive ones as tokens
        manifest.json             written last; without it the partition does not exist
        faults.parquet            rows that validation refused (part, row, expectations)
        canonical/<entity>/...    canonical rows

Each pull writes to its own folder, so that a late writer can't overwrite another pull, an old pull can be replayed, and the
warehouse can be rebuilt. Reads are repeatable: each part is verified against its checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from include.errors import ConfigurationError, FatalError, TargetUnavailable

ROWS_A_PART = 100_000
_REFUSALS = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)
# Packages whose errors are not OSError. Matched by name, so that a firm that stages on disk need not import them.
_STORES = {"aiobotocore", "aiohttp", "botocore"}


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file: its name in the folder, number of rows, and SHA-256."""

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest of one pull: its request, row counts, money and parts.

    Attributes:
        pulled: `present` (current state of all rows), `past` (data as of a past date), `chosen` (current state of selected keys), or
            `pushed` (rows that arrived between daily runs).
        window: Bounds of the requested edit window, ISO; None if there was none.
        money: Sum of the table's money column over the staged rows; None if the table has no money column.
        undeclared: Fields that the contract does not declare.
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


class Staging:
    """The store of all partitions.

    Args:
        root: Folder or URL that fsspec supports (`/data/staging`, `s3://bucket/staging`).
        options: Storage options of fsspec (endpoint, credentials).
    """

    def __init__(self, root: str, options: Mapping[str, Any] | None = None) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(root, **(options or {}))

    def folder(self, path: str) -> Folder:
        """Return the folder at a path below the root; the first write creates it."""
        return Folder(self._fs, f"{self._root}/{path}")

    def manifest(self, path: str) -> Manifest:
        """Read the manifest of a partition.

        Raises:
            FatalError: The partition is incomplete: its manifest is missing or invalid.
        """
        try:
            return _parse_manifest(json.loads(self.folder(path).read("manifest.json")))
        except (FileNotFoundError, ValueError, KeyError) as error:
            raise FatalError("The partition is incomplete: pull it again", partition=path) from error

    def seal(self, path: str, manifest: Manifest) -> None:
        """Write the manifest, which completes the partition."""
        self.folder(path).write("manifest.json", json.dumps(asdict(manifest), default=str, indent=1).encode())

    def rows(self, path: str, columns: list[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Yield the staged rows of a complete partition, part by part, as (part, rows)."""
        yield from self.folder(path).parts(self.manifest(path).parts, columns)


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder on disk or object store.

    Every method also raises:
        ConfigurationError: The bucket does not exist, or access is denied.
        TargetUnavailable: The disk is full, or the object store does not respond.
    """

    fs: Any
    path: str

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file."""
        with _translate_errors(self.path):
            if isinstance(self.fs, LocalFileSystem):  # an object store has no folders; makedirs would create a bucket
                self.fs.makedirs(self.path, exist_ok=True)
            self.fs.pipe_file(f"{self.path}/{name}", content)

    def read(self, name: str) -> bytes:
        """Read a whole file; raise FileNotFoundError if it does not exist."""
        with _translate_errors(self.path):
            return bytes(self.fs.cat_file(f"{self.path}/{name}"))

    def has(self, name: str) -> bool:
        """Return whether the file exists."""
        with _translate_errors(self.path):
            return bool(self.fs.exists(f"{self.path}/{name}"))

    def parts(self, parts: Iterable[Part], columns: list[str] | None = None) -> Iterator[tuple[str, pa.Table]]:
        """Yield parts in order as (name, rows).

        Raises:
            FatalError: A part is missing, or its checksum differs from the manifest.
        """
        for part in parts:
            try:
                content = self.read(part.name)
            except FileNotFoundError as error:
                raise FatalError(
                    "A part is missing: pull the partition again", part=f"{self.path}/{part.name}"
                ) from error
            if hashlib.sha256(content).hexdigest() != part.sha256:
                raise FatalError(
                    "A part was altered after it was written: pull the partition again", part=f"{self.path}/{part.name}"
                )
            yield part.name, pq.read_table(io.BytesIO(content), columns=columns, use_threads=False)


@contextlib.contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    """Translate storage errors; let FileNotFoundError pass through."""
    try:
        yield
    except Exception as error:
        name, cause = type(error).__name__, type(error.__cause__).__name__
        if isinstance(error, FileNotFoundError) and cause != "NoSuchBucket":
            raise
        if isinstance(error, _REFUSALS) or name == "NoCredentialsError":
            raise ConfigurationError(
                f"Access to staging failed: {name}, {cause}; check its URL and permissions", path=path
            ) from error
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _STORES:
            raise TargetUnavailable(
                f"Staging failed: {name}", path=path, cause=getattr(error, "strerror", None)
            ) from error
        raise


@dataclass
class PartWriter:
    """Writer of rows as parts of even size, with at most one part in memory.

    Attributes:
        folder: Target folder.
        schema: Schema of every part.
        parts: Parts written so far.
    """

    folder: Folder
    schema: pa.Schema
    parts: list[Part] = field(default_factory=list)
    _pending: list[pa.Table] = field(default_factory=list)
    _rows: int = 0

    def write(self, rows: pa.Table) -> None:
        """Add rows; write a part when enough rows are pending."""
        self._pending.append(rows)
        self._rows += rows.num_rows
        if self._rows >= ROWS_A_PART:
            self.flush()

    def flush(self) -> None:
        """Write the pending rows as one part; call once more at the end."""
        if not self._rows:
            self._pending.clear()
            return
        self.parts.append(self._store(f"part-{len(self.parts):05d}.parquet", pa.concat_tables(self._pending)))
        self._pending.clear()
        self._rows = 0

    def remove(self, is_unwanted: Callable[[pa.Table], pa.Array]) -> None:
        """Remove rows from the parts written so far; `is_unwanted` marks them in the rows of one part."""
        for place, (name, rows) in enumerate(self.folder.parts(self.parts)):
            unwanted = is_unwanted(rows)
            if pc.any(unwanted).as_py():
                self.parts[place] = self._store(name, rows.filter(pc.invert(unwanted)))

    def _store(self, name: str, rows: pa.Table) -> Part:
        buffer = io.BytesIO()
        texts = [field.name for field in self.schema if pa.types.is_string(field.type)]
        pq.write_table(rows.cast(self.schema), buffer, compression="zstd", compression_level=1, use_dictionary=texts)
        content = buffer.getvalue()
        self.folder.write(name, content)
        return Part(name, rows.num_rows, hashlib.sha256(content).hexdigest())


def total(rows: pa.Table, column: str) -> Decimal:
    """Return the exact sum of a decimal column; nulls count as zero."""
    summed = pc.sum(rows.column(column).cast(pa.decimal256(50, 2)))
    return summed.as_py() or Decimal(0)


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
        }
    )
