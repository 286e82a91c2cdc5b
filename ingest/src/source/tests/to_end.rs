//! Files that are read once, to their end.

use super::rig::{Rig, gzipped, lines};
use crate::source::{FileSourceMode, Notice, SourceItem};

fn to_end(patterns: &[&str]) -> Rig {
    Rig::with(patterns, FileSourceMode::ReadToEnd, |_| {})
}

#[test]
fn a_folder_is_read_oldest_first_and_finishes() {
    let mut rig = to_end(&["."]);
    rig.append("x.log", b"four\n");
    rig.append("x.log.1", b"three, without newline");
    std::fs::write(rig.path("x.log.2.gz"), gzipped(b"two\n")).expect("written");
    rig.append("x.log.3", b"one\n");
    rig.zstd("x.log.3", "x.log.3.zst");
    rig.append("empty.log", b"");
    rig.append(".hidden.log", b"hidden\n");
    rig.append("README", b"not a log\n");
    std::fs::create_dir(rig.path("deeper.log")).expect("a folder");
    rig.set.reconcile(rig.now);
    let (mut read, mut ends) = (String::new(), 0);
    let mut last = None;
    while let Some(item) = rig.set.next_item(rig.now) {
        if let SourceItem::Data(data) = &item {
            read += &String::from_utf8_lossy(&data.bytes);
            ends += usize::from(data.end_of_file);
        }
        last = Some(item);
    }
    assert_eq!(read, "one\ntwo\nthree, without newlinefour\n");
    assert_eq!((ends, last), (4, Some(SourceItem::Finished)));
    let progress = rig.set.progress();
    assert_eq!((progress.files(), progress.files_done()), (6, 6));
    assert_eq!(progress.bytes(), progress.bytes_read());
}

#[test]
fn a_damaged_file_gives_what_it_has_and_is_reported() {
    let mut rig = to_end(&["."]);
    let packed = gzipped(lines("a", 30_000).as_bytes());
    std::fs::write(rig.path("a.log.gz"), &packed[..packed.len() / 2]).expect("written");
    std::fs::write(rig.path("b.log.gz"), b"no gzip at all").expect("written");
    rig.append("c.log", b"good\n");
    rig.read();
    assert!(rig.finished);
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Damaged { .. })), 2);
    assert_eq!(rig.contents().len(), 2);
    assert!(lines("a", 30_000).starts_with(&rig.contents()[0]));
    assert!(rig.contents()[0].len() > 1_000);
}

#[test]
fn reading_again_gives_the_same_keys_and_positions_skip_what_is_read() {
    let mut rig = to_end(&["*.log"]);
    rig.append("a.log", b"header\na\n");
    rig.append("b.log", b"header\nb\n");
    rig.append("c.log", b"header\nb\n");
    rig.read();
    assert_eq!(rig.contents(), ["header\na\n", "header\nb\n"]);
    assert_eq!(rig.noticed(|notice| matches!(notice, Notice::Copy { .. })), 1);
    let positions = rig.positions(|read| read);
    assert!(positions.iter().all(|position| position.finished));
    let mode = FileSourceMode::ReadToEnd;
    let settings = rig.settings.clone();
    let again = crate::source::FileSet::new(settings.clone(), "db", mode, &[], rig.now);
    rig.set = again.expect("good settings");
    rig.set.reconcile(rig.now);
    let mut keys = std::collections::BTreeSet::new();
    while let Some(item) = rig.set.next_item(rig.now) {
        if let SourceItem::Data(data) = item {
            keys.insert(data.key);
        }
    }
    assert!(keys.iter().eq(rig.delivered.keys()));
    let resumed = crate::source::FileSet::new(settings, "db", mode, &positions, rig.now);
    rig.set = resumed.expect("good settings");
    rig.set.reconcile(rig.now);
    while let Some(item) = rig.set.next_item(rig.now) {
        assert!(!matches!(item, SourceItem::Data(data) if !data.bytes.is_empty()));
    }
}
