-- Which automation a plan in the outbox is of, so that a newer one takes its place.
CREATE INDEX outbox_plans ON outbox (event ->> '$.payload.id')
    WHERE event ->> '$.type' = 'automation_changed' AND quarantined IS NULL;
