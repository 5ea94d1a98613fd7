-- Versions of each representative, and the days that each covers. The first version also covers the days before it.
create function mart.representative_known(known_at timestamptz)
returns table (representative_id bigint, representative_name text, covers daterange)
language sql stable as $$
    select representative_id, name,
           daterange(case when valid_from > min(valid_from) over (partition by representative_id) then valid_from end, valid_to)
    from warehouse.representative
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;
