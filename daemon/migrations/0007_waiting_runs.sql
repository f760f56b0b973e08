-- A run that waits for its automation's run before it has a row of its own, so that it can be
-- cancelled. Those that waited without one get theirs.
ALTER TABLE runs ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
INSERT INTO runs (id, automation_id, state, final, scheduled_for, queued_at, run, automation, waiting)
SELECT o.run_id, o.automation_id, 'queued', 0, o.scheduled_at * 1000, o.recorded_at,
    json_object('id', o.run_id, 'automation_id', o.automation_id, 'attempt', 1, 'trigger', 'schedule',
        'scheduled_for', o.scheduled_at * 1000, 'rule_revision', a.revision,
        'prompt_version', a.spec -> '$.prompt_version', 'agent', a.spec ->> '$.agent',
        'queued_at', o.recorded_at, 'state', json_object('state', 'queued')),
    json_set(a.spec, '$.prompt', a.prompt), 1
FROM occurrences o JOIN automations a ON a.id = o.automation_id WHERE o.state = 'waiting'
ON CONFLICT (id) DO NOTHING;
