//! Over Kafka, each process tells of itself, and those with an API hear of all. Neither ever
//! holds up the flow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::{Bus, BusError, KafkaBus};
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::collect::now;
use super::process::OwnProcess;

/// How often a process tells of itself.
const TELL: Duration = Duration::from_secs(5);

/// How often it is tried again where the brokers do not allow it.
const TELL_REFUSED: Duration = Duration::from_secs(60);

/// How often it is listened.
const LISTEN: Duration = Duration::from_secs(2);

/// How long the last word may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// This process, and what is known of the others. Cheap to clone.
#[derive(Clone)]
pub struct ProcessBoard {
    own: Arc<OwnProcess>,
    others: Arc<Mutex<Vec<Account>>>,
}

impl ProcessBoard {
    pub fn new(own: OwnProcess) -> Self {
        Self { own: Arc::new(own), others: Arc::default() }
    }

    /// Of this process first, then of the others; who is silent is called so.
    pub fn accounts(&self) -> Vec<Account> {
        let mut accounts = vec![self.own.account()];
        accounts.extend(self.others.lock().unwrap_or_else(PoisonError::into_inner).clone());
        accounts.iter_mut().for_each(|account| account.heed_silence(now()));
        accounts
    }

    /// Tells until it is told to stop, and takes its word back then: who stops in good order is
    /// not missed. Listens too, if it shall. On an embedded bus nobody else is there.
    pub fn start(&self, bus: &Bus, listens: bool, stop: &CancellationToken) -> Option<Task<()>> {
        let Bus::Kafka(kafka) = bus else { return None };
        if listens {
            tokio::spawn(self.clone().listen(kafka.clone(), stop.clone()));
        }
        Some(tokio::spawn(self.clone().tell(kafka.clone(), stop.clone())))
    }

    async fn tell(self, kafka: KafkaBus, stop: CancellationToken) {
        let key = self.own.key();
        let mut warned = false;
        loop {
            let mut pause = TELL;
            match unless(&stop, self.tell_once(&kafka, &key)).await {
                None => break,
                Some(Ok(())) => warned = false,
                Some(Err(error)) => {
                    let consequence = "the others do not hear of this process";
                    if complain(consequence, &error, &mut warned) {
                        pause = TELL_REFUSED;
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
    }

    async fn tell_once(&self, kafka: &KafkaBus, key: &str) -> Result<(), BusError> {
        match self.own.account().into_report() {
            Ok(report) => kafka.report(key, &report).await,
            Err(error) => {
                tracing::debug!(%error, "the report of this process cannot be written");
                Ok(())
            }
        }
    }

    async fn listen(self, kafka: KafkaBus, stop: CancellationToken) {
        let key = self.own.key();
        let mut warned = false;
        loop {
            match unless(&stop, kafka.reports()).await {
                None => return,
                Some(Ok(mut reports)) => {
                    reports.retain(|report| report.key != key);
                    let others = Account::read(&reports, now());
                    *self.others.lock().unwrap_or_else(PoisonError::into_inner) = others;
                    warned = false;
                }
                // Whoever tells makes the topic, and says why it cannot.
                Some(Err(BusError::TopicMissing(topic))) => {
                    tracing::debug!("there is no topic {topic} yet");
                }
                Some(Err(error)) => {
                    complain("nothing is heard of other processes", &error, &mut warned);
                }
            }
            if unless(&stop, tokio::time::sleep(LISTEN)).await.is_none() {
                return;
            }
        }
    }
}

/// Once as a warning if somebody has to cure it. True if so.
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

/// None if it was told to stop before.
async fn unless<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        () = stop.cancelled() => None,
        done = work => Some(done),
    }
}
