-- Stop (of a task or of one record) and retry (a new task over what did not succeed).

ALTER TABLE task
    DROP CONSTRAINT task_status_check,
    DROP CONSTRAINT task_check1,
    ADD CONSTRAINT task_status CHECK (status IN (
        'WAITING', 'RUNNING', 'HALTING', 'STOPPING', 'SUCCESS', 'FAILED', 'HALTED', 'STOPPED')),
    ADD CONSTRAINT task_ended CHECK ((ended_at IS NOT NULL) = (status IN ('SUCCESS', 'FAILED', 'HALTED', 'STOPPED'))),
    -- What runs is to be ended, not only nothing more to be admitted.
    ADD COLUMN killing bool NOT NULL DEFAULT false,
    -- The task whose remainder this one is; with ordinal and script, of that one record.
    ADD COLUMN retry_of uuid,
    ADD COLUMN retry_of_ordinal int4,
    ADD COLUMN retry_of_script int2,
    -- What the desktops were chosen by: a pool, as the API calls it, or a tag.
    ADD COLUMN resource_group_type text,
    ADD COLUMN resource_group_id text,
    ADD COLUMN desktop_tag text,
    -- The principal that asked for it.
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD CONSTRAINT task_retry CHECK ((retry_of_ordinal IS NULL) = (retry_of_script IS NULL)
        AND (retry_of_ordinal IS NULL OR retry_of IS NOT NULL)),
    ADD CONSTRAINT task_resource_group CHECK ((resource_group_type IS NULL) = (resource_group_id IS NULL));

-- Nothing is retried twice: what did not succeed has at most one successor.
CREATE UNIQUE INDEX task_by_retry ON task (retry_of, coalesce(retry_of_ordinal, -1), coalesce(retry_of_script, -1::int2))
    WHERE retry_of IS NOT NULL;
CREATE INDEX task_by_resource_group ON task (project_id, resource_group_id, task_id DESC)
    WHERE resource_group_id IS NOT NULL;

DROP INDEX task_open;
CREATE INDEX task_open ON task (task_id) WHERE status IN ('WAITING', 'RUNNING', 'HALTING', 'STOPPING');

-- Scripts before this place succeeded in the task that is retried and are not run again.
ALTER TABLE target ADD COLUMN first_script int2 NOT NULL DEFAULT 0 CHECK (first_script >= 0);

ALTER TABLE wave
    DROP CONSTRAINT wave_status_check,
    ADD CONSTRAINT wave_status CHECK (status IN ('PENDING', 'OPEN', 'CLOSED', 'HALTED', 'STOPPED'));

-- Something in it is to be stopped: the worker that holds it is told again and again until it has ended.
ALTER TABLE batch ADD COLUMN stop bool NOT NULL DEFAULT false;
CREATE INDEX batch_stop ON batch (worker_id) WHERE stop;

-- Targets that a person stops one by one, from a script on.
CREATE TABLE target_stop (
    task_id    uuid        NOT NULL,
    ordinal    int4        NOT NULL,
    script     int2        NOT NULL CHECK (script >= 0),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, ordinal)
);
