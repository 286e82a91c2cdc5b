//! Files that are followed: what happens to files, one thing a test.

use super::rig::{Rig, gzipped, lines};
use crate::source::{FileSourceMode, Notice};

#[test]
fn appended_bytes_are_read_once_and_idle_is_said_once() {
    let mut rig = Rig::new(&["x.log"]);
    rig.append("x.log", b"one\ntw");
    rig.read();
    rig.read();
    assert_eq!((rig.contents(), rig.idles), (vec!["one\ntw".to_owned()], 1));
    rig.append("x.log", b"o\n");
    rig.read();
    assert_eq!((rig.contents(), rig.idles), (vec!["one\ntwo\n".to_owned()], 2));
}

#[test]
fn an_incomplete_first_line_waits_until_it_is_complete_or_final() {
    let mut rig = Rig::new(&["x.log", "y.log"]);
    for name in ["x.log", "y.log"] {
        rig.append(name, b"");
        rig.read();
        rig.append(name, format!("{name} beg").as_bytes());
        rig.later(100);
    }
    assert!(rig.contents().is_empty());
    rig.append("x.log", b"un\n");
    rig.remove("y.log");
    rig.read();
    assert_eq!(rig.contents(), ["x.log begun\n"]);
    rig.later(6);
    rig.later(6);
    assert_eq!(rig.contents(), ["x.log begun\n", "y.log beg"]);
    assert!(rig.delivered.values().any(|delivered| delivered.ended));
}

#[test]
fn a_file_that_appears_later_is_reported_absent_once() {
    let mut rig = Rig::new(&["later/x.log"]);
    rig.read();
    rig.later(1);
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Absent { .. })), 1);
    std::fs::create_dir(rig.path("later")).expect("a folder");
    rig.append("later/x.log", b"here\n");
    rig.read();
    assert_eq!(rig.contents(), ["here\n"]);
}

#[test]
fn a_removed_file_is_drained_and_ended() {
    let mut rig = Rig::new(&["x.log"]);
    rig.append("x.log", lines("a", 10).as_bytes());
    rig.read();
    rig.append("x.log", b"and an end without newline");
    rig.remove("x.log");
    rig.read();
    rig.later(6);
    assert_eq!(rig.contents(), [lines("a", 10) + "and an end without newline"]);
    assert!(rig.delivered.values().all(|delivered| delivered.ended));
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Removed { .. })), 1);
}

#[test]
fn a_renamed_file_is_read_on_under_its_key_while_the_new_one_starts() {
    let mut rig = Rig::new(&["x.log"]);
    rig.append("x.log", b"first\nold\n");
    rig.read();
    rig.rename("x.log", "x.log.1");
    rig.append("x.log", b"second\n");
    rig.append("x.log.1", b"old, late\n");
    rig.read();
    assert_eq!(rig.contents(), ["first\nold\nold, late\n", "second\n"]);
    rig.later(6);
    assert_eq!(rig.delivered.values().filter(|delivered| delivered.ended).count(), 1);
}

#[test]
fn equal_first_lines_are_told_apart_once_they_diverge() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("a.log", b"header\n");
    rig.append("b.log", b"header\n");
    rig.read();
    assert_eq!(rig.contents(), ["header\n"]);
    rig.append("b.log", b"b one\n");
    rig.read();
    rig.append("a.log", b"a one\n");
    rig.read();
    assert_eq!(rig.contents(), ["header\na one\n", "header\nb one\n"]);
}

#[test]
fn a_header_repeated_after_rotation_is_another_content() {
    let mut rig = Rig::new(&["x.log"]);
    rig.append("x.log", (String::from("header\n") + &lines("old", 200)).as_bytes());
    rig.read();
    rig.rename("x.log", "x.log.1");
    rig.append("x.log", b"header\n");
    rig.read();
    rig.append("x.log", b"new\n");
    rig.read();
    let old = String::from("header\n") + &lines("old", 200);
    assert_eq!(rig.contents(), ["header\nnew\n".to_owned(), old]);
}

#[test]
fn copytruncate_drains_the_copy() {
    let mut rig = Rig::new(&["x.log"]);
    rig.append("x.log", lines("old", 100).as_bytes());
    rig.read();
    rig.append("x.log", b"written just before\n");
    rig.copy("x.log", "x.log.1");
    rig.truncate("x.log");
    rig.append("x.log", b"new\n");
    rig.read();
    rig.later(6);
    rig.later(6);
    assert_eq!(rig.contents(), ["new\n".to_owned(), lines("old", 100) + "written just before\n"]);
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Truncated { .. })), 1);
}

#[test]
fn a_file_cut_and_grown_past_the_offset_is_noticed() {
    let mut rig = Rig::new(&["x.log"]);
    rig.append("x.log", lines("old", 10).as_bytes());
    rig.read();
    rig.truncate("x.log");
    rig.append("x.log", lines("new", 100).as_bytes());
    rig.read();
    assert_eq!(rig.contents(), [lines("new", 100), lines("old", 10)]);
}

