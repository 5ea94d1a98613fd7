"""Benchmark of identity resolution on data that did not tune it: the firm of `unseen_firm` and the labeled names of `unseen_names`.

Only `link_records`, `read_people` and `read_kind` call the matcher; the rest compares their results with the truth.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as parquet
from rich import box
from rich.console import Console
from rich.table import Table

from include.identity.link import link
from include.identity.record import DECISIONS
from include.names.person import read_whole
from include.names.registration import read_registration
from local.bench.identity import run
from local.bench.unseen_firm import Unseen, hash_tax_id, make_unseen
from local.bench.unseen_lexicon import ORIGINS
from local.bench.unseen_names import (
    ENTITY_KINDS,
    LabeledName,
    SingleName,
    make_joint_titles,
    make_labeled_names,
    make_single_names,
)

ANSWERS = 300
"""Number of pairs that the simulated steward answers."""

SITTING = 100
"""Number of pairs that the steward answers before the next run brings the queue up to date."""

_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_PLAIN = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "æ": "ae"})


class Reading(NamedTuple):
    """A person as the matcher read the name; `generation` is `1` for Sr, `2` for Jr, ..."""

    first: str | None
    last: str | None
    generation: str | None


# --- the matcher ------------------------------------------------------------------------------------------------------


def link_records(persons: pa.Table, decisions: pa.Table) -> pa.Table:
    """Return the clusters (`record_id`, `person_id`) of RECORDS with a reviewer's decisions."""
    return link(persons, decisions).clusters


def read_people(text: str, *, is_surname_first: bool) -> list[Reading]:
    """Return the persons that a name describes."""
    people = read_whole(text, is_family_first=is_surname_first)
    return [Reading(each.first, each.last, each.generation) for each in people]


def read_kind(label: LabeledName) -> str:
    """Return the kind of a name: `person`, `joint`, `utma` or one of `ENTITY_KINDS`."""
    read = read_registration(label.text, label.registration_type, (label.tax_id_form or "").lower() or None)
    if read.entity is not None or read.kind == "utma":
        return "plan" if read.kind == "retirement_plan" else read.kind
    return "joint" if sum(party.role in ("owner", "joint owner") for party in read.parties) > 1 else "person"


# --- clusters ---------------------------------------------------------------------------------------------------------


def evaluate_clusters(clusters: pa.Table, unseen: Unseen) -> dict[str, Any]:
    """Compare clusters with the truth, natural persons and legal entities apart.

    A second person of a joint record whom the matcher did not read counts as a cluster of its own, so the pairs with it are missed. Second
    persons that exist only in the clusters are left out.

    Returns:
        For `person` and `entity`: `_precision`, `_recall` and `_whole` (share of those with several records that have them in one cluster
        without any other), and for persons `person_recall_read` without the second persons that were not read. `by_origin`: recall of
        persons by origin. `mixed`: pairs of a person's and an entity's record in one cluster. `unread`: share of the second persons that
        were not read. `two_tax_ids` and `two_birth_dates`: clusters over two correctly stated ones.
    """
    cluster_of = dict(zip(clusters["record_id"].to_pylist(), clusters["person_id"].to_pylist(), strict=True))
    alone = [record for record in unseen.truth if record not in cluster_of]
    members: dict[Any, Counter[int]] = defaultdict(Counter)
    for record, number in unseen.truth.items():
        members[cluster_of.get(record, ("unread", record))][number] += 1
    total = Counter(unseen.truth.values())
    hits: Counter[int] = Counter()
    for each in members.values():
        hits.update({number: _pairs(count) for number, count in each.items()})
    whole = {
        number
        for each in members.values()
        if len(each) == 1
        for number, count in each.items()
        if count == total[number]
    }
    sizes = [
        (count := sum(n in unseen.entities for n in each.elements()), each.total() - count) for each in members.values()
    ]
    result: dict[str, Any] = {}
    for at, kind in enumerate(("entity", "person")):
        several = {n for n, count in total.items() if count > 1 and (n in unseen.entities) is (kind == "entity")}
        linked = sum(_pairs(size[at]) for size in sizes)
        result[f"{kind}_precision"] = sum(hits[n] for n in total if (n in unseen.entities) is (kind == "entity")) / max(
            linked, 1
        )
        result[f"{kind}_recall"] = _recall(hits, total, several)
        result[f"{kind}_whole"] = len(whole & several) / max(len(several), 1)
    result["person_recall_read"] = _recall(
        hits, total - Counter(unseen.truth[record] for record in alone), unseen.origins
    )
    by_origin = {origin: [n for n, other in unseen.origins.items() if other == origin] for origin in ORIGINS}
    result["by_origin"] = {origin: _recall(hits, total, numbers) for origin, numbers in by_origin.items()}
    result["mixed"] = sum(entities * persons for entities, persons in sizes)
    result["unread"] = len(alone) / max(sum(record < 0 for record in unseen.truth), 1)
    return result | _count_crossed(cluster_of, unseen)


