-- The schema of Graywave: projects and access, scripts, workers and desktops, tasks and their
-- rollout, project limits, enrolment, and the audit.
--
-- Conventions
-- * A table has a `project_id`, or a `task_id` that leads to one. `worker` and
--   `used_request_signature` belong to no project.
-- * Ids of tasks, batches, tokens and audit entries are UUIDv7: their order is the order of time.
-- * A time is a parameter of its statement and comes from the database's clock, unless its comment
--   names another source.
-- * Words such as a status are `text` with a CHECK, so that a new word needs no change of a type.
-- * To deliver a target means that a worker gives its order to the agent of the desktop.
-- * A constraint over several columns is named after its rule, an index after its purpose.


-- Projects and access ---------------------------------------------------------------------------

-- A tenant. Created by `graywave projects create` or the admin API; never deleted.
CREATE TABLE project (
    project_id text        PRIMARY KEY,
    -- For people.
    name       text        NOT NULL,
    created_at timestamptz NOT NULL,
    -- Since when the project's credentials are refused; NULL while they are accepted.
    revoked_at timestamptz
);

-- A person or a service that calls within one project. Stored by a caller with all rights or by
-- `graywave principals put`; never deleted.
CREATE TABLE principal (
    project_id text        NOT NULL REFERENCES project,
    -- Its name, unique in the project.
    principal  text        NOT NULL,
    -- Names of built-in policies, and of rows of `policy` in the same project.
    policies   text[]      NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, principal)
);

-- A policy of a project. Stored, replaced and deleted by a caller with all rights or by `graywave
-- policies`. The built-in policies (reader, operator, admin) have no row.
CREATE TABLE policy (
    project_id text        NOT NULL REFERENCES project,
    -- Its name, unique in the project.
    policy     text        NOT NULL,
    -- domain::authz::Policy as JSON.
    document   jsonb       NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, policy)
);

-- A bearer token of a principal. Created once, revoked at most once, never deleted.
CREATE TABLE token (
    token_id   uuid        PRIMARY KEY,
    project_id text        NOT NULL,
    principal  text        NOT NULL,
    -- SHA-256 of the token; the token itself is stored nowhere.
    sha256     bytea       NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL,
    -- NULL: the token does not expire.
    expires_at timestamptz,
    -- NULL while the token is accepted.
    revoked_at timestamptz,
    FOREIGN KEY (project_id, principal) REFERENCES principal
);
CREATE INDEX token_by_project ON token (project_id, token_id);

-- A key with which a principal signs requests. Created once, revoked at most once, never deleted.
-- A signature can only be checked with the secret, so the secret is encrypted and not hashed.
CREATE TABLE access_key (
    -- The public part of the key.
    access_key       text        PRIMARY KEY,
    project_id       text        NOT NULL,
    principal        text        NOT NULL,
    -- AES-256-GCM: nonce, ciphertext and tag, under the master key `master_key_id`.
    encrypted_secret bytea       NOT NULL,
    -- Id of the master key, which is in the configuration and never in the database.
    master_key_id    text        NOT NULL,
    created_at       timestamptz NOT NULL,
    -- NULL: the key does not expire.
    expires_at       timestamptz,
    -- NULL while the key is accepted.
    revoked_at       timestamptz,
    FOREIGN KEY (project_id, principal) REFERENCES principal
);
CREATE INDEX access_key_by_project ON access_key (project_id, access_key);

-- A session of the web console. The API adds it at sign-in, and deletes it at sign-out and after
-- its end.
CREATE TABLE session (
    session_id        uuid        PRIMARY KEY,
    project_id        text        NOT NULL,
    -- A row of `principal`, or `configuration` for a token of the configuration.
    principal         text        NOT NULL,
    -- For people: the principal, or the name from the identity provider.
    name              text        NOT NULL,
    -- SHA-256 of the secret in the cookie; the secret itself is stored nowhere.
    sha256            bytea       NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    -- The token of the sign-in; NULL for other sign-ins. The session ends with its token.
    token_id          uuid        REFERENCES token,
    -- SHA-256 over the session's secret and the hash of a token of the configuration, which ends
    -- the session when it leaves the configuration; NULL for other sign-ins.
    configured_sha256 bytea       CHECK (octet_length(configured_sha256) = 32),
    -- The identity provider of the sign-in; NULL for other sign-ins.
    provider          text,
    created_at        timestamptz NOT NULL,
    -- The last use, or up to a minute before it.
    used_at           timestamptz NOT NULL,
    -- The absolute end; a session may end earlier because nobody uses it.
    expires_at        timestamptz NOT NULL
);
CREATE INDEX session_by_principal ON session (project_id, principal, used_at);
CREATE INDEX session_expires ON session (expires_at);

-- A code with which a browser or a command line signs in once. Its use deletes it.
CREATE TABLE sign_in_code (
    -- SHA-256 of the code; the code itself is stored nowhere.
    sha256           bytea       PRIMARY KEY CHECK (octet_length(sha256) = 32),
    project_id       text        NOT NULL,
    principal        text        NOT NULL,
    -- SHA-256 of the secret that a command line must present with the code; NULL for a browser.
    challenge_sha256 bytea       CHECK (octet_length(challenge_sha256) = 32),
    -- End of the token that the command line gets; NULL for a browser.
    token_expires_at timestamptz,
    expires_at       timestamptz NOT NULL,
    FOREIGN KEY (project_id, principal) REFERENCES principal,
    CONSTRAINT sign_in_code_purpose CHECK ((challenge_sha256 IS NULL) = (token_expires_at IS NULL))
);
CREATE INDEX sign_in_code_expires ON sign_in_code (expires_at);

