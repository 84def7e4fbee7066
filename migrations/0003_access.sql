-- Who may call and what was done: projects, principals, credentials, policies, audit, idempotency.

CREATE TABLE project (
    project_id  text        PRIMARY KEY,
    name        text        NOT NULL,
    created_at  timestamptz NOT NULL,
    -- A revoked project's credentials are refused; its rows stay.
    revoked_at  timestamptz
);

-- A person or a service that calls. `policies` names ready policies and the project's own.
CREATE TABLE principal (
    project_id text        NOT NULL REFERENCES project,
    principal  text        NOT NULL,
    policies   text[]      NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, principal)
);

CREATE TABLE policy (
    project_id text        NOT NULL REFERENCES project,
    policy     text        NOT NULL,
    document   jsonb       NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, policy)
);

-- Bearer tokens: only their hash.
CREATE TABLE token (
    token_id   uuid        PRIMARY KEY,
    project_id text        NOT NULL,
    principal  text        NOT NULL,
    sha256     bytea       NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    FOREIGN KEY (project_id, principal) REFERENCES principal
);
CREATE INDEX token_by_project ON token (project_id, token_id);

-- Keys that sign: the secret is needed to check a signature, so it is encrypted, not hashed.
CREATE TABLE access_key (
    access_key    text        PRIMARY KEY,
    project_id    text        NOT NULL,
    principal     text        NOT NULL,
    -- Nonce, ciphertext and tag, under the master key of that id.
    sealed_secret bytea       NOT NULL,
    master_key_id text        NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    FOREIGN KEY (project_id, principal) REFERENCES principal
);
CREATE INDEX access_key_by_project ON access_key (project_id, access_key);

-- Signatures of calls that change something, for as long as a clock difference allows them to be sent again.
CREATE TABLE used_signature (
    sha256     bytea       PRIMARY KEY CHECK (octet_length(sha256) = 32),
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_signature_expires ON used_signature (expires_at);

-- What a call with an Idempotency-Key did, so that its repetition does nothing and is answered the same.
CREATE TABLE idempotency (
    project_id      text        NOT NULL,
    principal       text        NOT NULL,
    idempotency_key text        NOT NULL,
    -- Of method, path and body.
    request_sha256  bytea       NOT NULL CHECK (octet_length(request_sha256) = 32),
    -- The id that was answered; empty until the transaction that claimed the key commits.
    result          text        NOT NULL,
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (project_id, principal, idempotency_key)
);
CREATE INDEX idempotency_expires ON idempotency (expires_at);

CREATE TABLE audit (
    -- UUIDv7: ordered by time.
    audit_id   uuid        PRIMARY KEY,
    project_id text        NOT NULL,
    at         timestamptz NOT NULL,
    principal  text        NOT NULL,
    -- token:ID or key:ACCESS_KEY
    credential text        NOT NULL,
    action     text        NOT NULL,
    -- What it was done to, or the path of a call that was refused.
    resource   text        NOT NULL,
    result     text        NOT NULL CHECK (result IN ('DONE', 'REFUSED', 'FAILED')),
    -- Empty when it was done.
    reason     text        NOT NULL,
    source     text        NOT NULL,
    request_id text        NOT NULL
);
CREATE INDEX audit_by_project ON audit (project_id, audit_id DESC);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
