-- The rows of ARCHITECTURE.md. Every hot table leads with task_id, so that the schema can be distributed by it.

-- In the order of domain::outcome::Outcome::ALL; a wave's tallies are arrays in this order.
CREATE TYPE outcome AS ENUM (
    'SUCCESS', 'FAILED', 'TIMEOUT', 'UNDELIVERED', 'REJECTED', 'UNKNOWN', 'STOPPED', 'SKIPPED'
);

CREATE TABLE script (
    project_id  text        NOT NULL,
    script_id   uuid        NOT NULL,
    script_type text        NOT NULL CHECK (script_type IN ('POWERSHELL', 'BAT', 'SHELL')),
    -- The current revision.
    revision    int4        NOT NULL CHECK (revision > 0),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    -- A deleted script is gone from the API; tasks keep its revisions.
    delete_time timestamptz,
    PRIMARY KEY (project_id, script_id)
);

-- Written once. A task pins revisions.
CREATE TABLE script_revision (
    project_id  text        NOT NULL,
    script_id   uuid        NOT NULL,
    revision    int4        NOT NULL,
    -- Over type and content.
    sha256      bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    name        text        NOT NULL,
    description text        NOT NULL,
    version     text        NOT NULL,
    content     text        NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (project_id, script_id, revision)
);

CREATE TABLE worker (
    worker_id  text        PRIMARY KEY,
    address    text        NOT NULL,
    capacity   int4        NOT NULL CHECK (capacity > 0),
    draining   bool        NOT NULL,
    created_at timestamptz NOT NULL,
    heard_at   timestamptz NOT NULL
);

CREATE TABLE desktop (
    project_id        text        NOT NULL,
    desktop_id        text        NOT NULL,
    computer_name     text        NOT NULL,
    os_host_name      text        NOT NULL,
    os_type           text        NOT NULL,
    ip_address        text        NOT NULL,
    pool_id           text        NOT NULL,
    availability_zone text        NOT NULL,
    agent_version     text        NOT NULL,
    tags              jsonb       NOT NULL,
    -- Presence: the worker that holds its connection.
    worker_id         text,
    created_at        timestamptz NOT NULL,
    -- When its presence last changed.
    presence_at       timestamptz NOT NULL,
    PRIMARY KEY (project_id, desktop_id)
);
CREATE INDEX desktop_by_worker ON desktop (worker_id) WHERE worker_id IS NOT NULL;

CREATE TABLE task (
    -- UUIDv7: a range of ids is a range of time.
    task_id              uuid        PRIMARY KEY,
    project_id           text        NOT NULL,
    status               text        NOT NULL
        CHECK (status IN ('WAITING', 'RUNNING', 'HALTING', 'SUCCESS', 'FAILED', 'HALTED')),
    resource_type        text        NOT NULL,
    -- Both for a command, none for scripts.
    command_type         text,
    command              text,
    attempt              int2        NOT NULL,
    target_count         int4        NOT NULL CHECK (target_count > 0),
    script_count         int2        NOT NULL CHECK (script_count > 0),
    execution_timeout_ms int8        NOT NULL CHECK (execution_timeout_ms > 0),
    delivery_timeout_ms  int8        NOT NULL CHECK (delivery_timeout_ms > 0),
    grace_ms             int8        NOT NULL CHECK (grace_ms >= 0),
    -- The plan: decided once, never changed.
    gray                 bool        NOT NULL,
    plan_seed            int8        NOT NULL,
    plan_hash            bytea       NOT NULL CHECK (octet_length(plan_hash) = 32),
    plan_picks           jsonb       NOT NULL,
    halt_reason          text,
    created_at           timestamptz NOT NULL,
    started_at           timestamptz,
    ended_at             timestamptz,
    CHECK ((command IS NULL) = (command_type IS NULL)),
    CHECK ((ended_at IS NOT NULL) = (status IN ('SUCCESS', 'FAILED', 'HALTED')))
);
CREATE INDEX task_by_project ON task (project_id, task_id DESC);
CREATE INDEX task_open ON task (task_id) WHERE status IN ('WAITING', 'RUNNING', 'HALTING');

-- What runs on each target, in order; a command is one row without a script.
CREATE TABLE task_script (
    task_id   uuid NOT NULL,
    script    int2 NOT NULL,
    script_id uuid,
    revision  int4,
    name      text NOT NULL,
    PRIMARY KEY (task_id, script),
    CHECK ((script_id IS NULL) = (revision IS NULL))
);
CREATE INDEX task_script_by_script ON task_script (script_id, task_id) WHERE script_id IS NOT NULL;

