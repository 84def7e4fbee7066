-- Retention: what is over its age goes by whole months, as partitions (domain::retention). A partition is detached without
-- stalling anybody only where there is no DEFAULT partition, so those of target and record are dissolved; audit gets months.
-- Each row goes to the partition of its month. That takes as long as there are rows, and whoever writes meanwhile waits; it does
-- not wait long itself for whoever works on these tables, and may be run again when it gave up.
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '10s';

-- Ids are UUIDv7: 48 bits of Unix milliseconds come first.
CREATE FUNCTION pg_temp.month_of(id uuid) RETURNS date LANGUAGE sql AS $$
    SELECT date_trunc('month',
        to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::int8 / 1000.0) AT TIME ZONE 'UTC')::date
$$;
CREATE FUNCTION pg_temp.first_id(month date) RETURNS uuid LANGUAGE sql AS $$
    SELECT rpad(lpad(to_hex((extract(epoch FROM month) * 1000)::int8), 12, '0'), 32, '0')::uuid
$$;

-- Moves the rows of a table into the months of a partitioned one, and drops it. The months around now are made as well, so
-- that nothing is refused before they are looked after again.
CREATE PROCEDURE pg_temp.move_into_months(source text, parent text, key text) LANGUAGE plpgsql AS $$
DECLARE
    month     date;
    partition text;
BEGIN
    FOR month IN EXECUTE format(
        'SELECT pg_temp.month_of(%I) FROM %I
         UNION SELECT ahead::date
         FROM generate_series(date_trunc(''month'', now() AT TIME ZONE ''UTC'' - interval ''1 day''),
                              now() AT TIME ZONE ''UTC'' + interval ''3 months'', ''1 month'') AS ahead', key, source)
    LOOP
        partition := parent || to_char(month, '_YYYY_MM');
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', partition, parent,
            pg_temp.first_id(month), pg_temp.first_id((month + interval '1 month')::date));
    END LOOP;
    EXECUTE format('INSERT INTO %I SELECT * FROM %I', parent, source);
    EXECUTE format('DROP TABLE %I', source);
END $$;

ALTER TABLE target DETACH PARTITION target_default;
CALL pg_temp.move_into_months('target_default', 'target', 'task_id');

ALTER TABLE record DETACH PARTITION record_default;
CALL pg_temp.move_into_months('record_default', 'record', 'task_id');

ALTER TABLE audit RENAME TO audit_whole;
ALTER TABLE audit_whole DROP CONSTRAINT audit_pkey;
DROP INDEX audit_by_project;
CREATE TABLE audit (LIKE audit_whole INCLUDING ALL, PRIMARY KEY (audit_id)) PARTITION BY RANGE (audit_id);
CREATE INDEX audit_by_project ON audit (project_id, audit_id DESC);
CALL pg_temp.move_into_months('audit_whole', 'audit', 'audit_id');

-- A partition can be named itself, so each has a trigger of its own beside the one of the whole.
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit'::regclass LOOP
        EXECUTE format('CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
                        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()', partition);
    END LOOP;
END $$;
