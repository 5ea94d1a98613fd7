-- Planning and risk, one row a household or person, whichever vendors speak of it: as views over what is known now, and
-- each "as known at" a time. What a vendor's newest whole pull did not name any more is left out.

-- A finding may be about a person, too.
alter table control.finding drop constraint finding_subject_entity_check,
    add constraint finding_subject_entity_check check (subject_entity in ('account', 'household', 'person'));

-- Each household record with the one that stood for it at a time, and the names that counted first. Like most functions
-- below, it is run once and kept: the planner, which knows nothing of tables just loaded, would run it for each row that asks.
create function mart.household_as_one(known_at timestamptz)
returns table (household_id bigint, anchor_id bigint, household_name text, representative_id bigint, representative_name text)
language sql stable rows 10000 set enable_nestloop to off as $$
    with record as (
        select h.household_id, h.vendor, h.name, h.representative_id, coalesce(i.identity_id, h.household_id) as anchor_id
        from warehouse.household h
        left join warehouse.identity i on i.entity = 'household' and i.id = h.household_id
              and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
        where h.valid_to is null and h.recorded_from <= known_at and (h.recorded_to is null or h.recorded_to > known_at)
    ), named as (
        select household_id, anchor_id,
               first_value(name) over (
                   partition by anchor_id order by name is null, warehouse.rank_of(vendor, 'name'), household_id) as name,
               first_value(representative_id) over (
                   partition by anchor_id order by representative_id is null, warehouse.rank_of(vendor, 'representative'), household_id)
                   as representative_id
        from record
    )
    select n.household_id, n.anchor_id, n.name, n.representative_id, a.representative_name
    from named n
    left join mart.representative_known(known_at) a on a.representative_id = n.representative_id and upper_inf(a.covers)
$$;

-- The same of persons, each with its household.
create function mart.person_as_one(known_at timestamptz)
returns table (person_id bigint, anchor_id bigint, person_name text, birth_date date, household_id bigint, household_name text,
               representative_id bigint, representative_name text)
language sql stable rows 10000 set enable_nestloop to off as $$
    with record as (
        select p.person_id, p.vendor, p.name, p.birth_date, p.household_id, coalesce(i.identity_id, p.person_id) as anchor_id
        from warehouse.person p
        left join warehouse.identity i on i.entity = 'person' and i.id = p.person_id
              and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
        where p.valid_to is null and p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
    ), named as (
        select person_id, anchor_id,
               first_value(name) over (
                   partition by anchor_id order by name is null, warehouse.rank_of(vendor, 'name'), person_id) as name,
               first_value(birth_date) over (
                   partition by anchor_id order by birth_date is null, warehouse.rank_of(vendor, 'birth_date'), person_id) as birth_date,
               first_value(household_id) over (
                   partition by anchor_id order by household_id is null, warehouse.rank_of(vendor, 'household'), person_id) as household_id
        from record
    )
    select n.person_id, n.anchor_id, n.name, n.birth_date, h.anchor_id, h.household_name, h.representative_id, h.representative_name
    from named n
    left join mart.household_as_one(known_at) h on h.household_id = n.household_id
$$;

-- Each plan, how likely it is to succeed, and how old both are. One base plan leads its household: that of the vendor whose
-- word counts first, and of its plans the one changed last.
create function mart.plan_freshness_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, representative_id bigint, representative_name text, vendor text,
               plan_id bigint, plan_name text, is_base boolean, is_leading boolean, target_low_ratio numeric,
               target_high_ratio numeric, probability_ratio numeric, recommended_ratio numeric, is_stale boolean,
               computed_on date, computed_at timestamptz, changed_on date, age_days integer)
language sql stable rows 10000 set enable_nestloop to off as $$
    select h.anchor_id, h.household_name, h.representative_id, h.representative_name, p.vendor, p.plan_id, p.name,
           p.is_base is not false,
           p.is_base is not false and 1 = row_number() over (
               partition by h.anchor_id order by p.is_base is false, warehouse.rank_of(p.vendor, 'plan'),
                                                 coalesce(p.updated_on, p.created_on) desc nulls last, p.plan_id),
           p.target_low_ratio, p.target_high_ratio, c.probability_ratio, r.probability_ratio, c.is_stale, c.computed_on,
           c.computed_at, coalesce(p.updated_on, p.created_on),
           (least(known_at, now()) at time zone 'UTC')::date - coalesce(p.updated_on, p.created_on)
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
      and not exists (select from control.absence a where a.vendor = p.vendor and a.entity = 'plan' and a.source_key = p.plan_key
                                                      and a.noted_at <= known_at)
$$;

