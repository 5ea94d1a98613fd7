-- Deliveries that could not be processed, and pushes of which rows were rejected. Reasons name fields and rows, never a value.
create view control.rejected_delivery as
select inbox_id, received_at, sender, copies, case when error is not null then 'the whole delivery' else 'some rows' end as rejected,
       (outcome ->> 'rows')::bigint as rows, (outcome ->> 'dead')::bigint as rejected_rows,
       coalesce(error, (select string_agg(distinct reason, '; ') from jsonb_array_elements(outcome -> 'rejected') r,
                                                                    jsonb_array_elements_text(r -> 'reasons') reason)) as reason
from control.inbox where error is not null or (outcome ->> 'dead')::bigint > 0;
grant select on control.rejected_delivery to tributary_web;
