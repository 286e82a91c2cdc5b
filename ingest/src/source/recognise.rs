//! Which content a file holds: a known one, under whatever name, or a new one.
//!
//! A file is compared with every known content that has its first line. It is that content if it
//! is the same file and start and tail prove it, or if it begins with all of it and nothing else
//! holds it any more. It is a copy if all of it stands in that content. Otherwise it is another
//! content, with the next ordinal.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use event::EventId;

use super::content::FileId;
use super::content::{Content, is_compressed};
use super::file_position::{PROOF_BYTES, proof_hash, tail_start};
use super::file_set::FileSet;
use super::item::Notice;
use super::settings::FileSourceMode;
use super::stream::{FileOnDisk, Standing, Stream};

/// What a file is to a known content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// Reading goes on in it.
    Same,
    /// It holds nothing that the content does not.
    Copy,
    Other,
    /// The comparison takes another pass.
    Unclear,
}

/// How much of a copy is compared in one pass, so that other files need not wait.
const COMPARED_BYTES_MAX: u64 = 32 * 1024 * 1024;

impl FileSet {
    /// Opens a file if it is not, closing an idle one if too many are. `false` if it cannot be.
    pub(super) fn open(&mut self, id: FileId) -> bool {
        let Some(file) = self.files.get(&id) else { return false };
        if file.content.is_some() {
            return true;
        }
        let path = Arc::clone(&file.path);
        if !self.make_room() {
            return false;
        }
        match Content::open(&path, id) {
            Ok(Some(content)) => {
                let Some(file) = self.files.get_mut(&id) else { return false };
                let plain = content.plain_file().cloned();
                file.content = Some(content);
                if let Standing::Carrier(key) = file.standing {
                    self.positions.set_file(key, plain);
                    self.verify_reopened(key, id);
                }
                true
            }
            Ok(None) => false, // renamed since it was listed: the next pass knows where it is
            Err(error) => {
                self.problems.push(Notice::unreadable(&path, &error));
                false
            }
        }
    }

    /// While it was closed, the file may have been deleted and its inode given to another one.
    fn verify_reopened(&mut self, key: EventId, id: FileId) {
        let Some(stream) = self.streams.get(&key) else { return };
        if !stream.has_tail() {
            return self.load_tail(key);
        }
        let content = self.files.get_mut(&id).and_then(|file| file.content.as_mut());
        let Some(content) = content.filter(|content| content.plain_file().is_some()) else {
            return;
        };
        let tail = content.window(tail_start(stream.offset), stream.tail.len());
        if tail.is_ok_and(|tail| tail != stream.tail) {
            let size = content.status().map_or(0, |(stamp, _)| stamp.size);
            self.truncated(key, id, size, self.now);
            self.stale = true;
        }
    }

    /// Whether one more file may be opened; closes the one that was quiet longest.
    fn make_room(&mut self) -> bool {
        let open = self.files.values().filter(|file| file.content.is_some()).count();
        if open < self.settings.files_max.max(1) {
            return true;
        }
        let closable = |file: &&mut FileOnDisk| {
            let busy = match file.standing {
                Standing::Carrier(key) => self.streams.get(&key).is_some_and(|s| s.queued),
                _ => false,
            };
            file.content.is_some() && file.named && !busy
        };
        let oldest = self.files.values_mut().filter(closable).min_by_key(|file| file.quiet_since);
        let Some(file) = oldest else {
            self.waiting_to_open += 1;
            return false;
        };
        file.content = None;
        if let Standing::Carrier(key) = file.standing {
            self.positions.set_file(key, None);
        }
        true
    }

    /// Finds out what an unknown file holds, as far as that can be told now.
    pub(super) fn identify(&mut self, id: FileId, now: Instant) {
        if !self.open(id) {
            return;
        }
        // Taken out, so that it can be compared with the other files.
        let Some(mut file) = self.files.remove(&id) else { return };
        let settled = self.mode == FileSourceMode::ReadToEnd
            || now.duration_since(file.quiet_since) >= self.rotate_wait();
        let head = match file.content.as_mut().map(head_of) {
            Some(Ok(head)) => head,
            Some(Err(error)) => {
                if settled || error.kind() != io::ErrorKind::UnexpectedEof {
                    file.standing = Standing::Damaged;
                    let (path, problem) = (Arc::clone(&file.path), error.to_string());
                    self.say(Notice::Damaged { path, offset: 0, problem });
                }
                file.content = None;
                self.files.insert(id, file);
                return;
            }
            None => return,
        };
        let complete = is_compressed(&file.path)
            || self.mode == FileSourceMode::ReadToEnd
            || (settled && !file.named);
        if let Some(line) = first_line(&head, complete) {
            self.recognise(&mut file, &head, line, settled, now);
        }
        self.files.insert(id, file);
        if let Some(Standing::Carrier(key)) = self.files.get(&id).map(|file| file.standing) {
            self.load_tail(key);
            self.queue(key);
        }
    }