-- The signature of a request that changes something. The API adds the row before it executes the
-- request, so that the same signature is refused a second time, and deletes it after `expires_at`.
CREATE TABLE used_request_signature (
    -- Over the access key and the signature.
    sha256     bytea       PRIMARY KEY CHECK (octet_length(sha256) = 32),
    -- The first moment at which the age of the request alone makes every API refuse it.
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_request_signature_expires ON used_request_signature (expires_at);

-- A request with an idempotency key, so that its repetition changes nothing and gets the same
-- answer. Added in the transaction of the change; the API deletes it after `expires_at`.
CREATE TABLE idempotency (
    project_id      text        NOT NULL,
    principal       text        NOT NULL,
    -- Chosen by the caller. Different principals may use the same key.
    idempotency_key text        NOT NULL,
    -- Over method, path and body: the same key with another request is refused.
    request_sha256  bytea       NOT NULL CHECK (octet_length(request_sha256) = 32),
    -- The id or the word that was answered. Empty only inside the transaction that adds the row.
    result          text        NOT NULL,
    -- 24 hours after the request.
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (project_id, principal, idempotency_key)
);
CREATE INDEX idempotency_expires ON idempotency (expires_at);


-- Scripts ---------------------------------------------------------------------------------------

-- A script of a project. Every save raises `revision` and adds a row of `script_revision`.
CREATE TABLE script (
    project_id  text        NOT NULL,
    script_id   uuid        NOT NULL,
    -- Never changes.
    script_type text        NOT NULL CHECK (script_type IN ('POWERSHELL', 'BAT', 'SHELL')),
    -- Number of the current revision, from 1.
    revision    int4        NOT NULL CHECK (revision > 0),
    -- Principal of the first save; never changes.
    created_by  text        NOT NULL,
    -- Time of the first save.
    create_time timestamptz NOT NULL,
    -- Time of the last save.
    update_time timestamptz NOT NULL,
    -- NULL while the script exists. A deleted script is hidden from the API; its rows stay for the
    -- tasks that pin its revisions.
    delete_time timestamptz,
    PRIMARY KEY (project_id, script_id)
);
-- The scripts of one author, newest first.
CREATE INDEX script_by_author ON script (project_id, created_by, script_id DESC);

-- One save of a script. Written once; tasks pin it by number.
CREATE TABLE script_revision (
    project_id  text        NOT NULL,
    script_id   uuid        NOT NULL,
    revision    int4        NOT NULL,
    -- Over type and content.
    sha256      bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    name        text        NOT NULL,
    description text        NOT NULL,
    -- Free text of the author; not the number of the revision.
    version     text        NOT NULL,
    content     text        NOT NULL,
    -- An array of domain::script::parameter::Parameter.
    parameters  jsonb       NOT NULL DEFAULT '[]',
    create_time timestamptz NOT NULL,
    PRIMARY KEY (project_id, script_id, revision)
);
-- Scripts are found by name.
CREATE INDEX script_revision_name ON script_revision (project_id, name);


-- Workers and desktops --------------------------------------------------------------------------

-- One run of a worker process. The scheduler adds the row at the first heartbeat, updates it at
-- every heartbeat, and deletes it when the worker leaves or stays silent. A deletion clears the
-- presence that the worker held.
CREATE TABLE worker (
    worker_id          text        PRIMARY KEY,
    -- Where agents reach the worker.
    address            text        NOT NULL,
    -- Targets that the worker accepts at the same time.
    capacity           int4        NOT NULL CHECK (capacity > 0),
    -- The worker takes no more work: by its own heartbeat, or because an operator requested it.
    draining           bool        NOT NULL,
    created_at         timestamptz NOT NULL,
    last_heartbeat_at  timestamptz NOT NULL,
    -- An operator's request to drain, and the operator; both NULL without a request. The worker
    -- gets the request with the answer to its next heartbeat. The request ends with the row.
    drain_requested_at timestamptz,
    drain_requested_by text,
    CONSTRAINT worker_drain_request_complete CHECK ((drain_requested_at IS NULL) = (drain_requested_by IS NULL))
);

-- A machine that can run scripts. Added at the first connection of its agent; presence is written
-- in bulk, on change. Never deleted.
CREATE TABLE desktop (
    project_id             text        NOT NULL,
    desktop_id             text        NOT NULL,
    -- The id in lower case and Unicode form NFC: ids that differ only in these are one desktop.
    canonical_id           text        NOT NULL,

    -- Facts from the agent, replaced at each connection.
    computer_name          text        NOT NULL,
    os_host_name           text        NOT NULL,
    -- Linux, Windows or macOS.
    os_type                text        NOT NULL,
    -- Name, version and kernel of the operating system. Empty: unknown.
    os_version             text        NOT NULL DEFAULT '',
    -- How the agent tracks the processes of scripts. NULL: unknown.
    containment            text        CHECK (containment IN ('CGROUP', 'JOB', 'MARK')),
    -- As the agent sees it.
    ip_address             text        NOT NULL,
    -- Empty: no pool.
    pool_id                text        NOT NULL,
    -- Empty: unknown.
    availability_zone      text        NOT NULL,
    -- IANA name, such as Europe/Berlin. Empty: unknown, and windows count it as UTC.
    time_zone              text        NOT NULL DEFAULT '',
    agent_version          text        NOT NULL,
    -- The id that the agent created at its first start. Empty: the agent has none.
    agent_id               text        NOT NULL DEFAULT '',
    -- Number of starts of the agent with this id, as it counts them; 0: it does not count. A lower
    -- number, or the same one of another run, belongs to a copied or restored data directory.
    incarnation            int8        NOT NULL DEFAULT 0 CHECK (incarnation >= 0),
    -- Random id of the agent's last start. Empty: the agent has none.
    run_id                 text        NOT NULL DEFAULT '',
    -- Id of the desktop's present boot, as its agent reports it. Empty: unknown. Only another id
    -- proves a reboot.
    boot_id                text        NOT NULL DEFAULT '',
    -- Ids of earlier agents of this desktop, oldest first; see domain::identity. None of them is
    -- accepted again.
    former_agent_ids       text[]      NOT NULL DEFAULT '{}',
    -- Until when the desktop has no room for orders: its agent gave one back. NULL: it never did
    -- since it connected. Time in the past: it has room, and earlier targets go first.
    full_until             timestamptz,

    -- Tags are JSON objects of texts. `tags` is the effective set, and the only one that selects
    -- desktops: the agent's tags, overruled by the operators'. Every statement that changes one of
    -- the other two writes `tags` as well.
    tags                   jsonb       NOT NULL,
    -- As the agent reported them last.
    agent_tags             jsonb       NOT NULL DEFAULT '{}',
    -- Set by operators; they stay when the agent connects again.
    operator_tags          jsonb       NOT NULL DEFAULT '{}',

    -- The worker that holds the connection; NULL while the desktop is disconnected.
    worker_id              text,
    -- When `worker_id` last changed from or to NULL. A move between workers is no change.
    presence_at            timestamptz NOT NULL,
    -- When the last connection was made, by the worker's time. What an older connection of the same
    -- agent reports later is ignored.
    connected_at           timestamptz NOT NULL DEFAULT 'epoch',

    -- The certificate of the last connection: serial number in hex, start and end of validity. All
    -- NULL without TLS.
    certificate_serial     text,
    certificate_not_before timestamptz,
    certificate_not_after  timestamptz,

    -- The last attach that the agent signed (domain::desktop::Attach): its number in this start of
    -- the agent, the SHA-256 of the statement, and the X25519 public key of the scheduler's answer.
    -- NULL until the desktop attaches with a certificate; from then on it never attaches or reports
    -- without.
    attach_number          int8        CHECK (attach_number > 0),
    attach_sha256          bytea       CHECK (octet_length(attach_sha256) = 32),
    attach_public_key      bytea       CHECK (octet_length(attach_public_key) = 32),
    -- Keys with which agents of the desktop authenticate results, latest first: the key's id (16
    -- bytes), and the key, encrypted if schedulers have a master key. An agent uses the latest; the
    -- others verify results that are still under way.
    session_keys           bytea[]     NOT NULL DEFAULT '{}',

    -- The worker that must end the connection of a revoked or retired desktop; NULL when no
    -- connection has to end. The desktop has no presence meanwhile.
    revoked_worker_id      text,
    -- Serial number of the certificate of that connection; empty for a connection without one. NULL
    -- if no connection ever had to end. Meaningless while `revoked_worker_id` is NULL.
    revoked_serial         text,

    -- Since when the desktop cannot connect, because the certificate that it presented last is
    -- revoked; NULL otherwise, and from the connection with a newer certificate on.
    revoked_at             timestamptz,
    -- Since when the desktop is out of service, and the principal that retired it; both NULL while
    -- it is in service. A retired desktop has no presence, and its agent is refused.
    retired_at             timestamptz,
    retired_by             text,

    -- Time of the first connection.
    created_at             timestamptz NOT NULL,
    PRIMARY KEY (project_id, desktop_id),
    CONSTRAINT desktop_retirement_complete CHECK ((retired_at IS NULL) = (retired_by IS NULL))
);
CREATE UNIQUE INDEX desktop_by_canonical_id ON desktop (project_id, canonical_id);
-- The desktops of a worker: counted in its list, cleared at its end.
CREATE INDEX desktop_by_worker ON desktop (worker_id) WHERE worker_id IS NOT NULL;
-- The connections that a worker must end.
CREATE INDEX desktop_revoked ON desktop (revoked_worker_id) WHERE revoked_worker_id IS NOT NULL;
-- Few rows: a retry leaves retired desktops out, and operators list them.
CREATE INDEX desktop_retired ON desktop (project_id, desktop_id) WHERE retired_at IS NOT NULL;
-- Targets that wait for a desktop end when it is retired or revoked.
CREATE INDEX desktop_by_retirement ON desktop (retired_at) WHERE retired_at IS NOT NULL;
CREATE INDEX desktop_by_revocation ON desktop (revoked_at) WHERE revoked_at IS NOT NULL;
-- Orders of the published list, and the search by name.
-- Desktops of an agent's version, and the versions of a project.
CREATE INDEX desktop_by_agent_version ON desktop (project_id, agent_version, desktop_id);
CREATE INDEX desktop_by_name ON desktop (project_id, computer_name, desktop_id) WHERE retired_at IS NULL;
CREATE INDEX desktop_by_creation ON desktop (project_id, created_at, desktop_id) WHERE retired_at IS NULL;


