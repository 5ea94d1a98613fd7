-- A day's sync updates nearly every holding. With room in its page, a row's new version stays there, and no index changes.
-- The table takes twice the space. Pages that are full already have no room until their rows have moved.
alter table control.crm_state set (fillfactor = 50);
