-- Age of the questionnaires of a representative's clients. `without` counts persons without one in force.
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
create view mart.questionnaire_age as select * from mart.questionnaire_age_as_known('infinity');
