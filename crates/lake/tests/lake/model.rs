//! Any order of writes, commits, upkeep and crashes leaves every row there once.

use std::fs;
use std::path::Path;

use lake::{Lake, LakeSettings, Writer};
use proptest::prelude::*;

use crate::sample::{
    NOON, all, committed, copy, events, numbers, open_with, position, rejects, stored,
};

#[derive(Debug, Clone, Copy)]
enum Step {
    Write(i64),
    Commit,
    Maintain,
    /// The process dies.
    Crash,
    /// It dies in a commit, after the rejects and before the events.
    CrashHalfway,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..30_i64).prop_map(Step::Write),
        4 => Just(Step::Commit),
        2 => Just(Step::Maintain),
        1 => Just(Step::Crash),
        2 => Just(Step::CrashHalfway),
    ]
}

/// A source of numbered events, every third followed by a reject, and the lake it fills.
struct Run<'a> {
    folder: &'a Path,
    lake: Lake,
    writer: Writer,
    /// The source has been read up to here.
    at: i64,
    /// Rejects up to here were stored when the run began.
    rejected: i64,
}

impl<'a> Run<'a> {
    async fn start(folder: &'a Path) -> Self {
        let settings =
            LakeSettings { compact_files_min: 2, checkpoint_commits: 4, ..LakeSettings::default() };
        let (lake, writer) = open_with(folder, &settings).await;
        let (at, rejected) = stored(&lake);
        Self { folder, lake, writer, at, rejected }
    }

    async fn take(mut self, step: Step) -> Self {
        match step {
            Step::Write(count) => {
                let (from, to) = (self.at, self.at + count);
                self.writer.write(&events(from, to, NOON)).expect("written");
                let new = rejects((from.max(self.rejected) + 2) / 3, (to + 2) / 3);
                self.writer.reject(&new).expect("written");
                self.at = to;
            }
            Step::Commit => drop(self.writer.commit(&position(self.at)).expect("committed")),
            Step::Maintain => drop(self.lake.maintain(NOON).await.expect("kept in order")),
            Step::Crash => return self.restart().await,
            Step::CrashHalfway => {
                let before = tempfile::tempdir().expect("a folder");
                let events = self.folder.join("events");
                copy(&events, before.path());
                self.writer.commit(&position(self.at)).expect("committed");
                fs::remove_dir_all(&events).expect("removed");
                copy(before.path(), &events);
                return self.restart().await;
            }
        }
        assert_eq!(numbers(&self.lake.view().events), all(self.at));
        self
    }

    async fn restart(self) -> Self {
        let Self { folder, lake, writer, .. } = self;
        drop((lake, writer));
        Self::start(folder).await
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..Default::default() })]

    #[test]
    fn every_row_is_there_once(steps in proptest::collection::vec(step(), 1..16)) {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::start(folder.path()).await;
            for step in steps {
                run = run.take(step).await;
            }
            // Read to the end, further than any commit that was lost.
            let rest = 600 - run.at;
            run = run.take(Step::Write(rest)).await.take(Step::Commit).await;
            for view in [run.lake.view(), committed(folder.path()).await] {
                assert_eq!(numbers(&view.events), all(600));
                assert_eq!(numbers(&view.rejects), all(200));
            }
        });
    }
}