-- Tasks -----------------------------------------------------------------------------------------

-- The outcomes in the order of domain::outcome::Outcome::ALL. Tallies are arrays in this order.
CREATE TYPE outcome AS ENUM (
    'SUCCESS', 'FAILED', 'TIMEOUT', 'UNDELIVERED', 'REJECTED', 'UNKNOWN', 'NOT_RETURNED', 'STOPPED', 'SKIPPED'
);

-- One accepted execution request. Added with its scripts, waves and targets in one transaction,
-- before the id is returned; updated under the locks of its waves; deleted by retention. Every
-- table of a task leads its key with `task_id`.
CREATE TABLE task (
    -- The time in the id is the time of acceptance. It names the partition of targets and records.
    task_id              uuid        PRIMARY KEY,
    project_id           text        NOT NULL,
    -- See domain::task::TaskStatus.
    status               text        NOT NULL CHECK (status IN (
        'WAITING', 'RUNNING', 'HALTING', 'STOPPING', 'SUCCESS', 'FAILED', 'HALTED', 'STOPPED')),
    -- Running scripts are killed as well; while false, a halt or a stop only admits nothing more.
    -- Never reset.
    killing              bool        NOT NULL DEFAULT false,
    -- Reason of the halt or the stop, for people; NULL without one.
    halt_reason          text,

    -- The selection of the desktops.
    -- Always DESKTOP.
    resource_type        text        NOT NULL,
    -- A pool as the published API names it: the type is DESKTOP_POOL, the id that of the pool. Both
    -- NULL unless the desktops were selected by pool.
    resource_group_type  text,
    resource_group_id    text,
    -- The tag as the caller wrote it; NULL unless the desktops were selected by tag.
    desktop_tag          text,

    -- A command: its script type (POWERSHELL, BAT or SHELL) and its text. Both NULL for a task that
    -- runs scripts.
    command_type         text,
    command              text,
    -- Rows of the task in `task_script`; 1 for a command.
    script_count         int2        NOT NULL CHECK (script_count > 0),
    -- SHA-256 over everything that runs on a target, in order. Every task has one. An approval is
    -- bound to it.
    script_hash          bytea       CHECK (octet_length(script_hash) = 32),

    -- The plan: decided once, never changed.
    target_count         int4        NOT NULL CHECK (target_count > 0),
    -- Wave 1 is a gray wave.
    gray                 bool        NOT NULL,
    -- Seed of the sample; the bits of an unsigned number.
    plan_seed            int8        NOT NULL,
    -- SHA-256 over waves and order. An approval is bound to it.
    plan_hash            bytea       NOT NULL CHECK (octet_length(plan_hash) = 32),
    -- Why each target of the gray wave is in it: an array of {"ordinal", "reason"}.
    plan_picks           jsonb       NOT NULL,

    -- domain::policy::RolloutPolicy as JSON; NULL: all of its defaults.
    policy               jsonb,
    -- Targets in flight at the same time, at most; NULL: no limit. May change while the task runs.
    max_concurrency      int4        CHECK (max_concurrency > 0),
    -- How long one script may run.
    execution_timeout_ms int8        NOT NULL CHECK (execution_timeout_ms > 0),
    -- How long an admitted target waits for its delivery.
    delivery_timeout_ms  int8        NOT NULL CHECK (delivery_timeout_ms > 0),
    -- How long after the latest possible end of the last script a result may arrive.
    grace_ms             int8        NOT NULL CHECK (grace_ms >= 0),
    -- The scheduler stops the task at this time; running scripts go on. NULL: the task does not
    -- expire.
    expires_at           timestamptz,

    -- 1, and one more for each retry. All records of the task have this number.
    attempt              int2        NOT NULL,
    -- The task that this one retries; NULL: no retry. Retention may have deleted that task.
    retry_of             uuid,
    -- The one record that is retried; both NULL for all records that did not succeed.
    retry_of_ordinal     int4,
    retry_of_script      int2,

    -- The principal that submitted the task.
    created_by           text        NOT NULL DEFAULT '',
    -- Why, in the words of that principal, and the id of a ticket; empty without one.
    submit_reason        text        NOT NULL DEFAULT '',
    ticket               text        NOT NULL DEFAULT '',
    -- Trace of the submission: W3C traceparent and, after a space, tracestate. NULL: not sampled.
    trace_context        text        CHECK (length(trace_context) BETWEEN 55 AND 600),
    -- When a principal paused the task, and which; both NULL while it is not paused.
    paused_at            timestamptz,
    paused_by            text,

    created_at           timestamptz NOT NULL,
    -- When the first wave opened; NULL before.
    started_at           timestamptz,
    -- NULL until the status is final.
    ended_at             timestamptz,

    CONSTRAINT task_resource_group_complete CHECK ((resource_group_type IS NULL) = (resource_group_id IS NULL)),
    CONSTRAINT task_command_complete CHECK ((command IS NULL) = (command_type IS NULL)),
    CONSTRAINT task_retried_record_complete CHECK ((retry_of_ordinal IS NULL) = (retry_of_script IS NULL)
        AND (retry_of_ordinal IS NULL OR retry_of IS NOT NULL)),
    CONSTRAINT task_ended_with_final_status
        CHECK ((ended_at IS NOT NULL) = (status IN ('SUCCESS', 'FAILED', 'HALTED', 'STOPPED')))
);
-- Lists of a project, newest first.
CREATE INDEX task_by_project ON task (project_id, task_id DESC);
-- The tasks of one author, newest first.
CREATE INDEX task_by_author ON task (project_id, created_by, task_id DESC);
CREATE INDEX task_by_resource_group ON task (project_id, resource_group_id, task_id DESC)
    WHERE resource_group_id IS NOT NULL;
-- Halted tasks of a project, which wait for a person.
CREATE INDEX task_halted ON task (project_id, ended_at) WHERE status = 'HALTED';
CREATE INDEX task_by_ticket ON task (project_id, ticket, task_id DESC) WHERE ticket <> '';
-- The tasks that schedulers look at.
CREATE INDEX task_open ON task (task_id) WHERE status IN ('WAITING', 'RUNNING', 'HALTING', 'STOPPING');
-- Every submission counts the tasks of its project that have not ended.
CREATE INDEX task_open_by_project ON task (project_id) WHERE ended_at IS NULL;
CREATE INDEX task_expires_at ON task (expires_at) WHERE ended_at IS NULL AND expires_at IS NOT NULL;
-- Nothing is retried twice: a task, or one of its records, has at most one retry.
CREATE UNIQUE INDEX task_by_retry
    ON task (retry_of, coalesce(retry_of_ordinal, -1), coalesce(retry_of_script, -1::int2))
    WHERE retry_of IS NOT NULL;

-- A script that runs on each target of a task. Written once, with the task. A command is one row
-- without a script.
CREATE TABLE task_script (
    task_id   uuid NOT NULL,
    -- Place in the order of execution, from 0.
    script    int2 NOT NULL,
    -- The pinned revision of a script; both NULL for a command.
    script_id uuid,
    revision  int4,
    -- Name at that revision; empty for a command.
    name      text NOT NULL,
    -- Values of its parameters by name, with the defaults. Decided at the submission.
    parameters jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (task_id, script),
    CONSTRAINT task_script_revision_pinned CHECK ((script_id IS NULL) = (revision IS NULL))
);
CREATE INDEX task_script_by_script ON task_script (script_id, task_id) WHERE script_id IS NOT NULL;


-- Waves -----------------------------------------------------------------------------------------

