"""Which persons the parties of a registration are."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from include.vendors.registrations import add_parties, read_title


def title(number: int, first_name: str, name: str, type_: str) -> dict[str, Any]:
    """Build a registration of one home."""
    stated = {"id": number, "home": 1, "first_name": first_name, "last_name": "Sample", "birth_date": None}
    return stated | {"tax_id_hash": None, "registration": read_title(name, type_, None)}


@pytest.mark.parametrize(
    ("name", "parties"),
    [
        ("Ada Sample & Ben Sample", [("Ada Sample", "1"), ("Ben Sample", "2")]),
        ("Ben Sample & Ada Sample", [("Ben Sample", "2"), ("Ada Sample", "1")]),
        ("Cora & Ada Sample", [("Cora Sample", None), ("Ada Sample", "1")]),
        ("Adelaide Sample & Ben Sample", [("Adelaide Sample", "1"), ("Ben Sample", "2")]),
    ],
)
def test_owner_of_a_joint_title_is_the_person_of_that_name(name: str, parties: list[tuple[str, str | None]]) -> None:
    titles = [title(1, "Ada", name, "JTWROS"), title(2, "Ben", "Ben Sample", "Individual")]
    rows = add_parties(pa.table({"registration_id": [1]}), titles).to_pylist()
    assert [(row["name"], row["person_key"]) for row in rows] == parties
