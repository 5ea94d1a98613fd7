"""Writing a firm's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.firm.folder import Firm, read_all

Write = Callable[..., Firm]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files of a firm's folder, such as `mapping="..."` or `rules={"cash.py": "..."}`; return its content, which has no mistakes."""

    def write(rules: dict[str, str] | None = None, **documents: str) -> Firm:
        folder = tmp_path / "firm"
        (folder / "rules").mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            (folder / f"{name}.yaml").write_text(text)
        for name, text in (rules or {}).items():
            (folder / "rules" / name).write_text(text)
        firm, faults = read_all(folder)
        assert [str(fault) for fault in faults] == []
        return firm

    return write
