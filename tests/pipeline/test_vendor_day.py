"""The partitions that the steps of a vendor's day read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from include.pipeline import vendor_day
from include.staging.files import Folder
from tests.conftest import Firm


def test_each_step_reads_a_manifest_and_a_whole_part_once(
    start_firm: Callable[..., Firm], monkeypatch: pytest.MonkeyPatch
) -> None:
    firm, reads, read = start_firm(households=6), Counter[str](), Folder.read
    vendor_run = firm.vendor_run(firm.new_run())
    staged = firm.stage(vendor_run.run, "accounts", "assets")

    def count(self: Folder, name: str) -> bytes:
        reads[f"{self.path}/{name}"] += 1
        return read(self, name)

    monkeypatch.setattr(Folder, "read", count)
    for step in (
        lambda opened: vendor_day.validate(vendor_run, opened),
        lambda opened: [vendor_day.transform(vendor_run, each) for each in opened],
        lambda opened: vendor_day.publish(vendor_run, opened),
    ):
        reads.clear()
        step([firm.site.staging.open(each.path) for each in staged.values()])
        often = {name: count for name, count in reads.items() if not name.endswith("dead.jsonl") and count > 1}
        assert reads
        assert often == {}
