-- Versions of each household, and the days that each covers. The first version also covers the days before it.
create function mart.household_known(known_at timestamptz)
returns table (household_id bigint, household_name text, representative_id bigint, covers daterange)
language sql stable as $$
    select household_id, name, representative_id,
           daterange(case when valid_from > min(valid_from) over (partition by household_id) then valid_from end, valid_to)
    from warehouse.household
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;
