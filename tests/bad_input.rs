//! Bad input gets one clear message that names the place and the cure, and loses nothing.

use crate::binary::{Querywatch, path_text};
use crate::csvlog::audited;

/// The message holds each of these, and is one line.
#[track_caller]
fn assert_message(message: &str, parts: &[&str]) {
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 1, "one message: {message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn a_file_that_is_not_there() {
    let querywatch = Querywatch::new();
    let message = querywatch.fail(&["ingest", "--data", "data", "nowhere.csv"]);
    assert_message(&message, &["nowhere.csv", "cannot be read", "No such file"]);
    let message = querywatch.fail(&["parse", "nowhere.csv"]);
    assert_message(&message, &["nowhere.csv", "cannot be read"]);
}

#[test]
fn a_file_that_gives_no_event() {
    let querywatch = Querywatch::new();
    let file = querywatch.folder().join("notes.txt");
    std::fs::write(&file, "these are\nnot the logs\nyou look for\n").expect("written");
    let output = querywatch.run(&["ingest", "--data", "data", path_text(&file)]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("notes.txt") && text.contains("--format"), "{text}");
    let kept = querywatch.number("SELECT count(*) FROM rejects");
    assert!(kept >= 1, "the bytes are kept");
}

#[test]
fn a_wrong_format_or_prefix() {
    let querywatch = Querywatch::new();
    std::fs::write(querywatch.folder().join("a.csv"), audited(1)).expect("written");
    let message = querywatch.fail(&["ingest", "--data", "data", "--format", "xml", "a.csv"]);
    assert_message(&message, &["`xml`", "postgresql_csvlog", "auto"]);
    let prefix = ["--format", "postgresql_stderr", "--log-line-prefix", "%a%u%d"];
    let mut arguments = vec!["ingest", "--data", "data"];
    arguments.extend(prefix);
    arguments.push("a.csv");
    let message = querywatch.fail(&arguments);
    assert_message(&message, &["log_line_prefix", "%a%u%d"]);
}

#[test]
fn a_malformed_setting() {
    let querywatch = Querywatch::new();
    let file = querywatch.folder().join("wrong.toml");
    std::fs::write(&file, "[query]\naddres = \"127.0.0.1:1\"\n").expect("written");
    let output = querywatch.run(&["config", "check", path_text(&file)]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["wrong.toml", "line 2", "addres", "address"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn a_malformed_rule() {
    let querywatch = Querywatch::new();
    let file = querywatch.folder().join("broken.yml");
    std::fs::write(&file, "title: broken\ndetection:\n  selection: {\n").expect("written");
    let message = querywatch.fail(&["rules", "check", path_text(&file)]);
    assert_message(&message, &["broken.yml"]);
}

#[test]
fn a_port_in_use() {
    let querywatch = Querywatch::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let log = querywatch.folder().join("log");
    std::fs::create_dir(&log).expect("a folder");
    let settings = querywatch.settings(&log, "");
    let text = std::fs::read_to_string(&settings).expect("settings");
    let text = text.replace("127.0.0.1:0", &address.to_string());
    std::fs::write(&settings, text).expect("written");
    let message = querywatch.fail(&["run", "--config", path_text(&settings)]);
    assert_message(&message, &[&address.to_string(), "query.address"]);
}

#[test]
fn a_data_folder_in_use() {
    let querywatch = Querywatch::new();
    let log = querywatch.folder().join("log");
    std::fs::create_dir(&log).expect("a folder");
    std::fs::write(log.join("a.csv"), audited(1)).expect("written");
    let settings = querywatch.settings(&log, "");
    let running = querywatch.start(&settings);
    let lock = querywatch.data().join("lake");
    while !lock.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let data = querywatch.data();
    let message = querywatch.fail(&["ingest", "--data", path_text(&data), path_text(&log)]);
    drop(running);
    assert_message(message.trim_end(), &["lake", "written by process", "another data folder"]);
}

#[test]
fn wrong_usage_has_an_exit_code_of_its_own() {
    let querywatch = Querywatch::new();
    assert_eq!(querywatch.run(&["ingest"]).status.code(), Some(2));
    assert_eq!(querywatch.run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(querywatch.run(&["--version"]).status.code(), Some(0));
}
