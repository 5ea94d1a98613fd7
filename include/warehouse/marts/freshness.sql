-- Freshness of each table: the last business date loaded, and when.
create function mart.freshness_as_known(known_at timestamptz)
returns table (vendor text, table_name text, business_date date, loaded_at timestamptz, run_id text)
language sql stable as $$
    select distinct on (vendor, table_name) vendor, table_name, business_date, recorded_at, run_id
    from control.ledger
    where stage = 'load' and recorded_at <= known_at
    order by vendor, table_name, business_date desc, recorded_at desc
$$;
create view mart.freshness as select * from mart.freshness_as_known('infinity');
