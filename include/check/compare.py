"""Compare the sample of a table with its declaration and its suite."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from include.check.report import Findings
from include.check.sample import TableSample
from include.contract import DATE, STRING, TIMESTAMP, Table
from include.errors import SchemaDrift
from include.extract.number import shape
from include.staging.partitions import Partition
from include.validation.check import Outcome

_LOOKS_ALIKE = 0.6
"""Similarity (0-1) of an undeclared field's name to a missing field's, from which it may be its new name."""
_DIFFERS = "differs among rows of this key"
_PLACEHOLDERS = ("n/a", "#n/a", "n.a.", "null", "(null)", "undefined", "tbd", "-", "--", "?")
"""Texts, in lower case, that stand for no value. Words that are real codes of some vendor, such as `None`, are not among them."""
_MASKED = r"[*•]{2,}|[xX]{4,}-?\d"
_FAR_DAYS = tuple(map(date.fromisoformat, ("0001-01-01", "1753-01-01", "1899-12-30", "1900-01-01", "9999-12-31")))
"""Days that stand for no date. A day of this kind that the vendor declares as a sentinel is null after parsing."""
_EPOCH = "1970-01-01T00:00:00+00:00"
_CODE = re.compile(r"[A-Za-z][\w ./-]{0,39}|[\w./-]{1,3}")
_MOST_SHOWN = 5


def compare_header(table: Table, error: SchemaDrift, findings: Findings) -> bool:
    """Add findings for the fields in which the header of a report differs; return False if the error does not name them."""
    expected, names = (set(filter(None, str(error.facts.get(name, "")).split(","))) for name in ("expected", "found"))
    missing = expected - names
    if not missing or not expected & names:
        return False
    compare_fields(table, missing, names - {col.source for col in table.columns}, findings)
    return True


def compare_fields(table: Table, missing: Collection[str], undeclared: Collection[str], findings: Findings) -> None:
    """Add findings for declared fields that are missing from every row, and for fields that are not declared."""
    undeclared = set(undeclared)
    for source in sorted(missing):
        detail = "The declared field is missing from every row: a run stops with SchemaDrift."
        action = "Ask the vendor why it no longer sends the field, or map its new name with `columns` in the connection's extra."
        near = _find_similar(source, undeclared)
        if near is not None:
            undeclared.remove(near)
            staged = next(col.name for col in table.columns if col.source == source)
            override = json.dumps({table.name: {staged: near}})
            detail += f" The undeclared field {near} may be its new name."
            action = f"If it is, set `columns` in the connection's extra to {override}."
        findings.add(f"{table.name}.{source}", "red", detail, action)
    for source in sorted(undeclared):
        findings.add(
            f"{table.name}.{source}", "amber", "The vendor sends a field that is not declared; it is not loaded.",
            "Declare it in the vendor's file, as a column or as ignored.",
        )  # fmt: skip


def _find_similar(source: str, names: Collection[str]) -> str | None:
    lower = {name.lower(): name for name in sorted(names)}
    near = difflib.get_close_matches(source.lower(), lower, 1, _LOOKS_ALIKE)
    return lower[near[0]] if near else None


def compare_rows(sample: TableSample, findings: Findings) -> None:
    """Add findings for values that can't be parsed, rows that share a key, placeholders and masks."""
    table, partition = sample.table, sample.partition
    assert partition is not None
    _compare_dead(table, partition, findings)
    for _, rows in partition.rows():
        _find_placeholders(table, rows, findings)


def _compare_dead(table: Table, partition: Partition, findings: Findings) -> None:
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    keys: Counter[str] = Counter()
    for line in partition.read_dead_lines():
        row_reasons = [reason.partition(": ")[::2] for reason in json.loads(line)["reasons"]]
        if differing := [source for source, reason in row_reasons if reason == _DIFFERS]:
            keys[", ".join(differing)] += 1
            continue
        for source, reason in row_reasons:
            reasons[source if reason else ""][reason or source] += 1
    fetched = partition.manifest.fetched
    if keys:
        name = ", ".join(table.named(key).source for key in table.key)
        fields, _ = keys.most_common(1)[0]
        findings.add(
            f"{table.name}.{name}", "red", f"The key is not unique: {keys.total():,} of {fetched:,} rows share a key and differ in {fields}."
            " All of them become dead letters.",
            "Ask the vendor what identifies a row, and correct the key in the vendor's file.",
        )  # fmt: skip
    for source, counts in reasons.items():
        reason, _ = counts.most_common(1)[0]
        is_surplus = "decimals" in reason
        action = (
            "Declare a wider type in the vendor's file, or `rounded=True` if the further decimals are not needed."
            if is_surplus
            else "Correct the type in the vendor's file, or ask the vendor to correct the value."
        )
        what = "surplus decimals" if is_surplus else "a value that can't be read"
        findings.add(
            f"{table.name}.{source}".rstrip("."), "red",
            f"{counts.total():,} of {fetched:,} rows have {what} ({reason}) and become dead letters.", action,
        )  # fmt: skip