def _recall(hits: Counter[int], total: Counter[int], numbers: Iterable[int]) -> float:
    several = [number for number in numbers if total[number] > 1]
    return sum(hits[number] for number in several) / max(sum(_pairs(total[number]) for number in several), 1)


def _count_crossed(cluster_of: dict[int, int], unseen: Unseen) -> dict[str, int]:
    """Count the clusters with two persons whose records state their tax ids, or birth dates, correctly."""
    tax_ids: dict[Any, set[int]] = defaultdict(set)
    births: dict[Any, set[date]] = defaultdict(set)
    hashes = {number: hash_tax_id(tax_id) for number, tax_id in unseen.tax_ids.items()}
    for row in unseen.persons.select(["record_id", "tax_id_hash", "birth_date"]).to_pylist():
        record, number = row["record_id"], unseen.truth[row["record_id"]]
        cluster = cluster_of.get(record, ("unread", record))
        if number in hashes and row["tax_id_hash"] == hashes[number]:
            tax_ids[cluster].add(number)
        if number in hashes and row["birth_date"] == unseen.birth_dates[number]:
            births[cluster].add(row["birth_date"])
    return {
        name: sum(len(each) > 1 for each in found.values())
        for name, found in (("two_tax_ids", tax_ids), ("two_birth_dates", births))
    }


def find_limit(unseen: Unseen) -> dict[str, float]:
    """Return the highest recall (0-1) that is possible for `person` and `entity` without comparing names.

    It is reached if all records of one person or entity that share a field other than the name are linked, also through other records.
    The fields are key, tax id, birth date, e-mail, telephone, and house number with postal code.
    """
    first_with: dict[tuple[int, object], int] = {}
    parent = {record: record for record in unseen.truth}

    def find(record: int) -> int:
        while parent[record] != record:
            record = parent[record]
        return record

    for row in unseen.persons.to_pylist():
        digits = "".join(filter(str.isdigit, row["phone"] or ""))[-10:]
        place = row["street"] and (row["street"].split()[0], row["postal_code"][:5])
        plain = (row["tax_id_hash"], row["birth_date"], row["email"], row["household_email"], digits, place)
        for record in parent.keys() & {row["record_id"], -row["record_id"]}:
            for value in filter(None, (*plain, *(row["strong_keys"] or ()))):
                parent[find(record)] = find(first_with.setdefault((unseen.truth[record], value), record))
    hits: Counter[int] = Counter()
    for (number, _), count in Counter((unseen.truth[record], find(record)) for record in parent).items():
        hits[number] += _pairs(count)
    total = Counter(unseen.truth.values())
    return {"person": _recall(hits, total, unseen.tax_ids), "entity": _recall(hits, total, unseen.entities)}


# --- the queue --------------------------------------------------------------------------------------------------------


def evaluate_queue(review: pa.Table, records: int, unseen: Unseen) -> dict[str, Any]:
    """Evaluate the review queue, whose first pair ranks highest.

    Args:
        review: Pairs of records (`left`, `right`).
        records: Number of records that were matched.
        unseen: The truth.

    Returns:
        `queued`: pairs. `share`: share of the records that are in it. `true`: share of the pairs that are one person or entity. `deciles`:
        the same by tenth of rank.
    """
    is_true = [is_same for *_, is_same in _answer(review, unseen)]
    ends = [round(len(is_true) * part / 10) for part in range(11)]
    parts = [is_true[low:high] for low, high in pairwise(ends)]
    return {
        "queued": len(review),
        "share": len({*review["left"].to_pylist(), *review["right"].to_pylist()}) / records,
        "true": _share(is_true),
        "deciles": [_share(part) for part in parts],
    }


