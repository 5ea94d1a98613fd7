"""Check a folder of own data, all files at once, and write the CSV files in it as the JSON lines that the sandbox serves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from include import business_dates
from include.contract import Table, Vendor
from include.vendors import named
from local.own_data.csv_files import read_csv
from local.own_data.rows import VendorRows
from sandbox.own_data import Faults, Row, check_row, read_lines, show
from sandbox.server.rows import dump_line
from sandbox.vendor import SimulatedVendor
from sandbox.vendors import VENDORS

_CHUNK = 5_000
_EVENING = time(19, tzinfo=ZoneInfo("America/New_York"))
_SESSION = "a trading day of the New York Stock Exchange that has closed, from 2010-01-04 on"


@dataclass(frozen=True)
class Checked:
    """A checked folder.

    Attributes:
        folder: The folder.
        served: The folder that the sandbox serves: the same, or one with all files as JSON lines.
        faults: All faults.
        counts: Number of rows by vendor and table.
        last_day: The last trading day in the rows; None if no row has a day.
    """

    folder: Path
    served: Path
    faults: Faults
    counts: dict[str, dict[str, int]]
    last_day: date | None

    @property
    def evening(self) -> datetime | None:
        """The evening of the last day, which counts as the present; None without such a day."""
        return datetime.combine(self.last_day, _EVENING).astimezone(UTC) if self.last_day else None

    def describe(self) -> Iterator[str]:
        """Yield the tables and rows of each vendor, the vendors with synthetic data, the unused files, and the last day."""
        for vendor in VENDORS:
            if (rows := self.counts.get(vendor.name)) is not None:
                counts = ", ".join(f"{table} {count:,}" for table, count in rows.items()) or "no table"
                missing = ", ".join(table for table in vendor.own_data if table not in rows)
                yield f"{vendor.name}: {counts}" + (f"; missing files (empty tables): {missing}" if missing else "")
        yield "synthetic: " + (", ".join(v.name for v in VENDORS if v.name not in self.counts) or "nothing")
        read = {each.path for each in list_files(self.folder)}
        unread = sorted(path for path in self.folder.rglob("*") if path.is_file() and path not in read)
        if unread:
            yield "files not read: " + ", ".join(str(path.relative_to(self.folder)) for path in unread[:10])
        if self.last_day:
            yield f"present: the evening of {self.last_day}, the last day of the data"


@dataclass(frozen=True)
class OwnFile:
    """One file of own data; `table` is the vendor's declared table, None if only the sandbox reads the file."""

    path: Path
    simulated: SimulatedVendor
    name: str
    vendor: Vendor
    table: Table | None

    @property
    def label(self) -> str:
        """The file's name in faults."""
        return f"{self.vendor.name}/{self.path.name}"

    def read(self, faults: Faults) -> Iterator[tuple[int, Row]]:
        """Yield the rows, each with its line; add a fault for every line that is not a row."""
        if self.path.suffix == ".csv":
            return read_csv(self.path, self.label, self.vendor, self.table, faults)
        return read_lines(self.path, self.label, faults)

    def read_day(self, row: Row) -> date | None:
        """Return the day of a row; None if the row has none that can be read."""
        text = row.get(self.simulated.day) if self.simulated.day else None
        try:
            day: date | None = None if text is None else self.simulated.read[self.simulated.day].read(text)
        except (ValueError, TypeError):
            return None
        return day


def list_files(folder: Path) -> list[OwnFile]:
    """Return the files that are served, vendor by vendor, parents before children."""
    files = []
    for simulated in VENDORS:
        vendor = named(simulated.name)
        order = {table.name: place for place, table in enumerate(vendor.tables)}
        tables = {own: simulated.served_as.get(own, own) for own in simulated.own_data}
        for own, name in sorted(tables.items(), key=lambda each: order.get(each[1], len(order))):
            for suffix in (".jsonl", ".csv"):
                if (path := folder / simulated.name / f"{own}{suffix}").is_file():
                    table = vendor.table(name) if name in order else None
                    files.append(OwnFile(path, simulated, own, vendor, table))
    return files


