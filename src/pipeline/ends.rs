//! How far each file on a partition has come: what is published again is recognised, and others
//! can see which days are complete.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use event::EventId;
use serde::{Deserialize, Serialize};

use super::envelope::Extent;

/// Files remembered; the one that was silent longest makes room. A repetition follows within
/// moments of a collector's restart, so it is of a file that was just read.
const FILES_MAX: usize = 65_536;

/// Of one partition. The same records in the same order give the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Saved>", into = "Vec<Saved>")]
pub struct Ends {
    /// By file, and whether copies are meant.
    files: HashMap<([u8; 16], bool), End>,
    /// The same by their last turn, to find the oldest.
    turns: BTreeSet<(u64, [u8; 16], bool)>,
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    position: u64,
    turn: u64,
    /// The latest day that is wholly judged, up to where the file came to it.
    newest_day: Option<i32>,
}

/// File, copies, position, newest day: the longest silent first.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved(
    serde_bytes::ByteArray<16>,
    bool,
    u64,
    #[serde(default, skip_serializing_if = "Option::is_none")] Option<i32>,
);

/// The latest days of files, by file.
pub type NewestDays = BTreeMap<EventId, i32>;

/// Files whose days are told to others, the latest that came. Who waits for a file has just got a
/// part of it, and so has everybody.
const TOLD_MAX: usize = 4096;

impl Ends {
    /// Before which position of its file a record holds nothing new; it is from now on known to
    /// its own end.
    pub fn advance(&mut self, extent: &Extent) -> u64 {
        let end = self.turn_of(extent.file, extent.copies);
        let known = end.position;
        end.position = known.max(extent.end);
        if self.files.len() > FILES_MAX
            && let Some((_, file, copies)) = self.turns.pop_first()
        {
            self.files.remove(&(file, copies));
        }
        known
    }

    /// A file has come to this day, and what it has of earlier ones is judged. That makes no room
    /// at the cost of files that hold something.
    pub fn come_to(&mut self, file: EventId, day: i32) {
        if self.files.len() < FILES_MAX || self.files.contains_key(&(file.0, false)) {
            let end = self.turn_of(file, false);
            end.newest_day = end.newest_day.max(Some(day));
        }
    }

    /// Makes it the turn of a file.
    fn turn_of(&mut self, file: EventId, copies: bool) -> &mut End {
        self.turn += 1;
        let (key, turn) = ((file.0, copies), self.turn);
        let end = self.files.entry(key).or_insert(End { position: 0, turn, newest_day: None });
        self.turns.remove(&(end.turn, file.0, copies));
        self.turns.insert((turn, file.0, copies));
        end.turn = turn;
        end
    }

    /// To which days files have come.
    pub fn newest_days(&self) -> NewestDays {
        let latest = self.turns.iter().rev().filter(|(_, _, copies)| !copies).take(TOLD_MAX);
        let days = latest.filter_map(|(_, file, copies)| {
            Some((EventId(*file), self.files.get(&(*file, *copies))?.newest_day?))
        });
        days.collect()
    }
}

impl From<Vec<Saved>> for Ends {
    fn from(saved: Vec<Saved>) -> Self {
        let mut ends = Self::default();
        for Saved(file, copies, end, newest_day) in saved {
            let file = EventId(file.into_array());
            ends.advance(&Extent { file, end, partitions: 1, copies });
            newest_day.into_iter().for_each(|day| ends.come_to(file, day));
        }
        ends
    }
}

impl From<Ends> for Vec<Saved> {
    fn from(ends: Ends) -> Self {
        let known = ends.turns.iter().filter_map(|(_, file, copies)| {
            let end = ends.files.get(&(*file, *copies))?;
            Some(Saved(serde_bytes::ByteArray::new(*file), *copies, end.position, end.newest_day))
        });
        known.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(file: u32, end: u64) -> Extent {
        let file = EventId::of(&[&file.to_le_bytes()]);
        Extent { file, end, partitions: 4, copies: false }
    }

    #[test]
    fn what_comes_again_is_known() {
        let mut ends = Ends::default();
        assert_eq!(ends.advance(&extent(1, 100)), 0);
        assert_eq!(ends.advance(&extent(2, 50)), 0);
        assert_eq!(ends.advance(&extent(1, 80)), 100, "an older part again");
        assert_eq!(ends.advance(&extent(1, 120)), 100);
        assert_eq!(ends.advance(&Extent { copies: true, ..extent(1, 120) }), 0);
    }

    #[test]
    fn a_saved_state_goes_on_the_same() {
        let mut ends = Ends::default();
        for (file, end) in [(1, 10), (2, 20), (1, 30), (3, 5)] {
            ends.advance(&extent(file, end));
        }
        ends.come_to(EventId::of(&[&3_u32.to_le_bytes()]), 20_000);
        let bytes = rmp_serde::to_vec(&ends).expect("encoded");
        let mut back: Ends = rmp_serde::from_slice(&bytes).expect("decoded");
        assert_eq!(rmp_serde::to_vec(&back).expect("encoded"), bytes);
        assert_eq!(back.newest_days(), ends.newest_days());
        assert_eq!(back.newest_days().into_values().collect::<Vec<_>>(), [20_000]);
        assert_eq!(back.advance(&extent(1, 40)), 30);
    }

    #[test]
    fn a_state_of_before_days_were_kept_is_read() {
        let file = serde_bytes::ByteArray::new(EventId::of(&[&1_u32.to_le_bytes()]).0);
        let bytes = rmp_serde::to_vec(&[(file, false, 10_u64)]).expect("encoded");
        let mut back: Ends = rmp_serde::from_slice(&bytes).expect("decoded");
        assert_eq!(back.newest_days(), NewestDays::new());
        assert_eq!(back.advance(&extent(1, 40)), 10);
    }

    #[test]
    fn a_flood_of_files_forgets_the_longest_silent() {
        let mut ends = Ends::default();
        for file in 0..FILES_MAX as u32 {
            ends.advance(&extent(file, 1));
        }
        ends.advance(&extent(0, 2));
        ends.advance(&extent(u32::MAX, 1));
        assert_eq!(ends.files.len(), FILES_MAX);
        assert_eq!(ends.advance(&extent(0, 3)), 2);
        assert_eq!(ends.advance(&extent(1, 3)), 0, "it was silent longest");
        for file in 0..10 {
            ends.come_to(EventId::of(&[b"forged", &[file]]), 20_000);
        }
        assert_eq!(ends.newest_days(), NewestDays::new());
        assert_eq!(ends.advance(&extent(0, 4)), 3);
    }
}