def answer_in_sittings(unseen: Unseen) -> pa.Table:
    """Return the decisions of a steward who answers the first pairs of the queue of each run truthfully, `ANSWERS` in all if there are as many."""
    decisions = DECISIONS.empty_table()
    while (count := min(SITTING, ANSWERS - len(decisions))) > 0:
        review = link(unseen.persons, decisions).review
        if not len(review):
            break
        decisions = pa.concat_tables([decisions, answer_truly(review, unseen, count).cast(DECISIONS)])
    return decisions


def answer_truly(review: pa.Table, unseen: Unseen, count: int) -> pa.Table:
    """Return the decisions (`include.identity.record.DECISIONS`) of a steward who answers the first pairs of the queue truthfully."""
    left, right, is_same = zip(*list(_answer(review, unseen))[:count], strict=True)
    return pa.table({"left": left, "right": right, "is_same": is_same})


def _answer(review: pa.Table, unseen: Unseen) -> Iterator[tuple[int, int, bool]]:
    for left, right in zip(review["left"].to_pylist(), review["right"].to_pylist(), strict=True):
        who = unseen.truth.get(left)
        yield left, right, who is not None and who == unseen.truth.get(right)


# --- labeled names ---------------------------------------------------------------------------------------------------


def evaluate_names() -> dict[str, dict[str, tuple[float, int]]]:
    """Read the three corpora.

    Returns:
        Title of a table -> what was measured -> share that is right (0-1), and number of names.
    """
    titles, kinds, singles = make_joint_titles(), make_labeled_names(), make_single_names()
    joint = {(title.style, title.is_surname_first): [] for title in titles}  # type: dict[tuple[str, bool], list[tuple[bool, bool]]]
    for title in titles:
        people = read_people(title.text, is_surname_first=title.is_surname_first)
        pairs = list(zip(people, title.people, strict=False)) if len(people) == 2 else []
        has_lasts = bool(pairs) and all(_agree(got.last, last) for got, (_, last) in pairs)
        has_all = has_lasts and all(_agree(got.first, first) for got, (first, _) in pairs)
        joint[title.style, title.is_surname_first].append((has_lasts, has_all))
    answers = [answer for each in joint.values() for answer in each]
    read = [(label.kind, read_kind(label)) for label in kinds]
    parts = [(label, *_compare(label)) for label in singles]
    return {
        f"{len(titles)} joint titles": {
            "two people, both surnames": _count(each[0] for each in answers),
            "two people, all names": _count(each[1] for each in answers),
            "two people, all names; surname first": _count(each[1] for (_, turned), many in joint.items() if turned for each in many),
        },
        f"{len(kinds):,} names": {
            "person or entity": _count((kind in ENTITY_KINDS) is (got in ENTITY_KINDS) for kind, got in read),
            "one person, two persons or entity": _count(_broad(kind) == _broad(got) for kind, got in read),
            "kind": _count(kind == got for kind, got in read),
        }
        | {f"kind: {each}": _count(kind == got for kind, got in read if kind == each) for each in sorted({kind for kind, _ in read})},
        f"{len(singles)} names of one person": {
            "first name": _count(first for _, first, _, _ in parts),
            "last name": _count(last for _, _, last, _ in parts),
            "generation": _count(generation for _, _, _, generation in parts),
            "all": _count(all(each) for _, *each in parts),
        }
        | {f"all: {style}": _count(all(each) for label, *each in parts if label.style == style) for style in sorted({s.style for s in singles})},
    }  # fmt: skip


def _compare(label: SingleName) -> tuple[bool, bool, bool]:
    people = read_people(label.text, is_surname_first=label.is_surname_first)
    got = people[0] if len(people) == 1 else Reading(None, None, "none")
    return _agree(got.first, label.first), _agree(got.last, label.last), got.generation == label.generation


def _broad(kind: str) -> str:
    return "entity" if kind in ENTITY_KINDS else "joint" if kind == "joint" else "person"


def _agree(got: str | None, expected: str | None) -> bool:
    if got is None or expected is None:
        return got is expected
    return not _forms(got).isdisjoint(_forms(expected))


