-- How desktops get certificates and lose them: enrolment tokens, the certificates that were made, revocations.

-- Whoever has one may become a desktop: only their hash.
CREATE TABLE enrolment_token (
    token_id   uuid        PRIMARY KEY,
    project_id text        NOT NULL REFERENCES project,
    -- The one desktop that it is for; any when it is missing.
    desktop_id text,
    sha256     bytea       NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    max_uses   int4        NOT NULL CHECK (max_uses > 0),
    uses       int4        NOT NULL DEFAULT 0 CHECK (uses BETWEEN 0 AND max_uses),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX enrolment_token_by_project ON enrolment_token (project_id, token_id);

-- What an issuer has signed. Those that are made by hand are not here.
CREATE TABLE desktop_certificate (
    project_id        text        NOT NULL,
    desktop_id        text        NOT NULL,
    -- In hex, as `openssl x509 -serial` has it but for its colons.
    serial            text        NOT NULL,
    public_key_sha256 bytea       NOT NULL CHECK (octet_length(public_key_sha256) = 32),
    -- It, and what lies between it and the CA, in DER: who asks again with the same key is answered the same.
    chain             bytea[]     NOT NULL,
    -- The token that it was enrolled with; missing when it renews another one.
    token_id          uuid REFERENCES enrolment_token,
    issued_at         timestamptz NOT NULL,
    not_after         timestamptz NOT NULL,
    revoked_at        timestamptz,
    PRIMARY KEY (project_id, desktop_id, serial)
);

-- The last revocation of each desktop: certificates of it that are not known and begin before are refused.
CREATE TABLE desktop_revocation (
    project_id text        NOT NULL,
    desktop_id text        NOT NULL,
    revoked_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, desktop_id)
);

ALTER TABLE desktop
    -- The certificate that its last connection was made with; missing without TLS.
    ADD COLUMN certificate_serial     text,
    ADD COLUMN certificate_not_before timestamptz,
    ADD COLUMN certificate_not_after  timestamptz,
    -- The worker that held its connection when it was revoked, until that worker has told that it ended, with the certificate's
    -- serial number. Meanwhile it has no presence.
    ADD COLUMN revoked_worker_id      text,
    ADD COLUMN revoked_serial         text;
CREATE INDEX desktop_revoked ON desktop (revoked_worker_id) WHERE revoked_worker_id IS NOT NULL;
