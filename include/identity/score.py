"""Select pairs of records to compare, and score how certain it is that they are one person."""

# ruff: noqa: S608  (the SQL is made of our own column names and numbers; no text of the data is in it)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from splink import DuckDBAPI, Linker

from include.identity import model, pair_rules
from include.identity.policy import Policy
from include.names import census

THREADS = 2
"""Default number of threads."""
MOST_IN_BLOCK = 400
"""Maximum number of records that share the values of a blocking rule. If more records share them, the rule does not compare them."""

NAME_COUNT, NAME_SHARE = 3, 5e-5
"""Minimum number and minimum share of the records with a first name that is not in the list of names. With fewer records, the name is
treated as a typing error."""

CHUNK = 2_000_000
"""About the maximum number of pairs that are scored at a time, to limit the memory."""

# Records that agree in one of these combinations are almost surely one person. Each combination gives an estimate of the number of pairs
# of records of one person, from the records that have all its columns. The highest estimate is used.
_SURE = ("tax", "birth, last, first[1]", "email, first", "phone, first, last", "first, last, zip, house")


@dataclass(frozen=True)
class Counts:
    """Counts over all records on which the score of each pair depends.

    A full run computes them. The runs until the next full run use them unchanged, so that the score of two unchanged records stays the
    same.

    Attributes:
        records: Number of records.
        prior: Probability that two records drawn at random are one person.
        names: First names that are not in the list of names, but are in too many records to be typing errors.
        frequencies: For each column of `model.TERMS`, a table with a row per value that several records have: `value`, and `share`, its
            frequency (0-1), adjusted by the typical frequency (see `model.SAMPLE`).
        crowded: Table with a row per block of more than `MOST_IN_BLOCK` records: `rule`, `key`, and the number of `records`.
    """

    records: int
    prior: float
    names: pa.Array
    frequencies: Mapping[str, pa.Table]
    crowded: pa.Table


def score(
    features: pa.Table,
    policy: Policy,
    counts: Counts | None = None,
    changed: pa.Array | None = None,
    threads: int = THREADS,
) -> tuple[pa.Table, Counts]:
    """Score the pairs of records that may be one person.

    Args:
        features: Table with the schema `include.identity.features.FEATURES`.
        policy: Pairs below its `review_score` are left out.
        counts: Those of the last full run; None to count all records.
        changed: Ids of the records whose pairs are scored; None for all records.
        threads: Number of threads; the result does not depend on it.

    Returns:
        LINKS in no particular order; `how` is `key` or `model`. The additional column `excuse` is the position in `EXCUSES` of the evidence
        that does not keep the pair apart, and `limit` the highest score that the pair has without its rule. The second result is the counts.
    """
    # DuckDB gets no temporary directory, so that it never writes a name or number to disk.
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "preserve_insertion_order": False,
        "temp_directory": "",
    }
    pa.default_memory_pool().release_unused()  # a gigabyte for a million records, which DuckDB can't use otherwise
    with duckdb.connect(config=config) as db:
        db.register("records", features)
        db.execute("create view given as from records" if changed is None else _select_near(db, changed))
        db.register("census", census.to_table())
        crowded = _block(db, policy, counts, changed)
        counts = counts or _count(db, crowded)
        chunks = _select_pairs(db)
        _fill(db, policy, counts)
        compared = model.list_comparisons(has_households=policy.has_households)
        api = DuckDBAPI(db)
        settings = model.build_settings(compared, counts.prior)
        # Without the log of columns that the settings name and `person` lacks: to find none takes longer than a small firm's pairs.
        linker = Linker(api.register("person"), settings, validate_settings=False, log_level=None)
        for column in model.TERMS:
            linker.table_management.register_term_frequency_lookup(api.register(f"frequency_{column}"), column)
        parts = []
        for chunk in range(chunks):
            db.execute(
                f"create or replace table chunk as select * exclude chunk, '0' as match_key from pairs where chunk = {chunk}"
            )
            linker.table_management.register_blocked_pairs_for_predict(api.register("chunk"))
            scored = linker.inference.predict(threshold_match_weight=policy.review_score, warning_mode="never")
            parts.append(db.sql(pair_rules.explain(compared, scored.physical_name, policy)).to_arrow_table())
            scored.drop_table_from_database_and_remove_from_cache()
        return pa.concat_tables(parts), counts


