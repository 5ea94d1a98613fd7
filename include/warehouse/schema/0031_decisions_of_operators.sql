-- Only operators decide days and change thresholds, on the pages. The loading role could do both under any name.
revoke execute on function control.decide_day(text, text, text, date, text, text) from tributary_load;
revoke execute on function control.change_thresholds(text, jsonb, jsonb, bigint) from tributary_load;
