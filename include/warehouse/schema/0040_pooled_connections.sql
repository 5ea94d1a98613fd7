-- A pool of connections may give a session to another program. So a writer no longer records its session, and the next writer finds it by its
-- `application_name`. Earlier versions still write these columns; a later migration drops them.
alter table control.writer alter column backend_pid drop not null, alter column backend_start drop not null;
comment on column control.writer.backend_pid is 'Written by versions before migration 0040 only';
comment on column control.writer.backend_start is 'Written by versions before migration 0040 only';