def _find_placeholders(table: Table, rows: pa.Table, findings: Findings) -> None:
    for col in table.columns:
        subject, count = f"{table.name}.{col.source}", rows.num_rows
        if col.is_sensitive:
            hidden = pc.and_(rows[f"{col.name}_hash"].is_null(), rows[f"{col.name}_last4"].is_valid())
            if masked := pc.sum(hidden).as_py():
                findings.add(
                    subject, "amber", f"{masked:,} of {count:,} values are masked, so they have no hash: no record can be matched by them.",
                    "Ask the vendor for the right to see the values, or accept that they are masked.",
                )  # fmt: skip
        elif col.kind == "value" and col.type == STRING and not col.hashed:
            _find_placeholder_texts(subject, rows[col.name], findings)
        elif col.kind == "value" and col.type in (DATE, TIMESTAMP) and (day := _find_far_day(rows[col.name])):
            findings.add(
                subject, "red", f"{day[1]:,} of {count:,} values are {day[0]}, a date that stands for no value and would be loaded.",
                "Add its prefix to `sentinels` in the vendor's file, so that it is read as null.",
            )  # fmt: skip


def _find_placeholder_texts(subject: str, texts: pa.ChunkedArray, findings: Findings) -> None:
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    placeholders = texts.filter(pc.is_in(lower, value_set=pa.array(_PLACEHOLDERS)))
    if len(placeholders):
        findings.add(
            subject, "amber", f"{len(placeholders):,} of {len(texts):,} values are {_show(placeholders.to_pylist())}, which stands for no value"
            " and is loaded as a text.",
            "Ask the vendor to send null instead.",
        )  # fmt: skip
    masked = pc.sum(pc.match_substring_regex(texts, _MASKED)).as_py()
    if masked:
        findings.add(
            subject, "amber", f"{masked:,} of {len(texts):,} texts contain a masked value, or a tax id, which Tributary masks.",
            "If the field is an identifier, declare it as sensitive in the vendor's file; if the vendor masks it, ask for the right to see it.",
        )  # fmt: skip


def _find_far_day(values: pa.ChunkedArray) -> tuple[str, int] | None:
    counts: Counter[str] = Counter()
    for value in values.to_pylist():
        if value is None:
            continue
        day = value.date() if isinstance(value, datetime) else value
        if day in _FAR_DAYS or (isinstance(value, datetime) and value.isoformat() == _EPOCH):
            counts[day.isoformat()] += 1
    return counts.most_common(1)[0] if counts else None


def compare_suite(table: Table, outcome: Outcome, findings: Findings) -> None:
    """Add findings for the expectations of a table's suite that refuse rows of the sample."""
    sources = {f"{col.name}{part}": col.source for col in table.columns for part in ("", "_hash", "_last4", "_form")}
    for entry in outcome.results:
        if entry["level"] != "row" or entry["success"]:
            continue
        column, _, test = entry["kwargs"]["column"].partition(".")
        subject = f"{table.name}.{sources.get(column, column)}"
        refused = f"{entry['unexpected_count']:,} of {outcome.staged:,} rows"
        if "value_set" in entry["kwargs"] and not test:
            detail = (
                f"{refused} have an unknown code: {_show(entry['partial_unexpected_list'])}. They become dead letters."
            )
            action = "Ask the vendor what the code means, and add it to the table's suite and, if a map reads it, to the vendor's file."
        else:
            detail = f"{refused} fail {entry['reason']} and become dead letters."
            action = (
                f"Correct the suite of {table.name} if the values are right; otherwise ask the vendor to correct them."
            )
        findings.add(subject, "red", detail, action)


def describe(sample: TableSample, seconds: float, size: int) -> str:
    """Return a sentence about a sample that fits."""
    assert sample.partition is not None
    rows = sample.partition.manifest.fetched
    fields = sum(col.source[0] not in "@^" for col in sample.table.columns)
    nested = "" if size else " of its parent"
    took = f" {size:,} bytes in {seconds:.2f} s." if size else ""
    return f"{rows:,} rows{nested} fit the {fields} declared fields.{took}"


def _show(values: Iterable[object]) -> str:
    """Return a few distinct values as text: codes unchanged, all other values as their shape."""
    texts = dict.fromkeys(str(value) for value in values)
    shown = [text if _CODE.fullmatch(text) or text.lower() in _PLACEHOLDERS else shape(text) for text in texts]
    more = ", ..." if len(shown) > _MOST_SHOWN else ""
    return ", ".join(shown[:_MOST_SHOWN]) + more
