//! A disk in memory that keeps the difference between written and durable: it crashes at any
//! byte, tears writes, loses what a failed sync should have written, is full, and rots.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bus::disk::{Disk, DiskFile};

/// The medium. Outlives the machines that use it.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Machines before this one are gone: their calls fail.
    machine: u64,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    faults: Faults,
    random: u64,
}

/// What goes wrong next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) full: bool,
    /// Not full, but nothing is said to be free.
    pub(crate) short: bool,
    pub(crate) failing_syncs: u32,
    pub(crate) failing_writes: u32,
    /// The machine stops before the change after so many.
    pub(crate) changes_left: Option<u32>,
}

#[derive(Default)]
struct Inode {
    /// What reads show.
    view: Vec<u8>,
    durable: Vec<u8>,
    /// Changes of the view since the last sync, successful or not.
    pending: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write(position, bytes) => {
                to.resize(to.len().max(position + bytes.len()), 0);
                to[*position..position + bytes.len()].copy_from_slice(bytes);
            }
            Change::Truncate(size) => to.resize(*size, 0),
        }
    }
}

impl FaultyDisk {
    /// The disk as the current machine sees it.
    pub(crate) fn machine(&self) -> Arc<dyn Disk> {
        Arc::new(Machine { disk: self.clone(), number: self.state().machine })
    }

    pub(crate) fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// Ends the process: what it wrote stays in the cache.
    pub(crate) fn kill(&self) {
        self.state().machine += 1;
    }

    /// Ends the machine: of what was not synced, anything may have reached the medium.
    pub(crate) fn crash(&self, seed: u64) {
        let state = &mut *self.state();
        state.machine += 1;
        state.random = seed;
        for path in
            state.names.keys().chain(state.durable_names.keys()).cloned().collect::<Vec<_>>()
        {
            if state.durable_names.get(&path) != state.names.get(&path)
                && next(&mut state.random, 2) == 0
            {
                match state.names.get(&path) {
                    Some(inode) => state.durable_names.insert(path, *inode),
                    None => state.durable_names.remove(&path),
                };
            }
        }
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            for change in std::mem::take(&mut inode.pending) {
                if let Some(change) = torn(change, &mut state.random) {
                    change.apply(&mut inode.durable);
                }
            }
            inode.view = inode.durable.clone();
        }
    }

    /// Files whose name ends so and would survive a crash, in order.
    pub(crate) fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let state = self.state();
        let durable = |path: &&PathBuf| state.durable_names.contains_key(*path);
        let ends = |path: &&PathBuf| path.to_string_lossy().ends_with(suffix);
        state.names.keys().filter(ends).filter(durable).cloned().collect()
    }

    /// Flips a bit behind the first `from` bytes of a file. False if there is none.
    pub(crate) fn flip(&self, path: &Path, from: usize, bit: usize) -> bool {
        let state = &mut *self.state();
        let inode = &mut state.inodes[state.names[path]];
        let Some(bits) = (inode.durable.len() * 8).checked_sub(from * 8).filter(|bits| *bits > 0)
        else {
            return false;
        };
        let bit = from * 8 + bit % bits;
        for bytes in [&mut inode.durable, &mut inode.view] {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// What a crash leaves of a change: nothing, all, a beginning, or all but a sector.
fn torn(change: Change, random: &mut u64) -> Option<Change> {
    let Change::Write(position, mut bytes) = change else {
        return (next(random, 2) == 0).then_some(change);
    };
    match next(random, 4) {
        0 => return None,
        1 => {}
        2 => bytes.truncate(next(random, bytes.len() + 1)),
        _ => {
            let start = next(random, bytes.len() + 1);
            let end = (start + 1 + next(random, 64)).min(bytes.len());
            bytes[start..end].fill(0);
        }
    }
    Some(Change::Write(position, bytes))
}

/// A number below `bound` (splitmix64).
fn next(random: &mut u64, bound: usize) -> usize {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
}

struct Machine {
    disk: FaultyDisk,
    number: u64,
}

impl Machine {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.machine == self.number { Ok(state) } else { Err(io::Error::other("crashed")) }
    }

    /// Counts a change of the medium; the last one the machine has left does not happen.
    fn alive_to_change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.alive()?;
        match state.faults.changes_left {
            Some(0) => {
                state.machine += 1;
                Err(io::Error::other("crashed"))
            }
            left => {
                state.faults.changes_left = left.map(|left| left - 1);
                Ok(state)
            }
        }
    }

    fn file(&self, inode: usize) -> Box<dyn DiskFile> {
        let machine = Machine { disk: self.disk.clone(), number: self.number };
        Box::new(OpenFile { machine, inode })
    }
}

impl Disk for Machine {
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        self.alive().map(drop)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.alive()?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.alive_to_change()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        state.names.insert(path.to_owned(), inode);
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.alive()?.names.get(path).copied();
        inode.map(|inode| self.file(inode)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.alive_to_change()?.names.remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.alive_to_change()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let state = &mut *self.alive_to_change()?;
        let outside = |path: &PathBuf| path.parent() != Some(directory);
        state.durable_names.retain(|path, _| outside(path));
        let inside = state.names.iter().filter(|(path, _)| !outside(path));
        state.durable_names.extend(inside.map(|(path, inode)| (path.clone(), *inode)));
        Ok(())
    }

    fn age(&self, _: &Path) -> io::Result<Duration> {
        Ok(Duration::ZERO)
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(if self.disk.state().faults.short { 0 } else { u64::MAX })
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}

struct OpenFile {
    machine: Machine,
    inode: usize,
}

impl OpenFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let inode = &mut self.machine.alive()?.inodes[self.inode];
        change.apply(&mut inode.view);
        inode.pending.push(change);
        Ok(())
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.machine.alive()?;
        let bytes = state.inodes[self.inode].view.get(position as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.machine.alive_to_change()?;
        let failure = if state.faults.full {
            io::ErrorKind::StorageFull
        } else if state.faults.failing_writes > 0 {
            state.faults.failing_writes -= 1;
            io::ErrorKind::Other
        } else {
            drop(state);
            return self.change(Change::Write(position as usize, bytes.to_vec()));
        };
        let part = next(&mut state.random, bytes.len() + 1);
        drop(state);
        self.change(Change::Write(position as usize, bytes[..part].to_vec()))?;
        Err(failure.into())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.machine.alive()?.inodes[self.inode].view.len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        drop(self.machine.alive_to_change()?);
        self.change(Change::Truncate(size as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.machine.alive_to_change()?;
        let inode = &mut state.inodes[self.inode];
        let pending = std::mem::take(&mut inode.pending);
        if state.faults.failing_syncs > 0 {
            // As Linux does it: the cache keeps the bytes as if they were clean, the medium
            // never gets them, and the next sync has nothing to complain about.
            state.faults.failing_syncs -= 1;
            return Err(io::Error::other("input/output error"));
        }
        pending.iter().for_each(|change| change.apply(&mut inode.durable));
        Ok(())
    }

    fn forget_cache(&self) -> io::Result<()> {
        let inode = &mut self.machine.alive()?.inodes[self.inode];
        inode.view = inode.durable.clone();
        inode.pending.iter().for_each(|change| change.apply(&mut inode.view));
        Ok(())
    }
}
