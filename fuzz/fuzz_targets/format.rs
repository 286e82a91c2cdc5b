//! What every format promises of any bytes: no panic, one event or reject for each record, and
//! the same events however the bytes are cut.
#![no_main]

use event::{EventId, Timestamp};
use ingest::{Stream, StreamSettings};

type Outcome = (Vec<String>, Vec<Vec<u8>>, u64);

fn read(format: &str, pieces: &[&[u8]]) -> Outcome {
    let format = Some(format.to_owned());
    let mut stream = Stream::new(StreamSettings { format, ..StreamSettings::default() });
    let file = EventId::of(&[b"fuzz"]);
    let (mut events, mut rejects, mut records, mut offset) = (Vec::new(), Vec::new(), 0, 0);
    for (index, piece) in pieces.iter().enumerate() {
        let is_last = index + 1 == pieces.len();
        stream.feed(file, offset, piece, is_last, Timestamp(0));
        offset += piece.len() as u64;
        while let Some(decoded) = stream.take(is_last) {
            records += decoded.records;
            events.extend(decoded.events.rows().iter().map(|row| format!("{:?}", row.event())));
            rejects.extend(decoded.rejects.into_iter().map(|reject| reject.bytes));
        }
    }
    (events, rejects, records)
}

// The first byte says which format, the second where to cut; the rest is the log.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [format, cut, log @ ..] = data else { return };
    let formats: Vec<&str> = ingest::format_names().collect();
    let format = formats[usize::from(*format) % formats.len()];
    let (head, tail) = log.split_at(usize::from(*cut).min(log.len()));
    let whole = read(format, &[log]);
    let (events, rejects, records) = &whole;
    assert_eq!(*records, (events.len() + rejects.len()) as u64, "a record is lost");
    assert_eq!(whole, read(format, &[head, tail]), "the cut changed the events");
});