-- Its row lock serialises admission and the gate.
CREATE TABLE wave (
    task_id        uuid   NOT NULL,
    wave           int2   NOT NULL CHECK (wave > 0),
    status         text   NOT NULL CHECK (status IN ('PENDING', 'OPEN', 'CLOSED', 'HALTED')),
    first_ordinal  int4   NOT NULL,
    size           int4   NOT NULL CHECK (size > 0),
    -- Targets of the wave that the cut has passed.
    cursor         int4   NOT NULL DEFAULT 0,
    -- Targets that were admitted and not withdrawn again.
    admitted       int4   NOT NULL DEFAULT 0,
    fail_threshold int4   CHECK (fail_threshold > 0),
    -- Targets and records by outcome, in the order of the type `outcome`.
    target_tally   int4[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0}',
    record_tally   int4[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0}',
    verdict_reason text,
    opened_at      timestamptz,
    closed_at      timestamptz,
    PRIMARY KEY (task_id, wave),
    CHECK (0 <= admitted AND admitted <= cursor AND cursor <= size)
);
CREATE INDEX wave_open ON wave (task_id) WHERE status = 'OPEN';

-- Written once with the plan.
CREATE TABLE target (
    task_id    uuid NOT NULL,
    ordinal    int4 NOT NULL,
    desktop_id text NOT NULL,
    wave       int2 NOT NULL,
    PRIMARY KEY (task_id, ordinal)
) PARTITION BY RANGE (task_id);
CREATE INDEX target_by_desktop ON target (desktop_id, task_id);
-- Holds what no month's partition takes; see store::partition.
CREATE TABLE target_default PARTITION OF target DEFAULT;

-- Written once, when its target ends; all records of a target together.
CREATE TABLE record (
    task_id    uuid    NOT NULL,
    ordinal    int4    NOT NULL,
    script     int2    NOT NULL,
    attempt    int2    NOT NULL,
    outcome    outcome NOT NULL,
    exit_code  int4,
    started_at timestamptz,
    ended_at   timestamptz NOT NULL,
    output     text    NOT NULL,
    reason     text    NOT NULL,
    PRIMARY KEY (task_id, ordinal, script, attempt)
) PARTITION BY RANGE (task_id);
CREATE TABLE record_default PARTITION OF record DEFAULT;

-- Targets of one wave that one worker is to reach. Deleted when all of them have ended.
CREATE TABLE batch (
    task_id      uuid        NOT NULL,
    batch_id     uuid        NOT NULL,
    wave         int2        NOT NULL,
    worker_id    text        NOT NULL,
    ordinals     int4[]      NOT NULL,
    -- Beside each ordinal, so that handing out reads no target again.
    desktop_ids  text[]      NOT NULL,
    status       text        NOT NULL CHECK (status IN ('READY', 'LEASED')),
    -- Grows with each lease: a fence against a worker that lost it.
    epoch        int4        NOT NULL DEFAULT 0,
    lease_until  timestamptz,
    -- An earlier lease ran out: its targets may have been handed to their agents.
    maybe_handed bool        NOT NULL,
    -- The task was halted: agents tell what they know of these targets and start nothing.
    answer_only  bool        NOT NULL,
    -- Results and returns named for it so far; a hint for when to look whether it is done.
    reported     int4        NOT NULL DEFAULT 0,
    deliver_by   timestamptz NOT NULL,
    finish_by    timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (task_id, batch_id),
    CHECK (maybe_handed OR NOT answer_only),
    CHECK (cardinality(ordinals) = cardinality(desktop_ids) AND cardinality(ordinals) > 0),
    CHECK ((lease_until IS NOT NULL) = (status = 'LEASED'))
);
CREATE INDEX batch_by_worker ON batch (worker_id, status, created_at);
CREATE INDEX batch_lease ON batch (lease_until) WHERE status = 'LEASED';
CREATE INDEX batch_deliver_by ON batch (deliver_by) WHERE status = 'READY';
CREATE INDEX batch_finish_by ON batch (finish_by);

-- Targets of an open wave whose desktop was not reachable when their place came.
CREATE TABLE straggler (
    task_id      uuid        NOT NULL,
    ordinal      int4        NOT NULL,
    project_id   text        NOT NULL,
    desktop_id   text        NOT NULL,
    wave         int2        NOT NULL,
    maybe_handed bool        NOT NULL,
    deliver_by   timestamptz NOT NULL,
    finish_by    timestamptz NOT NULL,
    PRIMARY KEY (task_id, ordinal)
);
CREATE INDEX straggler_by_desktop ON straggler (project_id, desktop_id);
CREATE INDEX straggler_deliver_by ON straggler (deliver_by);

-- Small rows that are updated and deleted all the time: keep them vacuumed.
ALTER TABLE batch SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, fillfactor = 70);
ALTER TABLE wave SET (fillfactor = 50);
