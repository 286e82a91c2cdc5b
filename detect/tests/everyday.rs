//! An everyday day without attacks, which looks like attacks to who only reads statements; and,
//! close to it, what is none of its work.

mod support;

use event::alert::Severity;
use event::{Alert, Case};

use support::{DAY, HOUR, MINUTE, Stream, detector, observe};

/// What one account does with one program, as (command, statement).
type Work<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

const MIGRATIONS: &[Work<'_>] = &[
    (
        "alembic",
        "",
        &[
            ("SELECT", "SELECT pg_catalog.version()"),
            ("SELECT", "SELECT alembic_version.version_num FROM alembic_version"),
            ("CREATE TABLE", "CREATE TABLE app.invoices (id int)"),
            ("ALTER TABLE", "ALTER TABLE app.orders ADD COLUMN note text"),
            ("DROP TABLE", "DROP TABLE app.legacy_orders"),
            ("UPDATE", "UPDATE app.orders SET note = ''"),
            ("DROP INDEX", "DROP INDEX ix_orders"),
            ("UPDATE", "UPDATE alembic_version SET version_num='b2' WHERE version_num = 'a1'"),
        ],
    ),
    (
        "django",
        "",
        &[
            ("SELECT", "SELECT app, name FROM django_migrations"),
            ("ALTER TABLE", "ALTER TABLE \"shop_item\" ADD COLUMN \"active\" boolean"),
            ("UPDATE", "UPDATE \"shop_item\" SET \"active\" = true"),
            ("UPDATE", "UPDATE \"shop_item\" SET \"slug\" = lower(\"name\")"),
            ("DELETE", "DELETE FROM \"django_session\""),
            ("DROP TABLE", "DROP TABLE \"shop_old\" CASCADE"),
        ],
    ),
    (
        "rails",
        "bin/rails",
        &[
            ("SELECT", "SELECT pg_try_advisory_lock(2909179839)"),
            ("SELECT", "SELECT \"schema_migrations\".\"version\" FROM \"schema_migrations\""),
            ("DROP TABLE", "DROP TABLE \"carts\""),
            ("UPDATE", "UPDATE \"users\" SET \"locale\" = 'en'"),
        ],
    ),
    (
        "flyway",
        "Flyway by Redgate",
        &[
            ("SELECT", "SELECT * FROM \"public\".\"flyway_schema_history\""),
            ("DELETE", "delete from prices"),
            ("DROP TABLE", "DROP TABLE IF EXISTS app.tmp_import"),
            ("DROP VIEW", "drop view v_orders"),
            ("CREATE FUNCTION", "create function f() returns int language sql as $$ select 1 $$"),
            ("GRANT", "grant select on all tables in schema public to readers"),
        ],
    ),
];

const TOOLS: &[Work<'_>] = &[
    ("pgbouncer", "", &[("SELECT", "SELECT usename, passwd FROM pg_shadow WHERE usename=$1")]),
    (
        "dana",
        "pgAdmin 4 - DB:shop",
        &[
            ("SELECT", "SELECT rolname, rolcreaterole FROM pg_catalog.pg_roles"),
            ("SELECT", "SELECT r.oid, r.*, r.rolpassword FROM pg_roles r ORDER BY r.rolname"),
            ("SELECT", "SELECT set_config('bytea_output','hex',false) FROM pg_settings"),
            ("SELECT", "select rolname, rolsuper from pg_authid order by rolname"),
        ],
    ),
    (
        "dana",
        "DBeaver 24.1.0 - Main",
        &[
            ("SELECT", "SELECT db.oid, db.* FROM pg_catalog.pg_database db"),
            ("SELECT", "SELECT r.*, shobj_description(r.oid, 'pg_authid') FROM pg_roles r"),
        ],
    ),
    ("reporting", "pg_dump", &[("COPY", "COPY app.orders (id, note) TO stdout;")]),
    (
        "sync",
        "airbyte",
        &[("COPY", "COPY (SELECT id, note FROM app.orders WHERE id > 100) TO STDOUT")],
    ),
    (
        "monitor",
        "postgres_exporter",
        &[
            ("SELECT", "SELECT count(*), sum(size) FROM pg_ls_waldir()"),
            ("SELECT", "SELECT (pg_stat_file('base/pgsql_tmp')).modification"),
            ("SELECT", "SELECT * FROM pg_stat_activity"),
        ],
    ),
    (
        "postgres",
        "Patroni",
        &[
            ("SELECT", "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_current_wal_lsn()"),
            ("CREATE ROLE", PATRONI),
            ("SELECT", " SELECT * FROM pg_catalog.pg_authid WHERE rolname = 'replicator'"),
            ("CREATE ROLE", "CREATE ROLE replicator WITH REPLICATION LOGIN PASSWORD <REDACTED>"),
        ],
    ),
    (
        "dana",
        "psql",
        &[
            ("ALTER SYSTEM", "ALTER SYSTEM SET log_statement = 'all'"),
            ("ALTER SYSTEM", "alter system set log_min_duration_statement to 0"),
        ],
    ),
    (
        "shop",
        "shop",
        &[
            ("UPDATE", "UPDATE products SET price = price * 1.02"),
            ("DELETE", "DELETE FROM sessions WHERE expires < now()"),
            ("DELETE", "DELETE FROM queue WHERE id IN (SELECT id FROM queue LIMIT 100)"),
        ],
    ),
    (
        "vault",
        "",
        &[
            ("CREATE ROLE", "CREATE ROLE \"v-token-abc\" WITH LOGIN PASSWORD <REDACTED>"),
            ("GRANT", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"v-token-abc\""),
        ],
    ),
];

