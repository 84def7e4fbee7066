-- Workers that die of what they hold, agents that claim a desktop that is connected, and more submissions than are done.

ALTER TABLE batch
    -- Workers that died while they held its targets; see domain::suspect.
    ADD COLUMN losses int2 NOT NULL DEFAULT 0 CHECK (losses >= 0),
    -- When its worker got it.
    ADD COLUMN leased_at timestamptz;
ALTER TABLE straggler ADD COLUMN losses int2 NOT NULL DEFAULT 0 CHECK (losses >= 0);

-- The agent that connected last, by the id that it made for itself when it first started; empty for one that has none.
ALTER TABLE desktop
    ADD COLUMN agent_id text NOT NULL DEFAULT '',
    -- When that connection was made: what an older one still says of the desktop is of no interest.
    ADD COLUMN connected_at timestamptz NOT NULL DEFAULT 'epoch';

-- How many tasks of a project have not ended is asked at every submission.
CREATE INDEX task_open_by_project ON task (project_id) WHERE ended_at IS NULL;
