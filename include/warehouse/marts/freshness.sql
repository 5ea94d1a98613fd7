-- Freshness of each table: the last business date of which a full pull was loaded, and when. Rows of a push, webhook, poll, replay or single
-- client do not make a day fresh. A table that is never pulled as a whole has its last load.
create function mart.freshness_as_known(known_at timestamptz)
returns table (vendor text, table_name text, business_date date, loaded_at timestamptz, run_id text)
language sql stable as $$
    select distinct on (vendor, table_name) vendor, table_name, business_date, recorded_at, run_id
    from control.ledger
    where stage = 'load' and recorded_at <= known_at
    order by vendor, table_name, pulled in ('current', 'historical') desc, business_date desc, recorded_at desc
$$;
create view mart.freshness as select * from mart.freshness_as_known('infinity');
