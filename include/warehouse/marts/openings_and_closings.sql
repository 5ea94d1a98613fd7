-- Accounts opened and closed per day.
create function mart.openings_and_closings_as_known(known_at timestamptz)
returns table (day date, opened bigint, closed bigint)
language sql stable as $$
    select day, count(*) filter (where what = 'opened'), count(*) filter (where what = 'closed')
    from (
        select open_date as day, 'opened' as what from mart.account_known(known_at) where upper_inf(covers)
        union all
        select close_date, 'closed' from mart.account_known(known_at) where upper_inf(covers)
    ) e
    where day is not null
    group by 1
$$;
create view mart.openings_and_closings as select * from mart.openings_and_closings_as_known('infinity');