def _select_near(db: duckdb.DuckDBPyConnection, changed: pa.Array) -> str:
    """Return the SQL that creates `given` of the changed records and all that share a value of a blocking rule, or a key, with one of them.

    Only their pairs can have a changed record. The rules then read thousands of records instead of all.
    """
    db.register("changed", pa.table({"record_id": changed}))
    db.execute("create table fresh as from records semi join changed using (record_id)")
    alike = [
        f"hash({columns}) in (select hash({columns}) from fresh where {_require_known(columns)})"
        for columns in (*model.PERSONAL, *model.OF_HOME)
    ]
    alike += [
        f"record_id in (select record_id from (select record_id, unnest({keys}) as key from records) where key in (select unnest({keys}) from fresh))"
        for keys in ("person_keys", "shared_keys")
    ]
    return f"create table given as from records where record_id in (from changed) or {' or '.join(alike)}"


def _block(db: duckdb.DuckDBPyConnection, policy: Policy, counts: Counts | None, changed: pa.Array | None) -> pa.Table:
    """Create the table `blocked` of the pairs of records to compare, by the blocking rules of `model`; return `Counts.crowded`.

    A pair has a row for each rule that finds it.
    """
    alike = ", initial" if policy.has_households else ""
    home = "lettered" if policy.has_households else "given"
    rules = [(rule, "given") for rule in model.PERSONAL]
    # Records with the same first name also share its initials.
    rules += [(rule, "given") if "first" in rule.split(", ") else (rule + alike, home) for rule in model.OF_HOME]
    rules += [("person_key", "(select record_id, unnest(person_keys) as person_key from given)")]
    rules += [("shared_key" + alike, f"(select *, unnest(shared_keys) as shared_key from {home})")]
    db.execute("""
        create table lettered as select record_id, email, home_email, phone, house, street, city, zip, first, last, shared_keys,
               unnest(list_distinct(list_transform(roots, lambda root: root[1]))) as initial from given""")
    db.execute("create table blocked (join_key_l bigint, join_key_r bigint)")
    db.execute("create table crowded (rule text, key ubigint, records bigint)")
    if counts:
        db.register("crowded_before", counts.crowded)
        db.execute("insert into crowded from crowded_before")
    for columns, table in rules:
        _block_by(db, columns, table, is_counted=counts is None, is_partial=changed is not None)
    db.execute("drop table lettered")
    return db.sql("from crowded order by rule, key").to_arrow_table()


def _block_by(db: duckdb.DuckDBPyConnection, columns: str, table: str, *, is_counted: bool, is_partial: bool) -> None:
    """Add the pairs of one blocking rule to the table `blocked`, and the blocks that are too large to the table `crowded`.

    Args:
        db: The database.
        columns: Columns of the rule.
        table: Table that has them.
        is_counted: Whether to find the blocks that are too large; else `crowded` has them.
        is_partial: Whether to select only pairs with a record of the table `changed`.
    """
    is_new = "record_id in (from changed)" if is_partial else "true"
    in_block = "where key in (select key from keyed where is_new)" if is_partial else ""
    db.execute(f"""
        create or replace temp table block as
        with keyed as (select hash({columns}) as key, record_id, {is_new} as is_new from {table} where {_require_known(columns)})
        select *, count(*) over (partition by key) as size from keyed {in_block} qualify size > 1""")
    if is_counted:
        db.execute(
            f"insert into crowded select distinct '{columns}', key, size from block where size > {MOST_IN_BLOCK}"
        )
    db.execute(f"delete from block where key in (select key from crowded where rule = '{columns}')")
    db.execute("""
        insert into blocked select l.record_id, r.record_id from block l join block r on l.key = r.key
        and l.record_id < r.record_id and l.record_id <> -r.record_id and (l.is_new or r.is_new)""")


