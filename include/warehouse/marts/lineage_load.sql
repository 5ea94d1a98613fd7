-- A part of the records that one load wrote, in the order of their keys.
create function mart.lineage_load(of_ledger_id bigint, skipped bigint, most bigint)
returns table (entity text, vendor text, source_key text, valid daterange, recorded_from timestamptz, recorded_to timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select v.entity, v.vendor, v.source_key, v.valid, v.recorded_from, v.recorded_to
    from mart.record_version v
    where v.source_run_id = of_ledger_id and v.entity = (select l.entity from control.ledger l where l.ledger_id = of_ledger_id)
    order by v.source_key, v.valid offset skipped limit most
$$;
revoke all on function mart.lineage_load(bigint, bigint, bigint) from public;
grant execute on function mart.lineage_load(bigint, bigint, bigint) to tributary_web;
