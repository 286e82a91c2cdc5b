//! However a file is cut, and wherever reading stops and starts again, the events are the same;
//! and whatever the bytes are, each record is an event or a reject.

use std::collections::{BTreeMap, BTreeSet};

use ingest::{Stream, StreamSettings};
use proptest::prelude::*;

use crate::support::{Output, captures_of, file, of_format, read, received};

fn formats() -> Vec<&'static str> {
    ingest::format_names().collect()
}

/// Formats whose records end with their last byte, so that a pause may come anywhere.
const CLOSED: [&str; 2] = ["postgresql_csvlog", "postgresql_jsonlog"];

/// Captures that show much; a format that has none of them shows its first ones.
const TOPICS: [&str; 4] = ["errors_rows_off", "attack_forged", "statement_once", "statements"];

/// Some captures of a format, at least one: topic and bytes.
fn shown(format: &str) -> Vec<(String, Vec<u8>)> {
    let all = captures_of(format);
    let wanted: Vec<_> = all.iter().filter(|(topic, _)| TOPICS.contains(&&**topic)).collect();
    let shown = if wanted.is_empty() { all.iter().take(TOPICS.len()).collect() } else { wanted };
    let read = |path| std::fs::read(path).expect("readable");
    shown.into_iter().map(|(topic, path)| (topic.clone(), read(path))).collect()
}

fn one_of(format: &str, index: prop::sample::Index) -> Vec<u8> {
    let shown = shown(format);
    shown[index.index(shown.len())].1.clone()
}

/// What happens behind a piece.
#[derive(Clone, Copy, Debug)]
struct After {
    restart: bool,
    /// The source is quiet, so that all there is leaves.
    pause: bool,
}

fn pieces() -> impl Strategy<Value = Vec<(usize, After)>> {
    let after = |(length, restart, pause)| (length, After { restart, pause });
    prop::collection::vec((1_usize..3_000, any::<bool>(), any::<bool>()).prop_map(after), 1..20)
}

fn settings_for(format: Option<&str>) -> impl Fn() -> StreamSettings {
    move || format.map_or_else(Default::default, of_format)
}

/// Reads `bytes` in pieces of these lengths, starting anew from a snapshot where `after` says;
/// pauses only happen where `may_pause` says.
fn read_in_pieces(
    settings: impl Fn() -> StreamSettings,
    bytes: &[u8],
    pieces: &[(usize, After)],
    may_pause: impl Fn(usize) -> bool,
) -> Output {
    let mut stream = Stream::new(settings());
    let mut output = Output::default();
    let mut at = 0;
    for (length, after) in pieces.iter().copied().cycle() {
        let end = (at + length).min(bytes.len());
        stream.feed(file(), at as u64, &bytes[at..end], end == bytes.len(), received());
        output.drain(&mut stream, after.pause && may_pause(end));
        if after.restart {
            let snapshot = stream.snapshot();
            stream = Stream::restore(settings(), &snapshot).expect("its own snapshot");
        }
        at = end;
        if at == bytes.len() {
            break;
        }
    }
    output.drain(&mut stream, true);
    output
}

fn assert_same(whole: &Output, pieces: &Output) {
    assert_eq!(whole.events(), pieces.events());
    assert_eq!(whole.rejects, pieces.rejects);
    assert_eq!(whole.counts.records, pieces.counts.records);
    assert_eq!(whole.end, pieces.end);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cuts_and_restarts_change_nothing(
        format in 0..formats().len(),
        topic in any::<prop::sample::Index>(),
        told in any::<bool>(),
        pieces in pieces(),
    ) {
        let bytes = one_of(formats()[format], topic);
        let told = told.then_some(formats()[format]);
        let whole = read(told.map_or_else(Default::default, of_format), &bytes);
        assert_same(&whole, &read_in_pieces(settings_for(told), &bytes, &pieces, |_| false));
    }

    #[test]
    fn cuts_change_nothing_where_records_are_too_long(
        format in 0..=formats().len(),
        bytes in damaged_capture(),
        pieces in pieces(),
        record_bytes_max in 100_usize..700,
    ) {
        let told = formats().get(format).copied();
        let settings = || StreamSettings {
            record_bytes_max,
            ..told.map_or_else(Default::default, of_format)
        };
        let whole = read(settings(), &bytes);
        prop_assert_eq!(whole.counts.records, whole.counts.events + whole.counts.rejects);
        prop_assert_eq!(whole.end, bytes.len() as u64);
        let long = whole.rejects.iter().map(|reject| reject.bytes.len()).max().unwrap_or(0);
        prop_assert!(long <= record_bytes_max.max(32 << 10));
        // What is passed over at the end of a file is of no use to anyone, so nobody is told.
        let parts = read_in_pieces(settings, &bytes, &pieces, |_| false);
        assert_same(&Output { end: parts.end, ..whole }, &parts);
    }

    #[test]
    fn pauses_change_nothing(
        format in 0..CLOSED.len(),
        topic in any::<prop::sample::Index>(),
        pieces in pieces(),
    ) {
        let format = CLOSED[format];
        let bytes = one_of(format, topic);
        let whole = read(of_format(format), &bytes);
        assert_same(&whole, &read_in_pieces(settings_for(Some(format)), &bytes, &pieces, |_| true));
    }

    #[test]
    fn any_bytes_become_events_or_rejects(
        format in 0..=formats().len(),
        bytes in damaged_capture(),
        pieces in pieces(),
    ) {
        let told = formats().get(format).copied();
        let whole = read(told.map_or_else(Default::default, of_format), &bytes);
        prop_assert_eq!(whole.counts.records, whole.counts.events + whole.counts.rejects);
        prop_assert_eq!(whole.end, bytes.len() as u64);
        assert_same(&whole, &read_in_pieces(settings_for(told), &bytes, &pieces, |_| false));
    }
}