-- A run of ordinals that opens, is judged and closes as a whole. Added with the task, and changed
-- by every admission and every report. The lock of the row serialises admission and the gate.
CREATE TABLE wave (
    task_id                     uuid   NOT NULL,
    -- Number of the wave, from 1.
    wave                        int2   NOT NULL CHECK (wave > 0),
    -- See domain::wave::WaveStatus.
    status                      text   NOT NULL
        CHECK (status IN ('PENDING', 'OPEN', 'CLOSED', 'HALTED', 'STOPPED')),
    -- The wave has the ordinals from `first_ordinal` to `first_ordinal + size - 1`.
    first_ordinal               int4   NOT NULL,
    size                        int4   NOT NULL CHECK (size > 0),

    -- Threshold of failures at which the gate halts: a count, or a share. All NULL: no threshold.
    fail_threshold              int4   CHECK (fail_threshold > 0),
    -- Share of the results so far, in hundredths of a percent; it counts once `min_results` targets
    -- have ended. Both NULL unless the threshold is a share.
    fail_threshold_basis_points int4   CHECK (fail_threshold_basis_points > 0),
    min_results                 int4   CHECK (min_results > 0),

    -- Targets, in the order of the plan, that admission has passed.
    cursor                      int4   NOT NULL DEFAULT 0,
    -- Targets that were admitted and not withdrawn: each of them ends with an outcome.
    admitted                    int4   NOT NULL DEFAULT 0,
    -- Admitted targets that are deferred and were certainly never delivered. They are not in
    -- flight.
    waiting                     int4   NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    -- Ended targets, and their records, by outcome: 8 numbers in the order of the type `outcome`.
    target_tally                int4[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0}',
    record_tally                int4[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0}',
    -- Ended targets that count as failures by the task's policy.
    failed                      int4   NOT NULL DEFAULT 0,
    -- Those of `failed` that halt the rollout at once.
    halting                     int4   NOT NULL DEFAULT 0,
    -- The last reason of the gate, or of the person who stopped the wave; NULL without one.
    verdict_reason              text,

    -- The wave does not open before this time: the previous wave soaks. NULL without a soak, and
    -- before the previous wave closes.
    opens_at                    timestamptz,
    -- Too few targets of the previous wave succeeded: the wave opens only after an approval, and
    -- the task stops at this time. NULL with enough successes, and before the previous wave closes.
    hold_until                  timestamptz,
    -- The wave does not open without an approval.
    needs_approval              bool   NOT NULL DEFAULT false,
    -- The approval and the principal that gave it; both NULL without one.
    approved_at                 timestamptz,
    approved_by                 text,
    -- Hashes of the task at the time of the approval. The approval counts only while the task has
    -- the same ones.
    approved_plan_hash          bytea,
    approved_script_hash        bytea,

    -- NULL until the wave opens.
    opened_at                   timestamptz,
    -- When the wave was closed, halted or stopped; NULL before.
    closed_at                   timestamptz,
    -- The wave was closed on a quorum, and some of its targets have not ended.
    is_trailing                 bool   NOT NULL DEFAULT false,

    PRIMARY KEY (task_id, wave),
    CONSTRAINT wave_one_kind_of_threshold CHECK ((fail_threshold_basis_points IS NULL) = (min_results IS NULL)
        AND (fail_threshold IS NULL OR fail_threshold_basis_points IS NULL)),
    CONSTRAINT wave_admitted_within_cursor_within_size
        CHECK (0 <= admitted AND admitted <= cursor AND cursor <= size),
    CONSTRAINT wave_approval_complete CHECK ((approved_at IS NULL) = (approved_by IS NULL)),
    CONSTRAINT wave_trailing_is_closed CHECK (NOT is_trailing OR status = 'CLOSED')
)
-- Each report updates the row: space for its next versions keeps them on the same page.
WITH (fillfactor = 50);
CREATE INDEX wave_open ON wave (task_id) WHERE status = 'OPEN';
CREATE INDEX wave_hold_until ON wave (hold_until) WHERE status = 'PENDING' AND hold_until IS NOT NULL;


-- Targets ---------------------------------------------------------------------------------------

-- One desktop of a task. Written once, with the plan. A target that was never admitted has no
-- other row. Partitioned by month; there is no DEFAULT partition, because nothing can be detached
-- beside one without blocking writers (see store::partition).
CREATE TABLE target (
    task_id      uuid NOT NULL,
    -- Place in the plan, from 0.
    ordinal      int4 NOT NULL,
    desktop_id   text NOT NULL,
    wave         int2 NOT NULL,
    -- The scripts before this place succeeded in the retried task and do not run again; 0: all
    -- scripts run.
    first_script int2 NOT NULL DEFAULT 0 CHECK (first_script >= 0),
    PRIMARY KEY (task_id, ordinal)
) PARTITION BY RANGE (task_id);
CREATE INDEX target_by_desktop ON target (desktop_id, task_id);

-- A target that a person stops. Added by the stop, and read by admission, by leases and by the
-- workers that hold the target; deleted with the end of the task.
CREATE TABLE target_stop (
    task_id    uuid        NOT NULL,
    ordinal    int4        NOT NULL,
    -- Nothing starts from this place on. Of several stops the earliest script counts.
    script     int2        NOT NULL CHECK (script >= 0),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, ordinal)
);


-- Live output -----------------------------------------------------------------------------------

-- A caller that reads the output of a running script. Refreshed by each read, and deleted some time
-- after the last one. Nobody watching means no rows. UNLOGGED, as the two tables below: a crash of
-- Postgres empties them, and the next read begins again.
CREATE UNLOGGED TABLE output_watch (
    task_id    uuid        NOT NULL,
    ordinal    int4        NOT NULL,
    script     int2        NOT NULL,
    principal  text        NOT NULL,
    project_id text        NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (task_id, ordinal, script, principal)
);
CREATE INDEX output_watch_by_project ON output_watch (project_id);

-- Live output of one script on one target, for all callers that read it.
CREATE UNLOGGED TABLE output_feed (
    task_id        uuid        NOT NULL,
    ordinal        int4        NOT NULL,
    script         int2        NOT NULL,
    attempt        int2        NOT NULL,
    project_id     text        NOT NULL,
    desktop_id     text        NOT NULL,
    -- Offsets in the bytes that the script has written: where the feed began, and the first byte
    -- that is missing.
    begin_offset   int8        NOT NULL CHECK (begin_offset >= 0),
    received_until int8        NOT NULL,
    -- Length of the whole output; NULL until the script has ended.
    end_offset     int8,
    -- The last answer of the desktop; NULL until it has answered.
    state          text        CHECK (state IN ('LIVE', 'UNSUPPORTED')),
    -- The end of the latest watch. The desktop sends nothing later.
    watched_until  timestamptz NOT NULL,
    PRIMARY KEY (task_id, ordinal, script)
);
CREATE INDEX output_feed_by_desktop ON output_feed (project_id, desktop_id);

-- A part of the output in a feed.
CREATE UNLOGGED TABLE output_chunk (
    task_id        uuid  NOT NULL,
    ordinal        int4  NOT NULL,
    script         int2  NOT NULL,
    content_offset int8  NOT NULL,
    content        bytea NOT NULL,
    PRIMARY KEY (task_id, ordinal, script, content_offset)
);


-- Batches ---------------------------------------------------------------------------------------

