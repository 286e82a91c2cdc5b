//! A real process is killed with SIGKILL at random moments; the rows are there once.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lake::LakeSettings;
use rand::Rng;

use crate::sample::{NOON, all, events, numbers, open_with, position, rejects, stored};

const FOLDER: &str = "LAKE_TEST_FOLDER";

fn settings() -> LakeSettings {
    LakeSettings { compact_files_min: 3, checkpoint_commits: 7, ..LakeSettings::default() }
}

/// Not a test by itself: the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn write_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (lake, mut writer) = open_with(Path::new(&folder), &settings()).await;
    let (mut at, rejected) = stored(&lake);
    for step in (1..8).cycle() {
        let next = at + step * 10;
        writer.write(&events(at, next, NOON)).expect("written");
        writer.reject(&rejects(at.max(rejected) / 10, next / 10)).expect("written");
        writer.commit(&position(next)).expect("committed");
        at = next;
        if step % 3 == 0 {
            lake.maintain(NOON).await.expect("kept in order");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments() {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..12 {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["kill::write_until_killed", "--exact"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let wait = rand::rng().random_range(50..500);
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().expect("killed");
        child.wait().expect("dead");
    }
    let (lake, writer) = open_with(folder.path(), &settings()).await;
    let (at, rejected) = stored(&lake);
    assert!(at > 0, "no process came as far as its first commit");
    let view = lake.view();
    assert_eq!(numbers(&view.events), all(at));
    assert_eq!(numbers(&view.rejects), all(rejected / 10));
    assert_eq!(lake.status().missing_files, 0);
    drop(writer);
}