def _select_pairs(db: duckdb.DuckDBPyConnection) -> int:
    """Replace the table `blocked` by `pairs`, which has each pair once, with the number of its chunk; return the number of chunks."""
    [(pairs,)] = db.execute("select approx_count_distinct((join_key_l, join_key_r)) from blocked").fetchall()
    chunks = int(pairs) // CHUNK + 1
    db.execute("create table pairs (join_key_l bigint, join_key_r bigint, chunk bigint)")
    for chunk in range(chunks):  # not all at once, because the distinct pairs of all fill the memory
        db.execute(
            f"insert into pairs select distinct *, {chunk} from blocked where hash(join_key_l) % {chunks} = {chunk}"
        )
    db.execute("drop table blocked")
    return chunks


def _count(db: duckdb.DuckDBPyConnection, crowded: pa.Table) -> Counts:
    """Count the values of all records."""
    [(records,)] = db.execute("select count(*) from given").fetchall()
    names = db.sql(f"""
        select first from given where first is not null and not is_listed
        group by first having count(*) >= greatest({NAME_COUNT}, {NAME_SHARE} * {records}) order by first""")
    frequencies = {
        name: db.sql(f"""
            select {name} as value, {_share(name, "count(*)", records)} as share from given
            where {name} is not null group by {name} having count(*) > 1 order by {name}""").to_arrow_table()
        for name in model.TERMS
    }
    first = names.to_arrow_table()["first"].combine_chunks()
    return Counts(records, _estimate_prior(db, records), first, frequencies, crowded)


def _share(name: str, count: str, records: int) -> str:
    return f"({count} + {model.TERMS[name] * model.SAMPLE}) / ({records} + {model.SAMPLE})"


def _fill(db: duckdb.DuckDBPyConnection, policy: Policy, counts: Counts) -> None:
    """Create the table `person` of the records of all pairs, and a table `frequency_<column>` of value frequencies per column of `TERMS`.

    In a firm, a name counts as at least as frequent as it is in the country: few clients are called John Smith, but many could be.

    The frequencies are also columns of `person`, because joining them while pairs are compared takes DuckDB twenty times as long.
    """
    db.execute(
        """create table paired as select join_key_l as record_id from pairs union select join_key_r from pairs"""
    )
    db.execute("create view needed as from given semi join paired using (record_id)")
    for name, measured in counts.frequencies.items():
        db.register("measured", measured)
        country = "0"
        if policy.has_households and name in census.COLUMNS:
            country = f"(select coalesce(max({name}), 0) from census where word = n.{name})"
        alone = _share(name, "1", counts.records)
        db.execute(f"""
            create table frequency_{name} as select n.{name}, greatest(coalesce(m.share, {alone}), {country}) as tf_{name}
            from (select distinct {name} from needed where {name} is not null) n left join measured m on m.value = n.{name}""")
    db.register("name", pa.table({"name": counts.names.cast(pa.string())}))
    frequencies = ", ".join(f"tf_{name}" for name in model.TERMS)
    joins = " ".join(f"left join frequency_{name} using ({name})" for name in model.TERMS)
    is_name = "coalesce(is_listed or first in (from name), false)"
    db.execute(f"create table person as select needed.*, {frequencies}, {is_name} as is_name from needed {joins}")


def _require_known(columns: str) -> str:
    """Return the SQL condition that none of the columns of a blocking rule is null."""
    parts = columns.replace("least(", "").replace("greatest(", "").replace(")", "").split(", ")
    return " and ".join(f"{part} is not null" for part in parts)


def _estimate_prior(db: duckdb.DuckDBPyConnection, records: int) -> float:
    """Return the estimated probability that two records drawn at random are one person."""
    pairs, estimates = max(records * (records - 1) / 2, 1.0), [1.0]
    for columns in _SURE:
        [(having, same)] = db.execute(f"""
            select coalesce(sum(n), 0)::bigint, coalesce(sum(n * (n - 1) / 2), 0)::bigint
            from (select count(*) as n from given where {_require_known(columns)} group by {columns})""").fetchall()
        if having > records / 10:
            estimates.append(float(same) * (records / having) ** 2)
    likely: float = max(estimates) / pairs
    return min(likely, 1e-3)
