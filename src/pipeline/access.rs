//! Reads of audit data as audit events: who asked what, on the same bus as everything else.

use bus::{Bus, Record};
use event::vocabulary::{Action, Evidence, Outcome, StatementState, TimeBasis};
use event::{AuditEvent, EventBatchBuilder, EventId};
use query::api::Access;
use tokio::sync::mpsc::Receiver;

use super::collect::now;
use super::envelope::Envelope;
use super::partition::{Portion, divide};

const NAME: &str = "querywatch";

/// Reads taken together.
const ACCESSES_AT_ONCE: usize = 256;

/// Publishes reads until nobody reads any more.
pub async fn publish(mut accesses: Receiver<Access>, bus: Bus) {
    let key = EventId::of(&[NAME.as_bytes(), &now().0.to_le_bytes()]);
    let mut position = 0;
    let mut taken = Vec::new();
    while accesses.recv_many(&mut taken, ACCESSES_AT_ONCE).await > 0 {
        let mut builder = EventBatchBuilder::default();
        for access in taken.drain(..) {
            builder.push(&audit_event(&access, key, position));
            position += 1;
        }
        for portion in divide(builder.finish(), bus.partitions()) {
            let partition = portion.partition;
            let appended = match seal(portion, key, position, bus.partitions()) {
                Ok(record) => bus.append(partition, vec![record]).await.map_err(Into::into),
                Err(error) => Err(error),
            };
            if let Err(error) = appended {
                tracing::error!("reads of audit data could not be recorded: {error:#}");
            }
        }
    }
}

fn seal(portion: Portion, file: EventId, end: u64, partitions: u32) -> anyhow::Result<Record> {
    let (source, copies, rejects) = (NAME.to_owned(), false, Vec::new());
    let events = portion.events;
    Envelope { source, file, end, partitions, copies, events, rejects }.seal()
}

fn audit_event(access: &Access, key: EventId, position: u64) -> AuditEvent<'_> {
    AuditEvent {
        id: key.at(position),
        time: access.time,
        time_basis: TimeBasis::Offset,
        received: access.time,
        position: position.cast_signed(),
        evidence: Evidence::A,
        action: Action::Read,
        command: Some("QUERY"),
        user: Some(&access.caller),
        object_kind: Some("API"),
        object: Some(access.path),
        statement: Some(&access.question),
        statement_state: StatementState::Full,
        client_address: Some(&access.client_address),
        client_port: Some(access.client_port.into()),
        rows: access.rows.as_ref().ok().copied(),
        error: access.rows.as_ref().err().map(String::as_str),
        duration_us: Some(access.duration_us),
        outcome: if access.rows.is_ok() { Outcome::Succeeded } else { Outcome::Failed },
        ..AuditEvent::new(NAME, "querywatch_api", NAME, NAME)
    }
}