-- Each goal of a plan: what it costs, how far it is paid for and how likely it is reached, as last computed. A vendor that
-- computes plans only leaves the goal's own figures null. `is_named` is false for a goal of which the last computation of
-- its plan (a week apart at most) said nothing: such as one that was deleted.
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
      and not exists (select from control.absence a where a.vendor = g.vendor and a.entity = 'goal' and a.source_key = g.goal_key
                                                      and a.noted_at <= known_at)
$$;

-- What a client can bear against what the portfolio takes, one row a current portfolio; both numbers go from 1 to 99.
create function mart.risk_alignment_as_known(known_at timestamptz)
returns table (person_id bigint, person_name text, household_id bigint, household_name text, representative_id bigint,
               representative_name text, vendor text, portfolio_id bigint, portfolio_name text, client_risk_number bigint,
               client_measured_on date, portfolio_risk_number bigint, portfolio_measured_on date, is_stale boolean,
               market_value_usd numeric, difference bigint)
language sql stable rows 10000 set enable_nestloop to off as $$
    select o.anchor_id, o.person_name, o.household_id, o.household_name, o.representative_id, o.representative_name, p.vendor,
           p.portfolio_id, p.name, c.risk_number, c.measured_on, r.risk_number, r.measured_on, r.is_stale, r.market_value_usd,
           r.risk_number - c.risk_number
    from warehouse.portfolio p
    join mart.person_as_one(known_at) o on o.person_id = p.person_id
    left join lateral (
        select * from warehouse.client_risk n
        where n.person_id = p.person_id and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
        order by n.measured_on desc, n.measured_at desc limit 1
    ) c on true
    left join lateral (
        select * from warehouse.portfolio_risk n
        where n.portfolio_id = p.portfolio_id and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
        order by n.measured_on desc, n.measured_at desc limit 1
    ) r on true
    where p.valid_to is null and p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
      and p.portfolio_type = 'current' and p.is_deleted is not true
      and not exists (select from control.absence a where a.vendor = p.vendor and a.entity = 'portfolio'
                                                      and a.source_key = p.portfolio_key and a.noted_at <= known_at)
$$;

-- The questionnaire that counts of everybody whom a risk vendor knows: the last one completed that is neither archived nor
-- deleted. Null where none is.
create function mart.questionnaire_as_known(known_at timestamptz)
returns table (person_id bigint, person_name text, household_id bigint, household_name text, representative_id bigint,
               representative_name text, vendor text, questionnaire_id bigint, version text, risk_number bigint,
               completed_on date, age_days integer)
language sql stable rows 10000 set enable_nestloop to off as $$
    with asked as (
        select q.person_id, q.vendor, q.questionnaire_id, q.version, q.risk_number, q.completed_at
        from warehouse.questionnaire q
        where q.is_completed and q.is_archived is not true and q.is_deleted is not true and q.valid_to is null
          and q.recorded_from <= known_at and (q.recorded_to is null or q.recorded_to > known_at)
          and not exists (select from control.absence a where a.vendor = q.vendor and a.entity = 'questionnaire'
                                                          and a.source_key = q.questionnaire_key and a.noted_at <= known_at)
        union all
        select person_id, vendor, null, null, null, null from warehouse.questionnaire where recorded_from <= known_at
        union all
        select person_id, vendor, null, null, null, null from warehouse.portfolio where recorded_from <= known_at
    )
    select distinct on (o.anchor_id) o.anchor_id, o.person_name, o.household_id, o.household_name, o.representative_id,
           o.representative_name, q.vendor, q.questionnaire_id, q.version, q.risk_number, (q.completed_at at time zone 'UTC')::date,
           (least(known_at, now()) at time zone 'UTC')::date - (q.completed_at at time zone 'UTC')::date
    from asked q
    join mart.person_as_one(known_at) o on o.person_id = q.person_id
    order by o.anchor_id, q.completed_at desc nulls last, q.questionnaire_id
$$;

-- How old the questionnaires of an advisor's clients are. `without` have never completed one that counts.
create function mart.questionnaire_age_as_known(known_at timestamptz)
returns table (representative_id bigint, representative_name text, persons bigint, without bigint, beyond_12_months bigint,
               median_age_days numeric, oldest_on date, newest_on date)
language sql stable as $$
    select representative_id, representative_name, count(*), count(*) filter (where completed_on is null),
           count(*) filter (where age_days > 365), percentile_disc(0.5) within group (order by age_days)::numeric,
           min(completed_on), max(completed_on)
    from mart.questionnaire_as_known(known_at)
    group by 1, 2
$$;

-- What a household has, as its planner lists it and as the portfolio systems state it. `copied_usd` are accounts that a
-- portfolio system knows, too: the worth of a household is `managed_usd + held_away_usd`, in which each counts once.
create function mart.plan_assets_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, representative_id bigint, representative_name text, vendor text,
               copied_usd numeric, held_away_usd numeric, managed_usd numeric, difference_usd numeric, listed_on date)