#[test]
fn a_compressed_copy_is_not_read_again_but_continues_what_was_not_read() {
    let mut rig = Rig::new(&["x.log*"]);
    let whole = lines("a", 100);
    rig.append("x.log.1", whole.as_bytes());
    rig.read();
    let half = rig.positions(|read| read / 2);
    rig.gzip("x.log.1", "x.log.1.gz");
    rig.read();
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Copy { .. })), 1);
    rig.remove("x.log.1");
    rig.read();
    rig.later(6);
    assert_eq!(rig.contents(), [whole.as_str()]);
    rig.restart(&half);
    rig.read();
    assert_eq!(rig.contents(), [whole.as_str()]);
    assert!(rig.delivered.values().all(|delivered| delivered.ended));
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Resumed { .. })), 1);
}

#[test]
fn a_compressed_file_that_is_being_written_is_waited_for() {
    let mut rig = Rig::new(&["x.log*"]);
    let whole = lines("a", 3_000);
    let packed = gzipped(whole.as_bytes());
    rig.append("x.log.1.gz", &packed[..packed.len() / 2]);
    rig.read();
    rig.later(1);
    rig.append("x.log.1.gz", &packed[packed.len() / 2..]);
    rig.later(1);
    assert_eq!(rig.contents(), [whole]);
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Damaged { .. })), 0);
}

#[test]
fn a_mirror_that_replaces_the_file_by_a_longer_one_continues_it() {
    let mut rig = Rig::new(&["x.log"]);
    rig.append("x.log", lines("a", 50).as_bytes());
    rig.read();
    rig.copy("x.log", ".x.log.tmp");
    rig.append(".x.log.tmp", b"more\n");
    rig.rename(".x.log.tmp", "x.log");
    rig.read();
    assert_eq!(rig.contents(), [lines("a", 50) + "more\n"]);
}

#[test]
fn links_are_followed_and_their_change_is_a_rotation() {
    let mut rig = Rig::new(&["current.log"]);
    rig.append("day1", b"day one\n");
    std::os::unix::fs::symlink(rig.path("day1"), rig.path("current.log")).expect("linked");
    rig.read();
    rig.append("day1", b"its end\n");
    rig.append("day2", b"day two\n");
    rig.remove("current.log");
    std::os::unix::fs::symlink(rig.path("day2"), rig.path("current.log")).expect("linked");
    rig.read();
    assert_eq!(rig.contents(), ["day one\nits end\n", "day two\n"]);
}

#[test]
fn what_cannot_be_read_is_reported_once_with_path_and_cure() {
    let mut rig = Rig::new(&["*.log", "*.xz"]);
    std::os::unix::fs::symlink(rig.path("nowhere"), rig.path("dangling.log")).expect("linked");
    std::os::unix::fs::symlink(rig.path("loop.log"), rig.path("loop.log")).expect("linked");
    rig.append("y.log.xz", b"...");
    rig.read();
    rig.later(1);
    rig.later(1);
    let mut said: Vec<String> = rig.notices.iter().map(Notice::to_string).collect();
    said.sort();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].contains("dangling.log") && said[0].contains("repair the symbolic link"));
    assert!(said[2].contains("y.log.xz") && said[2].contains("recompress"));
    std::fs::write(rig.path("nowhere"), "now\n").expect("written");
    rig.read();
    assert_eq!(rig.contents(), ["now\n"]);
}

#[test]
fn more_files_than_may_be_open_are_all_read() {
    let mut rig = Rig::with(&["*.log"], FileSourceMode::Follow, |settings| settings.files_max = 3);
    for number in 0..20 {
        rig.append(&format!("{number:02}.log"), lines(&format!("f{number:02}"), 50).as_bytes());
    }
    for _ in 0..10 {
        rig.later(1);
    }
    rig.append("03.log", b"late\n");
    rig.later(1);
    assert_eq!(rig.contents().len(), 20);
    assert!(rig.contents()[3].ends_with("late\n"));
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::TooManyOpen { .. })), 1);
}

#[test]
fn files_take_turns() {
    let mut rig = Rig::new(&["*.log"]);
    for name in ["a", "b"] {
        rig.append(&format!("{name}.log"), lines(name, 200).as_bytes());
    }
    rig.set.reconcile(rig.now);
    let mut turns = Vec::new();
    while let Some(item) = rig.set.next_item(rig.now) {
        if let crate::source::SourceItem::Data(data) = item {
            turns.push(data.key);
        }
    }
    assert!(turns.len() > 8);
    assert!(turns[..8].windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn contents_that_are_gone_are_forgotten_beyond_the_limit() {
    let limit = |settings: &mut crate::source::FileSourceSettings| {
        settings.remembered_files_max = 2;
    };
    let mut rig = Rig::with(&["*.log"], FileSourceMode::Follow, limit);
    for number in 0..5 {
        let name = format!("{number}.log");
        rig.append(&name, format!("file {number}\n").as_bytes());
        rig.read();
        rig.remove(&name);
        rig.read();
        rig.later(6);
    }
    rig.later(6);
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Forgotten { .. })), 3);
}
