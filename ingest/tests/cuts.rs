//! However a file is cut, and wherever reading stops and starts again, the events are the same;
//! and whatever the bytes are, each record is an event or a reject.

use ingest::Stream;
use proptest::prelude::*;

use crate::support::{Output, captures, file, of_format, read, received};

const FORMATS: [&str; 4] =
    ["postgresql_csvlog", "postgresql_jsonlog", "postgresql_stderr", "postgresql_syslog"];

const TOPICS: [&str; 4] = ["errors_rows_off", "attack_forged", "statement_once", "statements"];

/// Reads `bytes` in pieces of these lengths, starting anew from a snapshot where `restart` says.
fn read_in_pieces(format: Option<&str>, bytes: &[u8], pieces: &[(usize, bool)]) -> Output {
    let settings = || format.map_or_else(Default::default, of_format);
    let mut stream = Stream::new(settings());
    let mut output = Output::default();
    let mut at = 0;
    for (length, restart) in pieces.iter().copied().cycle() {
        let end = (at + length).min(bytes.len());
        stream.feed(file(), at as u64, &bytes[at..end], end == bytes.len(), received());
        output.drain(&mut stream, false);
        if restart {
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
        format in 0..FORMATS.len(),
        topic in 0..TOPICS.len(),
        told in any::<bool>(),
        pieces in prop::collection::vec((1_usize..3_000, any::<bool>()), 1..20),
    ) {
        let path = captures().join(FORMATS[format]).join(TOPICS[topic]).with_extension("log");
        let bytes = std::fs::read(path).expect("readable");
        let told = told.then_some(FORMATS[format]);
        let whole = read(told.map_or_else(Default::default, of_format), &bytes);
        assert_same(&whole, &read_in_pieces(told, &bytes, &pieces));
    }

    #[test]
    fn any_bytes_become_events_or_rejects(
        format in 0..=FORMATS.len(),
        bytes in damaged_capture(),
        pieces in prop::collection::vec((1_usize..2_000, any::<bool>()), 1..6),
    ) {
        let told = FORMATS.get(format).copied();
        let whole = read(told.map_or_else(Default::default, of_format), &bytes);
        prop_assert_eq!(whole.counts.records, whole.counts.events + whole.counts.rejects);
        prop_assert_eq!(whole.end, bytes.len() as u64);
        assert_same(&whole, &read_in_pieces(told, &bytes, &pieces));
    }
}

/// Noise, or a capture with bytes changed, removed and doubled.
fn damaged_capture() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..3, any::<u8>()), 0..8);
    let damaged = (0..FORMATS.len(), 0..TOPICS.len(), edits).prop_map(|(format, topic, edits)| {
        let path = captures().join(FORMATS[format]).join(TOPICS[topic]).with_extension("log");
        let mut bytes = std::fs::read(path).expect("readable");
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

#[test]
fn single_bytes_give_what_the_whole_gives() {
    for format in FORMATS {
        let path = captures().join(format).join("zone_berlin.log");
        let bytes = std::fs::read(path).expect("readable");
        let whole = read(of_format(format), &bytes);
        assert_same(&whole, &read_in_pieces(Some(format), &bytes, &[(1, false)]));
    }
}

#[test]
fn a_file_of_no_known_format_is_shown_as_rejects() {
    let output = read(Default::default(), b"hello\nworld\n");
    assert_eq!((output.counts.events, output.counts.rejects), (0, 2));
    assert!(output.rejects[0].reason.contains("postgresql_csvlog"), "{}", output.rejects[0].reason);
}
