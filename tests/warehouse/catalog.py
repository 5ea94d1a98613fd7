"""A schema's definition from the database's catalog, to compare two schemas."""

from __future__ import annotations

from tests.conftest import Database

_CATALOG = """
with ours as (select oid, nspname, nspacl from pg_namespace where nspname in ('control', 'warehouse', 'mart')),
relation as (
    -- Months are made as they come.
    select c.* from pg_class c join ours on ours.oid = c.relnamespace
    where not c.relispartition or c.relkind not in ('r', 'i')
)
select 'schema' as what, format('%s %s', nspname, nspacl) as description from ours
union all
select 'relation', format('%s %s %s', oid::regclass, relkind, (select array_agg(a::text order by a::text) from unnest(relacl) a))
from relation
union all
select 'column', format('%s %s %s %s %s %s', r.oid::regclass, attname, format_type(atttypid, atttypmod), attnotnull,
                        pg_get_expr(adbin, adrelid), (select array_agg(a::text order by a::text) from unnest(attacl) a))
from pg_attribute join relation r on r.oid = attrelid left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attnum > 0 and not attisdropped and r.relkind in ('r', 'p', 'v')
union all
select 'constraint', format('%s %s %s', r.oid::regclass, conname, pg_get_constraintdef(k.oid))
from pg_constraint k join relation r on r.oid = k.conrelid
union all
select 'index', pg_get_indexdef(oid) from relation where relkind in ('i', 'I')
union all
select 'view', format('%s %s', oid::regclass, pg_get_viewdef(oid)) from relation where relkind = 'v'
union all
select 'trigger', pg_get_triggerdef(t.oid) from pg_trigger t join relation r on r.oid = tgrelid where not tgisinternal
union all
select 'function', format('%s %s %s %s %s', p.oid::regprocedure, prosecdef, proconfig, prosrc,
                          (select array_agg(a::text order by a::text) from unnest(proacl) a))
from pg_proc p join ours on ours.oid = pronamespace
union all
select 'default right', format('%s %s %s', ours.nspname, defaclobjtype, (select array_agg(a::text order by a::text) from unnest(defaclacl) a))
from pg_default_acl join ours on ours.oid = defaclnamespace
"""


def read_catalog(database: Database) -> set[tuple[str, str]]:
    """Return every schema, relation, column, constraint, index, view, trigger, function and right, except monthly partitions."""
    return {(row["what"], row["description"]) for row in database.rows(_CATALOG)}
