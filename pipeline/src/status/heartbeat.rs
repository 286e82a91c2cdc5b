//! Heartbeats: over Kafka each process reports every few seconds, and those with an API hear of
//! all. Neither ever holds up the flow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::{Bus, BusError, KafkaBus};
use tokio_util::sync::CancellationToken;

use super::Status;
use super::report::ProcessReport;
use crate::clock;
use crate::detect::unless;
use crate::supervisor::{Started, Supervisor};

/// How often a process reports.
const REPORT: Duration = Duration::from_secs(5);

/// How often it is tried again where the brokers do not allow it.
const REPORT_REFUSED: Duration = Duration::from_secs(60);

/// How often it is listened.
const LISTEN: Duration = Duration::from_secs(2);

/// How long the last word may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// This process, and what is known of the others. Cheap to clone.
#[derive(Clone)]
pub struct Heartbeats {
    status: Status,
    others: Arc<Mutex<Vec<ProcessReport>>>,
}

impl Heartbeats {
    pub fn new(status: Status) -> Self {
        Self { status, others: Arc::default() }
    }

    /// Of this process first, then of the others; one that is silent is called so.
    pub fn reports(&self) -> Vec<ProcessReport> {
        let mut reports = vec![self.status.report()];
        reports.extend(self.others.lock().unwrap_or_else(PoisonError::into_inner).clone());
        reports.iter_mut().for_each(|report| report.heed_silence(clock()));
        reports
    }

    /// Reports until it is told to stop, and takes the report back then: a process that stops in
    /// good order is not missed. Listens too, if it shall. On an embedded bus there is no other
    /// process.
    pub fn start(
        &self,
        bus: &Bus,
        listens: bool,
        supervisor: &Supervisor,
        stop: &CancellationToken,
    ) -> Option<Started> {
        let Bus::Kafka(kafka) = bus else { return None };
        if listens {
            let (this, kafka, stopped) = (self.clone(), kafka.clone(), stop.clone());
            drop(supervisor.task("hear of processes", stop, move |_| {
                this.clone().listen(kafka.clone(), stopped.clone())
            }));
        }
        let (this, kafka, stopped) = (self.clone(), kafka.clone(), stop.clone());
        Some(
            supervisor.task("heartbeat", stop, move |_| {
                this.clone().tell(kafka.clone(), stopped.clone())
            }),
        )
    }

    async fn tell(self, kafka: KafkaBus, stop: CancellationToken) -> anyhow::Result<()> {
        let key = self.status.key();
        let mut warned = false;
        loop {
            let mut pause = REPORT;
            match unless(&stop, self.tell_once(&kafka, &key)).await {
                None => break,
                Some(Ok(())) => warned = false,
                Some(Err(error)) => {
                    let consequence = "the others do not hear of this process";
                    if complain(consequence, &error, &mut warned) {
                        pause = REPORT_REFUSED;
                    }
                }
            }
            if unless(&stop, tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        if !warned {
            let gone = tokio::time::timeout(FAREWELL, kafka.withdraw_report(&key)).await;
            tracing::debug!(?gone, "took the report of this process back");
        }
        Ok(())
    }

    async fn tell_once(&self, kafka: &KafkaBus, key: &str) -> Result<(), BusError> {
        match self.status.report().into_bytes() {
            Ok(report) => kafka.report(key, &report).await,
            Err(error) => {
                tracing::debug!(%error, "the report of this process cannot be written");
                Ok(())
            }
        }
    }

    async fn listen(self, kafka: KafkaBus, stop: CancellationToken) -> anyhow::Result<()> {
        let key = self.status.key();
        let mut warned = false;
        loop {
            match unless(&stop, kafka.reports()).await {
                None => return Ok(()),
                Some(Ok(mut reports)) => {
                    reports.retain(|report| report.key != key);
                    let others = ProcessReport::read(&reports, clock());
                    *self.others.lock().unwrap_or_else(PoisonError::into_inner) = others;
                    warned = false;
                }
                // Reporting makes the topic, and says why it cannot.
                Some(Err(BusError::TopicMissing(topic))) => {
                    tracing::debug!("there is no topic {topic} yet");
                }
                Some(Err(error)) => {
                    complain("nothing is heard of other processes", &error, &mut warned);
                }
            }
            if unless(&stop, tokio::time::sleep(LISTEN)).await.is_none() {
                return Ok(());
            }
        }
    }
}

/// Once as a warning if only an operator can cure it. True if so.
fn complain(consequence: &str, error: &BusError, warned: &mut bool) -> bool {
    let is_refused = matches!(
        error,
        BusError::Forbidden { .. } | BusError::TopicMissing(_) | BusError::Topic { .. }
    );
    if is_refused && !*warned {
        *warned = true;
        tracing::warn!("{consequence}: {error}");
    } else {
        tracing::debug!("{consequence}: {error}");
    }
    is_refused
}
