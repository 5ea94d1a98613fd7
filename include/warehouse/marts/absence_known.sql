-- The keys that were missing from the vendor's newest full pull.
create function mart.absence_known(known_at timestamptz)
returns table (vendor text, entity text, source_key text, absent_since date)
language sql stable as $$
    select vendor, entity, source_key, absent_since from control.absence where noted_at <= known_at
    union all
    select vendor, entity, source_key, absent_since from control.past_absence where noted_at <= known_at and ended_at > known_at
$$;
