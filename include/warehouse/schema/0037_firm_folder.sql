-- The content of the firm's folder that was in force when a step ran, so that a number can be traced to the configuration behind it. Every
-- connection of a process states the hash; a process without a folder states none.
alter table control.ledger add column firm_hash text default nullif(current_setting('tributary.firm_hash', true), '');
comment on column control.ledger.firm_hash is 'SHA-256 of the firm''s folder in force; null without one, and in rows of earlier versions';
