-- Plain SQL that SQLite and PostgreSQL both speak. Times are microseconds since 1970, UTC.

CREATE TABLE alerts (
    id TEXT PRIMARY KEY NOT NULL,
    time BIGINT NOT NULL,
    recorded BIGINT NOT NULL,
    rule TEXT NOT NULL,
    severity BIGINT NOT NULL,
    identity TEXT,
    instance TEXT NOT NULL,
    search TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX alerts_by_time ON alerts (time, id);
CREATE INDEX alerts_by_identity ON alerts (identity, time, id);
CREATE INDEX alerts_by_rule ON alerts (rule, time, id);
CREATE INDEX alerts_by_severity ON alerts (severity, time, id);

-- The outbox: one row for each alert and channel, written with the alert.
CREATE TABLE deliveries (
    alert TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    severity BIGINT NOT NULL,
    time BIGINT NOT NULL,
    recorded BIGINT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_attempt BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL,
    PRIMARY KEY (alert, channel)
);
CREATE INDEX deliveries_pending ON deliveries (channel, severity DESC, time, alert)
    WHERE status = 'pending';
CREATE INDEX deliveries_by_status ON deliveries (channel, status);

CREATE TABLE attempts (
    alert TEXT NOT NULL,
    channel TEXT NOT NULL,
    number BIGINT NOT NULL,
    time BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (alert, channel, number),
    FOREIGN KEY (alert, channel) REFERENCES deliveries (alert, channel) ON DELETE CASCADE
);

-- Channels whose receiver said that it is gone.
CREATE TABLE disabled_channels (
    channel TEXT PRIMARY KEY NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    since BIGINT NOT NULL
);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    last_used BIGINT,
    revoked BIGINT
);
CREATE UNIQUE INDEX tokens_by_living_name ON tokens (name) WHERE revoked IS NULL;
