//! Bad input gets one clear message that names the place and the cure, and loses nothing.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::binary::{Process, Querywatch, path_text};
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
    let misused = |arguments: &[&str]| {
        let output = querywatch.run(arguments);
        assert_eq!(output.status.code(), Some(2), "wrong usage has an exit code of its own");
        String::from_utf8(output.stderr).expect("text")
    };
    let message = misused(&["ingest", "--data", "data", "--format", "xml", "a.csv"]);
    assert_message(&message, &["`xml`", "postgresql_csvlog", "auto"]);
    let prefix = ["--format", "postgresql_stderr", "--log-line-prefix", "%a%u%d"];
    let mut arguments = vec!["ingest", "--data", "data"];
    arguments.extend(prefix);
    arguments.push("a.csv");
    let message = misused(&arguments);
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
fn doctor_finds_what_run_refuses() {
    let querywatch = Querywatch::new();
    let log = querywatch.folder().join("log");
    std::fs::create_dir(&log).expect("a folder");
    std::fs::write(log.join("a.csv"), audited(1)).expect("written");
    let channel = "[[respond.channels]]\nname = \"soc\"\n\
                   webhook.secrets = [{ env = \"QW_SECRET\" }]\n";
    let cases = [
        ("https://soc.example.com/", "no secret", "QW_SECRET"),
        ("http://soc.example.com/", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "https"),
    ];
    for (url, secret, named) in cases {
        let settings = querywatch.settings(&log, &format!("{channel}webhook.url = \"{url}\"\n"));
        for command in ["doctor", "run"] {
            let mut command = querywatch.command(&[command, "--config", path_text(&settings)]);
            let output = command.env("QW_SECRET", secret).output().expect("it starts");
            let told = [&output.stdout[..], &output.stderr[..]].concat();
            let told = String::from_utf8_lossy(&told);
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.contains(named), "`{named}` is not in: {told}");
        }
    }
    let settings = querywatch.settings(&log, "[lake]\nzstd_level = 99\n");
    let message = querywatch.fail(&["config", "check", path_text(&settings)]);
    assert_message(&message, &["lake.zstd_level", "99", "1 to 22"]);
}

#[test]
fn a_second_demo_leaves_the_first_alone() {
    let querywatch = Querywatch::new();
    let child = querywatch.command(&["demo", "--data", "demo"]).stdout(Stdio::null()).spawn();
    let mut first = Process(child.expect("it starts"));
    let lock = querywatch.folder().join("demo/data/lake/lake.lock");
    let until = Instant::now() + Duration::from_secs(60);
    while !lock.exists() {
        assert!(Instant::now() < until, "the demo did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let message = querywatch.fail(&["demo", "--once", "--data", "demo"]);
    assert_message(&message, &["a demo is running", "--data", "process"]);
    assert!(first.try_wait().expect("a child").is_none() && lock.exists());
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let querywatch = Querywatch::new();
    std::fs::write(querywatch.folder().join("a.csv"), audited(1).repeat(50_000)).expect("written");
    for arguments in [&["rules", "list"][..], &["config", "defaults"], &["parse", "a.csv"]] {
        let mut command = querywatch.command(arguments);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), told.as_ref()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn wrong_usage_has_an_exit_code_of_its_own() {
    let querywatch = Querywatch::new();
    assert_eq!(querywatch.run(&["ingest"]).status.code(), Some(2));
    assert_eq!(querywatch.run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(querywatch.run(&["--version"]).status.code(), Some(0));
}
