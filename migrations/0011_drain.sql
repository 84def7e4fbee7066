-- A worker that is asked to take no more work. It learns it with its next heartbeat; a wish ends with the run of the worker.

ALTER TABLE worker
    ADD COLUMN drain_wanted_at timestamptz,
    ADD COLUMN drain_wanted_by text,
    ADD CHECK ((drain_wanted_at IS NULL) = (drain_wanted_by IS NULL));
