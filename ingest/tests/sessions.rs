//! What a connection said of itself stands on every event of its session.

use ingest::{Stream, StreamSettings};

use crate::support::{Output, file, of_format, read, received};

const CONNECT: &str = "\
2025-03-02 10:11:12.000 UTC [42] LOG:  connection received: host=10.1.2.3 port=51022
2025-03-02 10:11:12.010 UTC [42] LOG:  connection authenticated: identity=\"app\" method=md5 (f:1)
2025-03-02 10:11:12.020 UTC [42] LOG:  connection authorized: user=app database=shop \
application_name=puma: 1 [x] SSL enabled (protocol=TLSv1.3, cipher=C, bits=256)
";

const SELECT: &str =
    "2025-03-02 10:11:13.000 UTC [42] LOG:  AUDIT: SESSION,1,1,READ,SELECT,,,select 1,<none>\n";

const DISCONNECT: &str = "2025-03-02 10:11:14.000 UTC [42] LOG:  disconnection: session time: \
0:00:02.000 user=app database=shop host=10.1.2.3 port=51022\n";

#[test]
fn facts_of_the_connection_are_on_its_statements() {
    let log = [CONNECT, SELECT, DISCONNECT, SELECT].concat();
    let events = read(of_format("postgresql_stderr"), log.as_bytes()).events();
    assert_eq!(events.len(), 6);
    let select = &events[3];
    for (column, value) in [
        ("user", "app"),
        ("database", "shop"),
        ("application", "puma: 1 [x]"),
        ("client_address", "10.1.2.3"),
        ("tls", "TLSv1.3"),
        ("authentication", "md5"),
        ("session", "42"),
        ("command", "SELECT"),
    ] {
        assert_eq!(select[column], value, "{column}");
    }
    assert_eq!(select["client_port"], 51022);
    assert_eq!(events[4]["duration_us"], 2_000_000);
    assert_eq!(events[4]["action"], "logout");
    // The process number is free again: whoever has it next is somebody else.
    assert!(events[5]["user"].is_null());
}

#[test]
fn sessions_outlive_the_rotation_of_files() {
    let mut stream = Stream::new(of_format("postgresql_stderr"));
    let mut output = Output::default();
    stream.feed(file(), 0, CONNECT.as_bytes(), true, received());
    stream.feed(event::EventId::of(&[b"next"]), 0, SELECT.as_bytes(), true, received());
    while let Some(decoded) = stream.take(true) {
        output.batches.push(decoded.events);
    }
    assert_eq!(output.matching(&[("command", "SELECT"), ("user", "app")]).len(), 1);
}

#[test]
fn forgotten_sessions_are_counted() {
    let mut log = String::new();
    for process in 0..100 {
        log += &SELECT.replace("[42]", &format!("[{process}]"));
    }
    let settings = StreamSettings { sessions_max: 10, ..of_format("postgresql_stderr") };
    let output = read(settings, log.as_bytes());
    assert_eq!(output.counts.events, 100);
    assert!(output.counts.sessions_evicted >= 90, "{:?}", output.counts);
}
