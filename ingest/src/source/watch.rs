//! Wake-ups: which paths changed, as far as the kernel tells. Nothing relies on them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Paths waiting to be looked at; when there are more, everything is looked at.
const WAKE_UPS_MAX: usize = 4_096;

/// Watches folders and tells what changed in them.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    wakes: Receiver<PathBuf>,
    /// Notifications were lost: everything has to be looked at.
    overflowed: Arc<AtomicBool>,
}

/// What watching a set of folders came to.
#[derive(Default)]
pub(super) struct Watched {
    /// Folders are watched that were not.
    pub(super) added: bool,
    /// The kernel's limit is reached: intervals have to do.
    pub(super) problem: Option<String>,
}

impl Watch {
    pub(super) fn new() -> (Self, Option<String>) {
        let (wake, wakes) = sync_channel(WAKE_UPS_MAX);
        let overflowed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&overflowed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            pass_on(event, &wake, &flag);
        });
        let (watcher, problem) = match watcher {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error.to_string())),
        };
        (Self { watcher, watched: BTreeSet::new(), wakes, overflowed }, problem)
    }

    /// Watches these folders and no others.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> Watched {
        let mut watched = Watched::default();
        let Some(watcher) = self.watcher.as_mut() else { return watched };
        for gone in self.watched.difference(folders) {
            let _ = watcher.unwatch(gone); // a removed folder took its watch along
        }
        self.watched.retain(|folder| folders.contains(folder));
        for folder in folders {
            if self.watched.contains(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder.clone());
                    watched.added = true;
                }
                Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                    watched.problem = Some(error.to_string());
                    break;
                }
                Err(error) => {
                    tracing::debug!(folder = %folder.display(), %error, "cannot be watched");
                }
            }
        }
        watched
    }

    /// Waits for a change; `None` when the time is over.
    pub(super) fn wait(&self, timeout: Duration) -> Option<PathBuf> {
        self.wakes.recv_timeout(timeout).ok()
    }

    /// Whether notifications were lost since the last call.
    pub(super) fn take_overflowed(&self) -> bool {
        self.overflowed.swap(false, Ordering::AcqRel)
    }

    /// A folder was replaced, so its watch is on the old one: watch it anew.
    pub(super) fn renew(&mut self, path: &std::path::Path) {
        if self.watched.remove(path)
            && let Some(watcher) = self.watcher.as_mut()
        {
            let _ = watcher.unwatch(path); // gone with the folder, as a rule
        }
    }
}

fn pass_on(event: notify::Result<Event>, wake: &SyncSender<PathBuf>, overflowed: &AtomicBool) {
    let Ok(event) = event else { return overflowed.store(true, Ordering::Release) };
    if event.need_rescan() {
        overflowed.store(true, Ordering::Release);
    }
    // Reading makes events of its own; they must not wake the reader.
    let of_interest = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    for path in event.paths.into_iter().filter(|_| of_interest) {
        if let Err(TrySendError::Full(_)) = wake.try_send(path) {
            overflowed.store(true, Ordering::Release);
        }
    }
}
