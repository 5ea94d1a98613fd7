-- Absences that ended because a later pull listed the key again, and vendors that were unused for a time: what was known meanwhile stays known.
create table control.past_absence (
    vendor        text        not null,
    entity        text        not null,
    source_key    text        collate "C" not null,
    absent_since  date        not null,
    noted_at      timestamptz not null,
    ended_at      timestamptz not null default clock_timestamp(),
    primary key (vendor, entity, source_key, noted_at)
);
create table control.past_unused_vendor (
    vendor  text        not null,
    since   timestamptz not null,
    until   timestamptz not null default clock_timestamp(),
    primary key (vendor, since)
);
grant insert, update, delete on control.past_absence, control.past_unused_vendor to tributary_load;
grant select on control.past_absence, control.past_unused_vendor to tributary_web;
