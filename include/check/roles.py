"""Compare the rights of the database roles with those that the migrations give, as `grants.txt` lists them.

`make generate` writes that file from a migrated database. Each of its lines has a role, the kind of the objects, the rights, and the objects.
`-` is PUBLIC: every role.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from include.check.report import Findings
from include.warehouse import schema

FILE = Path(__file__).with_name("grants.txt")
PUBLIC = "-"
_MOST_SHOWN = 6

Grant = tuple[str, str, str, str]
"""Role, kind of the object, right, object."""

_READ = sa.text(
    """
select a.role, o.kind, a.privilege_type, o.name
from (
    select 'relation' as kind, oid::regclass::text as name, coalesce(relacl, acldefault((case relkind when 'S' then 's' else 'r' end)::"char", relowner)) as acl,
           relowner as owner from pg_class
    where relkind in ('r', 'p', 'v', 'm', 'S') and not relispartition and relnamespace = any(:schemas)
    union all
    select 'column', attrelid::regclass::text || '.' || attname, attacl, c.relowner
    from pg_attribute join pg_class c on c.oid = attrelid
    where attacl is not null and not c.relispartition and c.relnamespace = any(:schemas)
    union all
    select 'function', oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)), proowner from pg_proc where pronamespace = any(:schemas)
    union all
    select 'schema', nspname, coalesce(nspacl, acldefault('n', nspowner)), nspowner from pg_namespace where oid = any(:schemas)
) o
cross join lateral (
    select x.grantee::regrole::text as role, x.privilege_type from aclexplode(o.acl) x where x.grantee <> o.owner
) a
""".replace("::", r"\:\:")
)
_SCHEMAS = sa.text("""
select array_agg(oid) from pg_namespace where nspname in ('control', 'warehouse', 'mart', 'masked_mart', 'masked_warehouse', 'public')
""")
_POWERS = sa.text("""
select rolname as role, array_remove(array[case when rolsuper then 'superuser' end, case when rolcreaterole then 'create roles' end,
       case when rolcreatedb then 'create databases' end, case when rolbypassrls then 'bypass row security' end,
       case when rolreplication then 'replicate' end]
       || array(select 'member of ' || g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid
                where m.member = r.oid and g.rolname <> 'pg_read_all_stats'), null) as powers
from pg_roles r where rolname = any(:roles)
""")


def check_roles(connection: sa.Connection, findings: Findings) -> None:
    """Add a finding for each role: green if it has the rights that the migrations give, and no others."""
    expected, actual = read_expected(), read_actual(connection)
    powers = {row.role: row.powers for row in connection.execute(_POWERS, {"roles": list(schema.ROLES)})}
    own = {*schema.ROLES, PUBLIC}
    for role in (*schema.ROLES, *sorted({grant[0] for grant in actual} - own)):
        subject = f"role {role}"
        if role in own and role not in powers:
            findings.add(subject, "red", "The role does not exist.", "Run `python -m include.cli create-roles`.")
            continue
        surplus = sorted(_describe(grant) for grant in actual - expected if grant[0] == role)
        missing = sorted(_describe(grant) for grant in expected - actual if grant[0] == role)
        _add(subject, [*powers.get(role, ()), *surplus], missing, is_own=role in own, findings=findings)
    for grant in sorted(actual - expected):
        if grant[0] == PUBLIC:
            findings.add(
                "role PUBLIC", "red", f"Every role has a right that the migrations do not give: {_describe(grant)}.",
                f"Revoke it: {_write_revoke(grant)}.",
            )  # fmt: skip


def _add(subject: str, surplus: list[str], missing: list[str], *, is_own: bool, findings: Findings) -> None:
    if not is_own:
        findings.add(
            subject, "amber", f"A role that is not Tributary's has rights: {_shorten(surplus)}.", "Revoke them, if no program needs them."
        )  # fmt: skip
    elif surplus:
        findings.add(
            subject, "red", f"The role has rights that the migrations do not give: {_shorten(surplus)}.",
            f"Revoke them, as a superuser or as tributary_migrate: from {subject.removeprefix('role ')}.",
        )  # fmt: skip
    elif missing:
        findings.add(
            subject, "red", f"The role lacks rights: {_shorten(missing)}.", "Grant them again, as tributary_migrate; see the file of the migration."
        )  # fmt: skip
    else:
        findings.add(subject, "green", "The role has the rights that the migrations give, and no others.")


def read_expected() -> set[Grant]:
    """Return the rights that the migrations give."""
    grants = set()
    for line in FILE.read_text().splitlines():
        heading, _, names = line.partition(": ")
        role, kind, rights = heading.split(" ")
        grants |= {(role, kind, right, name) for right in rights.split(",") for name in names.split("; ")}
    return grants


def read_actual(connection: sa.Connection) -> set[Grant]:
    """Return the rights in the database. Any role can read them."""
    schemas = connection.scalar(_SCHEMAS)
    return {tuple(row) for row in connection.execute(_READ, {"schemas": schemas})}


def render(grants: Iterable[Grant]) -> str:
    """Return the text of `grants.txt`."""
    rights: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for role, kind, right, name in grants:
        rights[role, kind, name].add(right)
    names: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (role, kind, name), each in sorted(rights.items()):
        names[role, kind, ",".join(sorted(each))].append(name)
    return "".join(f"{' '.join(heading)}: {'; '.join(each)}\n" for heading, each in sorted(names.items()))


def _describe(grant: Grant) -> str:
    _, kind, right, name = grant
    return f"{right.lower()} on {kind} {name}"


def _write_revoke(grant: Grant) -> str:
    _, kind, right, name = grant
    what = {"relation": "table", "column": "table"}.get(kind, kind)
    return f"revoke {right.lower()} on {what} {name.rpartition('.')[0] if kind == 'column' else name} from public"


def _shorten(texts: list[str]) -> str:
    more = f", and {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else ""
    return ", ".join(texts[:_MOST_SHOWN]) + more
