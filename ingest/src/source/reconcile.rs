//! The look at the file system that everything else relies on: notifications may be lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use event::EventId;
use hashbrown::HashSet;

use super::content::{FileId, is_compressed};
use super::file_position::PROOF_BYTES;
use super::file_set::FileSet;
use super::item::{Notice, SourceItem};
use super::recognise::Relation;
use super::selection::{Found, siblings};
use super::settings::FileSourceMode;
use super::stream::{FileOnDisk, Standing};

impl FileSet {
    /// Brings the files known in line with the files there are, and queues what can be read.
    pub fn reconcile(&mut self, now: Instant) {
        self.stale = false;
        self.now = now;
        let listing = self.selection.list();
        self.folders = listing.folders;
        self.problems.extend(listing.problems);
        self.names.clear();
        let mut seen = HashSet::new();
        for found in listing.files {
            self.names.insert(found.path.clone(), found.id);
            seen.insert(found.id);
            self.meet(found, now);
        }
        if self.mode == FileSourceMode::ReadToEnd {
            self.report_problems();
            return;
        }
        self.rename();
        self.miss(&seen, now);
        self.look_for_truncated(now);
        self.find_renamed(now);
        self.identify_unknown(now);
        self.adopt_orphans(now);
        self.queue_grown(now);
        self.close_quiet(now);
        self.forget();
        self.report_problems();
    }

    /// Takes note of a file that a path names.
    fn meet(&mut self, found: Found, now: Instant) {
        match self.files.get_mut(&found.id) {
            Some(file) => {
                file.named = true;
                if file.stamp != found.stamp {
                    file.quiet_since = now;
                    file.stamp = found.stamp;
                    if file.standing == Standing::Damaged {
                        file.standing = Standing::Unknown;
                    }
                }
            }
            None => {
                self.progress.found(found.stamp.size);
                let file = FileOnDisk::new(&found.path, found.id, found.stamp, now);
                self.files.insert(found.id, file);
                if self.mode == FileSourceMode::ReadToEnd {
                    self.plan.push_back(found.id);
                }
            }
        }
    }

    /// Follows files whose path names another file, or none, to the name they have now.
    fn rename(&mut self) {
        let (mut moved, mut replaced) = (Vec::new(), Vec::new());
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort();
        for (path, id) in names {
            let Some(file) = self.files.get_mut(id) else { continue };
            if self.names.get(&*file.path) == Some(id) {
                continue;
            }
            // Nobody renames a log to what a compressed one is called: a file that was closed is
            // gone, and the compressed copy of another got its inode.
            if file.content.is_none() && is_compressed(path) != is_compressed(&file.path) {
                replaced.push((*id, Arc::<Path>::from(path.as_path()), file.stamp));
                continue;
            }
            let before = std::mem::replace(&mut file.path, path.as_path().into());
            file.rotated = true;
            if let Standing::Carrier(key) = file.standing {
                moved.push((key, before, Arc::clone(&file.path), *id));
            }
        }
        for (id, path, stamp) in replaced {
            self.let_go(id, self.now);
            self.files.insert(id, FileOnDisk::new(&path, id, stamp, self.now));
        }
        for (key, before, path, id) in moved {
            self.positions.locate(key, &path, id);
            let Some(stream) = self.streams.get_mut(&key) else { continue };
            stream.path = path;
            let offset = stream.offset;
            self.say(Notice::Rotated { key, path: before, offset });
        }
    }

    /// Files that no path names any more: the open ones are drained, the others let go.
    fn miss(&mut self, seen: &HashSet<FileId>, now: Instant) {
        let mut missing: Vec<FileId> =
            self.files.keys().filter(|id| !seen.contains(*id)).copied().collect();
        missing.sort();
        for id in missing {
            let Some(file) = self.files.get_mut(&id) else { continue };
            let was_named = std::mem::replace(&mut file.named, false);
            let status = file.content.as_ref().and_then(|content| content.status().ok());
            if let Some((stamp, _)) = status
                && stamp != file.stamp
            {
                file.stamp = stamp;
                file.quiet_since = now;
            }
            if was_named {
                file.rotated = true;
                file.quiet_since = now;
                let linked = status.is_some_and(|(_, linked)| linked);
                self.report_missing(id, linked);
            }
            if status.is_none() {
                self.let_go(id, now);
            }
        }
    }

    fn report_missing(&mut self, id: FileId, linked: bool) {
        let Some(file) = self.files.get(&id) else { return };
        let (Standing::Carrier(key), path) = (file.standing, Arc::clone(&file.path)) else {
            return;
        };
        let Some(stream) = self.streams.get(&key).filter(|stream| !stream.finished) else { return };
        let offset = stream.offset;
        self.say(match linked {
            true => Notice::Rotated { key, path, offset },
            false => Notice::Removed { key, path, offset },
        });
    }