-- Targets of one wave for one worker. Added by admission or by a dispatch of deferred targets,
-- leased by the worker's pull, and deleted when all its targets have a record or left it. At any
-- time a target is in one batch, or deferred, or neither.
CREATE TABLE batch (
    task_id         uuid        NOT NULL,
    batch_id        uuid        NOT NULL,
    wave            int2        NOT NULL,
    -- The worker that leases the batch, or may lease it.
    worker_id       text        NOT NULL,
    -- Members, ascending by ordinal; the three arrays run in parallel. Ordinals are of the task.
    ordinals        int4[]      NOT NULL,
    -- A copy of `target`, so that a delivery reads no target again.
    desktop_ids     text[]      NOT NULL,
    -- The agent that each member is for: the one that was connected when the batch was formed.
    -- Orders go to that agent alone. Another agent of the desktop has no journal of the start and
    -- never gets a target that may have started. Empty: an agent without an id.
    agent_ids       text[]      NOT NULL,

    -- A READY batch becomes LEASED and never returns: reclaimed targets get a new batch.
    status          text        NOT NULL CHECK (status IN ('READY', 'LEASED')),
    -- Number of leases. It fences off a worker that lost its lease.
    epoch           int4        NOT NULL DEFAULT 0,
    -- Start of the lease; NULL while the batch is READY.
    leased_at       timestamptz,
    -- End of the lease, unless it is renewed; NULL while the batch is READY.
    lease_until     timestamptz,

    -- An earlier lease may have delivered the members. Without a result they then become UNKNOWN,
    -- and not UNDELIVERED.
    maybe_delivered bool        NOT NULL,
    -- The task admits nothing more: agents report what they know of the members and start nothing.
    query_only      bool        NOT NULL,
    -- Not leased until the task is resumed and its project unfrozen. Its deadlines stand still.
    suspended       bool        NOT NULL DEFAULT false,
    -- Some member is to be stopped. The scheduler repeats the stop to the worker until the member
    -- has ended.
    stop            bool        NOT NULL DEFAULT false,
    -- Workers that died while they held the members; see domain::quarantine.
    worker_deaths   int2        NOT NULL DEFAULT 0 CHECK (worker_deaths >= 0),
    -- Results counted so far: a hint when to check whether all members have ended.
    reported        int4        NOT NULL DEFAULT 0,

    -- Delivery deadline: nothing of the batch starts later.
    deliver_by      timestamptz NOT NULL,
    -- Finish deadline: a member without a result becomes UNKNOWN.
    finish_by       timestamptz NOT NULL,
    -- Until when a member waits for a connected desktop without room for it.
    wait_until      timestamptz NOT NULL,
    -- The script that each member is known to have started last: {ordinal: [script, start in Unix
    -- milliseconds]}. A hint; other ordinals mean nothing.
    started         jsonb       NOT NULL DEFAULT '{}',
    -- When the batch was formed: the oldest batch is leased first. A split keeps it.
    created_at      timestamptz NOT NULL,

    PRIMARY KEY (task_id, batch_id),
    CONSTRAINT batch_one_desktop_per_ordinal
        CHECK (cardinality(ordinals) = cardinality(desktop_ids) AND cardinality(ordinals) > 0),
    CONSTRAINT batch_one_agent_per_ordinal CHECK (cardinality(agent_ids) = cardinality(ordinals)),
    CONSTRAINT batch_lease_with_status CHECK ((lease_until IS NOT NULL) = (status = 'LEASED')),
    CONSTRAINT batch_query_only_if_maybe_delivered CHECK (maybe_delivered OR NOT query_only)
)
-- Small rows that are updated and deleted all the time: vacuum by their number alone.
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, fillfactor = 70);
-- Pulls: the oldest ready batch of a worker.
CREATE INDEX batch_by_worker ON batch (worker_id, status, created_at);
-- Duties of schedulers: expired leases and passed deadlines.
CREATE INDEX batch_lease ON batch (lease_until) WHERE status = 'LEASED';
CREATE INDEX batch_deliver_by ON batch (deliver_by) WHERE status = 'READY';
CREATE INDEX batch_finish_by ON batch (finish_by);
CREATE INDEX batch_stop ON batch (worker_id) WHERE stop;
-- Tasks to release after an unfreeze that was interrupted.
CREATE INDEX batch_suspended ON batch (task_id, deliver_by) WHERE suspended;


-- Deferred targets ------------------------------------------------------------------------------

-- An admitted target that waits for its desktop, its window or a place. Added by admission, or when
-- a batch is reclaimed and the desktop is disconnected; deleted when the target enters a batch, is
-- withdrawn or ends.
CREATE TABLE deferred_target (
    task_id         uuid        NOT NULL,
    ordinal         int4        NOT NULL,
    -- With `desktop_id`, the key of the desktop whose presence ends the wait.
    project_id      text        NOT NULL,
    desktop_id      text        NOT NULL,
    -- The agent that may have started the target; meaningless unless `maybe_delivered`.
    agent_id        text        NOT NULL DEFAULT '',
    wave            int2        NOT NULL,
    -- An earlier lease may have delivered the target; see `batch`.
    maybe_delivered bool        NOT NULL,
    -- Not dispatched until the task is resumed and its project unfrozen. Its deadlines stand still.
    suspended       bool        NOT NULL DEFAULT false,
    -- Workers that died while they held the target; see domain::quarantine.
    worker_deaths   int2        NOT NULL DEFAULT 0 CHECK (worker_deaths >= 0),
    -- When the window of the target opens; NULL: no window delays the target.
    not_before      timestamptz,
    -- Delivery and finish deadline; see `batch`.
    deliver_by      timestamptz NOT NULL,
    finish_by       timestamptz NOT NULL,
    -- Until when the target waits for its connected desktop without room for it.
    wait_until      timestamptz NOT NULL,
    -- The script that the target is known to have started last, and when; both NULL if none is.
    started_script  int2,
    started_at      timestamptz,
    PRIMARY KEY (task_id, ordinal),
    CONSTRAINT deferred_target_start_complete CHECK ((started_script IS NULL) = (started_at IS NULL))
);
CREATE INDEX deferred_target_by_desktop ON deferred_target (project_id, desktop_id);
CREATE INDEX deferred_target_deliver_by ON deferred_target (deliver_by);
-- Tasks to release after an unfreeze that was interrupted.
CREATE INDEX deferred_target_suspended ON deferred_target (task_id, deliver_by) WHERE suspended;


-- An awaited return: a target whose results are stored, and whose desktop still has to come back:
-- from a reboot, or with a version of its agent. Added with the acknowledged result under the
-- wave's lock; deleted when the target ends.
CREATE TABLE awaited_return (
    task_id        uuid        NOT NULL,
    ordinal        int4        NOT NULL,
    -- With `desktop_id`, the key of the desktop that is awaited.
    project_id     text        NOT NULL,
    desktop_id     text        NOT NULL,
    -- The agent that reported the results. Remaining scripts may start on this agent alone.
    agent_id       text        NOT NULL,
    wave           int2        NOT NULL,
    -- The boot before the reboot: another one is awaited. Empty: the agent announced no reboot, so
    -- the condition is never met. NULL: no reboot.
    boot_id        text,
    -- The version with which the agent has to be attached; NULL: any.
    agent_version  text,
    -- Until when the desktop has to be back; later the target ends as NOT_RETURNED.
    return_by      timestamptz NOT NULL,
    -- Number of results in `records`. Fewer than the scripts of the task: the others run after the
    -- return.
    results        int2        NOT NULL CHECK (results > 0),
    -- The results in the order of the scripts, which become records when the target ends.
    records        jsonb       NOT NULL,
    -- The desktop is back, and the remaining scripts were dispatched: the row only keeps the results.
    resumed        bool        NOT NULL DEFAULT false,
    PRIMARY KEY (task_id, ordinal),
    CONSTRAINT awaited_return_has_condition CHECK (boot_id IS NOT NULL OR agent_version IS NOT NULL)
);
CREATE INDEX awaited_return_return_by ON awaited_return (return_by) WHERE NOT resumed;


-- Records, failures and events ------------------------------------------------------------------

