//! Reads of audit data as audit events, on the same bus as everything else.

use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError, Record};
use event::vocabulary::{Evidence, Outcome, StatementState, TimeBasis};
use event::{AuditEvent, EventBatchBuilder, EventId};
use query::api::Access;
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

use crate::clock;
use crate::collect::envelope::Envelope;
use crate::collect::partition_slice::{PartitionSlice, divide};
use crate::collect::tick::{Tick, TickClock};
use crate::supervisor::Task;

const NAME: &str = "querywatch";

/// Where SQL is asked.
const SQL_PATH: &str = "/api/v1/query";

/// Before trying again.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads taken together.
const ACCESSES_AT_ONCE: usize = 256;

/// Publishes reads until the service that makes them has ended.
pub async fn publish(
    accesses: Arc<Mutex<Receiver<Access>>>,
    bus: Bus,
    task: Task,
) -> anyhow::Result<()> {
    let mut accesses = accesses.lock().await;
    let key = EventId::of(&[NAME.as_bytes(), &clock().0.to_le_bytes()]);
    let (mut position, mut is_found, mut hours) = (0, false, TickClock::default());
    let mut taken = Vec::new();
    while accesses.recv_many(&mut taken, ACCESSES_AT_ONCE).await > 0 {
        let mut builder = EventBatchBuilder::default();
        for access in taken.drain(..) {
            builder.push(&audit_event(&access, key, position));
            position += 1;
        }
        let events = builder.finish();
        let ticks = hours.advance(&events);
        for slice in divide(events, &ticks, bus.partitions()) {
            let partition = slice.partition;
            match seal(slice, ticks.clone(), key, position, bus.partitions()) {
                Ok(record) => append(&bus, partition, record, &mut is_found, &task).await,
                Err(error) => tracing::error!("reads of audit data are not recorded: {error:#}"),
            }
        }
    }
    Ok(())
}

/// Tries until it is done, or the bus is shut down: while Kafka is away, so are answers once the
/// reads that wait are too many.
async fn append(bus: &Bus, partition: u32, record: Record, is_found: &mut bool, task: &Task) {
    let mut is_told = false;
    loop {
        let ready = match bus {
            Bus::Kafka(kafka) if !*is_found => kafka.ensure_topic().await,
            _ => Ok(()),
        };
        *is_found = ready.is_ok();
        let appended = match ready {
            Ok(()) => bus.append(partition, vec![record.clone()]).await.map(drop),
            Err(error) => Err(error),
        };
        let error = match appended {
            Ok(()) => return task.set_problem(None),
            Err(BusError::Closed) => {
                return tracing::error!("reads of audit data were not recorded before the stop");
            }
            Err(error) => error,
        };
        let problem = format!("reads of audit data wait to be recorded: {error}");
        if !is_told {
            is_told = true;
            tracing::warn!("{problem}");
        }
        task.set_problem(Some(problem));
        tokio::time::sleep(PAUSE).await;
    }
}

fn seal(
    slice: PartitionSlice,
    ticks: Vec<Tick>,
    file: EventId,
    end: u64,
    partitions: u32,
) -> anyhow::Result<Record> {
    let (source, copies, rejects) = (NAME.to_owned(), false, Vec::new());
    let events = slice.events;
    let decisions = Vec::new();
    Envelope { source, file, end, partitions, copies, ticks, decisions, events, rejects }.seal()
}

fn audit_event(access: &Access, key: EventId, position: u64) -> AuditEvent<'_> {
    // Only what is SQL is a statement: filters and bodies hold words that mean nothing as such.
    let is_sql = access.path == SQL_PATH;
    let (statement, message) = match is_sql {
        true => (Some(access.query.as_str()), None),
        false => (None, Some(access.query.as_str())),
    };
    AuditEvent {
        id: key.at(position),
        time: access.time,
        time_basis: TimeBasis::Offset,
        received: access.time,
        position: position.cast_signed(),
        evidence: Evidence::A,
        action: access.action,
        command: Some(access.command),
        user: Some(&access.caller),
        object_kind: Some("API"),
        object: Some(access.path),
        statement,
        statement_state: if is_sql { StatementState::Full } else { StatementState::Absent },
        message,
        client_address: Some(&access.client_address),
        client_port: Some(access.client_port.into()),
        rows: access.rows.as_ref().ok().copied(),
        error: access.rows.as_ref().err().map(String::as_str),
        duration_us: Some(access.duration_us),
        outcome: if access.rows.is_ok() { Outcome::Succeeded } else { Outcome::Failed },
        ..AuditEvent::new(NAME, "querywatch_api", NAME, NAME)
    }
}
