//! How far each file on a partition has come: what is published again is recognised.

use std::collections::{BTreeSet, HashMap};

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
}

/// File, copies, position: the longest silent first.
type Saved = (serde_bytes::ByteArray<16>, bool, u64);

impl Ends {
    /// Before which position of its file a record holds nothing new; it is from now on known to
    /// its own end.
    pub fn advance(&mut self, extent: &Extent) -> u64 {
        let key = (extent.file.0, extent.copies);
        self.turn += 1;
        let turn = self.turn;
        let end = self.files.entry(key).or_insert(End { position: 0, turn });
        let known = end.position;
        self.turns.remove(&(end.turn, key.0, key.1));
        *end = End { position: known.max(extent.end), turn };
        self.turns.insert((turn, key.0, key.1));
        if self.files.len() > FILES_MAX
            && let Some((_, file, copies)) = self.turns.pop_first()
        {
            self.files.remove(&(file, copies));
        }
        known
    }
}

impl From<Vec<Saved>> for Ends {
    fn from(saved: Vec<Saved>) -> Self {
        let mut ends = Self::default();
        for (file, copies, end) in saved {
            let file = EventId(file.into_array());
            ends.advance(&Extent { file, end, partitions: 1, copies });
        }
        ends
    }
}

impl From<Ends> for Vec<Saved> {
    fn from(ends: Ends) -> Self {
        let known = ends.turns.iter().filter_map(|(_, file, copies)| {
            let end = ends.files.get(&(*file, *copies))?;
            Some((serde_bytes::ByteArray::new(*file), *copies, end.position))
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
        let bytes = rmp_serde::to_vec(&ends).expect("encoded");
        let mut back: Ends = rmp_serde::from_slice(&bytes).expect("decoded");
        assert_eq!(rmp_serde::to_vec(&back).expect("encoded"), bytes);
        assert_eq!(back.advance(&extent(1, 40)), 30);
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
    }
}
