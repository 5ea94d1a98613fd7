"""Search all stored data for texts that identify a person: every table and every file of staging, decrypted."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from include.control import answers, inbox
from include.keys.keyring import Keyring
from include.retention.person import Person
from include.retention.staging import MANIFEST, PAGES, Pulled, list_pulls
from include.staging.files import Folder, Part, Parts
from include.staging.partitions import Staging

_TABLES = sa.text("""
select format('%I.%I', n.nspname, c.relname) as name,
       array_agg(a.attname) filter (where a.atttypid = 'bytea'::regtype) as binary_columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not attisdropped
where n.nspname in ('control', 'warehouse', 'mart') and c.relkind in ('r', 'p') and not c.relispartition
group by 1 order by 1
""")
SEALED_IDS = {
    "control.inbox": "t.inbox_id::text",
    "control.answer": "jsonb_build_array(t.run_id, t.vendor, t.table_name, t.request_key)::text",
    "control.known_answer": "jsonb_build_array(t.vendor, t.table_name, t.request_key)::text",
}
"""Table whose content is sealed -> SQL expression of the id of a row `t`."""
_JSON_ESCAPES = re.compile(r"""(?:\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt]))+""")


def has_term(of_row: str, binary_columns: Sequence[str] | None = None) -> str:
    """Return the SQL condition that a row contains one of the texts of the parameter `:terms`, whatever its case.

    Args:
        of_row: SQL expression of the row, or of a text.
        binary_columns: Columns of the row `t` whose bytes are also searched.
    """
    parts = [f"position(w.word in lower({of_row}::text)) > 0"]
    parts += [f"position(encode(convert_to(w.word, 'UTF8'), 'escape') in lower(encode(t.{column}, 'escape'))) > 0" for column in binary_columns or ()]  # fmt: skip
    return f"exists (select from unnest(cast(:terms as text[])) w(word) where {' or '.join(parts)})"


def spell(terms: Sequence[str]) -> list[str]:
    """Return each text in the forms in which the database shows it: as it is, in JSON, and each of both as a part of a row's text."""
    words = {word for term in terms for word in (term, json.dumps(term, ensure_ascii=False)[1:-1])}
    return sorted(words | {word.replace("\\", r"\\").replace('"', '""') for word in words})


def find_sealed(connection: sa.Connection, keyring: Keyring, table: str, terms: Sequence[str]) -> list[str]:
    """Open the sealed rows of a table of `SEALED_IDS` one by one; return the ids of those whose content has one of the texts.

    Raises:
        ConfigurationError: The key of a row is not in the keyring.
        TributaryError: A row was altered or moved.
    """
    # An earlier version stored clear bodies in the inbox.
    sealed = "key_fingerprint is not null" if table == "control.inbox" else "true"
    query = f"select {SEALED_IDS[table]} as id, t.* from {table} t where {sealed}"  # noqa: S608
    rows = connection.execute(sa.text(query), execution_options={"yield_per": 100}) if terms else ()
    return [row.id for row in rows if _contains(_open(keyring, table, row), terms)]


def search_tables(connection: sa.Connection, keyring: Keyring, terms: Sequence[str]) -> dict[str, int]:
    """Return table -> number of rows that contain one of the texts, in any column; tables without such rows are left out."""
    counts = {}
    for table in connection.execute(_TABLES).all():
        sealed = find_sealed(connection, keyring, table.name, terms) if table.name in SEALED_IDS else []
        condition = f"{has_term('t', table.binary_columns)} or {SEALED_IDS.get(table.name, 'null')} = any(cast(:sealed as text[]))"
        query = f"select count(*) from {table.name} t where {condition}"  # noqa: S608
        counts[table.name] = int(connection.scalar(sa.text(query), {"terms": spell(terms), "sealed": sealed}) or 0)
    return {name: count for name, count in counts.items() if count}


def search_staging(staging: Staging, person: Person) -> Iterator[Pulled]:
    """Yield the complete pulls that contain one of the person's texts in any file, or one of the person's keys in a canonical row."""
    for pull in list_pulls(staging):
        keys = person.keys_of(pull.path.partition("/")[0])
        if pull.is_complete and any(
            _has_person(staging.folder(pull.path), name, person.terms, keys) for name in pull.files
        ):
            yield pull


def search_pages(staging: Staging, terms: Sequence[str]) -> Iterator[str]:
    """Yield the paths below the folder `PAGES` of the pages that contain one of the texts."""
    for path in sorted(name for name, _ in staging.list_files(PAGES) if name.endswith(".html")):
        if _contains(staging.folder(PAGES).read(path), terms):
            yield path


def _open(keyring: Keyring, table: str, row: Any) -> bytes:
    if table == "control.inbox":
        return keyring.inbox.open(bytes(row.body), inbox.place_of(row.sender, row.content_hash))
    if table == "control.answer":
        place = answers.place_of(row.run_id, row.vendor, row.table_name, row.request_key)
    else:
        place = answers.format_place(row.vendor, row.table_name, row.request_key, row.contract, row.etag)
    return keyring.staging.open_file(bytes(row.rows), place)


def _has_person(folder: Folder, path: str, terms: Sequence[str], keys: Mapping[str, Sequence[str]]) -> bool:
    below, _, name = path.rpartition("/")
    place = folder.below(below) if below else folder
    if name == MANIFEST:
        listed = [Part(**part) for part in json.loads(place.read(name))["parts"]]
        return any(_matches(rows, terms, keys if below else {}) for _, rows in Parts(place, listed).read())
    if name.endswith(".parquet"):
        return name == "faults.parquet" and _matches(pq.read_table(io.BytesIO(place.read(name))), terms, {})
    return _contains(place.read(name), terms)


def _contains(content: bytes, terms: Sequence[str]) -> bool:
    """Return whether a message or file contains one of the texts, which are in lower case, in any case and as any escapes of JSON and HTML."""
    text = content.decode(errors="replace")
    forms = [form.lower() for form in (text, unescape(_unescape_json(unescape(text))))]
    return any(term in form for term in terms for form in forms)


def _unescape_json(text: str) -> str:
    return _JSON_ESCAPES.sub(lambda match: str(json.loads(f'"{match[0]}"')), text)


def _matches(rows: pa.Table, terms: Sequence[str], keys: Mapping[str, Sequence[str]]) -> bool:
    words = spell(terms)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if pa.types.is_string(column.type):
            if any(pc.any(pc.match_substring(column, word, ignore_case=True)).as_py() for word in words):
                return True
            own = pa.array(keys.get(name.removesuffix("_key"), ()), pa.string())
            if len(own) and pc.any(pc.is_in(column, value_set=own)).as_py():
                return True
    return False