language sql stable rows 10000 set enable_nestloop to off as $$
    with house as (
        select * from mart.household_as_one(known_at)
    ), copy as materialized (
        select id from warehouse.identity
        where entity = 'account' and recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    ), day as (
        select distinct on (vendor) vendor, business_date from control.ledger
        where stage = 'load' and entity = 'account_value' and pulled = 'present' and recorded_at <= known_at
        order by vendor, business_date desc, ledger_id desc
    ), managed as (
        select h.anchor_id, sum(v.market_value_usd * o.share_ratio) as usd
        from day d
        join warehouse.account_value v on v.business_date = d.business_date and v.vendor = d.vendor
             and v.recorded_from <= known_at and (v.recorded_to is null or v.recorded_to > known_at)
        join mart.account_known(known_at) a on a.account_id = v.account_id and upper_inf(a.covers) and a.is_counted
        join mart.account_owner_known(known_at) o on o.account_id = v.account_id and upper_inf(o.covers)
        join house h on h.household_id = o.household_id
        where not exists (select from copy c where c.id = v.account_id)
        group by 1
    ), listed as (
        select h.anchor_id, o.vendor, sum(w.market_value_usd) filter (where c.id is not null) as copied_usd,
               sum(w.market_value_usd) filter (where c.id is null) as held_away_usd, min(w.stated_on) as listed_on
        from warehouse.outside_account o
        join house h on h.household_id = o.household_id
        join lateral (
            select n.market_value_usd, n.stated_on from warehouse.outside_value n
            where n.outside_account_id = o.outside_account_id
              and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
            order by n.asked_on desc, n.asked_at desc limit 1
        ) w on true
        left join copy c on c.id = o.outside_account_id
        where o.valid_to is null and o.recorded_from <= known_at and (o.recorded_to is null or o.recorded_to > known_at)
          and not exists (select from control.absence a where a.vendor = o.vendor and a.entity = 'outside_account'
                                                          and a.source_key = o.outside_account_key and a.noted_at <= known_at)
        group by 1, 2
    )
    select l.anchor_id, h.household_name, h.representative_id, h.representative_name, l.vendor,
           round(coalesce(l.copied_usd, 0), 2), round(coalesce(l.held_away_usd, 0), 2), round(coalesce(m.usd, 0), 2),
           round(coalesce(l.copied_usd, 0) - coalesce(m.usd, 0), 2), l.listed_on
    from listed l
    join house h on h.household_id = l.anchor_id
    left join managed m on m.anchor_id = l.anchor_id
$$;

-- Who was out of line, since when and until when: every finding as it stood at a time. Its words are those told last.
create function mart.out_of_line_as_known(known_at timestamptz)
returns table (finding_id bigint, rule text, severity text, household_id bigint, household_name text, person_id bigint,
               person_name text, account_id bigint, account_name text, representative_id bigint, representative_name text,
               out_since date, last_seen date, back_on date, days integer, measure numeric, details text)
language sql stable as $$
    select f.finding_id, f.rule, f.severity, coalesce(h.anchor_id, f.household_id), h.household_name,
           case when f.subject_entity = 'person' then f.subject_id end, p.person_name,
           case when f.subject_entity = 'account' then f.subject_id end, a.account_name, f.representative_id, r.representative_name,
           f.business_date_opened, s.seen, case when f.closed_at <= known_at then f.business_date_closed end,
           case when f.closed_at <= known_at then f.business_date_closed else s.seen end - f.business_date_opened,
           f.measure, f.details
    from control.finding f
    cross join lateral (select least(f.business_date_seen, (known_at at time zone 'UTC')::date) as seen) s
    left join mart.household_as_one(known_at) h on h.household_id = f.household_id
    left join mart.person_as_one(known_at) p on f.subject_entity = 'person' and p.person_id = f.subject_id
    left join mart.account_known(known_at) a on f.subject_entity = 'account' and a.account_id = f.subject_id and upper_inf(a.covers)
    left join mart.representative_known(known_at) r on r.representative_id = f.representative_id and upper_inf(r.covers)
    where f.opened_at <= known_at
$$;

create view mart.plan_freshness    as select * from mart.plan_freshness_as_known('infinity');
create view mart.goal_health       as select * from mart.goal_health_as_known('infinity');
create view mart.risk_alignment    as select * from mart.risk_alignment_as_known('infinity');
create view mart.questionnaire     as select * from mart.questionnaire_as_known('infinity');
create view mart.questionnaire_age as select * from mart.questionnaire_age_as_known('infinity');
create view mart.plan_assets       as select * from mart.plan_assets_as_known('infinity');
create view mart.out_of_line       as select * from mart.out_of_line_as_known('infinity');

grant select on all tables in schema mart to tributary_load, tributary_read;
grant execute on all functions in schema mart to tributary_load, tributary_read;
