-- Operators' tags of a desktop beside those of its agent, and desktops that are out of service.

ALTER TABLE desktop
    -- What its agent said last. `tags` is what counts: these, overruled by the operators'.
    ADD COLUMN agent_tags    jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN operator_tags jsonb NOT NULL DEFAULT '{}',
    -- It is out of service since then, by the word of this principal: it has no presence, and its agent is refused.
    ADD COLUMN retired_at    timestamptz,
    ADD COLUMN retired_by    text,
    ADD CHECK ((retired_at IS NULL) = (retired_by IS NULL));
UPDATE desktop SET agent_tags = tags;
-- They are few: who retries a task leaves them out, and an operator lists them.
CREATE INDEX desktop_retired ON desktop (project_id, desktop_id) WHERE retired_at IS NOT NULL;
