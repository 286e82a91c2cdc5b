//! A look at an Arrow IPC stream before it is decoded: anyone who may write to the bus can make
//! one that asks for more memory than there is.

use arrow_ipc::root_as_message;

use crate::BATCH_ROWS;

/// What is wrong with a stream, in a few words.
type Wrong = &'static str;

/// Before each message of the stream.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Whether the stream is made of whole messages, none of them compressed or larger than a batch:
/// what [`crate::EventBatch::to_ipc`] writes.
pub(crate) fn check(stream: &[u8]) -> Result<(), Wrong> {
    let mut rest = stream;
    loop {
        let (mark, length) = (take(&mut rest, 4)?, take(&mut rest, 4)?);
        if *mark != CONTINUATION {
            return Err("a message does not begin like one");
        }
        let length = u32::from_le_bytes(length.try_into().map_err(|_| "it is cut")?);
        if length == 0 {
            return if rest.is_empty() { Ok(()) } else { Err("something follows its end") };
        }
        let metadata = take(&mut rest, u64::from(length))?;
        let message = root_as_message(metadata).map_err(|_| "a message is damaged")?;
        take(&mut rest, u64::try_from(message.bodyLength()).map_err(|_| "it is cut")?)?;
        let dictionary = message.header_as_dictionary_batch();
        let batch = match dictionary {
            Some(dictionary) => dictionary.data(),
            None => message.header_as_record_batch(),
        };
        let Some(batch) = batch else { continue };
        if batch.compression().is_some() {
            return Err("it is compressed");
        }
        if usize::try_from(batch.length()).is_ok_and(|rows| rows > BATCH_ROWS) {
            return Err("it holds more rows than a batch");
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], Wrong> {
    let length = usize::try_from(length).map_err(|_| "it is cut")?;
    let (taken, left) = rest.split_at_checked(length).ok_or("it is cut")?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatch};
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn stream(rows: i64, compression: Option<CompressionType>) -> Vec<u8> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let numbers = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_new(schema.clone(), vec![numbers]).expect("a batch");
        let options = IpcWriteOptions::default().try_with_compression(compression);
        let options = options.expect("known compression");
        let mut writer =
            StreamWriter::try_new_with_options(Vec::new(), &schema, options).expect("a writer");
        writer.write(&batch).expect("written");
        writer.into_inner().expect("finished")
    }

    #[test]
    fn only_plain_batches_of_our_size_pass() {
        assert_eq!(check(&stream(10, None)), Ok(()));
        assert_eq!(check(&stream(10_000, Some(CompressionType::ZSTD))), Err("it is compressed"));
        let large = stream(BATCH_ROWS as i64 + 1, None);
        assert_eq!(check(&large), Err("it holds more rows than a batch"));
    }

    #[test]
    fn any_cut_and_any_flipped_byte_is_survived() {
        let whole = stream(10, None);
        for end in 0..whole.len() {
            assert!(check(&whole[..end]).is_err(), "cut at {end}");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 0xff;
            // It may pass; what counts is that it asks for no memory and does not panic.
            let _ = check(&flipped);
        }
    }
}