def _forms(text: str) -> set[str]:
    """Return the letters of a name without accents; those with German transliteration too, since a reader may choose either."""
    lower = unicodedata.normalize("NFC", text).casefold()
    decomposed = (unicodedata.normalize("NFKD", lower.translate(table).translate(_PLAIN)) for table in ({}, _GERMAN))
    return {"".join(char for char in each if char.isalnum()) for each in decomposed}


# --- the benchmark ----------------------------------------------------------------------------------------------------


def measure_unseen(people: int) -> dict[str, Any]:
    """Generate a firm with this many people, link it in a separate process, and compare the result with the truth."""
    unseen = make_unseen(people)
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        parquet.write_table(unseen.persons, Path(folder) / "persons.parquet")
        result: dict[str, Any] = run("link_firm", folder)
        clusters, review = (parquet.read_table(Path(folder) / f"{name}.parquet") for name in ("clusters", "review"))
    result |= {"records": len(unseen.persons), "people": len(unseen.tax_ids), "entities": len(unseen.entities)}
    result |= evaluate_clusters(clusters, unseen) | evaluate_queue(review, len(clusters), unseen)
    result |= {f"{kind}_limit": value for kind, value in find_limit(unseen).items()}
    decisions = answer_in_sittings(unseen)
    after = evaluate_clusters(link_records(unseen.persons, decisions), unseen)
    return result | {"answers": len(decisions)} | {f"{name}_after": value for name, value in after.items()}


def bench_unseen(sizes: Iterable[int] = (3_000, 10_000, 50_000)) -> None:
    """Measure the labeled names, and a firm of each size; print the tables."""
    console = Console(width=120)
    for title, rows in evaluate_names().items():
        console.print(_make_table(title, {name: f"{share:.1%} of {count:,}" for name, (share, count) in rows.items()}))
    for people in sizes:
        console.print(_make_table(f"An unseen firm of {people:,} people", _describe(measure_unseen(people))))


def _describe(result: dict[str, Any]) -> dict[str, str]:
    def both(kind: str, end: str = "") -> str:
        return f"{result[f'{kind}_precision{end}']:.5f}, {result[f'{kind}_recall{end}']:.4f}"

    return {
        "records, people, entities": f"{result['records']:,}, {result['people']:,}, {result['entities']:,}",
        "natural persons: precision, recall of pairs": both("person"),
        "  limit of recall, if any shared field but a name linked": f"{result['person_limit']:.4f}",
        "  recall without the second owners that were not read": f"{result['person_recall_read']:.4f}",
        "  people with all their records in a cluster of their own": f"{result['person_whole']:.4f}",
        "  second owners of joint records that were not read": f"{result['unread']:.1%}",
        "  recall by origin": " ".join(f"{origin} {recall:.2f}" for origin, recall in result["by_origin"].items()),
        "legal entities: precision, recall of pairs": both("entity"),
        "  limit of recall for entities": f"{result['entity_limit']:.4f}",
        "  entities with all their records in a cluster of their own": f"{result['entity_whole']:.4f}",
        "pairs of a person and an entity in one cluster": f"{result['mixed']:,}",
        "clusters over two true tax ids, two true birth dates": f"{result['two_tax_ids']}, {result['two_birth_dates']}",
        "records in the queue": f"{result['share']:.2%}",
        "pairs in the queue, and left over": f"{result['queued']:,}, {result['left_over']:,}",
        "share of true pairs in the queue": f"{result['true']:.1%}",
        "  by tenth of rank": " ".join(f"{share:.2f}" for share in result["deciles"]),
        f"after {result['answers']} true answers: natural persons": both("person", "_after"),
        f"after {result['answers']} true answers: legal entities": both("entity", "_after"),
        "seconds, CPU seconds": f"{result['seconds']:.1f}, {result['cpu_seconds']:.1f}",
        "load average of the machine at the start": f"{result['others']:.1f}",
        "peak memory, MB": f"{result['peak_mb']:,.0f}",
    }


def _make_table(title: str, rows: dict[str, str]) -> Table:
    table = Table("", "", box=box.SIMPLE, title=title, show_header=False)
    table.columns[1].justify = "right"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _count(answers: Iterable[bool]) -> tuple[float, int]:
    known = list(answers)
    return _share(known), len(known)


def _share(answers: list[bool]) -> float:
    return sum(answers) / max(len(answers), 1)


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


if __name__ == "__main__":
    bench_unseen()
