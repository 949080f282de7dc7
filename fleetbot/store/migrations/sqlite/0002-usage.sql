-- What each run used, beside its JSON, for sums by agent, task, repository and day.

ALTER TABLE runs ADD COLUMN ended_at       BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN input_tokens   BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN output_tokens  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cached_tokens  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cost_usd       DOUBLE PRECISION;

UPDATE runs SET
    ended_at      = coalesce(json_extract(data, '$.ended_at'), 0),
    input_tokens  = coalesce(json_extract(data, '$.usage.input_tokens'), 0),
    output_tokens = coalesce(json_extract(data, '$.usage.output_tokens'), 0),
    cached_tokens = coalesce(json_extract(data, '$.usage.cached_tokens'), 0),
    cost_usd      = json_extract(data, '$.usage.cost_usd');

CREATE INDEX runs_ended ON runs (ended_at);