    /// A file that is closed and has no name. What was not read of it may stand in a copy.
    fn let_go(&mut self, id: FileId, now: Instant) {
        let Some(file) = self.files.remove(&id) else { return };
        let Standing::Carrier(key) = file.standing else {
            if file.standing == Standing::Unknown && file.stamp.size > 0 {
                let gone = std::io::Error::other("removed before it could be opened");
                self.say(Notice::unreadable(&file.path, &gone));
            }
            return;
        };
        let Some(stream) = self.streams.get_mut(&key) else { return };
        stream.carrier = None;
        if stream.finished {
            return;
        }
        if stream.offset == file.stamp.size && stream.offset >= stream.seen {
            let end = self.finish(key).map(SourceItem::Data);
            self.pending.extend(end);
        } else {
            stream.orphaned = Some(now);
        }
    }

    fn look_for_truncated(&mut self, now: Instant) {
        let mut cut: Vec<(EventId, FileId, u64)> = Vec::new();
        for file in self.files.values() {
            let Standing::Carrier(key) = file.standing else { continue };
            let plain = !is_compressed(&file.path);
            let offset = self.streams.get(&key).map_or(0, |stream| stream.offset);
            if plain && file.stamp.size < offset {
                cut.push((key, file.id, file.stamp.size));
            }
        }
        for (key, id, size) in cut {
            self.truncated(key, id, size, now);
        }
    }

