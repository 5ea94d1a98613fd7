"""Files of the staging folder are encrypted again under a new key, so that the old one can be removed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from include import cli
from include.errors import ConfigurationError, FatalError
from include.keys.keyring import Keyring
from include.staging import resealing
from include.staging.files import Folder
from include.staging.partitions import FAULTS, Staging
from tests.firm_keys import KEYRING, write_keyring
from tests.staging.test_partitions import stage_pages, start_s3

NEW_KEY = "staging:next:" + 64 * "7"
BOTH = Keyring.parse(f"{write_keyring()} {NEW_KEY}")
NEW = Keyring.parse(NEW_KEY, ("staging",))
DOCUMENT = ("documents/ab", "ab.pdf", b"%PDF")

Open = Callable[[Keyring], Staging]


@pytest.fixture(scope="session")
def bucket() -> Iterator[dict[str, Any]]:
    server, options = start_s3()
    yield options
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the staging folder with a keyring."""
    options = request.getfixturevalue("bucket") if request.param == "s3" else {}
    root = f"s3://staging/{tmp_path.name}" if options else str(tmp_path / "staging")
    return lambda keyring: Staging(root, keyring.staging, options)


def fill(staging: Staging) -> str:
    """Stage a partition and a document; return the partition's path."""
    partition = stage_pages(staging, 3)
    partition.write_faults(FAULTS.empty_table())
    folder, name, content = DOCUMENT
    staging.folder(folder).write(name, content)
    return partition.path


def test_all_whole_files_are_readable_without_the_old_key(opened: Open) -> None:
    path = fill(opened(KEYRING))
    before = [rows for _, rows in opened(KEYRING).open(path).rows()]
    assert resealing.count(opened(BOTH)) == {"test": 4}
    assert resealing.reseal(opened(BOTH)) == 4
    assert resealing.count(opened(BOTH)) == {"next": 4}

    partition = opened(NEW).open(path)
    assert [rows for _, rows in partition.rows()] == before
    assert partition.read_dead_lines()
    assert partition.faults.num_rows == 0
    assert opened(NEW).folder(DOCUMENT[0]).read(DOCUMENT[1]) == DOCUMENT[2]
    with pytest.raises(ConfigurationError):
        opened(KEYRING).open(path)


def test_second_run_has_nothing_to_do(opened: Open) -> None:
    fill(opened(KEYRING))
    resealing.reseal(opened(BOTH))
    assert resealing.reseal(opened(BOTH)) == 0


def test_file_that_was_altered_is_named_and_the_others_are_encrypted(opened: Open) -> None:
    fill(opened(KEYRING))
    folder = opened(KEYRING).folder(DOCUMENT[0])
    folder.write_raw("moved.pdf", folder.read_raw(DOCUMENT[1]))
    with pytest.raises(FatalError, match=r"altered or moved.*files=1 first=documents/ab/moved.pdf"):
        resealing.reseal(opened(BOTH))
    assert resealing.count(opened(BOTH)) == {"next": 4, "test": 1}


def test_key_that_is_not_in_the_keyring_stops_it(opened: Open) -> None:
    fill(opened(KEYRING))
    with pytest.raises(ConfigurationError, match="not in the keyring"):
        resealing.reseal(opened(NEW))


def test_reader_always_reads_the_file(opened: Open) -> None:
    """It is never missing or half written."""
    folder, name, content = "documents/cd", "large.pdf", os.urandom(2_000_000)
    opened(KEYRING).folder(folder).write(name, content)
    may_stop, reads = threading.Event(), Counter[bool]()

    def read() -> None:
        reader = opened(BOTH).folder(folder)
        while not may_stop.is_set():
            reads[reader.read(name) == content] += 1

    reading = threading.Thread(target=read)
    reading.start()
    try:
        resealing.reseal(opened(BOTH))
    finally:
        may_stop.set()
        reading.join(60)
    assert set(reads) == {True}
    assert opened(NEW).folder(folder).read(name) == content


