-- The Salesforce records of our records (`vendor:entity:key`), with the state that Salesforce accepted last and the run that sent it.
create function mart.lineage_salesforce(of_records text[])
returns table (object text, external_key text, salesforce_id text, accepted_at timestamptz, job_id text, run_id text, missing text, fields jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.sobject, s.external_key, s.salesforce_id, s.accepted_at, s.job_id, j.run_id, s.missing, s.payload
    from control.crm_state s left join control.crm_job j using (job_id)
    where control.record_of(s.external_key) = any(array(select control.first_key(record) from unnest(of_records) record))
    order by s.sobject, s.external_key limit 100
$$;
revoke all on function mart.lineage_salesforce(text[]) from public;
grant execute on function mart.lineage_salesforce(text[]) to tributary_web;
