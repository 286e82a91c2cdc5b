//! A look at an Arrow IPC stream before it is decoded: anyone who may write to the bus can make
//! one that asks for more memory or time than there is.

use arrow_ipc::{
    DateUnit, Field, Int, MessageHeader, Precision, RecordBatch, Schema, TimeUnit, Type,
    root_as_message,
};
use arrow_schema::DataType;

use crate::{BATCH_ROWS, IpcError, schema};

/// Before each message of the stream.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The most bytes of a message before its body; ours have less than 4,000. Parts of it may be used
/// many times over, so that what it takes to read grows with the square.
const METADATA_BYTES: u64 = 16 << 10;

/// Of which buffers begin at a multiple. Those that do not are copied to where they do.
const ALIGNMENT: i64 = 8;

/// Whether the stream is what [`crate::EventBatch::to_ipc`] writes: our columns, a dictionary for
/// some of them, one batch, nothing compressed; each buffer in its own place of the body.
pub(crate) fn check(stream: &[u8]) -> Result<(), IpcError> {
    let mut rest = stream;
    let (mut dictionaries, mut batches, mut is_first) = (0, 0, true);
    while let Some(metadata) = metadata(&mut rest)? {
        let message = root_as_message(metadata).map_err(|_| foreign("a message is damaged"))?;
        let body = take(&mut rest, u64::try_from(message.bodyLength()).map_err(|_| cut())?)?;
        match (is_first, message.header_type()) {
            (true, MessageHeader::Schema) => {
                let is_ours = message.header_as_schema().is_some_and(is_ours);
                is_ours.then_some(()).ok_or(IpcError::Schema)?;
            }
            (false, MessageHeader::DictionaryBatch) => {
                let dictionary = message.header_as_dictionary_batch();
                // Each addition to a dictionary copies what was there.
                let whole = dictionary.filter(|dictionary| !dictionary.isDelta());
                check_batch(whole.and_then(|dictionary| dictionary.data()), body)?;
                dictionaries += 1;
            }
            (false, MessageHeader::RecordBatch) => {
                check_batch(message.header_as_record_batch(), body)?;
                batches += 1;
            }
            _ => return Err(foreign("a message is out of place")),
        }
        if dictionaries > schema::events().fields().len() || batches > 1 {
            return Err(foreign("it has too many messages"));
        }
        is_first = false;
    }
    if rest.is_empty() { Ok(()) } else { Err(foreign("something follows its end")) }
}

/// The next message without its body; none at the end of the stream.
fn metadata<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, IpcError> {
    let (mark, length) = (take(rest, 4)?, take(rest, 4)?);
    if *mark != CONTINUATION {
        return Err(foreign("a message does not begin like one"));
    }
    match u32::from_le_bytes(length.try_into().map_err(|_| cut())?).into() {
        0 => Ok(None),
        length if length > METADATA_BYTES => Err(foreign("a message describes too much")),
        length => take(rest, length).map(Some),
    }
}

/// Whether the columns are ours. They are compared where they are, since few bytes can describe a
/// million fields: there a field can be its own cousin.
fn is_ours(columns: Schema<'_>) -> bool {
    let ours = schema::events();
    let Some(fields) = columns.fields() else { return false };
    is_bare(columns.custom_metadata().map(|pairs| pairs.len()))
        && fields.len() == ours.fields().len()
        && fields.iter().zip(ours.fields()).all(|(field, ours)| is_field(field, ours))
}

fn is_field(field: Field<'_>, ours: &arrow_schema::Field) -> bool {
    let is_type = match (field.dictionary(), ours.data_type()) {
        (Some(dictionary), DataType::Dictionary(_, values)) => {
            is_int(dictionary.indexType(), 32, true) && is_plain(field, values)
        }
        (None, data_type) => is_plain(field, data_type),
        (Some(_), _) => false,
    };
    is_type
        && field.name() == Some(ours.name())
        && field.nullable() == ours.is_nullable()
        && is_bare(field.custom_metadata().map(|pairs| pairs.len()))
}

/// Of the types that the schema has.
fn is_plain(field: Field<'_>, ours: &DataType) -> bool {
    match ours {
        DataType::Int32 => is_int(field.type_as_int(), 32, true),
        DataType::Int64 => is_int(field.type_as_int(), 64, true),
        DataType::UInt64 => is_int(field.type_as_int(), 64, false),
        DataType::Float64 => {
            field.type_as_floating_point().is_some_and(|of| of.precision() == Precision::DOUBLE)
        }
        DataType::Date32 => field.type_as_date().is_some_and(|of| of.unit() == DateUnit::DAY),
        DataType::Timestamp(_, zone) => field.type_as_timestamp().is_some_and(|of| {
            of.unit() == TimeUnit::MICROSECOND && of.timezone() == zone.as_deref()
        }),
        DataType::FixedSizeBinary(width) => {
            field.type_as_fixed_size_binary().is_some_and(|of| of.byteWidth() == *width)
        }
        DataType::Utf8 => field.type_type() == Type::Utf8,
        DataType::List(item) => {
            field.type_type() == Type::List
                && field.children().is_some_and(|children| {
                    children.len() == 1 && children.iter().all(|child| is_field(child, item))
                })
        }
        _ => false,
    }
}

fn is_int(int: Option<Int<'_>>, bits: i32, is_signed: bool) -> bool {
    int.is_some_and(|int| int.bitWidth() == bits && int.is_signed() == is_signed)
}

fn is_bare(pairs: Option<usize>) -> bool {
    pairs.is_none_or(|count| count == 0)
}