def check_folder(folder: Path, prepared: Path) -> Checked:
    """Check all files; if one is CSV, write all of them to `prepared` as JSON lines.

    Args:
        folder: The folder of `<vendor>/<table>.jsonl` or `.csv`.
        prepared: Folder for the JSON lines, whose content is replaced.
    """
    files, faults = list_files(folder), Faults()
    last_day = _find_last_day(files, faults)
    counts: dict[str, dict[str, int]] = {each.name: {} for each in VENDORS if (folder / each.name).is_dir()}
    has_csv = any(each.path.suffix == ".csv" for each in files)
    if has_csv:
        shutil.rmtree(prepared, ignore_errors=True)
        for vendor in counts:
            (prepared / vendor).mkdir(parents=True)
    served = prepared if has_csv else folder
    evening = Checked(folder, served, faults, counts, last_day).evening
    checks = {name: VendorRows(named(name), faults, last_day, evening or datetime.now(UTC)) for name in counts}
    for each in files:
        if each.name in counts[each.vendor.name]:
            faults.add(each.label, 0, "", "two files", f"either {each.name}.jsonl or {each.name}.csv")
            continue
        target = prepared / each.vendor.name / f"{each.name}.jsonl" if has_csv else None
        counts[each.vendor.name][each.name] = _check_file(each, checks[each.vendor.name], target, last_day, faults)
    for check in checks.values():
        check.finish()
    return Checked(folder, served, faults, counts, last_day)


def _find_last_day(files: Sequence[OwnFile], faults: Faults) -> date | None:
    """Return the last trading day in the rows that has closed; add a fault for the first row of every other day."""
    latest = business_dates.latest_closed(datetime.now(UTC))
    sessions = set(business_dates.list_trading_days(business_dates.FIRST, latest))
    last_days: list[tuple[OwnFile, date]] = []
    for each in files:
        days: dict[date, int] = {}
        for line, row in each.read(Faults()) if each.simulated.day else ():
            if (day := each.read_day(row)) is not None:
                days.setdefault(day, line)
        for day, line in days.items():
            if day not in sessions:
                faults.add(each.label, line, each.simulated.day, str(day), _SESSION, is_served=True)
        if known := days.keys() & sessions:
            last_days.append((each, max(known)))
    last = max((day for _, day in last_days), default=None)
    for each, day in last_days:
        if day != last and each.table is not None and each.table.as_of:
            value, expected = f"the last day is {day}", f"{last}, the last day of all data"
            faults.add(each.label, 0, each.simulated.day, value, expected, is_served=True)
    return last


def _check_file(each: OwnFile, check: VendorRows, target: Path | None, last_day: date | None, faults: Faults) -> int:
    """Check one file, write it to `target` as JSON lines, and return the number of its rows."""
    probe, closed = each.vendor.closed, ""
    lines, count = each.read(faults), 0
    file = target.open("wb") if target else None
    try:
        while chunk := list(islice(lines, _CHUNK)):
            rows = []
            for line, row in chunk:
                refused = list(check_row(each.simulated, each.name, row))
                for column, expected in refused:
                    faults.add(each.label, line, column, show(row.get(column)), expected)
                if not refused:
                    rows.append((line, each.read_day(row), row))
                if file:
                    file.write(dump_line(row))
                if probe:
                    closed = max(closed, str(row.get(probe.field) or ""))
            count += len(chunk)
            if each.table is not None and rows:
                check.add(each.table, each.label, rows)
    finally:
        if file:
            file.close()
    if closed and last_day and closed < last_day.isoformat():
        assert probe
        faults.add(
            each.label, 0, probe.field, f"the last one is {closed[:10]}", f"{last_day}, the last day of the data"
        )
    return count
