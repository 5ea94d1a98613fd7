-- The records that are the same person, legal entity, household, account or security as a record at a time, itself included, with the reason. One of them,
-- the anchor, represents all.
create function mart.lineage_cluster(of_id bigint, known_at timestamptz)
returns table (id bigint, entity text, vendor text, source_key text, is_anchor boolean, how text, linked_at timestamptz, run_id text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with anchor as (
        select coalesce((select i.identity_id from warehouse.identity i
                         where i.entity = any(entities.names) and i.id = of_id and i.recorded_from <= known_at
                           and (i.recorded_to is null or i.recorded_to > known_at) limit 1),
                        of_id) as id
        from (values (array['person', 'legal_entity', 'household', 'account', 'security'])) entities(names)
    ), member as (
        select a.id, true as is_anchor, '' as how, null::timestamptz as linked_at, null::text as run_id from anchor a
        union all
        select i.id, false, i.how, i.recorded_from, i.source_run_id from anchor a join warehouse.identity i on i.identity_id = a.id
        where i.entity in ('person', 'legal_entity', 'household', 'account', 'security') and i.id <> a.id and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
    )
    select m.id, k.entity, k.vendor, k.source_key, m.is_anchor, m.how, m.linked_at, m.run_id
    from member m join warehouse.source_key k on k.id = m.id
    order by not m.is_anchor, k.vendor, k.source_key limit 100
$$;
revoke all on function mart.lineage_cluster(bigint, timestamptz) from public;
grant execute on function mart.lineage_cluster(bigint, timestamptz) to tributary_web;