class Busy(LocalFileSystem):
    """A disk on which a writer replaces a file as soon as it was read."""

    newer = b""

    def cat_file(self, path: str, *args: Any, **options: Any) -> bytes:
        content: bytes = super().cat_file(path, *args, **options)
        Path(path).write_bytes(self.newer)
        return content


def test_file_that_a_writer_replaces_meanwhile_stays_the_writers(tmp_path: Path) -> None:
    place, name, content = DOCUMENT
    Staging(str(tmp_path), KEYRING.staging).folder(place).write(name, content)
    busy = Busy()
    busy.newer = BOTH.staging.seal_file(b"%PDF, newer", f"{place}/{name}")
    assert not Folder(busy, str(tmp_path), place, BOTH.staging).reseal(name)
    assert Staging(str(tmp_path), NEW.staging).folder(place).read(name) == b"%PDF, newer"


class Disposed(LocalFileSystem):
    """A disk on which a disposal begins as soon as a file was read for the second time."""

    def __init__(self, dispose: Callable[[], None]) -> None:
        super().__init__(skip_instance_cache=True)
        self.disposal, self.reads = threading.Thread(target=dispose), 0

    def cat_file(self, path: str, *args: Any, **options: Any) -> bytes:
        content: bytes = super().cat_file(path, *args, **options)
        self.reads += 1
        if self.reads == 2:
            self.disposal.start()
            self.disposal.join(1)
        return content


@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
def test_file_that_is_disposed_of_meanwhile_stays_deleted(tmp_path: Path, whole: bool) -> None:
    place, name, content = DOCUMENT
    folder = Staging(str(tmp_path), KEYRING.staging).folder(place)
    folder.write(name, content)
    disk = Disposed(folder.remove if whole else lambda: folder.delete(name))
    with contextlib.suppress(FileNotFoundError):
        Folder(disk, str(tmp_path), place, BOTH.staging).reseal(name)
    disk.disposal.join(60)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_partition_that_is_disposed_of_during_the_run_does_not_stop_it(tmp_path: Path) -> None:
    staging = Staging(str(tmp_path), KEYRING.staging)
    path = fill(staging)
    disk = Disposed(staging.folder(path).remove)
    both = Staging(str(tmp_path), BOTH.staging)
    both._fs = disk
    resealing.reseal(both)
    disk.disposal.join(60)
    assert resealing.count(both) == {"next": 1}


def test_run_that_was_killed_is_continued(tmp_path: Path) -> None:
    old, both = (Staging(str(tmp_path), keyring.staging) for keyring in (KEYRING, BOTH))
    for number in range(3000):
        old.folder(f"documents/{number:04}").write("a.pdf", str(number).encode())
    environment = {
        "PYTHONPATH": str(Path.cwd()),
        "TRIBUTARY_KEYS": f"{write_keyring()} {NEW_KEY}",
        "TRIBUTARY_STAGING_ROOT": str(tmp_path),
    }
    command = [sys.executable, "-m", "include.cli", "reseal-files"]
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    while not resealing.count(both)["next"]:
        assert process.poll() is None
    process.kill()
    process.wait()
    assert resealing.count(both)["test"]
    resealing.reseal(both)
    assert resealing.count(both) == {"next": 3000}
    contents = [both.folder(f"documents/{n:04}").read("a.pdf") for n in range(3000)]
    assert contents == [str(n).encode() for n in range(3000)]


def test_command_counts_without_changes_in_a_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(Staging(str(tmp_path), KEYRING.staging))
    monkeypatch.setenv("TRIBUTARY_KEYS", f"{write_keyring()} {NEW_KEY}")
    monkeypatch.setenv("TRIBUTARY_STAGING_ROOT", str(tmp_path))
    assert cli.main(["reseal-files", "--dry-run"]) == 0
    assert capsys.readouterr().out == "Under the key test: 4 files\n"
    assert cli.main(["reseal-files"]) == 0
    assert capsys.readouterr().out == "Encrypted again: 4 files\nUnder the key next (current): 4 files\n"
