-- The fields of one record as known at a time, from the version that is valid on `on_day`; without a day, from the newest version. `ledger_id`
-- is the load since which the value has been known without a break (see `mart.load_source`). `known_from` is the time of that load. If a push
-- was withdrawn and the version before it restored, `ledger_id` is the load that wrote this version first, and `known_from` is the time of the
-- withdrawal.
create function mart.record_as_known(of_entity text, of_vendor text, of_key text, known_at timestamptz, on_day date default null)
returns table (field text, value jsonb, valid daterange, known_from timestamptz, ledger_id bigint)
language sql stable as $$
    with version as (
        select * from mart.record_version
        where entity = of_entity and vendor = of_vendor and source_key = of_key and recorded_from <= known_at
    ), shown as (
        select v.valid, v.recorded_from, coalesce(on_day, lower(v.valid), current_date) as day from version v
        where (v.recorded_to is null or v.recorded_to > known_at) and (on_day is null or v.valid @> on_day)
        order by v.valid desc limit 1
    ), history as (
        select f.key, f.value, v.recorded_from, v.source_run_id, s.valid,
               lag(f.value) over states is distinct from f.value or lag(v.recorded_to) over states is distinct from v.recorded_from as is_new
        from shown s
        join version v on v.valid @> s.day and v.recorded_from <= s.recorded_from
        cross join lateral jsonb_each(v.fields) f
        window states as (partition by f.key order by v.recorded_from)
    )
    select distinct on (key) key, value, valid, recorded_from, source_run_id from history
    where is_new order by key, recorded_from desc
$$;
