-- Log bytes lie in rows as they came until there are enough of them to be packed together (zstd):
-- everything before `packed_to` is. `records` tell when, and from which stream, the bytes of a row
-- came. `stored` is what a log takes here; `removed_at` when its bytes were thrown away by age or
-- for want of room.
ALTER TABLE run_log_chunks ADD COLUMN packed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE run_log_chunks ADD COLUMN records BLOB;
ALTER TABLE run_logs ADD COLUMN packed_to BIGINT NOT NULL DEFAULT 0;
ALTER TABLE run_logs ADD COLUMN stored BIGINT NOT NULL DEFAULT 0;
ALTER TABLE run_logs ADD COLUMN removed_at BIGINT;
CREATE INDEX run_logs_kept ON run_logs (as_of) WHERE removed_at IS NULL;
