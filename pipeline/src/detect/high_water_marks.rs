//! The high-water mark of each file on a partition: what is published again is recognised.

use std::collections::{BTreeSet, HashMap};

use event::EventId;
use serde::{Deserialize, Serialize};

use crate::collect::envelope::Extent;

/// Files remembered; the one that was silent longest makes room. A repetition follows within
/// moments of a collector's restart, so it is of a file that was just read.
const FILES_MAX: usize = 65_536;

/// Of one partition. The same records in the same order give the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Saved>", into = "Vec<Saved>")]
pub struct HighWaterMarks {
    /// By file, and whether copies are meant.
    files: HashMap<([u8; 16], bool), Mark>,
    /// The same by their last turn, to find the oldest.
    turns: BTreeSet<(u64, [u8; 16], bool)>,
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    position: u64,
    turn: u64,
}

/// File, copies, position: the longest silent first.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved(serde_bytes::ByteArray<16>, bool, u64);

impl HighWaterMarks {
    /// Before which position of its file a record holds nothing new; it is from now on known to
    /// its own end.
    pub fn advance(&mut self, extent: &Extent) -> u64 {
        self.turn += 1;
        let Extent { file, end: to, copies, .. } = *extent;
        let turn = self.turn;
        let mark = self.files.entry((file.0, copies)).or_insert(Mark { position: 0, turn });
        self.turns.remove(&(mark.turn, file.0, copies));
        self.turns.insert((turn, file.0, copies));
        mark.turn = turn;
        let known = mark.position;
        mark.position = known.max(to);
        if self.files.len() > FILES_MAX
            && let Some((_, file, copies)) = self.turns.pop_first()
        {
            self.files.remove(&(file, copies));
        }
        known
    }
}

impl From<Vec<Saved>> for HighWaterMarks {
    fn from(saved: Vec<Saved>) -> Self {
        let mut marks = Self::default();
        for Saved(file, copies, end) in saved {
            let file = EventId(file.into_array());
            marks.advance(&Extent { file, end, partitions: 1, copies });
        }
        marks
    }
}

impl From<HighWaterMarks> for Vec<Saved> {
    fn from(marks: HighWaterMarks) -> Self {
        let known = marks.turns.iter().filter_map(|(_, file, copies)| {
            let mark = marks.files.get(&(*file, *copies))?;
            Some(Saved(serde_bytes::ByteArray::new(*file), *copies, mark.position))
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
        let mut marks = HighWaterMarks::default();
        assert_eq!(marks.advance(&extent(1, 100)), 0);
        assert_eq!(marks.advance(&extent(2, 50)), 0);
        assert_eq!(marks.advance(&extent(1, 80)), 100, "an older part again");
        assert_eq!(marks.advance(&extent(1, 120)), 100);
        assert_eq!(marks.advance(&Extent { copies: true, ..extent(1, 120) }), 0);
    }

    #[test]
    fn a_saved_state_goes_on_the_same() {
        let mut marks = HighWaterMarks::default();
        for (file, end) in [(1, 10), (2, 20), (1, 30), (3, 5)] {
            marks.advance(&extent(file, end));
        }
        let bytes = rmp_serde::to_vec(&marks).expect("encoded");
        let mut back: HighWaterMarks = rmp_serde::from_slice(&bytes).expect("decoded");
        assert_eq!(rmp_serde::to_vec(&back).expect("encoded"), bytes);
        assert_eq!(back.advance(&extent(1, 40)), 30);
    }

    #[test]
    fn a_flood_of_files_forgets_the_longest_silent() {
        let mut marks = HighWaterMarks::default();
        for file in 0..FILES_MAX as u32 {
            marks.advance(&extent(file, 1));
        }
        marks.advance(&extent(0, 2));
        marks.advance(&extent(u32::MAX, 1));
        assert_eq!(marks.files.len(), FILES_MAX);
        assert_eq!(marks.advance(&extent(0, 3)), 2);
        assert_eq!(marks.advance(&extent(1, 3)), 0, "it was silent longest");
    }
}
