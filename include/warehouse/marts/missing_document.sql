-- Documents of completed envelopes whose download failed, and that are not stored. They are tried again, at growing intervals.
create view control.missing_document as
select t.vendor, t.envelope_key, t.kind, e.subject, e.completed_at, t.tries, t.tried_at, t.error,
       t.tried_at + least(power(2, t.tries) * interval '5 minutes', interval '7 days') as next_try_at
from control.document_try t
left join warehouse.envelope e on e.vendor = t.vendor and e.envelope_key = t.envelope_key and e.recorded_to is null
where not exists (select from control.document d where (d.vendor, d.envelope_key, d.kind) = (t.vendor, t.envelope_key, t.kind));
grant select on control.missing_document to tributary_web;