/// Noise, or a capture with bytes changed, removed and doubled.
fn damaged_capture() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..3, any::<u8>()), 0..8);
    let topic = any::<prop::sample::Index>();
    let damaged = (0..formats().len(), topic, edits).prop_map(|(format, topic, edits)| {
        let mut bytes = one_of(formats()[format], topic);
        bytes.truncate(12_000);
        for (index, kind, byte) in edits {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len()))),
                _ => bytes.insert(at, if byte < 128 { b'"' } else { b'\n' }),
            }
        }
        bytes
    });
    let noise = prop::collection::vec(any::<u8>(), 0..600);
    prop_oneof![4 => damaged, 1 => noise]
}

/// Where the log can pause in a text format: where no process is in the middle of a record, and
/// the prefix is known.
fn pauses(whole: &Output, bytes: &[u8]) -> Vec<usize> {
    let events = whole.events();
    let events = events.iter().filter_map(|event| event["position"].as_i64());
    let rejects = whole.rejects.iter().map(|reject| reject.position);
    let begins: BTreeSet<i64> = events.chain(rejects).collect();
    let mut lines = Vec::new();
    let mut start = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line).into_owned();
        let sender = text.split_once("postgres[").and_then(|(_, rest)| rest.split_once(']'));
        lines.push((start, sender.map_or(String::new(), |(process, _)| process.to_owned())));
        start += line.len();
    }
    // Backwards: whether the next line of each process begins a record.
    let (mut next, mut pauses) = (BTreeMap::new(), Vec::new());
    for (index, (start, process)) in lines.into_iter().enumerate().rev() {
        next.insert(process, begins.contains(&(start as i64)));
        if index > 40 && next.values().all(|begins| *begins) {
            pauses.push(start);
        }
    }
    pauses.reverse();
    pauses
}

#[test]
fn a_pause_between_records_changes_nothing() {
    for format in formats().into_iter().filter(|format| !CLOSED.contains(format)) {
        // In `attack_forged` a line makes rows before it doubtful, which have left with a pause.
        let mut count = 0;
        for (topic, bytes) in shown(format) {
            if topic == "attack_forged" {
                continue;
            }
            let whole = read(of_format(format), &bytes);
            let pauses = pauses(&whole, &bytes);
            count += pauses.len();
            let mut pieces = Vec::new();
            for (from, to) in std::iter::once(&0).chain(&pauses).zip(&pauses) {
                pieces.push((to - from, After { restart: to % 3 == 0, pause: true }));
            }
            pieces.push((bytes.len(), After { restart: false, pause: true }));
            assert_same(
                &whole,
                &read_in_pieces(settings_for(Some(format)), &bytes, &pieces, |_| true),
            );
        }
        assert!(count > 20, "{format}: {count} pauses");
    }
}

#[test]
fn single_bytes_give_what_the_whole_gives() {
    for format in formats() {
        let captures = captures_of(format);
        let small = captures.iter().find(|(topic, _)| topic == "zone_berlin");
        let (_, path) = small.unwrap_or(&captures[0]);
        let bytes = std::fs::read(path).expect("readable");
        let whole = read(of_format(format), &bytes);
        let byte = After { restart: false, pause: false };
        assert_same(
            &whole,
            &read_in_pieces(settings_for(Some(format)), &bytes, &[(1, byte)], |_| false),
        );
    }
}

#[test]
fn a_file_of_no_known_format_is_shown_as_rejects() {
    let output = read(Default::default(), b"hello\nworld\n");
    assert_eq!((output.counts.events, output.counts.rejects), (0, 2));
    assert!(output.rejects[0].reason.contains("postgresql_csvlog"), "{}", output.rejects[0].reason);
}