/// How Patroni makes the account of its replicas.
const PATRONI: &str = "DO $$
BEGIN
    SET local synchronous_commit = 'local';
    PERFORM * FROM pg_catalog.pg_authid WHERE rolname = 'replicator';
    IF FOUND THEN
        ALTER ROLE replicator WITH REPLICATION LOGIN PASSWORD 'x';
    ELSE
        CREATE ROLE replicator WITH REPLICATION LOGIN PASSWORD 'x';
    END IF;
END;$$";

/// A suite of tests: it makes its tables, empties them after each test, and drops them.
fn suite(day: i64) -> Stream {
    let mut stream = Stream::new("ci", "10.0.3.4", "pytest");
    let mut time = day * DAY + 6 * HOUR;
    let mut run = |command: &str, statement: &str| {
        time += MINUTE / 60;
        stream.run(time, command, statement);
    };
    for number in 0..5 {
        run("CREATE DATABASE", &format!("CREATE DATABASE \"test_shop_{number}\""));
        let tables = ["items", "orders", "users", "carts", "prices", "tags"];
        for table in tables {
            run("CREATE TABLE", &format!("create table {table} (id int)"));
        }
        run("TRUNCATE TABLE", "TRUNCATE items, orders, users RESTART IDENTITY CASCADE");
        for table in tables {
            run("DELETE", &format!("delete from {table}"));
        }
        for table in tables {
            run("DROP TABLE", &format!("drop table {table}"));
        }
        run("DROP DATABASE", &format!("DROP DATABASE \"test_shop_{number}\""));
    }
    stream
}

/// Staging tables that are emptied and filled.
fn load() -> Stream {
    let mut stream = Stream::new("loader", "10.0.3.4", "airflow");
    for (minute, table) in ('a'..='t').enumerate() {
        let (time, schema) = (HOUR + minute as i64 * MINUTE, ["stage", "staging"][minute % 2]);
        stream.run(time, "TRUNCATE TABLE", &format!("truncate table {schema}.t_{table}"));
        let copy = format!("copy {schema}.t_{table} from stdin with (format csv)");
        stream.run(time, "COPY", &copy);
    }
    stream
}

#[test]
fn an_everyday_day_has_no_critical_case_and_three_at_most() {
    let mut detector = detector();
    let (mut cases, mut alerts) = (Vec::<Case>::new(), Vec::<Alert>::new());
    let mut streams = vec![load(), suite(0)];
    let mut time = 9 * HOUR;
    for (user, application, acts) in MIGRATIONS.iter().chain(TOOLS) {
        let mut stream = Stream::new(user, "10.0.3.4", application);
        for (command, statement) in *acts {
            time += MINUTE;
            stream.run(time, command, statement);
        }
        streams.push(stream);
    }
    for stream in &streams {
        let observed = observe(&mut detector, stream);
        alerts.extend(observed.alerts);
        for case in observed.cases {
            cases.retain(|known| known.id != case.id);
            cases.push(case);
        }
    }
    let told: Vec<_> = alerts
        .iter()
        .map(|alert| (alert.severity, &alert.rule, &alert.identity, &alert.statement))
        .collect();
    assert!(alerts.iter().all(|alert| alert.severity < Severity::Critical), "{told:#?}");
    assert!(cases.len() <= 3 && alerts.len() <= 4, "{told:#?}");
}