fn check_batch(batch: Option<RecordBatch<'_>>, body: &[u8]) -> Result<(), IpcError> {
    let batch = batch.ok_or(foreign("a dictionary is not whole"))?;
    if batch.compression().is_some() {
        return Err(foreign("it is compressed"));
    }
    if usize::try_from(batch.length()).is_ok_and(|rows| rows > BATCH_ROWS) {
        return Err(foreign("it holds more rows than a batch"));
    }
    // Nothing of ours takes less than a byte for each of its values.
    let most = body.len() as i64;
    let counts = batch.nodes().into_iter().flatten();
    let are_counts = counts
        .map(|node| (node.null_count(), node.length()))
        .all(|(nulls, length)| 0 <= nulls && nulls <= length && length <= most);
    let mut end = 0;
    let are_apart = batch.buffers().into_iter().flatten().all(|buffer| {
        let (from, length) = (buffer.offset(), buffer.length());
        let is_apart = from >= end && from % ALIGNMENT == 0 && length >= 0;
        end = from.saturating_add(length);
        is_apart && end <= most
    });
    // Views are the columns with a variable number of buffers; none of ours is one.
    let has_views = batch.variadicBufferCounts().is_some_and(|counts| !counts.is_empty());
    if are_counts && are_apart && !has_views {
        Ok(())
    } else {
        Err(foreign("its buffers are not where they should be"))
    }
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], IpcError> {
    let length = usize::try_from(length).map_err(|_| cut())?;
    let (taken, left) = rest.split_at_checked(length).ok_or_else(cut)?;
    *rest = left;
    Ok(taken)
}

fn cut() -> IpcError {
    foreign("it is cut")
}

fn foreign(wrong: &'static str) -> IpcError {
    IpcError::Foreign(wrong)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, new_null_array};
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
    use arrow_schema::{Field, Schema};

    use super::*;
    use crate::{AuditEvent, EventBatchBuilder};

    fn events(rows: usize) -> RecordBatch {
        let mut builder = EventBatchBuilder::default();
        for _ in 0..rows {
            builder.push(&AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders"));
        }
        builder.finish().record_batch().clone()
    }

    fn stream(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
        let options = IpcWriteOptions::default().try_with_compression(compression);
        let options = options.expect("known compression");
        let schema = batches[0].schema();
        let mut writer =
            StreamWriter::try_new_with_options(Vec::new(), &schema, options).expect("a writer");
        for batch in batches {
            writer.write(batch).expect("written");
        }
        writer.into_inner().expect("finished")
    }

    fn wrong(stream: &[u8]) -> String {
        check(stream).expect_err("it is not ours").to_string()
    }

    #[test]
    fn only_one_plain_batch_of_our_size_passes() {
        assert!(check(&stream(&[events(0)], None)).is_ok());
        assert!(check(&stream(&[events(BATCH_ROWS)], None)).is_ok());
        let compressed = stream(&[events(10)], Some(CompressionType::ZSTD));
        assert!(wrong(&compressed).ends_with("it is compressed"));
        let large = stream(&[events(BATCH_ROWS + 1)], None);
        assert!(wrong(&large).ends_with("it holds more rows than a batch"));
        let two = stream(&[events(1), events(1)], None);
        assert!(wrong(&two).ends_with("it has too many messages"));
    }

    #[test]
    fn other_columns_are_refused_before_they_are_decoded() {
        let ours = schema::events();
        let columns = |schema: Schema| {
            let null = |field: &Arc<Field>| new_null_array(field.data_type(), 0);
            let columns: Vec<ArrayRef> = schema.fields().iter().map(null).collect();
            stream(&[RecordBatch::try_new(Arc::new(schema), columns).expect("a batch")], None)
        };
        assert!(check(&columns((*ours).clone())).is_ok());
        let pairs = || HashMap::from([("key".to_owned(), "value".to_owned())]);
        let described = (*ours).clone().with_metadata(pairs());
        assert!(matches!(check(&columns(described)), Err(IpcError::Schema)));
        for index in 0..ours.fields().len() {
            let field = ours.field(index);
            let others = [
                field.clone().with_name("other"),
                field.clone().with_data_type(DataType::Int16),
                field.clone().with_nullable(!field.is_nullable()),
                field.clone().with_metadata(pairs()),
            ];
            for other in others {
                let mut fields: Vec<Field> =
                    ours.fields().iter().map(|field| (**field).clone()).collect();
                fields[index] = other;
                let other = check(&columns(Schema::new(fields)));
                assert!(matches!(other, Err(IpcError::Schema)), "column {index}");
            }
        }
    }

    #[test]
    fn buffers_that_share_bytes_or_leave_the_body_are_refused() {
        let whole = stream(&[events(10)], None);
        let mut rest = whole.as_slice();
        // The batch itself comes last; the table of its buffers is looked for in it.
        let mut last = &whole[..0];
        while let Some(metadata) = metadata(&mut rest).expect("our own") {
            last = metadata;
            let length = root_as_message(metadata).expect("a message").bodyLength();
            take(&mut rest, length as u64).expect("a body");
        }
        let message = root_as_message(last).expect("a message");
        let buffers = message.header_as_record_batch().and_then(|batch| batch.buffers());
        let table = buffers.expect("buffers").bytes();
        let place = table.as_ptr() as usize - whole.as_ptr() as usize;
        for (offset, length) in [(1, 8), (0, -1), (0, i64::MAX), (-8, 8), (0, 1 << 20)] {
            let mut forged = whole.clone();
            forged[place..place + 8].copy_from_slice(&i64::to_le_bytes(offset));
            forged[place + 8..place + 16].copy_from_slice(&i64::to_le_bytes(length));
            assert!(wrong(&forged).ends_with("its buffers are not where they should be"));
        }
    }

    #[test]
    fn any_cut_and_any_flipped_byte_is_survived() {
        let whole = stream(&[events(3)], None);
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
