//! The supervisor of named tasks: one that ends, fails or panics is seen, and is started again or
//! ends the process with a reason. What each does shows in `/readyz`, `doctor` and `/metrics`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use query::api::{TaskState, TaskStatus};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Starts in a row after which a task is given up, and how long one must go on to begin anew.
const STARTS_MAX: u32 = 10;
const SETTLED: Duration = Duration::from_secs(600);

/// Before a task is started again; doubled each time up to the maximum.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Starts tasks and knows how each is. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

struct Shared {
    runtime: Handle,
    tasks: Mutex<Vec<Task>>,
    failed: CancellationToken,
    failures: Mutex<Vec<anyhow::Error>>,
}

/// A task, as it sees itself: it may say what is wrong while it goes on. Cheap to clone.
#[derive(Clone)]
pub struct Task(Arc<Entry>);

struct Entry {
    name: String,
    state: Mutex<(TaskState, Option<String>)>,
    problem: Mutex<Option<String>>,
    restarts: AtomicU64,
    /// Ends the task as a fault would.
    #[cfg(test)]
    fault: tokio::sync::watch::Sender<Option<tests::Fault>>,
}

/// A failure that follows from that of another task.
#[derive(Debug)]
pub struct Follows(pub &'static str);

impl std::fmt::Display for Follows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Follows {}

/// A task that was started, to be waited for.
pub struct Started {
    name: String,
    ended: oneshot::Receiver<anyhow::Result<()>>,
}

impl Supervisor {
    /// Tasks run on this runtime, or on threads of their own.
    pub fn new(runtime: Handle) -> Self {
        Self(Arc::new(Shared {
            runtime,
            tasks: Mutex::default(),
            failed: CancellationToken::new(),
            failures: Mutex::default(),
        }))
    }

    /// Runs what the process is nothing without on a thread of its own: if it ends before `stop`
    /// is cancelled, or fails whenever, the process is to end.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn thread(
        &self,
        name: &str,
        stop: &CancellationToken,
        work: impl FnOnce(&Task) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<Started> {
        let (task, this, stop) = (self.add(name), self.clone(), stop.clone());
        let (sender, ended) = oneshot::channel();
        let run = move || {
            let work = AssertUnwindSafe(|| work(&task));
            let done = catch_unwind(work).unwrap_or_else(|panic| Err(anyhow!(said(&*panic))));
            let done = match done {
                Ok(()) if !stop.is_cancelled() => Err(anyhow!("`{}` ended by itself", task.name())),
                done => done,
            };
            task.end(done.as_ref().err().map(|error| format!("{error:#}")));
            let told = done.map_err(|error| this.fail(error));
            // A task that is not waited for is heard of through `failed`.
            let _ = sender.send(told);
        };
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        spawned.with_context(|| format!("no thread for `{name}`; raise the limit of tasks"))?;
        Ok(Started { name: name.to_owned(), ended })
    }

    /// Runs what the rest can go on without for a while: `make` is called for each start. It is
    /// started again with growing pauses, [`STARTS_MAX`] times in a row, until `stop` is cancelled.
    pub fn task<F>(
        &self,
        name: &str,
        stop: &CancellationToken,
        make: impl Fn(Task) -> F + Send + Sync + 'static,
    ) -> Started
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (task, stop, runtime) = (self.add(name), stop.clone(), self.0.runtime.clone());
        let (sender, ended) = oneshot::channel();
        self.0.runtime.spawn(async move {
            let done = keep_running(&task, &stop, &runtime, make).await;
            task.end(done.as_ref().err().map(|error| format!("{error:#}")));
            // Nobody may wait for it; its status says how it ended.
            let _ = sender.send(done);
        });
        Started { name: name.to_owned(), ended }
    }

    /// Cancelled when a task has failed without which the process is nothing.
    pub fn failed(&self) -> CancellationToken {
        self.0.failed.clone()
    }

    /// Why: the first such failure that does not follow from another. It is given once.
    pub fn take_failure(&self) -> Option<anyhow::Error> {
        let mut failures = locked(&self.0.failures);
        let cause = failures.iter().position(|error| !error.is::<Follows>()).unwrap_or(0);
        (!failures.is_empty()).then(|| failures.remove(cause))
    }

    /// Every task that was ever started, in that order.
    pub fn statuses(&self) -> Vec<TaskStatus> {
        locked(&self.0.tasks).iter().map(Task::status).collect()
    }

    fn add(&self, name: &str) -> Task {
        let task = Task(Arc::new(Entry {
            name: name.to_owned(),
            state: Mutex::new((TaskState::Running, None)),
            problem: Mutex::default(),
            restarts: AtomicU64::new(0),
            #[cfg(test)]
            fault: tokio::sync::watch::Sender::new(None),
        }));
        locked(&self.0.tasks).push(task.clone());
        task
    }

    /// Keeps the failure, and gives a word on it.
    fn fail(&self, error: anyhow::Error) -> anyhow::Error {
        let told = anyhow!("{error:#}");
        locked(&self.0.failures).push(error);
        self.0.failed.cancel();
        told
    }
}

