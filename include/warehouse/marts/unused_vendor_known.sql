-- The vendors that the firm had stopped using.
create function mart.unused_vendor_known(known_at timestamptz) returns table (vendor text)
language sql stable as $$
    select vendor from control.unused_vendor where since <= known_at
    union all
    select vendor from control.past_unused_vendor where since <= known_at and until > known_at
$$;
