-- Up to when the calls of each bucket of a vendor's rate budget are reserved: a time in the future delays the next call.
create view control.vendor_budget as select vendor, bucket, spoken_until from control.rate_budget;
grant select on control.vendor_budget to tributary_web;
