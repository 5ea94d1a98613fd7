"""Files of a staging folder, on disk or in an object store, encrypted: whole files, and Parquet parts verified against their checksums.

A whole file is encrypted under the firm's staging key. A part is encrypted by Parquet itself, column by column, so a reader decrypts only
the columns that it needs. Each part has a random key, which the manifest contains. Each file can be decrypted only at its own path.

Hashes of sensitive values that were written before a hash key was added are lifted when they are read; the files stay as they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from pyarrow.parquet.encryption import create_decryption_properties, create_encryption_properties

from include.errors import ConfigurationError, FatalError, TargetUnavailable
from include.keys.sealer import HEAD_BYTES, Sealer
from include.sensitive import FORM, Redactor
from include.staging.ahead import map_ahead

ROWS_A_PART = 100_000
_KEY_BYTES = 32
_HASH_LENGTH = 64
UNFINISHED = ".resealed"
"""End of the name of a file that `Folder.reseal` or `replace` is writing. If it dies, the next run writes the file again."""
_REFUSALS = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)
# Packages of object stores, whose errors are not OSError. Compared by name, so that a firm that stages on disk need not import them.
_STORES = {"aiobotocore", "aiohttp", "botocore"}


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file: its name in the folder, number of rows, SHA-256 of the encrypted content, and data key in hex."""

    name: str
    rows: int
    sha256: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder on disk or in an object store.

    Every method that reads or writes also raises:
        ConfigurationError: The bucket does not exist, or access is denied.
        TargetUnavailable: The disk is full, or the object store does not respond.

    Attributes:
        fs: The file system, of fsspec.
        root: The staging root.
        place: Path below the root.
        sealer: Encrypts whole files.
        redactor: Lifts the hashes in rows that are read.
    """

    fs: Any
    root: str
    place: str
    sealer: Sealer
    redactor: Redactor = Redactor()  # noqa: RUF009

    @property
    def path(self) -> str:
        """The whole path."""
        return f"{self.root}/{self.place}"

    def below(self, name: str) -> Folder:
        """Return a folder in this one; the first write creates it."""
        return Folder(self.fs, self.root, f"{self.place}/{name}", self.sealer, self.redactor)

    def at(self, path: str) -> Folder:
        """Return the folder at another path below the same root."""
        return replace(self, place=path)

    def write(self, name: str, content: bytes) -> None:
        """Encrypt and write a whole file."""
        self.write_raw(name, self.sealer.seal_file(content, f"{self.place}/{name}"))

    def replace(self, name: str, content: bytes) -> None:
        """Encrypt and write a whole file. A reader sees either the old or the new content."""
        self._replace_raw(name, self.sealer.seal_file(content, f"{self.place}/{name}"))

    def read(self, name: str) -> bytes:
        """Read and decrypt a whole file.

        Raises:
            FileNotFoundError: It does not exist.
            FatalError: It was altered or moved.
        """
        return self.sealer.open_file(self.read_raw(name), f"{self.place}/{name}")

    def reseal(self, name: str) -> bool:
        """Encrypt a whole file again under the current key; return False if a writer replaced it meanwhile.

        On disk, a file that is deleted meanwhile stays deleted.

        Raises:
            FileNotFoundError: It does not exist.
            FatalError: It was altered or moved.
        """
        place, stored = f"{self.place}/{name}", self.read_raw(name)
        sealed = self.sealer.seal_file(self.sealer.open_file(stored, place), place)
        with self._lock_deletions():
            if self.read_raw(name) != stored:
                return False
            self._replace_raw(name, sealed)
        return True

    def _replace_raw(self, name: str, content: bytes) -> None:
        if isinstance(self.fs, LocalFileSystem):  # an object store replaces a whole object at once
            self.write_raw(f"{name}{UNFINISHED}", content)
            with translate_errors(self.path):
                Path(self.path, f"{name}{UNFINISHED}").replace(Path(self.path, name))
        else:
            self.write_raw(name, content)

    def read_start(self, name: str) -> bytes:
        """Read the first bytes of a file, enough for `find_key_id`; nothing if the file no longer exists."""
        with translate_errors(self.path):
            try:
                return bytes(self.fs.cat_file(f"{self.path}/{name}", end=HEAD_BYTES))
            except FileNotFoundError:
                return b""

    def write_raw(self, name: str, content: bytes) -> None:
        """Write a file that is encrypted already."""
        with translate_errors(self.path):
            if isinstance(self.fs, LocalFileSystem):  # an object store has no folders; makedirs would create a bucket
                self.fs.makedirs(self.path, exist_ok=True)
            self.fs.pipe_file(f"{self.path}/{name}", content)

    def read_raw(self, name: str) -> bytes:
        """Read a whole file as it is stored; raise FileNotFoundError if it does not exist."""
        with translate_errors(self.path):
            return bytes(self.fs.cat_file(f"{self.path}/{name}"))

    def read_columns(self, part: Part, columns: list[str] | None) -> pa.Table:
        """Read columns of a part, and only their bytes; raise FileNotFoundError if it does not exist."""
        with translate_errors(self.path), self.fs.open(f"{self.path}/{part.name}", "rb") as file:
            return self.decode(part, file, columns)

    def decode(self, part: Part, file: Any, columns: list[str] | None) -> pa.Table:
        """Decrypt and decode columns of a part. A part that was written before the form of a tax id was staged has null forms."""
        properties = create_decryption_properties(
            bytes.fromhex(part.key), aad_prefix=f"{self.place}/{part.name}".encode()
        )
        lacking: set[str] = set()
        if columns and any(name.endswith(FORM) for name in columns):
            stored_names = pq.read_schema(file, decryption_properties=properties).names
            lacking = {name for name in columns if name.endswith(FORM)} - {*stored_names}
            file.seek(0)
        stored = columns and [name for name in columns if name not in lacking]
        rows = pq.read_table(file, columns=stored, use_threads=False, decryption_properties=properties)
        for name in sorted(lacking):
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
        return rows.select(columns) if lacking else rows

    def has(self, name: str) -> bool:
        """Return whether the file exists."""
        with translate_errors(self.path):
            return bool(self.fs.exists(f"{self.path}/{name}"))

    def written_at(self, name: str) -> datetime:
        """Return when a file was last written, in UTC."""
        with translate_errors(self.path):
            written_at: datetime = self.fs.modified(f"{self.path}/{name}")
        return written_at

    def delete(self, name: str) -> None:
        """Delete a file; do nothing if it does not exist."""
        with translate_errors(self.path), contextlib.suppress(FileNotFoundError), self._lock_deletions():
            self.fs.rm_file(f"{self.path}/{name}")

    def remove(self) -> None:
        """Remove the folder with its content; do nothing if it does not exist."""
        with translate_errors(self.path), contextlib.suppress(FileNotFoundError), self._lock_deletions():
            self.fs.rm(self.path, recursive=True)

    @contextlib.contextmanager
    def _lock_deletions(self) -> Iterator[None]:
        """Hold the lock on the staging root that deletions and `reseal` take; an object store has none."""
        if not isinstance(self.fs, LocalFileSystem):
            yield
            return
        root = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(root, fcntl.LOCK_EX)
            yield
        finally:
            os.close(root)


class Parts:
    """The Parquet files of a folder that a manifest lists.

    Each file is verified against the checksum in the manifest when this object reads it for the first time.
    """

    def __init__(self, folder: Folder, listed: Sequence[Part]) -> None:
        self._folder, self._listed = folder, listed
        self._verified: set[str] = set()

    def read(
        self, columns: list[str] | None = None, names: Collection[str] | None = None
    ) -> Iterator[tuple[str, pa.Table]]:
        """Yield the parts in order as (name, rows). The next part is read while the caller works on this one.

        Args:
            columns: Columns to read; None for all.
            names: Names of the parts to read; None for all.

        Raises:
            FatalError: A part is missing, or its checksum differs from the manifest.
        """

        def read(part: Part) -> tuple[str, pa.Table]:
            return part.name, lift_columns(self._read_part(part, columns), self._folder.redactor)

        return map_ahead(read, [part for part in self._listed if names is None or part.name in names])

    def _read_part(self, part: Part, columns: list[str] | None) -> pa.Table:
        try:
            if part.name in self._verified:
                return self._folder.read_columns(part, columns)
            content = self._folder.read_raw(part.name)
        except FileNotFoundError as error:
            raise FatalError("A part is missing: pull the partition again", part=self._path_of(part)) from error
        altered = FatalError(
            "A part was altered after it was written: pull the partition again", part=self._path_of(part)
        )
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise altered
        try:
            rows = self._folder.decode(part, io.BytesIO(content), columns)
        except OSError as error:  # Arrow's only error for content that its key does not open
            raise altered from error
        self._verified.add(part.name)
        return rows

    def _path_of(self, part: Part) -> str:
        return f"{self._folder.path}/{part.name}"


def lift_columns(rows: pa.Table, redactor: Redactor) -> pa.Table:
    """Return rows in which every hash is lifted to all keys of a redactor. Each distinct text is lifted once."""
    if redactor.length < 2:
        return rows
    for place, field_ in enumerate(rows.schema):
        if (
            pa.types.is_string(field_.type)
            and (pc.max(pc.binary_length(rows.column(place))).as_py() or 0) >= _HASH_LENGTH
        ):
            encoded = rows.column(place).combine_chunks().dictionary_encode()
            lifted = [redactor.lift(text) for text in encoded.dictionary.to_pylist()]
            rows = rows.set_column(place, field_, pc.take(pa.array(lifted, pa.string()), encoded.indices))
    return rows


@dataclass
class PartWriter:
    """Writes rows as parts of at least `ROWS_A_PART` rows. A part may be smaller after `flush`.

    A full part is written in a thread while the next rows arrive, so at most two parts are in memory.

    Attributes:
        folder: Target folder.
        schema: Schema of every part.
        prefix: Start of the parts' names. Two writers that may share a folder need different prefixes. Otherwise one overwrites the
            parts of the other, whose checksums are then wrong: the same rows are encrypted differently each time.
        parts: Parts written so far; complete after `flush`.
    """

    folder: Folder
    schema: pa.Schema
    prefix: str = ""
    parts: list[Part] = field(default_factory=list)
    _pending: list[pa.Table] = field(default_factory=list)
    _rows: int = 0
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="write"))
    _writing: Future[Part] | None = None

    def write(self, rows: pa.Table) -> None:
        """Add rows; begin to write the pending rows as a part once they are at least `ROWS_A_PART`.

        An error of the storage may be raised by the next call.
        """
        self._pending.append(rows)
        self._rows += rows.num_rows
        if self._rows >= ROWS_A_PART:
            self._finish()
            self._writing = self._thread.submit(self._store, self._name(), pa.concat_tables(self._pending))
            self._clear()

    def flush(self) -> None:
        """Write the pending rows as one part, if there are any, and finish all parts. Call it at the end."""
        self._finish()
        if self._rows:
            self.parts.append(self._store(self._name(), pa.concat_tables(self._pending)))
        self._clear()

    def _finish(self) -> None:
        """Wait for the part that is being written, if there is one."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self.parts.append(writing.result())

    def _name(self) -> str:
        return f"{self.prefix}part-{len(self.parts):05d}.parquet"

    def _clear(self) -> None:
        self._pending.clear()
        self._rows = 0

    def read(self) -> Iterator[tuple[str, pa.Table]]:
        """Yield the parts written so far as (name, rows).

        Raises:
            FatalError: A part is missing, or its checksum is wrong.
        """
        return Parts(self.folder, tuple(self.parts)).read()

    def remove(self, is_unwanted: Callable[[pa.Table], pa.Array]) -> None:
        """Remove rows from the parts written so far.

        Args:
            is_unwanted: Takes the rows of one part; returns an array of booleans that is true for the rows to remove.

        Raises:
            FatalError: A part is missing, or its checksum is wrong.
        """
        for place, (name, rows) in enumerate(self.read()):
            unwanted = is_unwanted(rows)
            if pc.any(unwanted).as_py():
                self.parts[place] = self._store(name, rows.filter(pc.invert(unwanted)))

    def _store(self, name: str, rows: pa.Table) -> Part:
        buffer, key = io.BytesIO(), os.urandom(_KEY_BYTES)
        place = f"{self.folder.place}/{name}".encode()
        texts = [field.name for field in self.schema if pa.types.is_string(field.type)]
        pq.write_table(
            rows.cast(self.schema), buffer, compression="zstd", compression_level=1, use_dictionary=texts,
            encryption_properties=create_encryption_properties(key, aad_prefix=place, store_aad_prefix=False),
        )  # fmt: skip
        content = buffer.getvalue()
        self.folder.write_raw(name, content)
        return Part(name, rows.num_rows, hashlib.sha256(content).hexdigest(), key.hex())


def total(rows: pa.Table, column: str) -> Decimal:
    """Return the exact sum of a money column (up to two decimals); nulls count as zero."""
    summed = pc.sum(rows.column(column).cast(pa.decimal256(50, 2)))
    return summed.as_py() or Decimal(0)


@contextlib.contextmanager
def translate_errors(path: str) -> Iterator[None]:
    """Translate the storage errors that the block raises; let FileNotFoundError pass through."""
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
