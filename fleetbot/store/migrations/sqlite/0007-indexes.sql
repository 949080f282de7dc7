-- Indexes of what is asked for only: an effect that was superseded or delivered is not looked for by
-- what it says, nor a run that is not over by when it ended.

DROP INDEX outbox_collapse;
CREATE INDEX outbox_collapse ON outbox (destination, collapse)
    WHERE collapse IS NOT NULL AND state IN ('pending', 'dead');

DROP INDEX runs_ended;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at > 0;
