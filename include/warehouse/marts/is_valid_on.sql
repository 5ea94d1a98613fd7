-- Whether a version that covers some days is valid on a day. PostgreSQL assumes that a range contains a day in one case of a thousand. It would then
-- expect no rows, and join a day of positions row by row, for hours. It has no such assumption about a `case`.
create function mart.is_valid_on(covers daterange, on_day date) returns boolean language sql immutable as $$
    select case when covers @> on_day then true else false end
$$;
