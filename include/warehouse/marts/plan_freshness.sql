-- Each plan, its probability of success, and the age of both. One base plan leads its household: of the vendor with the lowest rank among
-- those in use, the plan that changed last. Plans missing from the vendor's newest full pull are left out.
-- changed_on: the date in New York.
create function mart.plan_freshness_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, representative_id bigint, representative_name text, vendor text,
               plan_id bigint, plan_name text, is_base boolean, is_leading boolean, target_low_ratio numeric,
               target_high_ratio numeric, probability_ratio numeric, recommended_ratio numeric, is_stale boolean,
               computed_on date, computed_at timestamptz, changed_on date, age_days integer)
language sql stable rows 10000 set enable_nestloop to off as $$
    select h.anchor_id, h.household_name, h.representative_id, h.representative_name, p.vendor, p.plan_id, p.name,
           p.is_base is not false,
           p.is_base is not false and 1 = row_number() over (
               partition by h.anchor_id order by p.is_base is false, p.vendor in (select vendor from mart.unused_vendor_known(known_at)),
                                                 warehouse.rank_of(p.vendor, 'plan'),
                                                 coalesce(p.updated_on, p.created_on) desc nulls last, p.plan_id),
           p.target_low_ratio, p.target_high_ratio, c.probability_ratio, r.probability_ratio, c.is_stale, c.computed_on,
           c.computed_at, coalesce(p.updated_on, p.created_on),
           (least(known_at, now()) at time zone 'America/New_York')::date - coalesce(p.updated_on, p.created_on)
    from warehouse.plan p
    join mart.household_as_one(known_at) h on h.household_id = p.household_id
    left join lateral (
        select * from warehouse.plan_result n
        where n.plan_id = p.plan_id and n.scenario = 'current'
          and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
        order by n.computed_on desc, n.computed_at desc limit 1
    ) c on true
    left join lateral (
        select * from warehouse.plan_result n
        where n.plan_id = p.plan_id and n.scenario = 'recommended'
          and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
        order by n.computed_on desc, n.computed_at desc limit 1
    ) r on true
    where p.valid_to is null and p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
      and not exists (select from mart.absence_known(known_at) a where a.vendor = p.vendor and a.entity = 'plan' and a.source_key = p.plan_key)
$$;
create view mart.plan_freshness as select * from mart.plan_freshness_as_known('infinity');