#[test]
fn a_suite_of_tests_stays_quiet_for_weeks() {
    let mut detector = detector();
    for day in 0..21 {
        let alerts = observe(&mut detector, &suite(day)).alerts;
        let rules: Vec<_> = alerts.iter().map(|alert| (&alert.rule, &alert.statement)).collect();
        assert_eq!(rules, [], "day {day}");
    }
}

/// The severity in which F08 tells of the last of these statements.
fn told(user: &str, application: &str, acts: &[(i64, &str, &str)]) -> Option<Severity> {
    let mut stream = Stream::new(user, "10.0.3.4", application);
    for (hour, command, statement) in acts {
        stream.run(hour * HOUR, command, statement);
    }
    let alerts = observe(&mut detector(), &stream).alerts;
    let (_, _, last) = acts.last()?;
    let alert = alerts.iter().find(|alert| alert.statement.as_deref() == Some(last));
    alert.filter(|alert| alert.rule == "F08").map(|alert| alert.severity)
}

#[test]
fn who_made_a_table_may_empty_it_on_the_same_day() {
    let make = (0, "CREATE TABLE", "create table app.customers (id int)");
    let empty = |hour| (hour, "DELETE", "delete from app.customers");
    assert_eq!(told("shop", "shop", &[make, empty(1)]), None);
    assert_eq!(told("shop", "shop", &[make, empty(25)]), Some(Severity::High), "the next day");
    assert_eq!(told("ana", "psql", &[make, empty(1)]), Some(Severity::High), "a person");
    for (command, sql) in [
        ("CREATE INDEX", "create index i on app.customers (id)"),
        ("CREATE TRIGGER", "create trigger t after insert on app.customers execute function f()"),
        ("CREATE POLICY", "create policy p on app.customers"),
    ] {
        let told = told("shop", "shop", &[(0, command, sql), empty(1)]);
        assert_eq!(told, Some(Severity::High), "{command} makes nobody its owner");
    }
    let other = (1, "DELETE", "delete from app.orders");
    assert_eq!(told("shop", "shop", &[make, other]), Some(Severity::High), "another table");
}

#[test]
fn every_row_is_told_by_who_changes_it_and_to_what() {
    let list = (0, "SELECT", "select version_num from alembic_version");
    let update = |sql| (1, "UPDATE", sql);
    let (prices, wipe) =
        (update("update products set price = price * 1.02"), update("update t set card = null"));
    assert_eq!(told("shop", "shop", &[prices]), Some(Severity::Medium));
    assert_eq!(told("ana", "psql", &[prices]), Some(Severity::High), "a person");
    assert_eq!(told("shop", "shop", &[wipe]), Some(Severity::High));
    let one_of_two = update("update t set at = now(), card = $1");
    assert_eq!(told("shop", "shop", &[one_of_two]), Some(Severity::High));
    let encrypt = update("update t set card = pgp_sym_encrypt(card, 'k')");
    assert_eq!(told("shop", "shop", &[encrypt]), Some(Severity::High));
    let delete = (1, "DELETE", "delete from products");
    assert_eq!(told("shop", "shop", &[delete]), Some(Severity::High));
    assert_eq!(told("shop", "alembic", &[list, wipe]), None, "a migration");
    assert_eq!(told("ana", "psql", &[list, wipe]), Some(Severity::Medium), "by a person");
}

/// Anybody can call themselves Patroni: what Patroni does is told less gravely, no more.
#[test]
fn only_the_text_of_patroni_is_eased_and_only_by_a_step() {
    let severities = |application: &str, statement: &str| {
        let mut stream = Stream::new("postgres", "10.0.3.4", application);
        stream.run(0, "CREATE ROLE", statement);
        let alerts = observe(&mut detector(), &stream).alerts;
        alerts.iter().map(|alert| (alert.rule.clone(), alert.severity)).collect::<Vec<_>>()
    };
    let b01 = |severity| vec![("B01".to_owned(), severity)];
    assert_eq!(severities("Patroni", PATRONI), b01(Severity::High));
    assert_eq!(severities("psql", PATRONI), b01(Severity::Critical));
    let other = "create role backdoor superuser login password <REDACTED>";
    assert_eq!(severities("Patroni", other), b01(Severity::Critical));
    let more = PATRONI.replace("END IF;", "END IF; ALTER ROLE bo SUPERUSER;");
    assert_eq!(severities("Patroni", &more), b01(Severity::Critical));
    let reads = PATRONI.replace("END IF;", "END IF; INSERT INTO t SELECT * FROM pg_shadow;");
    let rules: Vec<_> = severities("Patroni", &reads).into_iter().map(|(rule, _)| rule).collect();
    assert!(rules.contains(&"E08".to_owned()), "{rules:?}");
}