    fn recognise(
        &mut self,
        file: &mut FileOnDisk,
        head: &[u8],
        line: &[u8],
        settled: bool,
        now: Instant,
    ) {
        let first_line = EventId::of(&[self.instance.as_bytes(), line]);
        let family = self.families.get(&first_line).cloned().unwrap_or_default();
        for &key in &family {
            match self.relate(key, file, head) {
                Ok(Relation::Same) => return self.attach(key, file, head, now),
                Ok(Relation::Copy) => return self.set_aside(key, file),
                Ok(Relation::Unclear) => return,
                Err(error) if !settled && error.kind() == io::ErrorKind::UnexpectedEof => return,
                Ok(Relation::Other) | Err(_) => {}
            }
        }
        let last = family.last().and_then(|key| self.streams.get(key));
        let ordinal = last.map_or(0, |stream| stream.ordinal.saturating_add(1));
        let key = EventId::of(&[self.instance.as_bytes(), line, ordinal.to_le_bytes().as_slice()]);
        self.remember(Stream::new(key, first_line, ordinal, file));
        self.say(Notice::Found { key, path: Arc::clone(&file.path) });
        self.attach(key, file, head, now);
    }

    /// Compares a file with a content that has its first line.
    pub(super) fn relate(
        &mut self,
        key: EventId,
        file: &mut FileOnDisk,
        head: &[u8],
    ) -> io::Result<Relation> {
        let Some(stream) = self.streams.get(&key) else { return Ok(Relation::Other) };
        let prefix = head.get(..stream.prefix_length);
        if prefix.is_some_and(|prefix| proof_hash(prefix) != stream.prefix_hash) {
            return Ok(Relation::Other);
        }
        if let Some(carrier) = stream.carrier.filter(|&carrier| carrier != file.id) {
            // A finished content's file is closed, but may be there still.
            let open = self.files.contains_key(&carrier) && self.open(carrier);
            if open && self.streams.get(&key).is_some_and(|s| s.carrier == Some(carrier)) {
                return self.compare(key, file, carrier);
            }
        }
        let Some(stream) = self.streams.get(&key) else { return Ok(Relation::Other) };
        let Some(content) = file.content.as_mut() else { return Ok(Relation::Unclear) };
        let same_file = stream.home == file.id;
        // Too short to prove anything, and nothing is left to compare it with. It may be a part
        // of that content; to read it twice is better than to lose it.
        if prefix.is_none() {
            return Ok(Relation::Other);
        }
        let (end, hash) = stream.proof;
        let start = tail_start(end);
        let tail = content.window(start, (end - start) as usize)?;
        let size = content.plain_file().and(content.status().ok()).map(|(stamp, _)| stamp.size);
        let short = (tail.len() as u64) < end - start || size.is_some_and(|n| n < stream.offset);
        if short || proof_hash(&tail) != hash {
            return Ok(Relation::Other);
        }
        if !stream.finished {
            return Ok(Relation::Same);
        }
        let offset = stream.offset;
        let grown = !content.window(offset, 1)?.is_empty();
        file.compared = Some((key, offset));
        Ok(if grown || same_file { Relation::Same } else { Relation::Copy })
    }

