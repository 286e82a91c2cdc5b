//! The channel that appends to a file: private, durable, whole lines, never anything but a file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use event::alert::Severity;
use respond::channel::file::FileSettings;
use respond::channel::{Channel, ChannelKind, Opening, SendError};
use respond::{ChannelSettings, Limits, Notification, RespondError};
use serde_json::Value;

use crate::{Stage, alert, folder, second, until};

fn open(path: &Path) -> Result<Box<dyn Channel>, RespondError> {
    let path = path.to_str().expect("UTF-8").to_owned();
    let kind = ChannelKind::new(&FileSettings { path }).expect("settings");
    kind.open(&Opening { name: "shipper", limits: &Limits::default() })
}

async fn send(channel: &dyn Channel, number: u64) -> Result<(), SendError> {
    let note = Notification { alert: alert(number, Severity::High), time: second(9) };
    channel.send(&note).await.map(drop)
}

/// Seconds of the events in the file; what is no JSON is -1.
fn lines(path: &Path) -> Vec<i64> {
    let text = fs::read_to_string(path).expect("read");
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let time = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let id = line["id"].as_str()?;
        assert_eq!(id, format!("alert_{}", line["data"]["id"].as_str()?));
        let time = event::Timestamp::parse(line["timestamp"].as_str()?)?;
        Some(time.0 / 1_000_000)
    };
    text.lines().map(|line| time(line).unwrap_or(-1)).collect()
}

#[tokio::test]
async fn case_events_become_lines_of_a_private_file() {
    let folder = folder();
    let path = folder.path().join("cases.ndjson");
    let kind = ChannelKind::new(&FileSettings { path: path.to_str().expect("UTF-8").into() });
    let settings = ChannelSettings::new("shipper", kind.expect("settings"));
    let stage = Stage::start(&folder, vec![settings], 1_000).await;
    assert!(!path.exists(), "nothing is made before there is something to say");
    let mut hostile = alert(7, Severity::Critical);
    hostile.statement = Some("select '\n{\"id\":\"forged\"}\r\u{2028}\0'".into());
    let alerts = [hostile, alert(1, Severity::Low), alert(2, Severity::Low)];
    stage.respond.record(&alerts, &[]).await.expect("recorded");
    until("three lines", || async { path.exists() && lines(&path).len() == 3 }).await;
    let mut found = lines(&path);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 7], "one line each, whatever is in it");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    until("an empty outbox", || async {
        stage.state.pending("shipper").await.expect("counted") == 0
    })
    .await;
    stage.stop().await;
}

#[tokio::test]
async fn rotated_file_is_followed_by_a_new_one_and_torn_line_is_ended() {
    let folder = folder();
    let (path, rotated) = (folder.path().join("cases"), folder.path().join("cases.1"));
    let channel = open(&path).expect("opened");
    for number in [1, 2] {
        send(&*channel, number).await.expect("appended");
    }
    fs::rename(&path, &rotated).expect("renamed");
    send(&*channel, 3).await.expect("appended");
    assert_eq!((lines(&rotated), lines(&path)), (vec![1, 2], vec![3]));
    fs::remove_file(&path).expect("removed");
    send(&*channel, 4).await.expect("appended");
    assert_eq!(lines(&path), [4]);
    // Truncated in place, and a line that a crash had left unfinished.
    fs::write(&path, "{\"id\":\"alert_00").expect("written");
    send(&*channel, 5).await.expect("appended");
    let again = open(&path).expect("opened");
    send(&*again, 6).await.expect("appended");
    send(&*channel, 7).await.expect("appended");
    assert_eq!(lines(&path), [-1, 5, 6, 7]);
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_at_the_start_and_later() {
    let folder = folder();
    let (target, path) = (folder.path().join("target"), folder.path().join("cases"));
    fs::write(&target, "mine").expect("written");
    for wrong in ["", "cases", "/", "/no/such/folder/cases", "/dev/null", "/tmp"] {
        let error = open(Path::new(wrong)).err().expect("refused").to_string();
        assert!(error.starts_with("respond.channels `shipper`: file.path "), "{error}");
    }
    symlink(&target, &path).expect("linked");
    let error = open(&path).err().expect("refused").to_string();
    assert!(error.contains("is a symbolic link; name the file itself"), "{error}");
    fs::remove_file(&path).expect("removed");
    let channel = open(&path).expect("opened");
    send(&*channel, 1).await.expect("appended");
    // Swapped while the channel is open: each is refused, none is waited for, none is lost.
    let pipe = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.expect("mkfifo").success());
    };
    let swaps: [&dyn Fn(&Path); 3] =
        [&|path| symlink(&target, path).expect("linked"), &pipe, &|path| {
            fs::create_dir(path).expect("made")
        }];
    for swap in swaps {
        let _ = fs::remove_file(&path);
        swap(&path);
        let sent = tokio::time::timeout(Duration::from_secs(5), send(&*channel, 2)).await;
        let error = sent.expect("at once").expect_err("refused");
        assert!(matches!(&error, SendError::Retry { .. }), "{error}");
    }
    assert_eq!(fs::read_to_string(&target).expect("read"), "mine");
    fs::remove_dir(&path).expect("removed");
    send(&*channel, 3).await.expect("appended");
    assert_eq!(lines(&path), [3]);
}

#[tokio::test]
async fn channels_to_one_file_keep_lines_whole() {
    let folder = folder();
    let path = folder.path().join("cases");
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..40 {
        let path = path.clone();
        sending.spawn(async move { send(&*open(&path).expect("opened"), number).await });
    }
    for sent in sending.join_all().await {
        sent.expect("appended");
    }
    let mut found = lines(&path);
    found.sort_unstable();
    assert_eq!(found, (0..40).collect::<Vec<_>>());
}
