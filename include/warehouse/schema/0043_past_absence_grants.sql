-- contract: the loader only adds to past absences and past unused vendors. What was known does not change.
revoke update, delete on control.past_absence, control.past_unused_vendor from tributary_load;