-- The final outcome of one script on one target. Written when the target ends, with all other
-- records of the target: a target has all its records or none. Only `late_result` is added later.
-- Records of targets that were never admitted are derived and not stored. Partitioned by month,
-- like `target`.
CREATE TABLE record (
    task_id        uuid    NOT NULL,
    ordinal        int4    NOT NULL,
    -- Place of the script in the task.
    script         int2    NOT NULL,
    -- That of the task.
    attempt        int2    NOT NULL,
    outcome        outcome NOT NULL,
    -- 128 plus the number of the signal if a signal ended the script. NULL if the agent killed the
    -- script, or it never started.
    exit_code      int4,
    -- Start and end by the agent's clock, which follows the database's. `started_at` is NULL if the
    -- script never started; `ended_at` is the time of the decision if no result arrived.
    started_at     timestamptz,
    ended_at       timestamptz NOT NULL,
    -- Output of the script: its start and its end, with a line that marks the omitted part.
    output         text    NOT NULL,
    -- Reason of the outcome, for people; empty for a success.
    reason         text    NOT NULL,
    -- The failure group of the record; NULL: the outcome is no failure by default.
    fingerprint_id int8,
    -- Absolute path of the program that ran the script; NULL if the script never started.
    interpreter    text,
    -- Number of the signal that ended the script; NULL: it ended otherwise.
    signal         int2    CHECK (signal > 0),
    -- How the agent tracked the script's processes; NULL if the script never started.
    containment    text    CHECK (containment IN ('CGROUP', 'JOB', 'MARK')),
    -- Processes that were alive after the end of the script: an array of {"pid", "command", "user",
    -- "survived_kill"}, at most 16. NULL: none is named.
    left_processes jsonb,
    -- Number of all these processes; NULL: none.
    left_processes_count int4 CHECK (left_processes_count > 0),
    -- domain::record::LateResult as JSON: the first result that arrived after the outcome was
    -- decided to be UNKNOWN. NULL: none did.
    late_result    jsonb CHECK (late_result IS NULL OR outcome = 'UNKNOWN'),
    -- The index alone answers the map of a task.
    PRIMARY KEY (task_id, ordinal, script, attempt) INCLUDE (outcome)
) PARTITION BY RANGE (task_id);
CREATE INDEX record_by_fingerprint ON record (task_id, fingerprint_id, ordinal) WHERE fingerprint_id IS NOT NULL;

-- Failures of one wave that share a fingerprint; see domain::fingerprint. Added or counted up in
-- the transaction that stores the records.
CREATE TABLE failure_group (
    task_id        uuid    NOT NULL,
    -- First 8 bytes of a SHA-256 over outcome, exit code and normalised output; 0 for all failures
    -- that found no place among the groups of the task.
    fingerprint_id int8    NOT NULL,
    wave           int2    NOT NULL,
    -- Of the first failure.
    outcome        outcome NOT NULL,
    -- Of the first failure; NULL if the agent killed the script, or it never started.
    exit_code      int4,
    -- The end of the output without its variable parts; the reason if the output is empty.
    fingerprint    text    NOT NULL,
    -- Number of records.
    records        int4    NOT NULL,
    -- Ordinal, script and end of the output of the first failure.
    sample_ordinal int4    NOT NULL,
    sample_script  int2    NOT NULL,
    sample         text    NOT NULL,
    PRIMARY KEY (task_id, fingerprint_id, wave)
);

-- An entry of a task's history, read by streams and explanations. Only added, under the locks of
-- the task's waves, so that the order of ids is the order of commits.
CREATE TABLE task_event (
    task_id  uuid        NOT NULL,
    -- A later event of the same task has a greater id; ids have gaps.
    event_id int8        NOT NULL GENERATED ALWAYS AS IDENTITY,
    at       timestamptz NOT NULL,
    -- See domain::event::EventKind.
    kind     text        NOT NULL,
    -- NULL: the event is of the whole task.
    wave     int2,
    -- The principal that caused the event; empty: the scheduler.
    actor    text        NOT NULL,
    -- For people.
    detail   text        NOT NULL,
    -- The transaction that added the event. Streams of a project read the events that a later
    -- moment shows in addition; see domain::stream_position.
    xact     xid8        NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (task_id, event_id)
);
CREATE INDEX task_event_by_xact ON task_event (xact);

