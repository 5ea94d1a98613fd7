-- Each goal of a plan: its cost, and its newest result in the current scenario (probability, funding). A vendor without results per goal
-- leaves these null. `is_named` is false for a goal without a result in the newest run of its plan (within a week), such as a deleted one.
create function mart.goal_health_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, representative_id bigint, representative_name text, vendor text,
               plan_id bigint, plan_name text, is_leading boolean, goal_id bigint, goal_name text, goal_type text,
               wording text, amount_usd numeric, start_year bigint, end_year bigint, priority bigint, probability_ratio numeric,
               funded_ratio numeric, shortfall_year bigint, shortfall_usd numeric, computed_on date, computed_at timestamptz,
               is_named boolean, plan_probability_ratio numeric, target_low_ratio numeric)
language sql stable rows 10000 set enable_nestloop to off as $$
    select p.household_id, p.household_name, p.representative_id, p.representative_name, g.vendor, p.plan_id, p.plan_name,
           p.is_leading, g.goal_id, g.name, g.goal_type, g.wording, g.amount_usd, g.start_year, g.end_year,
           g.priority, r.probability_ratio, r.funded_ratio, r.shortfall_year, r.shortfall_usd, r.computed_on, r.computed_at,
           coalesce(r.computed_on >= p.computed_on - 6, true), p.probability_ratio, p.target_low_ratio
    from warehouse.goal g
    join mart.plan_freshness_as_known(known_at) p on p.plan_id = g.plan_id
    left join lateral (
        select * from warehouse.goal_result n
        where n.goal_id = g.goal_id and n.scenario = 'current'
          and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
        order by n.computed_on desc, n.computed_at desc limit 1
    ) r on true
    where g.valid_to is null and g.recorded_from <= known_at and (g.recorded_to is null or g.recorded_to > known_at)
      and not exists (select from mart.absence_known(known_at) a where a.vendor = g.vendor and a.entity = 'goal' and a.source_key = g.goal_key)
$$;
create view mart.goal_health as select * from mart.goal_health_as_known('infinity');
