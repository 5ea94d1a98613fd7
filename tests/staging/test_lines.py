"""A file of the staging folder as an operator sees it, by the command."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from include import cli
from include.staging.files import PartWriter
from include.staging.partitions import FAULTS, Manifest, Partition, Staging
from tests.extract.vendor_server import NOW
from tests.firm_keys import KEYRING, write_keyring

ROWS = pa.table({"id": ["a", "é"], "amount": [Decimal("1.50"), None], "on": [date(2026, 11, 20), None]})


@pytest.fixture
def partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Partition:
    staging = Staging(str(tmp_path), KEYRING.staging)
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
    monkeypatch.setenv("TRIBUTARY_STAGING_ROOT", str(tmp_path))
    manifest = Manifest(
        "sample", "rows", date(2026, 11, 20), "pull", "current", NOW, "v1", "", None, 2, 2, 0, 0, None, (), ()
    )
    writer = PartWriter(staging.folder(manifest.path), ROWS.schema)
    for row in range(2):
        writer.write(ROWS.slice(row, 1))
        writer.flush()
    partition = staging.seal(replace(manifest, parts=tuple(writer.parts)))
    partition.folder.write("dead.jsonl", '{"key": "ü"}\n{"key": "v"}\n'.encode())
    faults = [{"part": "part-00001.parquet", "row_number": 0, "row_key": "é", "expectations": ["x(amount)"]}]
    partition.write_faults(pa.Table.from_pylist(faults, schema=FAULTS))
    return partition


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("dead.jsonl", [{"key": "ü"}, {"key": "v"}]),
        (
            "faults.parquet",
            [{"part": "part-00001.parquet", "row_number": 0, "row_key": "é", "expectations": ["x(amount)"]}],
        ),
        ("part-00001.parquet", [{"id": "é", "amount": None, "on": None}]),
        ("part-00000.parquet", [{"id": "a", "amount": "1.50", "on": "2026-11-20"}]),
    ],
)
def test_command_prints_a_file_as_lines(
    partition: Partition, name: str, lines: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["show-file", f"{partition.path}/{name}"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == lines


def test_command_prints_canonical_rows(partition: Partition, capsys: pytest.CaptureFixture[str]) -> None:
    writer = PartWriter(folder := partition.folder.below("canonical/account"), ROWS.schema, "1a2b-")
    writer.write(ROWS.slice(1))
    writer.flush()
    folder.write("manifest.json", json.dumps({"parts": [asdict(part) for part in writer.parts]}).encode())
    assert cli.main(["show-file", f"{partition.path}/canonical/account/1a2b-part-00000.parquet"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": "é", "amount": None, "on": None}


@pytest.mark.parametrize("name", ["part-00002.parquet", "nothing.jsonl"])
def test_missing_file_is_an_error_in_one_line(
    partition: Partition, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["show-file", f"{partition.path}/{name}"]) == 1
    assert capsys.readouterr().err.startswith("InputRejected: Staging has no such file [path=sample/rows")


def test_another_key_shows_nothing(
    partition: Partition, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring("another"))
    assert cli.main(["show-file", f"{partition.path}/dead.jsonl"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.partition(":")[0]) == ("", "FatalError")
