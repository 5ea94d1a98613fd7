"""Store the results of a full run in the database, and read them for the next runs, which match only what changed since then.

The state is a cache. It is used only if it was written by the same code, for the same thresholds, in the last days; otherwise, all records
are matched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.database.driver import find_driver
from include.identity import model
from include.identity.features import Conventions
from include.identity.group import Matched
from include.identity.link import Matching
from include.identity.people import Ints
from include.identity.policy import Policy
from include.identity.record import LINKS
from include.identity.score import Counts

FULL_DAYS = 7
"""A run this many days after the last full run matches all records, so that frequencies and placeholders are counted again."""

PART_BYTES = 4_000_000
"""Maximum size of a stored row's content, in bytes. PostgreSQL returns rows of 4 MB faster than the same bytes in rows of 64 MB."""
_COMPRESSED = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))

_ALL = "select name, content from control.identity_state order by name, part"
_FACTS = "select name, content from control.identity_state where name = 'facts'"
_DELETE = sa.text("delete from control.identity_state where name = coalesce(:name, name)")
_INSERT = sa.text("insert into control.identity_state (name, part, content) values (:name, :part, :content)")


@dataclass(frozen=True)
class State:
    """The results of the last full run.

    Attributes:
        matching: The matching of persons.
        digests: `record_id` and `digest` of each person, as `include.identity.inputs.read_digests` returned them.
        core: `Matching.core` of the last run since then; None if there was none.
        homes: Ids of the households that the runs since then matched again.
    """

    matching: Matching
    digests: pa.Table
    core: Ints | None = None
    homes: Ints | None = None


def write_state(connection: sa.Connection, state: State) -> None:
    """Replace the stored state by that of a full run."""
    connection.execute(_DELETE, {"name": None})
    for name, content in _encode(state):
        _write(connection, name, content)


def write_ids(connection: sa.Connection, name: Literal["core", "homes"], ids: Ints) -> None:
    """Replace `State.core` or `State.homes`."""
    connection.execute(_DELETE, {"name": name})
    _write(connection, name, pa.py_buffer(ids.tobytes()))


def _write(connection: sa.Connection, name: str, content: pa.Buffer) -> None:
    for part, at in enumerate(range(0, content.size, PART_BYTES)):
        piece = content.slice(at, min(PART_BYTES, content.size - at)).to_pybytes()
        connection.execute(_INSERT, {"name": name, "part": part, "content": piece})


def fetch_state(connection: sa.Connection, policy: Policy, on: date) -> dict[str, bytes] | None:
    """Return the stored state as `decode_state` takes it.

    None if there is none that this code wrote for these thresholds less than `FULL_DAYS` before the day `on`.
    """
    facts = _fetch(connection, _FACTS).get("facts")
    if not facts:
        return None
    written = json.loads(facts)
    if written["code"] != _fingerprint_code() or written["policy"] != _describe(policy):
        return None
    if not 0 <= (on - date.fromisoformat(written["on"])).days < FULL_DAYS:
        return None
    return _fetch(connection, _ALL)


def decode_state(contents: dict[str, bytes], policy: Policy) -> State:
    """Decode what `fetch_state` returned. It needs no database, so another thread can do it. The contents are removed one by one."""
    facts = json.loads(contents.pop("facts"))

    def read(name: str) -> pa.Table:
        return pa.ipc.open_stream(contents.pop(name)).read_all()

    def read_matched(name: str) -> Matched:
        return Matched(read(f"{name} clusters"), LINKS.empty_table(), read(f"{name} doubts"), read(f"{name} lessons"))

    rows = read("placeholders")
    placeholders = {
        name: rows["value"].filter(pc.equal(rows["column"], name)).combine_chunks()
        for name in pc.unique(rows["column"]).to_pylist()
    }
    vendors, family_first, registrations = (tuple(facts[name]) for name in ("vendors", "family_first", "registrations"))
    conventions = Conventions(date.fromisoformat(facts["on"]), vendors, family_first, registrations, placeholders)
    frequencies = {name: read(f"frequency {name}") for name in model.TERMS}
    names = read("names")["first"].combine_chunks()
    counts = Counts(facts["records"], facts["prior"], names, frequencies, read("crowded"))
    matching = Matching(
        policy,
        conventions,
        counts,
        read("features"),
        read("scored"),
        read("organizations"),
        read_matched("natural"),
        read_matched("entities"),
        read("decisions"),
    )
    core, homes = (np.frombuffer(contents[name], np.int64) if name in contents else None for name in ("core", "homes"))
    return State(matching, read("digests"), core, homes)


def _fetch(connection: sa.Connection, query: str) -> dict[str, bytes]:
    with find_driver(connection).cursor() as cursor:
        rows = cursor.stream(query, binary=True)
        return {name: b"".join(row[1] for row in parts) for name, parts in groupby(rows, key=itemgetter(0))}


def _encode(state: State) -> Iterator[tuple[str, pa.Buffer]]:
    matching, conventions, counts = state.matching, state.matching.conventions, state.matching.counts
    facts = {
        "code": _fingerprint_code(),
        "policy": _describe(matching.policy),
        "on": conventions.on.isoformat(),
        "vendors": conventions.vendors,
        "family_first": conventions.family_first,
        "registrations": conventions.registrations,
        "records": counts.records,
        "prior": counts.prior,
    }
    yield "facts", pa.py_buffer(json.dumps(facts).encode())
    placeholders = [
        (name, value) for name, values in (conventions.placeholders or {}).items() for value in values.to_pylist()
    ]
    tables = {
        "placeholders": pa.table(
            [pa.array([each[at] for each in placeholders], pa.string()) for at in (0, 1)], ["column", "value"]
        ),
        "names": pa.table({"first": counts.names}),
        "crowded": counts.crowded,
        "features": matching.features,
        "scored": matching.scored,
        "organizations": matching.organizations,
        "natural clusters": matching.natural.clusters,
        "natural doubts": matching.natural.doubts,
        "natural lessons": matching.natural.lessons,
        "entities clusters": matching.entities.clusters,
        "entities doubts": matching.entities.doubts,
        "entities lessons": matching.entities.lessons,
        "decisions": matching.decisions,
        "digests": state.digests,
    }
    tables |= {f"frequency {name}": table for name, table in counts.frequencies.items()}
    for name, table in tables.items():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=_COMPRESSED) as writer:
            writer.write_table(table)
        yield name, sink.getvalue()


def _describe(policy: Policy) -> dict[str, Any]:
    return asdict(policy) | {"trusted": sorted(policy.trusted)}


@cache
def _fingerprint_code() -> str:
    """Return a hash of the code that a stored state depends on."""
    digest = hashlib.sha256(f"{version('splink')} {version('duckdb')}".encode())
    include = Path(__file__).parents[1]
    for path in sorted(path for folder in ("identity", "names") for path in (include / folder).glob("*.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
