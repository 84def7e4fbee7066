-- The agent that each target of a batch is for: the one that its desktop was connected with when the batch was cut. An order
-- goes to that agent alone, and what that agent may have started is never handed to another one of the same desktop, which
-- has no journal of it.
ALTER TABLE batch ADD COLUMN agent_ids text[];
-- What is under way now is with the agents that are connected now.
UPDATE batch b SET agent_ids = (
    SELECT array_agg(coalesce(d.agent_id, '') ORDER BY m.place)
    FROM unnest(b.desktop_ids) WITH ORDINALITY AS m (desktop_id, place)
    JOIN task k ON k.task_id = b.task_id
    LEFT JOIN desktop d ON d.project_id = k.project_id AND d.desktop_id = m.desktop_id);
ALTER TABLE batch
    ALTER COLUMN agent_ids SET NOT NULL,
    ADD CHECK (cardinality(agent_ids) = cardinality(ordinals));

-- The agent that may have started the target; without meaning where it was certainly never handed out.
ALTER TABLE straggler ADD COLUMN agent_id text NOT NULL DEFAULT '';
UPDATE straggler s SET agent_id = d.agent_id
FROM desktop d WHERE d.project_id = s.project_id AND d.desktop_id = s.desktop_id;
