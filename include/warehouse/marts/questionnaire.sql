-- The questionnaire in force of each person that a risk vendor has: the last completed one that is neither archived nor deleted. Null
-- without one. Dates are those of New York.
create function mart.questionnaire_as_known(known_at timestamptz)
returns table (person_id bigint, person_name text, household_id bigint, household_name text, representative_id bigint,
               representative_name text, vendor text, questionnaire_id bigint, version text, risk_number bigint,
               completed_on date, age_days integer)
language sql stable rows 10000 set enable_nestloop to off as $$
    with requested as (
        select q.person_id, q.vendor, q.questionnaire_id, q.version, q.risk_number, q.completed_at
        from warehouse.questionnaire q
        where q.is_completed and q.is_archived is not true and q.is_deleted is not true and q.valid_to is null
          and q.recorded_from <= known_at and (q.recorded_to is null or q.recorded_to > known_at)
          and not exists (select from mart.absence_known(known_at) a where a.vendor = q.vendor and a.entity = 'questionnaire'
                                                          and a.source_key = q.questionnaire_key)
        union all
        select person_id, vendor, null, null, null, null from warehouse.questionnaire where recorded_from <= known_at
        union all
        select person_id, vendor, null, null, null, null from warehouse.portfolio where recorded_from <= known_at
    )
    select distinct on (o.anchor_id) o.anchor_id, o.person_name, o.household_id, o.household_name, o.representative_id,
           o.representative_name, q.vendor, q.questionnaire_id, q.version, q.risk_number, (q.completed_at at time zone 'America/New_York')::date,
           (least(known_at, now()) at time zone 'America/New_York')::date - (q.completed_at at time zone 'America/New_York')::date
    from requested q
    join mart.person_as_one(known_at) o on o.person_id = q.person_id
    order by o.anchor_id, q.completed_at desc nulls last, q.questionnaire_id
$$;
create view mart.questionnaire as select * from mart.questionnaire_as_known('infinity');
