-- What became of the rows of a push: {"rows": 3, "dead": 1, "rejected": [{"row": 0, "reasons": ["id: not int64"]}]}. The place of a row
-- and names of fields, never a value.
alter table control.inbox add column outcome jsonb;
grant select (outcome) on control.inbox to tributary_api, tributary_read;
