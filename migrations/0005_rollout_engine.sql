-- Desktops that are away, soak, approval, pause, freeze, expiry, windows, events, groups of failures, limits of a project.

ALTER TABLE desktop
    -- As its agent tells it, like Europe/Berlin; empty where it does not.
    ADD COLUMN time_zone text NOT NULL DEFAULT '';

ALTER TABLE task
    -- SHA-256 over what runs on each target.
    ADD COLUMN script_hash bytea CHECK (octet_length(script_hash) = 32),
    -- Nothing is started after it.
    ADD COLUMN expires_at timestamptz,
    -- A person paused it.
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN paused_by text;
CREATE INDEX task_expires_at ON task (expires_at) WHERE ended_at IS NULL AND expires_at IS NOT NULL;

ALTER TABLE wave
    -- Admitted targets that wait for their desktop and were certainly never handed out.
    ADD COLUMN waiting int4 NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    -- It was closed on a quorum, and some of its targets have not ended.
    ADD COLUMN is_trailing bool NOT NULL DEFAULT false,
    -- The wave before it soaks until then.
    ADD COLUMN opens_at timestamptz,
    -- A person must approve it, and who did, of which plan and scripts.
    ADD COLUMN needs_approval bool NOT NULL DEFAULT false,
    ADD COLUMN approved_at timestamptz,
    ADD COLUMN approved_by text,
    ADD COLUMN approved_plan_hash bytea,
    ADD COLUMN approved_script_hash bytea,
    ADD CONSTRAINT wave_trailing CHECK (NOT is_trailing OR status = 'CLOSED'),
    ADD CONSTRAINT wave_approved CHECK ((approved_at IS NULL) = (approved_by IS NULL));
UPDATE wave w SET waiting = (
    SELECT count(*) FROM straggler s WHERE s.task_id = w.task_id AND s.wave = w.wave AND NOT s.maybe_handed)
WHERE status = 'OPEN';

-- What is held back is not handed out until its task is resumed and its project unfrozen.
ALTER TABLE batch ADD COLUMN held bool NOT NULL DEFAULT false;
ALTER TABLE straggler
    ADD COLUMN held bool NOT NULL DEFAULT false,
    -- Its window opens then.
    ADD COLUMN not_before timestamptz;

-- Nothing of a frozen project is admitted.
CREATE TABLE project_freeze (
    project_id text        PRIMARY KEY,
    frozen_at  timestamptz NOT NULL,
    frozen_by  text        NOT NULL,
    reason     text        NOT NULL
);

CREATE TABLE project_limit (
    project_id              text PRIMARY KEY,
    -- Targets of all tasks in flight at most. Its row lock serialises their admissions.
    max_in_flight           int4 CHECK (max_in_flight > 0),
    -- Scripts that one desktop runs at once at most.
    max_running_per_desktop int2 CHECK (max_running_per_desktop > 0)
);

-- What happened to a task, for whoever watches it. Written under its waves' locks, so ids are in the order of commits.
CREATE TABLE task_event (
    task_id  uuid        NOT NULL,
    event_id int8        NOT NULL GENERATED ALWAYS AS IDENTITY,
    at       timestamptz NOT NULL,
    kind     text        NOT NULL,
    wave     int2,
    -- The principal that did it; empty for what the scheduler did.
    actor    text        NOT NULL,
    detail   text        NOT NULL,
    PRIMARY KEY (task_id, event_id)
);

-- Failures that look alike: see domain::failure.
CREATE TABLE failure_group (
    task_id        uuid    NOT NULL,
    signature_id   int8    NOT NULL,
    wave           int2    NOT NULL,
    outcome        outcome NOT NULL,
    exit_code      int4,
    signature      text    NOT NULL,
    records        int4    NOT NULL,
    -- The first of them.
    sample_ordinal int4    NOT NULL,
    sample_script  int2    NOT NULL,
    sample         text    NOT NULL,
    PRIMARY KEY (task_id, signature_id, wave)
);
ALTER TABLE record ADD COLUMN signature_id int8;
CREATE INDEX record_by_signature ON record (task_id, signature_id, ordinal) WHERE signature_id IS NOT NULL;
