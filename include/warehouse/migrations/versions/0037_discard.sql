-- A dead letter whose row will never be loaded: who discarded it, and why. Null where it was discarded before this version.
alter table control.dead_letter
    add discard_reason text check (discard_reason is null or status = 'discarded'),
    add discarded_by   text check ((discarded_by is null) = (discard_reason is null));
