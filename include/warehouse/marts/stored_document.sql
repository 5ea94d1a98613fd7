-- Signed documents that are stored, the key of their content, and their retention.
create view control.stored_document as
select d.vendor, d.envelope_key, d.kind, e.subject, e.completed_at, d.bytes, d.stored_at, d.retain_until, d.held_for, d.held_by,
       case when d.disposed_at is null then d.content_hash end as content_hash, d.disposed_at
from control.document d
left join warehouse.envelope e on e.vendor = d.vendor and e.envelope_key = d.envelope_key and e.recorded_to is null;
grant select on control.stored_document to tributary_web;