    /// The file holds another content from now on; the rest of the old one is looked for.
    pub(super) fn truncated(&mut self, key: EventId, id: FileId, size: u64, now: Instant) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        stream.carrier = None;
        stream.queued = false;
        let was_finished = stream.finished;
        stream.orphaned = (!was_finished).then_some(now);
        stream.reported = true;
        let (offset, path) = (stream.offset, Arc::clone(&stream.path));
        self.positions.set_file(key, None);
        let mut unread_bytes = 0;
        if let Some(file) = self.files.get_mut(&id) {
            if size < offset {
                unread_bytes = stream.seen.saturating_sub(offset);
            }
            file.standing = Standing::Unknown;
            file.compared = None;
            file.stamp.size = size;
            file.quiet_since = now;
        }
        if !was_finished {
            self.say(Notice::Truncated { key, path, offset, unread_bytes });
        }
    }

    /// Files that continue a known content under their own inode come first, so that no copy
    /// is taken for them; then the oldest.
    fn identify_unknown(&mut self, now: Instant) {
        for file in self.files.values_mut() {
            let Standing::Copy(key) = file.standing else { continue };
            let compared = file.compared.map_or(0, |compared| compared.1);
            let stream = self.streams.get(&key);
            let heir = stream.is_none_or(|s| s.orphaned.is_some() && compared >= s.offset);
            let grown = file.stamp.size != compared && !is_compressed(&file.path);
            if heir || grown {
                file.standing = Standing::Unknown;
            }
        }
        let homes: HashSet<FileId> = self.orphans().map(|stream| stream.home).collect();
        let mut unknown: Vec<&FileOnDisk> =
            self.files.values().filter(|file| file.standing == Standing::Unknown).collect();
        unknown.sort_by_cached_key(|file| {
            (!homes.contains(&file.id), super::order::RotationOrder::of(&file.path))
        });
        let unknown: Vec<FileId> = unknown.iter().map(|file| file.id).collect();
        for id in unknown {
            self.identify(id, now);
        }
    }

    fn orphans(&self) -> impl Iterator<Item = &super::stream::Stream> {
        self.streams.values().filter(|stream| stream.orphaned.is_some())
    }

    /// Contents whose own files have names that are not configured, as after a rotation while the
    /// source was down: found first, so that other files can be compared with them.
    fn find_renamed(&mut self, now: Instant) {
        let lost = |stream: &&super::stream::Stream| !self.files.contains_key(&stream.home);
        let mut lost: Vec<EventId> = self.orphans().filter(lost).map(|s| s.key).collect();
        lost.sort();
        for key in lost {
            let Some(stream) = self.streams.get(&key) else { continue };
            let home = stream.home;
            let own = siblings(&stream.path).into_iter().find(|found| found.id == home);
            if let Some(own) = own {
                self.adopt(key, &own, now);
            }
        }
    }

    /// Looks beside the last known path for what continues a content that lost its file, even
    /// under names that are not configured; gives up after the rotation wait.
    fn adopt_orphans(&mut self, now: Instant) {
        let mut orphans: Vec<EventId> = self.orphans().map(|stream| stream.key).collect();
        orphans.sort();
        if orphans.is_empty() {
            self.rejected.clear();
        }
        for key in orphans {
            let Some(stream) = self.streams.get(&key) else { continue };
            for found in siblings(&stream.path) {
                if self.adopt(key, &found, now) {
                    break;
                }
            }
            let wait = self.rotate_wait();
            let Some(stream) = self.streams.get_mut(&key) else { continue };
            let waited = stream.orphaned.is_some_and(|since| now - since >= wait);
            if !waited {
                continue;
            }
            let (path, offset, seen) = (Arc::clone(&stream.path), stream.offset, stream.seen);
            if !stream.reported {
                let unread_bytes = seen.saturating_sub(offset);
                self.say(Notice::Lost { key, path, offset, unread_bytes });
            }
            let end = self.finish(key).map(SourceItem::Data);
            self.pending.extend(end);
        }
    }

    fn adopt(&mut self, key: EventId, found: &Found, now: Instant) -> bool {
        let tried = self.rejected.get(&found.id) == Some(&(key, found.stamp));
        if tried || self.files.contains_key(&found.id) {
            return false;
        }
        let mut file = FileOnDisk::new(&found.path, found.id, found.stamp, now);
        (file.named, file.rotated) = (false, true);
        self.files.insert(found.id, file);
        if self.open(found.id)
            && let Some(mut file) = self.files.remove(&found.id)
        {
            let head = file.content.as_mut().map(|content| content.window(0, PROOF_BYTES));
            if let Some(Ok(head)) = head
                && self.relate(key, &mut file, &head).is_ok_and(|r| r == Relation::Same)
            {
                self.attach(key, &mut file, &head, now);
                self.files.insert(found.id, file);
                self.load_tail(key);
                self.queue(key);
                return true;
            }
        }
        self.files.remove(&found.id);
        self.rejected.insert(found.id, (key, found.stamp));
        false
    }

    fn queue_grown(&mut self, now: Instant) {
        let wait = self.rotate_wait();
        let mut grown = Vec::new();
        for file in self.files.values() {
            let Standing::Carrier(key) = file.standing else { continue };
            let Some(stream) = self.streams.get_mut(&key) else { continue };
            let compressed = is_compressed(&file.path);
            let changed = stream.checked != Some(file.stamp);
            stream.checked = Some(file.stamp);
            stream.seen = stream.seen.max(file.stamp.size);
            let settled = now - file.quiet_since >= wait;
            let waiting = match compressed {
                true => settled && !stream.finished,
                false => file.stamp.size > stream.offset,
            };
            if changed || waiting {
                grown.push((super::order::RotationOrder::of(&file.path), key));
            }
        }
        grown.sort();
        grown.into_iter().for_each(|(_, key)| self.queue(key));
    }

    /// Ends what was rotated away and is quiet since the rotation wait.
    fn close_quiet(&mut self, now: Instant) {
        let wait = self.rotate_wait();
        let quiet = |file: &&FileOnDisk| file.rotated && now - file.quiet_since >= wait;
        let mut quiet: Vec<FileId> = self.files.values().filter(quiet).map(|f| f.id).collect();
        quiet.sort();
        for id in quiet {
            let Some(file) = self.files.get(&id) else { continue };
            let named = file.named;
            match file.standing {
                Standing::Carrier(key) => {
                    let stream = self.streams.get(&key);
                    if stream.is_some_and(|stream| stream.queued) {
                        continue;
                    }
                    if stream.is_some_and(|stream| !stream.finished) {
                        let end = self.finish(key).map(SourceItem::Data);
                        self.pending.extend(end);
                    }
                    if !named && let Some(stream) = self.streams.get_mut(&key) {
                        stream.carrier = None;
                    }
                }
                _ if named => continue,
                _ => {}
            }
            if !named {
                self.files.remove(&id);
            }
        }
    }

    /// Drops the oldest contents that are gone. The last of several with one first line stays:
    /// its ordinal must not be given again.
    fn forget(&mut self) {
        let gone = |key: &&EventId| {
            let stream = self.streams.get(*key);
            stream.is_some_and(|stream| stream.carrier.is_none() && stream.finished)
        };
        let count = self.streams.keys().filter(gone).count();
        let excess = count.saturating_sub(self.settings.remembered_files_max);
        if excess == 0 {
            return;
        }
        let is_last = |key: &EventId| {
            let stream = self.streams.get(key);
            let family = stream.and_then(|stream| self.families.get(&stream.first_line));
            family.is_some_and(|family| family.last() == Some(key))
                && stream.is_some_and(|stream| stream.ordinal > 0)
        };
        let mut oldest: Vec<EventId> =
            self.streams.keys().filter(gone).filter(|key| !is_last(key)).copied().collect();
        oldest.sort_by_key(|key| self.streams.get(key).map(|stream| stream.age));
        for key in oldest.into_iter().take(excess) {
            let Some(stream) = self.streams.remove(&key) else { continue };
            if let Some(family) = self.families.get_mut(&stream.first_line) {
                family.retain(|member| *member != key);
            }
            self.positions.remove(key);
            self.say(Notice::Forgotten { key, path: stream.path });
        }
        self.families.retain(|_, family| !family.is_empty());
    }

    /// Says what is wrong, once as long as it lasts.
    pub(super) fn report_problems(&mut self) {
        let waiting = std::mem::take(&mut self.waiting_to_open);
        if waiting > 0 {
            let limit = self.settings.files_max;
            self.problems.push(Notice::TooManyOpen { limit, waiting });
        }
        let mut current = HashSet::new();
        for notice in std::mem::take(&mut self.problems) {
            let topic = match &notice {
                Notice::TooManyOpen { .. } => "open".to_owned(),
                notice => notice.to_string(),
            };
            if !self.reported.contains(&topic) && current.insert(topic.clone()) {
                self.say(notice);
            }
            current.insert(topic);
        }
        self.reported = current;
    }
}
