-- The versions of one record that were known at a time, the newest first, each with the load that wrote it. For a snapshot, those of one
-- business date.
-- `recorded_to is null or recorded_to is not null` is always true: it lets a query use the two partial indexes, of open and of closed versions.
create function mart.lineage_version(of_entity text, of_vendor text, of_key text, of_day date, known_at timestamptz)
returns table (id bigint, valid daterange, recorded_from timestamptz, recorded_to timestamptz, ledger_id bigint, household_id bigint,
               person_id bigint, account_id bigint, fields jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select null::bigint, daterange(t.business_date, t.business_date, '[]'), t.recorded_from, t.recorded_to, t.source_run_id, null::bigint, null::bigint,
           t.account_id, to_jsonb(t) - array['vendor', 'account_value_key', 'business_date', 'recorded_from', 'recorded_to', 'source_run_id']
    from warehouse.account_value t
    where of_entity = 'account_value' and t.business_date = of_day and t.vendor = of_vendor and t.account_value_key = of_key
      and t.recorded_from <= known_at and (t.recorded_to is null or t.recorded_to is not null) and t.recorded_from is distinct from t.recorded_to
    union all
    select null, daterange(t.business_date, t.business_date, '[]'), t.recorded_from, t.recorded_to, t.source_run_id, null, null, t.account_id,
           to_jsonb(t) - array['vendor', 'position_key', 'business_date', 'recorded_from', 'recorded_to', 'source_run_id']
    from warehouse.position t
    where of_entity = 'position' and t.business_date = of_day and t.vendor = of_vendor and t.position_key = of_key
      and t.recorded_from <= known_at and (t.recorded_to is null or t.recorded_to is not null) and t.recorded_from is distinct from t.recorded_to
    union all
    select v.id, v.valid, v.recorded_from, v.recorded_to, v.source_run_id, v.household_id, v.person_id, v.account_id, v.fields
    from mart.record_version v
    where of_entity not in ('account_value', 'position') and v.entity = of_entity and v.vendor = of_vendor and v.source_key = of_key
      and v.recorded_from <= known_at and (v.recorded_to is null or v.recorded_to is not null)
    order by 3 desc, 2 desc limit 100
$$;
revoke all on function mart.lineage_version(text, text, text, date, timestamptz) from public;
grant execute on function mart.lineage_version(text, text, text, date, timestamptz) to tributary_web;
