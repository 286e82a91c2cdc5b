//! Any order of reading, committing, taking over, dying and tidying up among three writers leaves
//! in the tables exactly the rows below the positions, once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lake::{Lake, LakeError, LakeReader, LakeSettings, Writer};
use proptest::prelude::*;

use crate::sample::{NOON, events, later, numbers, rejects, share};

const WRITERS: usize = 3;
const PARTITIONS: i64 = 2;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Takes the partition, whoever reads it.
    Claim(i64),
    Read(i64, i64),
    Commit,
    Maintain,
    Crash,
    /// Dies in a commit, after the rejects and before the events.
    CrashHalfway,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        3 => (0..PARTITIONS).prop_map(Step::Claim),
        5 => (0..PARTITIONS, 1..20_i64).prop_map(|(partition, count)| Step::Read(partition, count)),
        4 => Just(Step::Commit),
        1 => Just(Step::Maintain),
        1 => Just(Step::Crash),
        2 => Just(Step::CrashHalfway),
    ];
    (0..WRITERS, step)
}

fn name(partition: i64) -> String {
    format!("bus/{partition}")
}

fn first(partition: i64) -> i64 {
    partition * 1_000
}

/// Every third record is followed by a reject.
fn rejects_below(at: i64) -> i64 {
    (at + 2) / 3
}

/// One process: where it reads, and where the rejects that are stored end.
struct Process {
    lake: Lake,
    writer: Writer,
    reading: BTreeMap<i64, (i64, i64)>,
}

impl Process {
    async fn start(folder: &Path) -> Self {
        let settings =
            LakeSettings { compact_files_min: 2, checkpoint_commits: 4, ..LakeSettings::default() };
        let (lake, writer) = share(folder, &settings).await;
        Self { lake, writer, reading: BTreeMap::new() }
    }

    fn claim(&mut self, partition: i64) {
        match self.writer.claim(&name(partition)) {
            Ok(claim) => {
                let at = claim.events.unwrap_or(0);
                let rejected = claim.rejects.unwrap_or(0).max(at);
                self.reading.insert(partition, (at, rejected));
            }
            Err(LakeError::Waiting(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&mut self, partition: i64, count: i64) {
        let Some((at, rejected)) = self.reading.get_mut(&partition) else { return };
        let (from, to, first) = (*at, *at + count, first(partition));
        self.writer.write(&events(first + from, first + to, NOON)).expect("written");
        let (from, to) = (rejects_below(from.max(*rejected)), rejects_below(to));
        self.writer.reject(&rejects(first + from, first + to.max(from))).expect("written");
        *at += count;
    }

    fn commit(&mut self) -> Result<(), LakeError> {
        let positions = self.reading.iter().map(|(partition, (at, _))| (name(*partition), *at));
        match self.writer.commit(&positions.collect::<Vec<_>>()) {
            Ok(_) => Ok(()),
            Err(LakeError::Superseded { .. }) => {
                self.writer.discard();
                self.reading.clear();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it survived.
    async fn take(&mut self, folder: &Path, step: Step) -> bool {
        match step {
            Step::Claim(partition) => self.claim(partition),
            Step::Read(partition, count) => self.read(partition, count),
            Step::Commit => self.commit().expect("committed or superseded"),
            Step::Maintain => drop(self.lake.maintain(later(0)).await.expect("kept in order")),
            Step::Crash => return false,
            Step::CrashHalfway => {
                let days = folder.join("events").join("date=2026-11-21");
                if days.exists() {
                    fs::rename(&days, folder.join("away")).expect("renamed");
                    drop(self.commit());
                    fs::rename(folder.join("away"), &days).expect("back");
                }
                return false;
            }
        }
        true
    }
}

/// The rows below the positions, once, and no others.
async fn check(folder: &Path) {
    let reader = LakeReader::open(folder).await.expect("a lake");
    let view = reader.view();
    let (mut events, mut rejects) = (Vec::new(), Vec::new());
    let lake = Process::start(folder).await.lake;
    for partition in 0..PARTITIONS {
        let at = reader.positions().get(&name(partition)).copied().unwrap_or(0);
        let rejected = lake.reject_positions().get(&name(partition)).copied().unwrap_or(0);
        let first = first(partition);
        events.extend(first..first + at);
        rejects.extend(first..first + rejects_below(rejected.max(at)));
    }
    assert_eq!(numbers(&view.events), events);
    assert_eq!(numbers(&view.rejects), rejects);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, max_shrink_iters: 64, ..Default::default() })]

    #[test]
    fn every_row_below_the_positions_is_there_once(
        steps in proptest::collection::vec(step(), 8..40),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut processes: [Option<Process>; WRITERS] = Default::default();
            let mut committed = BTreeMap::new();
            for (writer, step) in steps {
                let process = match &mut processes[writer] {
                    Some(process) => process,
                    none => none.insert(Process::start(folder.path()).await),
                };
                if !process.take(folder.path(), step).await {
                    processes[writer] = None;
                } else if matches!(step, Step::Commit) {
                    check(folder.path()).await;
                    let lake = &processes[writer].as_ref().expect("it is there").lake;
                    for (name, at) in lake.positions() {
                        let before = committed.insert(name, at).unwrap_or(0);
                        assert!(at >= before, "what was committed stays");
                    }
                }
            }
            check(folder.path()).await;
        });
    }
}