-- A change of a task that a client may watch: one row for each transaction that changes a wave, the
-- status or targets. Only added, under the locks of the task's waves, and deleted minutes later by
-- the schedulers: all but the last row of a task that has not ended.
CREATE TABLE task_change (
    task_id    uuid        NOT NULL,
    -- Position in the changes of the task, from 1 and without gaps.
    version    int8        NOT NULL CHECK (version > 0),
    project_id text        NOT NULL,
    -- As in `task_event`.
    xact       xid8        NOT NULL DEFAULT pg_current_xact_id(),
    at         timestamptz NOT NULL,
    -- Targets were withdrawn, and the row does not name them: the map has to be read again.
    is_reset   bool        NOT NULL,
    -- Runs of targets that got another code: first ordinal, number of targets, and the byte of
    -- domain::map::MapCode. The three run in parallel.
    firsts     int4[]      NOT NULL,
    lengths    int4[]      NOT NULL,
    codes      bytea       NOT NULL,
    PRIMARY KEY (task_id, version),
    CONSTRAINT task_change_runs_parallel
        CHECK (cardinality(firsts) = octet_length(codes) AND cardinality(lengths) = octet_length(codes))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX task_change_by_xact ON task_change (xact);
CREATE INDEX task_change_at ON task_change (at);


-- Counts and places for lists --------------------------------------------------------------------

-- Lists show totals and skip to any offset without visiting the rows in between. A change of a
-- counted row adds a row to a log, in its own transaction and without a lock that another one
-- needs. The loop `projection` of the schedulers folds the logs. Readers add counts and log, so
-- that every answer is exact. See store::projection.

-- Rows of a project by kind and word, as of the last fold. Added and changed by the fold alone.
CREATE TABLE project_count (
    project_id text NOT NULL,
    -- TASK: tasks by status. DESKTOP: connected desktops, under the word CONNECTED.
    kind       text NOT NULL CHECK (kind IN ('TASK', 'DESKTOP')),
    word       text NOT NULL,
    number     int8 NOT NULL,
    PRIMARY KEY (project_id, kind, word)
);

-- A change of such a number. Added by triggers, deleted by the fold.
CREATE TABLE project_count_change (
    change_id  int8 NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id text NOT NULL,
    kind       text NOT NULL,
    word       text NOT NULL,
    number     int8 NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- A mark in the list of the desktops in service, about every 1,000th one, in one of the list's
-- orders. The desktops from a mark up to the next one are its own. Replaced by the fold.
CREATE TABLE desktop_mark (
    project_id    text        NOT NULL,
    sort          text        NOT NULL CHECK (sort IN ('ID', 'NAME', 'CREATED')),
    -- Sort keys of the first desktop. A key that the order has not is '-infinity' or empty; the
    -- first mark has only such keys.
    created_at    timestamptz NOT NULL,
    computer_name text        NOT NULL,
    desktop_id    text        NOT NULL,
    -- Number of desktops, as of the last fold.
    desktops      int4        NOT NULL CHECK (desktops >= 0),
    PRIMARY KEY (project_id, sort, created_at, computer_name, desktop_id)
);

-- A desktop that entered or left such a list, or its place before or after a new name. Added by
-- triggers, deleted by the fold.
CREATE TABLE desktop_change (
    change_id     int8        NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    text        NOT NULL,
    created_at    timestamptz NOT NULL,
    computer_name text        NOT NULL,
    desktop_id    text        NOT NULL,
    -- 1: entered; -1: left.
    desktops      int4        NOT NULL CHECK (desktops IN (1, -1))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX desktop_change_by_project ON desktop_change (project_id);

-- One trigger for each statement, because presence is written in bulk.
CREATE FUNCTION log_desktop_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO desktop_change (project_id, created_at, computer_name, desktop_id, desktops)
    SELECT project_id, created_at, computer_name, desktop_id, 1 FROM added WHERE retired_at IS NULL;
    INSERT INTO project_count_change (project_id, kind, word, number)
    SELECT project_id, 'DESKTOP', 'CONNECTED', count(*) FROM added WHERE worker_id IS NOT NULL GROUP BY project_id;
    RETURN NULL;
END $$;
CREATE FUNCTION log_desktop_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO desktop_change (project_id, created_at, computer_name, desktop_id, desktops)
    SELECT place.project_id, place.created_at, place.computer_name, place.desktop_id, place.desktops
    FROM removed o JOIN added n USING (project_id, desktop_id), LATERAL (
        SELECT o.project_id, o.created_at, o.computer_name, o.desktop_id, -1 AS desktops WHERE o.retired_at IS NULL
        UNION ALL
        SELECT n.project_id, n.created_at, n.computer_name, n.desktop_id, 1 WHERE n.retired_at IS NULL) AS place
    WHERE (o.retired_at IS NULL, o.computer_name) <> (n.retired_at IS NULL, n.computer_name);
    INSERT INTO project_count_change (project_id, kind, word, number)
    SELECT project_id, 'DESKTOP', 'CONNECTED', sum(connected) FROM (
        SELECT project_id, count(worker_id) AS connected FROM added GROUP BY project_id
        UNION ALL
        SELECT project_id, -count(worker_id) FROM removed GROUP BY project_id) AS both_sides
    GROUP BY project_id HAVING sum(connected) <> 0;
    RETURN NULL;
END $$;
CREATE FUNCTION log_desktop_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO desktop_change (project_id, created_at, computer_name, desktop_id, desktops)
    SELECT project_id, created_at, computer_name, desktop_id, -1 FROM removed WHERE retired_at IS NULL;
    INSERT INTO project_count_change (project_id, kind, word, number)
    SELECT project_id, 'DESKTOP', 'CONNECTED', -count(*) FROM removed WHERE worker_id IS NOT NULL GROUP BY project_id;
    RETURN NULL;
END $$;
CREATE TRIGGER desktop_insert_logged AFTER INSERT ON desktop REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION log_desktop_insert();
CREATE TRIGGER desktop_update_logged AFTER UPDATE ON desktop REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION log_desktop_update();
CREATE TRIGGER desktop_delete_logged AFTER DELETE ON desktop REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION log_desktop_delete();

-- Which records of a task are the newest of their script on their desktop, for 1,024 targets. A
-- part without such a record has no row. Written by the projection alone.
CREATE TABLE newest_record (
    project_id text        NOT NULL,
    task_id    uuid        NOT NULL,
    -- The part has the ordinals from `1024 * part` on.
    part       int4        NOT NULL CHECK (part >= 0),
    -- One bit for each record, in the order of the list: 1 if no later task of the project runs the
    -- script on the desktop. Always 1 for a command.
    newest     bit varying NOT NULL,
    records    int4        NOT NULL GENERATED ALWAYS AS (bit_count(newest)) STORED,
    PRIMARY KEY (project_id, task_id, part) INCLUDE (records)
);

-- A task whose records `newest_record` does not show yet. Added with the task, or again for a
-- repair; deleted by the projection.
CREATE TABLE unprojected_task (
    task_id    uuid        PRIMARY KEY,
    project_id text        NOT NULL,
    -- Since when its records wait: the acceptance of the task, or the request of the repair.
    waits_since timestamptz NOT NULL,
    -- Earliest time of the next attempt; NULL: no attempt has failed.
    retry_at    timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX unprojected_task_by_project ON unprojected_task (project_id, task_id);

CREATE FUNCTION log_task_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO project_count_change (project_id, kind, word, number) VALUES (OLD.project_id, 'TASK', OLD.status, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO project_count_change (project_id, kind, word, number) VALUES (NEW.project_id, 'TASK', NEW.status, 1);
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO unprojected_task (task_id, project_id, waits_since) VALUES (NEW.task_id, NEW.project_id, NEW.created_at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER task_row_logged AFTER INSERT OR DELETE ON task FOR EACH ROW EXECUTE FUNCTION log_task_change();
CREATE TRIGGER task_status_logged AFTER UPDATE OF status ON task FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION log_task_change();


-- Limits and freezes of projects ----------------------------------------------------------------

-- Limits over all tasks of a project. Added with the first change of a limit; a project without a
-- row has no limit. The lock of the row serialises the admissions of the project.
CREATE TABLE project_limit (
    project_id              text PRIMARY KEY,
    -- Targets of all tasks in flight at the same time, at most; NULL: no limit.
    max_in_flight           int4 CHECK (max_in_flight > 0),
    -- Scripts that one desktop runs at the same time, at most; NULL: no limit.
    max_running_per_desktop int2 CHECK (max_running_per_desktop > 0),
    -- Calls that read the content of scripts or the output of records are audited.
    audit_reads             bool NOT NULL DEFAULT false,
    -- Guardrails: requirements of new tasks; see domain::guardrails. NULL or false: not required.
    -- Desktops in the first wave, at most.
    require_canary_above    int4 CHECK (require_canary_above > 0),
    require_threshold       bool NOT NULL DEFAULT false,
    -- Share of a task's desktops in one wave, at most, in basis points (0.01 %).
    max_wave_basis_points   int4 CHECK (max_wave_basis_points BETWEEN 1 AND 10000),
    require_reason          bool NOT NULL DEFAULT false,
    -- Desktops that start before the first wave with an approval, at most.
    require_approval_above  int4 CHECK (require_approval_above >= 0)
);

-- A frozen project: its tasks admit nothing. Added by a freeze and deleted by an unfreeze.
CREATE TABLE project_freeze (
    project_id text        PRIMARY KEY,
    frozen_at  timestamptz NOT NULL,
    -- The principal that froze the project.
    frozen_by  text        NOT NULL,
    -- In the words of that principal.
    reason     text        NOT NULL,
    -- Id of a ticket; empty without one.
    ticket     text        NOT NULL DEFAULT ''
);


-- Enrolment of desktops -------------------------------------------------------------------------

-- A secret with which a bounded number of machines can enrol as desktops. Created once, counted up
-- by each enrolment, revoked at most once, never deleted.
CREATE TABLE enrolment_token (
    token_id   uuid        PRIMARY KEY,
    project_id text        NOT NULL REFERENCES project,
    -- The one desktop that may enrol; NULL: any desktop of the project.
    desktop_id text,
    -- What the token fixes of its desktops, over the facts of their agents. NULL: not fixed.
    pool_id    text,
    availability_zone text,
    -- Operator tags that its desktops begin with.
    tags       jsonb       NOT NULL DEFAULT '{}',
    -- Ed25519 key that the token's secret derives; the secret is stored nowhere.
    public_key bytea       NOT NULL CHECK (octet_length(public_key) = 32),
    max_uses   int4        NOT NULL CHECK (max_uses > 0),
    uses       int4        NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- NULL while the token is not revoked.
    revoked_at timestamptz,
    CONSTRAINT enrolment_token_uses_within_max CHECK (uses BETWEEN 0 AND max_uses)
);
CREATE INDEX enrolment_token_by_project ON enrolment_token (project_id, token_id);

-- What an enrolment fixed of a desktop, over the facts of its agent. A desktop may have no row in
-- `desktop` yet.
CREATE TABLE desktop_assignment (
    project_id        text  NOT NULL,
    desktop_id        text  NOT NULL,
    -- NULL: not fixed.
    pool_id           text,
    availability_zone text,
    -- Operator tags of a new desktop.
    tags              jsonb NOT NULL,
    PRIMARY KEY (project_id, desktop_id)
);

-- A certificate of a desktop that an issuer signed; certificates made by hand have no row. Added by
-- an enrolment or a renewal, which also deletes certificates of the desktop that ended long ago.
CREATE TABLE desktop_certificate (
    project_id        text        NOT NULL,
    desktop_id        text        NOT NULL,
    -- Serial number in hex, as `openssl x509 -serial` prints it, without colons.
    serial            text        NOT NULL,
    -- Of the desktop's key. A repeated request with the same key gets the same certificate.
    public_key_sha256 bytea       NOT NULL CHECK (octet_length(public_key_sha256) = 32),
    -- The certificate, then the intermediate ones up to the CA, each in DER.
    chain             bytea[]     NOT NULL,
    -- The token of the enrolment; NULL for a renewal.
    token_id          uuid        REFERENCES enrolment_token,
    issued_at         timestamptz NOT NULL,
    not_after         timestamptz NOT NULL,
    -- NULL while the certificate is not revoked.
    revoked_at        timestamptz,
    PRIMARY KEY (project_id, desktop_id, serial)
);

-- The last revocation of a desktop's certificates. It covers certificates without a row in
-- `desktop_certificate` whose validity started by then. Never deleted.
CREATE TABLE desktop_revocation (
    project_id text        NOT NULL,
    desktop_id text        NOT NULL,
    revoked_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, desktop_id)
);

-- A certificate that every process refuses although it is valid. Deleted when its certificate has
-- expired, at the next change of the list.
CREATE TABLE denied_certificate (
    -- In hex: lower case, without colons and leading zeros.
    serial     text        PRIMARY KEY CHECK (serial ~ '^[0-9a-f]{1,40}$'),
    -- As in the certificate; empty if the operator did not name it.
    identity   text        NOT NULL,
    reason     text        NOT NULL,
    denied_by  text        NOT NULL,
    denied_at  timestamptz NOT NULL,
    -- Of the certificate, or an upper bound.
    expires_at timestamptz NOT NULL
);

-- The version of the list, in one row. Each change of the list raises it.
CREATE TABLE deny_list (
    is_only_row bool PRIMARY KEY DEFAULT true CHECK (is_only_row),
    version     int8 NOT NULL DEFAULT 0
);
INSERT INTO deny_list DEFAULT VALUES;


-- Audit -----------------------------------------------------------------------------------------

-- A change, or a refused or failed call. A change adds its entry in its own transaction. Append
-- only: entries leave only when retention drops their month. Partitioned by month.
CREATE TABLE audit (
    audit_id   uuid        NOT NULL,
    -- Empty for an entry of the cluster, which belongs to no project.
    project_id text        NOT NULL,
    at         timestamptz NOT NULL,
    -- The principal; or `configuration`, `database`, `enrolment` or `certificate` for a caller that
    -- is no principal of the project.
    principal  text        NOT NULL,
    -- token:ID, key:ACCESS_KEY, certificate:SERIAL, or another name of the caller's credential.
    credential text        NOT NULL,
    -- Name of the operation, as in policies.
    action     text        NOT NULL,
    -- The changed object, such as task:ID; the path of a refused call.
    resource   text        NOT NULL,
    result     text        NOT NULL CHECK (result IN ('DONE', 'REFUSED', 'FAILED')),
    -- Empty if the result is DONE.
    reason     text        NOT NULL,
    -- Where the call came from, as far as it is known.
    source     text        NOT NULL,
    -- Empty for a change that came with no request.
    request_id text        NOT NULL,
    -- A JSON object, as domain::audit wrote it: `json` keeps the bytes, which a seal covers.
    details    json        NOT NULL DEFAULT '{}',
    PRIMARY KEY (audit_id)
) PARTITION BY RANGE (audit_id);
CREATE INDEX audit_by_project ON audit (project_id, audit_id DESC);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- An entry that waits for its seal. The statement that adds an entry adds this row, so that an
-- entry is found from its commit on, however late that is. A scheduler deletes the row with the
-- seal.
CREATE TABLE audit_unsealed (
    project_id text NOT NULL,
    audit_id   uuid NOT NULL,
    PRIMARY KEY (project_id, audit_id)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

-- The last seal of a chain: of a project, or of the cluster with an empty `project_id`. The lock of
-- the row keeps two schedulers from adding two seals with one number.
CREATE TABLE audit_chain (
    project_id text  PRIMARY KEY,
    -- Number of the last seal; 0 before the first one.
    seal       int8  NOT NULL CHECK (seal >= 0),
    -- Hash of the last seal; zeros before the first one.
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 50);

-- The certificate of a signer of seals or checkpoints. Append only.
CREATE TABLE audit_signer (
    sha256      bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    -- In DER.
    certificate bytea NOT NULL
);
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_signer
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- A seal over entries of a chain; see domain::audit::Seal. Append only: seals leave with the
-- entries of their month. Partitioned by month.
CREATE TABLE audit_seal (
    -- UUIDv7 of the time of the seal, greater than the ids of its entries.
    seal_id       uuid        NOT NULL,
    project_id    text        NOT NULL,
    -- Number in the chain, from 1.
    seal          int8        NOT NULL CHECK (seal > 0),
    at            timestamptz NOT NULL,
    -- Hash of the seal before it; zeros for the first one.
    previous_hash bytea       NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash          bytea       NOT NULL CHECK (octet_length(hash) = 32),
    -- The sealed entries, and the SHA-256 of each, one after another.
    audit_ids     uuid[]      NOT NULL,
    entry_hashes  bytea       NOT NULL,
    -- The row of `audit_signer`, and the signature; both NULL from a scheduler without TLS.
    signer_sha256 bytea,
    signature     bytea,
    PRIMARY KEY (seal_id),
    CONSTRAINT audit_seal_signature_complete CHECK ((signer_sha256 IS NULL) = (signature IS NULL))
) PARTITION BY RANGE (seal_id);
CREATE INDEX audit_seal_by_chain ON audit_seal (project_id, seal);
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- The start of a chain without its deleted months; see domain::audit::Checkpoint. Stored before
-- they are deleted. Append only, and never deleted.
CREATE TABLE audit_checkpoint (
    project_id    text        NOT NULL,
    -- First id of the oldest month that is kept.
    kept_from     uuid        NOT NULL,
    at            timestamptz NOT NULL,
    -- Number and hash of the last seal with a smaller id; 0 and zeros without one.
    seal          int8        NOT NULL,
    hash          bytea       NOT NULL CHECK (octet_length(hash) = 32),
    -- As in `audit_seal`.
    signer_sha256 bytea,
    signature     bytea,
    PRIMARY KEY (project_id, kept_from),
    CONSTRAINT audit_checkpoint_signature_complete CHECK ((signer_sha256 IS NULL) = (signature IS NULL))
);
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();


-- Partitions of the months around now -----------------------------------------------------------

-- The months of domain::retention::months_in_use, so that the tables take rows before a scheduler
-- maintains their partitions. A partition is named after its table and month (UTC), and its bounds
-- are the first ids of two months: a UUIDv7 begins with 48 bits of Unix milliseconds.
DO $$
DECLARE
    whole text;
    month record;
BEGIN
    FOR month IN
        SELECT to_char(start, '_YYYY_MM') AS suffix,
               rpad(lpad(to_hex((extract(epoch FROM start) * 1000)::int8), 12, '0'), 32, '0')::uuid AS first_id,
               rpad(lpad(to_hex((extract(epoch FROM start + interval '1 month') * 1000)::int8), 12, '0'), 32, '0')::uuid
                   AS next_id
        FROM generate_series(date_trunc('month', now() AT TIME ZONE 'UTC' - interval '1 day'),
                             now() AT TIME ZONE 'UTC' + interval '3 months', '1 month') AS start
    LOOP
        FOREACH whole IN ARRAY ARRAY['target', 'record', 'audit', 'audit_seal'] LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                whole || month.suffix, whole, month.first_id, month.next_id);
        END LOOP;
        -- The trigger of the whole table does not fire for a statement that names a partition.
        FOREACH whole IN ARRAY ARRAY['audit', 'audit_seal'] LOOP
            EXECUTE format('CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                            FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()', whole || month.suffix);
        END LOOP;
    END LOOP;
END $$;
