//! What people decide, on its way from the state to every partition of the bus: from there it
//! enters detection like everything else, so that a replay decides the same.

use std::time::Duration;

use anyhow::Context;
use bus::{Bus, Record};
use event::EventId;
use event::decision::Decision;
use state::State;
use tokio_util::sync::CancellationToken;

use crate::collect::envelope::Envelope;
use crate::detect::unless;
use crate::supervisor::Task;

const NAME: &str = "decisions";

/// How often the state is asked for new ones.
const LOOK: Duration = Duration::from_millis(500);

/// Published together.
const AT_ONCE: usize = 100;

/// Publishes decisions until it is told to stop. One that is published again after a crash is the
/// same decision.
pub async fn publish(
    state: State,
    bus: Bus,
    stop: CancellationToken,
    task: Task,
) -> anyhow::Result<()> {
    loop {
        match publish_new(&state, &bus).await {
            Ok(()) => task.set_problem(None),
            Err(error) => {
                let problem = format!("decisions wait to be published: {error:#}");
                tracing::warn!("{problem}");
                task.set_problem(Some(problem));
            }
        }
        if unless(&stop, tokio::time::sleep(LOOK)).await.is_none() {
            return Ok(());
        }
    }
}

async fn publish_new(state: &State, bus: &Bus) -> anyhow::Result<()> {
    let decisions = state.unpublished_decisions(AT_ONCE).await?;
    if decisions.is_empty() {
        return Ok(());
    }
    if let Bus::Kafka(kafka) = bus {
        kafka.ensure_topic().await?;
    }
    let ids: Vec<EventId> = decisions.iter().map(|decision| decision.id).collect();
    let record = seal(decisions, bus.partitions())?;
    for partition in 0..bus.partitions() {
        bus.append(partition, vec![record.clone()]).await?;
    }
    state.published(&ids).await?;
    Ok(())
}

fn seal(decisions: Vec<Decision>, partitions: u32) -> anyhow::Result<Record> {
    let file = EventId::of(&[NAME.as_bytes()]);
    let envelope = Envelope {
        source: NAME.to_owned(),
        file,
        end: 0,
        partitions,
        copies: false,
        ticks: Vec::new(),
        decisions,
        events: None,
        rejects: Vec::new(),
    };
    envelope.seal().context("decisions cannot be published")
}