    /// Compares byte by byte with the file that a content is read from, going on where the last
    /// pass stopped.
    fn compare(
        &mut self,
        key: EventId,
        file: &mut FileOnDisk,
        carrier: FileId,
    ) -> io::Result<Relation> {
        let Some(known) = self.files.get_mut(&carrier) else { return Ok(Relation::Unclear) };
        let (Some(ours), Some(theirs)) = (known.content.as_mut(), file.content.as_mut()) else {
            return Ok(Relation::Unclear);
        };
        let started = match file.compared {
            Some((of, bytes)) if of == key => bytes,
            _ => 0,
        };
        let mut same = started;
        loop {
            let theirs = theirs.window(same, 256 * 1024)?;
            if theirs.is_empty() {
                file.compared = Some((key, same));
                return Ok(Relation::Copy);
            }
            let ours_now = ours.window(same, theirs.len())?;
            if !theirs.starts_with(&ours_now) {
                file.compared = None;
                return Ok(Relation::Other);
            }
            same += ours_now.len() as u64;
            if ours_now.len() < theirs.len() {
                break;
            }
            let patient = self.mode == FileSourceMode::Follow;
            if patient && same - started > COMPARED_BYTES_MAX {
                file.compared = Some((key, same));
                return Ok(Relation::Unclear);
            }
        }
        // It has more than the known file. If that one can no longer grow, this one continues it:
        // so it is when a mirror replaces a file by a longer one. Otherwise they have diverged.
        file.compared = Some((key, same));
        let deleted = ours.status().is_ok_and(|(_, linked)| !linked);
        let ended = ours.plain_file().is_none() || deleted;
        Ok(if ended { Relation::Same } else { Relation::Other })
    }

    /// From now on the content is read from this file.
    pub(super) fn attach(
        &mut self,
        key: EventId,
        file: &mut FileOnDisk,
        head: &[u8],
        now: Instant,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        if let Some(before) = stream.carrier.take() {
            self.files.remove(&before);
        }
        let resumed = stream.offset > 0 && !stream.finished;
        stream.carrier = Some(file.id);
        stream.home = file.id;
        stream.path = Arc::clone(&file.path);
        stream.orphaned = None;
        stream.checked = None;
        stream.reported = false;
        file.standing = Standing::Carrier(key);
        file.quiet_since = now;
        if head.len() > stream.prefix_length {
            (stream.prefix_length, stream.prefix_hash) = (head.len(), proof_hash(head));
        }
        let (length, hash) = (stream.prefix_length as u32, stream.prefix_hash);
        let (offset, path) = (stream.offset, Arc::clone(&stream.path));
        self.positions.set_prefix(key, length, hash);
        self.positions.locate(key, &path, file.id);
        if !is_compressed(&path) {
            self.progress.read(offset);
        }
        if resumed {
            self.say(Notice::Resumed { key, path, offset });
        }
    }

    fn set_aside(&mut self, key: EventId, file: &mut FileOnDisk) {
        let Some(stream) = self.streams.get(&key) else { return };
        let (path, of) = (Arc::clone(&file.path), Arc::clone(&stream.path));
        let unsaid = file.standing == Standing::Unknown && file.path != stream.path;
        file.standing = Standing::Copy(key);
        if is_compressed(&file.path) {
            file.content = None;
        }
        self.progress.read(file.stamp.size);
        if unsaid {
            self.say(Notice::Copy { key, path, of });
        }
    }

    /// While a content is shorter than its prefix may be, the prefix grows with it.
    pub(super) fn refresh_prefix(&mut self, key: EventId) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        if stream.prefix_length >= PROOF_BYTES {
            return;
        }
        let file = stream.carrier.and_then(|id| self.files.get_mut(&id));
        let content = file.and_then(|file| file.content.as_mut());
        let Some(content) = content.filter(|content| content.plain_file().is_some()) else {
            return;
        };
        if let Ok(head) = content.window(0, PROOF_BYTES)
            && head.len() > stream.prefix_length
        {
            (stream.prefix_length, stream.prefix_hash) = (head.len(), proof_hash(&head));
            self.positions.set_prefix(key, head.len() as u32, stream.prefix_hash);
        }
    }
}

/// The first 1 KiB, or all there is; an error if a compressed file ends within it.
fn head_of(content: &mut Content) -> io::Result<Vec<u8>> {
    let head = content.window(0, PROOF_BYTES)?;
    if head.len() < PROOF_BYTES {
        content.window(head.len() as u64, 1)?;
    }
    Ok(head)
}

/// The first line with its newline, at most 1 KiB of it; what there is if the file is `complete`.
fn first_line(head: &[u8], complete: bool) -> Option<&[u8]> {
    match memchr::memchr(b'\n', head) {
        Some(newline) => head.get(..=newline),
        None if head.len() >= PROOF_BYTES || (complete && !head.is_empty()) => Some(head),
        None => None,
    }
}