async fn keep_running<F>(
    task: &Task,
    stop: &CancellationToken,
    runtime: &Handle,
    make: impl Fn(Task) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (mut starts, mut pause) = (1, PAUSE_MIN);
    loop {
        let begun = Instant::now();
        let work = make(task.clone());
        #[cfg(test)]
        let work = tests::faulty(work, task.0.fault.subscribe());
        let done = match runtime.spawn(work).await {
            Ok(done) => done,
            Err(error) if error.is_panic() => Err(anyhow!(said(&*error.into_panic()))),
            Err(error) => Err(anyhow!("it was cut short: {error}")),
        };
        if stop.is_cancelled() {
            return done;
        }
        let error = done.err().unwrap_or_else(|| anyhow!("it ended by itself"));
        if begun.elapsed() >= SETTLED {
            (starts, pause) = (1, PAUSE_MIN);
        }
        if starts >= STARTS_MAX {
            tracing::error!(task = task.name(), "given up after {starts} starts: {error:#}");
            return Err(error.context(format!("given up after {starts} starts")));
        }
        tracing::error!(task = task.name(), "started again in {} s: {error:#}", pause.as_secs());
        task.set(TaskState::Restarting, Some(format!("{error:#}")));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        (starts, pause) = (starts + 1, (pause * 2).min(PAUSE_MAX));
        task.0.restarts.fetch_add(1, Relaxed);
        task.set_problem(None);
        task.set(TaskState::Running, None);
    }
}

impl Task {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What is wrong while it goes on; none once all is well again.
    pub fn set_problem(&self, problem: Option<String>) {
        *locked(&self.0.problem) = problem;
    }

    fn set(&self, state: TaskState, reason: Option<String>) {
        *locked(&self.0.state) = (state, reason);
    }

    fn end(&self, reason: Option<String>) {
        self.set(TaskState::Ended, reason);
    }

    fn status(&self) -> TaskStatus {
        let (state, reason) = locked(&self.0.state).clone();
        TaskStatus {
            name: self.0.name.clone(),
            state,
            problem: reason.or_else(|| locked(&self.0.problem).clone()),
            restarts: self.0.restarts.load(Relaxed),
        }
    }
}

