"""Show a file of the staging folder as lines of text: for an operator who needs the content of dead letters or staged rows."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from include.errors import InputRejected
from include.staging.files import Part, Parts
from include.staging.partitions import Staging


def read_lines(staging: Staging, path: str) -> Iterator[str]:
    """Yield the decrypted lines of a file; a Parquet file has one JSON object per row, with decimals and dates as text.

    Args:
        staging: The staging folder.
        path: The file's path below the root, such as `<vendor>/<table>/<business_date>/<pull_id>/dead.jsonl`.

    Raises:
        InputRejected: The file does not exist.
        FatalError: The file was altered or moved.
        ConfigurationError: The file's key is not in the keyring, or access to staging was denied.
    """
    place, _, name = path.strip("/").rpartition("/")
    try:
        folder = staging.folder(place)
        if "part-" in name:  # of staged or canonical rows: the manifest beside it holds its key
            listed = [
                Part(**part) for part in json.loads(folder.read("manifest.json"))["parts"] if part["name"] == name
            ]
            for _, rows in Parts(folder, listed).read():
                yield from _format_rows(rows)
            if listed:
                return
        content = folder.read(name)
    except FileNotFoundError:
        raise InputRejected("Staging has no such file", path=path) from None
    if name.endswith(".parquet"):
        yield from _format_rows(pq.read_table(io.BytesIO(content)))
    else:
        yield from content.decode().splitlines()


def _format_rows(rows: pa.Table) -> Iterator[str]:
    for batch in rows.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            yield json.dumps(row, default=str, ensure_ascii=False)
