-- The findings about records, by our ids: those of a household also as the household of the subject. The newest first.
create function mart.lineage_finding(of_ids bigint[])
returns table (finding_id bigint, vendor text, rule text, severity text, details text, business_date_opened date, opened_run_id text,
               business_date_closed date)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select f.finding_id, f.vendor, f.rule, f.severity, f.details, f.business_date_opened, f.opened_run_id, f.business_date_closed
    from control.finding f
    where f.subject_id = any(of_ids) or f.household_id = any(of_ids)
    order by f.finding_id desc limit 100
$$;
revoke all on function mart.lineage_finding(bigint[]) from public;
grant execute on function mart.lineage_finding(bigint[]) to tributary_web;
