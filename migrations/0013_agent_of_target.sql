-- The agent that each target of a batch is for: the one that its desktop was connected with when the batch was cut. An order
-- goes to that agent alone, and what that agent may have started is never handed to another one of the same desktop, which
-- has no journal of it.
ALTER TABLE batch ADD COLUMN agent_ids text[];
UPDATE batch SET agent_ids = array_fill(''::text, ARRAY[cardinality(ordinals)]);
ALTER TABLE batch
    ALTER COLUMN agent_ids SET NOT NULL,
    ADD CHECK (cardinality(agent_ids) = cardinality(ordinals));

-- The agent that may have started the target; without meaning where it was certainly never handed out.
ALTER TABLE straggler ADD COLUMN agent_id text NOT NULL DEFAULT '';
