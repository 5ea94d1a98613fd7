-- Versions of each security, and the days that each covers. The first version also covers the days before it.
create function mart.security_known(known_at timestamptz)
returns table (security_id bigint, security_name text, ticker text, asset_class text, covers daterange)
language sql stable as $$
    select security_id, name, ticker, asset_class,
           daterange(case when valid_from > min(valid_from) over (partition by security_id) then valid_from end, valid_to)
    from warehouse.security
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;
