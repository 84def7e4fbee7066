-- The object `rollout`: thresholds as percentages and over the whole task, what counts, strict mode, concurrency.

ALTER TABLE task
    -- domain::policy::GatePolicy; NULL where the task says nothing.
    ADD COLUMN policy jsonb,
    -- May be changed while the task runs.
    ADD COLUMN max_concurrency int4 CHECK (max_concurrency > 0);

ALTER TABLE wave
    -- Instead of a count: hundredths of a percent of the results so far, once so many are in.
    ADD COLUMN fail_percent int4 CHECK (fail_percent > 0),
    ADD COLUMN min_results int4 CHECK (min_results > 0),
    -- Targets that count as failures, and those that halt at once, by the task's policy.
    ADD COLUMN failed int4 NOT NULL DEFAULT 0,
    ADD COLUMN halting int4 NOT NULL DEFAULT 0,
    ADD CONSTRAINT wave_threshold CHECK (
        (fail_percent IS NULL) = (min_results IS NULL) AND (fail_threshold IS NULL OR fail_percent IS NULL));

-- FAILED, TIMEOUT, UNDELIVERED, REJECTED, UNKNOWN.
UPDATE wave SET failed = target_tally[2] + target_tally[3] + target_tally[4] + target_tally[5] + target_tally[6];
