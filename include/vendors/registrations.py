"""Tell natural persons from legal entities, and find who is party to a registration.

A vendor's table of registrations or clients has both. Each of its rows becomes either a person or a legal entity. So the two maps of such
a table drop each other's rows, with `is_legal_entity` and `is_natural_person`.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from include.names.registration import Registration, read_registration

if TYPE_CHECKING:
    import pyarrow as pa

# More than a part has rows: the columns of a part are computed one after the other, and each reads every title.
read_title = functools.lru_cache(1 << 17)(read_registration)
"""Read a title, such as `The Ada Sample Trust`, with the type of the registration and the form of the tax id."""


def is_entity(registration: Registration) -> bool:
    """Return whether a legal entity owns the registration."""
    return registration.entity is not None


def read_client(first_name: str | None, last_name: str | None, tax_id_form: str | None = None) -> Registration:
    """Read the name of a client at a vendor without registrations. Only a client without a first name can be a legal entity."""
    has_first_name = bool((first_name or "").strip())
    return Registration("individual", (), None) if has_first_name else read_title(last_name, None, tax_id_form)


def is_legal_entity(title: pa.Array, *evidence: pa.Array) -> pa.Array:
    """Return for each registration whether a legal entity owns it; `evidence` are the other arguments of `read_title`."""
    return _map(is_entity, read_title, title, *evidence)


def is_natural_person(title: pa.Array, *evidence: pa.Array) -> pa.Array:
    """Return for each registration whether natural persons own it."""
    return _map(lambda registration: not is_entity(registration), read_title, title, *evidence)


def registration_kind(title: pa.Array, *evidence: pa.Array) -> pa.Array:
    """Return the kind of each registration, such as `ira` or `trust`."""
    return _map(lambda registration: registration.kind, read_title, title, *evidence)


def entity_name(title: pa.Array, *evidence: pa.Array) -> pa.Array:
    """Return the name of the legal entity that owns each registration; null if natural persons own it."""
    return _map(lambda registration: registration.entity, read_title, title, *evidence)


def natural_key(key: pa.Array, title: pa.Array, *evidence: pa.Array) -> pa.Array:
    """Return the key of each registration that natural persons own; null for the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(is_natural_person(title, *evidence), key.cast(pa.string()), None)


def is_entity_client(first_name: pa.Array, last_name: pa.Array, tax_id_form: pa.Array) -> pa.Array:
    """Return for each client whether it is a legal entity; see `read_client`."""
    return _map(is_entity, read_client, first_name, last_name, tax_id_form)


def is_natural_client(first_name: pa.Array, last_name: pa.Array, tax_id_form: pa.Array) -> pa.Array:
    """Return for each client whether it is a natural person; see `read_client`."""
    return _map(lambda registration: not is_entity(registration), read_client, first_name, last_name, tax_id_form)


def client_kind(first_name: pa.Array, last_name: pa.Array, tax_id_form: pa.Array) -> pa.Array:
    """Return the kind of each client's registration; see `read_client`."""
    return _map(lambda registration: registration.kind, read_client, first_name, last_name, tax_id_form)


def _map(value: Callable[[Registration], Any], read: Callable[..., Registration], *columns: pa.Array) -> pa.Array:
    import pyarrow as pa

    values = [value(read(*row)) for row in zip(*(column.to_pylist() for column in columns), strict=True)]
    return pa.array(values, pa.bool_() if values and isinstance(values[0], bool) else pa.string())


class People:
    """The natural persons of each home, found by their names.

    Args:
        titles: Rows with `id`, `home`, `first_name` and `last_name` of the title's person, and `registration`; `birth_date` and
            `tax_id_hash` distinguish two people with the same name. A title that a legal entity owns is no person.
    """

    def __init__(self, titles: Iterable[Mapping[str, Any]]) -> None:
        self._by_name: dict[tuple[Any, str], list[Mapping[str, Any]]] = defaultdict(list)
        for row in titles:
            if (name := own_name(row)) and not is_entity(row["registration"]):
                self._by_name[row["home"], plain(name)].append(row)

    def find(self, home: Any, name: str) -> Any:
        """Return the smallest id of the titles of a person; None if no person, or more than one, has this name in the home."""
        known = self._by_name.get((home, plain(name)), [])
        proofs = [{row[proof] for row in known} for proof in ("birth_date", "tax_id_hash")]
        proofs.append({_initials(each) for each in (name, *map(own_name, known))})
        return (
            None if any(len(each - {None}) > 1 for each in proofs) else min((row["id"] for row in known), default=None)
        )


def own_name(row: Mapping[str, Any]) -> str:
    """Return the full name of a title's own person; empty if the vendor sends no first or no last name."""
    return f"{row['first_name']} {row['last_name']}" if row["first_name"] and row["last_name"] else ""


def is_own(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a name is that of a title's own person."""
    return plain(name) == plain(own_name(row))


def plain(name: str) -> str:
    """Return a name in lower case, with single blanks and without middle initials."""
    words = name.casefold().replace(".", " ").split()
    return " ".join([*words[:1], *(word for word in words[1:-1] if len(word) > 1), *words[1:][-1:]])


def _initials(name: str) -> str | None:
    """Return the middle initials of a name; None if it has none."""
    return "".join(word for word in name.casefold().replace(".", " ").split()[1:-1] if len(word) == 1) or None


def add_parties(registrations: pa.Table, titles: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return one row per party of each registration: the columns party_key, registration_key, person_key, legal_entity_key, role and name.

    A legal entity is the first party of its registration, as the owner. A person who can't be found in the home has only a name.

    Args:
        registrations: The column `registration_id`.
        titles: All registrations of these homes, as for `People`.
    """
    import pyarrow as pa

    titles = list(titles)
    people, by_id = People(titles), {row["id"]: row for row in titles}
    rows = [
        {"row": row, "party_key": f"{key}:{party['role'].replace(' ', '_')}:{nth}", "registration_key": str(key)}
        | party
        for row, key in enumerate(registrations["registration_id"].to_pylist())
        for nth, party in _number(_list_parties(by_id[key], people))
    ]
    texts = ("party_key", "registration_key", "person_key", "legal_entity_key", "role", "name")
    return pa.Table.from_pylist(rows, pa.schema([("row", pa.int64()), *((name, pa.string()) for name in texts)]))


def _number(parties: Iterable[dict[str, Any]]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Number the parties of each role from 0, so that a party keeps its key if the title names more parties of other roles."""
    counts: Counter[str] = Counter()
    for party in parties:
        yield counts[party["role"]], party
        counts[party["role"]] += 1


def _list_parties(title: Mapping[str, Any], people: People) -> Iterable[dict[str, Any]]:
    """Yield the columns `role`, `name`, `person_key` and `legal_entity_key` of each party of a title."""
    registration: Registration = title["registration"]
    if is_entity(registration):
        yield {"role": "owner", "name": registration.entity, "legal_entity_key": str(title["id"])}
    # The title may name the spouse first. The first owner is the title's own person only if the title names that person in another form.
    is_named = any(is_own(title, party.name) for party in registration.parties)
    for party in registration.parties:
        is_first = party.role == "owner" and not is_named
        is_holder = not is_entity(registration) and (is_first or is_own(title, party.name))
        person = title["id"] if is_holder else people.find(title["home"], party.name)
        yield {"role": party.role, "name": party.name, "person_key": None if person is None else str(person)}
