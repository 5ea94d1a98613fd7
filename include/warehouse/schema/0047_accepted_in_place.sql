-- A day's sync updates nearly every holding. With room in its page, a row's new version stays there, and no index changes.
alter table control.crm_state set (fillfactor = 50);
