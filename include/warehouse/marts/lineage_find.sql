-- The record with an id of ours, or the one that the external key of a Salesforce record identifies.
create function mart.lineage_find(of_id bigint, of_external_key text)
returns table (entity text, vendor text, source_key text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.entity, k.vendor, k.source_key from warehouse.source_key k where k.id = of_id
    union all
    select split_part(of_external_key, ':', 3), split_part(of_external_key, ':', 2),
           control.current_key(regexp_replace(of_external_key, '^([^:]*:){3}', ''))
    where of_external_key like '%:%:%:%'
$$;
revoke all on function mart.lineage_find(bigint, text) from public;
grant execute on function mart.lineage_find(bigint, text) to tributary_web;
