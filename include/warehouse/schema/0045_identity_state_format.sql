-- Arrow's own format is read several times as fast as Parquet. The state that an earlier version wrote is not read, because its code differs.
comment on column control.identity_state.content is 'Compressed Arrow IPC stream, in parts of up to 64 MB';