impl Started {
    /// Waits for its end; it has been told to stop.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn ended(self) -> anyhow::Result<()> {
        let ended = self.ended.await;
        ended.with_context(|| format!("`{}` could not be waited for", self.name))?
    }

    /// Likewise where nothing else is going on.
    pub fn wait(self) -> anyhow::Result<()> {
        let ended = self.ended.blocking_recv();
        ended.with_context(|| format!("`{}` could not be waited for", self.name))?
    }
}

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without a word"))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::sync::watch;

    use super::*;

    /// What befalls a task.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(crate) enum Fault {
        Panic,
        Error,
        End,
    }

    /// The work, until a fault befalls it.
    pub(super) async fn faulty(
        work: impl Future<Output = anyhow::Result<()>>,
        mut faults: watch::Receiver<Option<Fault>>,
    ) -> anyhow::Result<()> {
        let fault = async {
            faults.changed().await.expect("the task is there");
            *faults.borrow()
        };
        tokio::select! {
            done = work => done,
            fault = fault => match fault {
                Some(Fault::Panic) => panic!("struck by lightning"),
                Some(Fault::Error) => Err(anyhow!("struck by an error")),
                _ => Ok(()),
            },
        }
    }

    impl Supervisor {
        /// Ends a task as a fault would.
        pub(crate) fn strike(&self, name: &str, fault: Fault) {
            let tasks = locked(&self.0.tasks);
            let task = tasks.iter().find(|task| task.name() == name);
            task.unwrap_or_else(|| panic!("no task {name}")).0.fault.send_replace(Some(fault));
        }

        pub(crate) fn status(&self, name: &str) -> TaskStatus {
            let found = self.statuses().into_iter().find(|status| status.name == name);
            found.unwrap_or_else(|| panic!("no task {name}"))
        }
    }

    fn idle(stop: &CancellationToken) -> impl Future<Output = anyhow::Result<()>> + use<> {
        let stop = stop.clone();
        async move {
            stop.cancelled().await;
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_breaks_off_is_seen_and_started_again() {
        let (supervisor, stop) = (Supervisor::new(Handle::current()), CancellationToken::new());
        let token = stop.clone();
        let started = supervisor.task("upkeep", &stop, move |_| idle(&token));
        let faults = [
            (Fault::Panic, "it panicked: struck by lightning"),
            (Fault::Error, "struck by an error"),
            (Fault::End, "it ended by itself"),
        ];
        for (count, (fault, reason)) in (1..).zip(faults) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            supervisor.strike("upkeep", fault);
            tokio::time::sleep(Duration::from_millis(10)).await;
            let seen = supervisor.status("upkeep");
            assert_eq!((seen.state, seen.restarts), (TaskState::Restarting, count - 1));
            assert_eq!(seen.problem.as_deref(), Some(reason));
            tokio::time::sleep(PAUSE_MAX).await;
            let seen = supervisor.status("upkeep");
            assert_eq!(
                (seen.state, seen.problem, seen.restarts),
                (TaskState::Running, None, count)
            );
        }
        assert!(!supervisor.failed().is_cancelled(), "the process goes on");
        stop.cancel();
        started.ended().await.expect("it was told to");
        assert_eq!(supervisor.status("upkeep").state, TaskState::Ended);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_again_and_again_is_given_up() {
        let (supervisor, stop) = (Supervisor::new(Handle::current()), CancellationToken::new());
        let started = supervisor.task("upkeep", &stop, |_| async { Err(anyhow!("no disk")) });
        let error = started.ended().await.expect_err("given up").to_string();
        assert!(error.contains("given up after 10 starts"), "{error}");
        let seen = supervisor.status("upkeep");
        assert_eq!((seen.state, seen.restarts), (TaskState::Ended, 9));
        assert!(seen.problem.is_some_and(|problem| problem.contains("no disk")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_problem_shows_while_the_task_goes_on() {
        let (supervisor, stop) = (Supervisor::new(Handle::current()), CancellationToken::new());
        let token = stop.clone();
        let _started = supervisor.task("alerts", &stop, move |task| {
            task.set_problem(Some("the state fails".to_owned()));
            idle(&token)
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        let seen = supervisor.status("alerts");
        assert_eq!(seen.state, TaskState::Running);
        assert_eq!(seen.problem.as_deref(), Some("the state fails"));
    }

    #[tokio::test]
    async fn a_thread_that_breaks_off_ends_the_process_with_a_reason() {
        type Work = fn() -> anyhow::Result<()>;
        let cases: [(Work, &str); 3] = [
            (|| panic!("out of luck"), "it panicked: out of luck"),
            (|| Err(anyhow!("the bus is closed")), "the bus is closed"),
            (|| Ok(()), "`detect` ended by itself"),
        ];
        for (work, reason) in cases {
            let (supervisor, stop) = (Supervisor::new(Handle::current()), CancellationToken::new());
            let started = supervisor.thread("detect", &stop, move |_| work()).expect("a thread");
            supervisor.failed().cancelled().await;
            let error = started.ended().await.expect_err("it failed").to_string();
            assert_eq!(error, reason);
            assert_eq!(supervisor.status("detect").state, TaskState::Ended);
            assert_eq!(supervisor.status("detect").problem.as_deref(), Some(reason));
            let failure = supervisor.take_failure().expect("the reason");
            assert_eq!(failure.to_string(), reason);
        }
    }

    #[tokio::test]
    async fn the_reason_is_the_failure_that_follows_from_no_other() {
        let (supervisor, stop) = (Supervisor::new(Handle::current()), CancellationToken::new());
        let works: [fn() -> anyhow::Result<()>; 3] = [
            || Err(Follows("the lake has stopped").into()),
            || Err(anyhow!("the disk is gone")),
            || Err(anyhow!("the bus is closed")),
        ];
        for work in works {
            let started = supervisor.thread("a part", &stop, move |_| work()).expect("a thread");
            started.ended().await.expect_err("it failed");
        }
        let failure = supervisor.take_failure().expect("the reason");
        assert_eq!(failure.to_string(), "the disk is gone");
    }

    #[tokio::test]
    async fn a_thread_that_was_told_to_stop_is_no_failure() {
        let (supervisor, stop) = (Supervisor::new(Handle::current()), CancellationToken::new());
        stop.cancel();
        let started = supervisor.thread("detect", &stop, |_| Ok(())).expect("a thread");
        started.ended().await.expect("no failure");
        assert!(!supervisor.failed().is_cancelled());
        assert_eq!(supervisor.status("detect").problem, None);
    }
}
