-- Plain SQL that SQLite and PostgreSQL both speak. Times are microseconds since 1970, UTC.

-- An alert is an event of a case.
ALTER TABLE alerts ADD COLUMN case_id TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN family TEXT NOT NULL DEFAULT '';
CREATE INDEX alerts_by_case ON alerts (case_id, time, id);

-- Alerts from before cases: each is the only event of a case that is not kept.
UPDATE alerts SET case_id = id, family = CASE
    WHEN substr(rule, 1, 1) = 'A' THEN 'access'
    WHEN substr(rule, 1, 1) = 'B' THEN 'privilege'
    WHEN substr(rule, 1, 1) = 'C' THEN 'tampering'
    WHEN substr(rule, 1, 1) = 'D' THEN 'execution'
    WHEN substr(rule, 1, 1) = 'E' THEN 'injection'
    WHEN substr(rule, 1, 1) = 'F' AND rule < 'F08' THEN 'exfiltration'
    WHEN substr(rule, 1, 1) = 'F' THEN 'impact'
    ELSE 'behaviour' END;
UPDATE alerts SET body = '{"case_id":"' || case_id || '","change":"opened","family":"' || family
    || '","cause":"","models":[],' || substr(body, 2);

-- What detection tells of a case, and in the same row what people decided about it.
CREATE TABLE cases (
    id TEXT PRIMARY KEY NOT NULL,
    opened BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    recorded BIGINT NOT NULL,
    severity BIGINT NOT NULL,
    identity TEXT,
    instance TEXT NOT NULL,
    family TEXT NOT NULL,
    rule TEXT NOT NULL,
    signals BIGINT NOT NULL,
    search TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    owner TEXT,
    verdict TEXT,
    reason TEXT,
    note TEXT,
    decided_by TEXT,
    decided BIGINT,
    reopened BIGINT
);
CREATE INDEX cases_by_updated ON cases (updated, id);
CREATE INDEX cases_by_identity ON cases (identity, updated, id);
CREATE INDEX cases_by_status ON cases (status, severity, updated, id);

-- Decisions that enter the stream; those not yet published are the outbox of the bus.
CREATE TABLE decisions (
    id TEXT PRIMARY KEY NOT NULL,
    sequence BIGINT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    author TEXT NOT NULL,
    created BIGINT NOT NULL,
    begins BIGINT NOT NULL,
    expires BIGINT,
    case_id TEXT,
    withdrawn BIGINT,
    published BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX decisions_unpublished ON decisions (sequence) WHERE published = 0;
CREATE INDEX decisions_by_kind ON decisions (kind, created, id);
CREATE INDEX decisions_by_case ON decisions (case_id, created, id);
