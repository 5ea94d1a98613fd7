-- Arrow's own format is read faster than Parquet, at twice the size. A state that an earlier version wrote is not read: its code differs.
comment on column control.identity_state.content is 'Compressed Arrow IPC stream, in parts of up to 64 MB';
