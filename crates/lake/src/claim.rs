//! Claims: which positions this writer moves, and nobody else meanwhile.
//!
//! A claim writes nothing and bars nobody. Every commit checks, on the very version that it
//! extends, that the claimed positions are where this writer left them: of two writers that read
//! the same partition, the first to commit goes on, and the other is told and starts afresh.

use crate::lake::lock;
use crate::{LakeError, Writer};

/// Where to read on: from `events`, and without the rejects below `rejects`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Position as committed with the events, if there is one.
    pub events: Option<i64>,
    /// Position as committed with the rejects, if there is one.
    pub rejects: Option<i64>,
}

impl Writer {
    /// Claims a position and says where it is now. From here on no commit of this writer goes
    /// through if another writer has moved it.
    ///
    /// # Errors
    /// [`LakeError::Waiting`] if it is claimed already and rows wait: they may be of a claim that
    /// was lost meanwhile. Else what keeps the logs from being followed.
    pub fn claim(&mut self, name: &str) -> Result<Claim, LakeError> {
        if self.claims.contains_key(name) && self.is_waiting() {
            return Err(LakeError::Waiting(name.to_owned()));
        }
        self.shared.follow()?;
        let rejects = lock(&self.shared.rejects).position(name);
        let events = lock(&self.shared.events).position(name);
        let claim = Claim { events, rejects };
        self.claims.insert(name.to_owned(), claim);
        Ok(claim)
    }

    /// Ends a claim; another writer reads on.
    ///
    /// # Errors
    /// [`LakeError::Waiting`] if rows wait, which may be its: commit or discard them before.
    pub fn release(&mut self, name: &str) -> Result<(), LakeError> {
        if self.is_waiting() {
            return Err(LakeError::Waiting(name.to_owned()));
        }
        self.claims.remove(name);
        Ok(())
    }

    /// Drops every row that waits, from the view too, and every claim: what is still assigned is
    /// claimed again, and read again from where the claim says.
    pub fn discard(&mut self) {
        self.rejects.discard(&self.shared);
        self.events.discard(&self.shared);
        self.claims.clear();
        self.oldest = None;
        *lock(&self.shared.problem) = None;
    }

    /// The claims as positions that a commit rests on.
    pub(crate) fn expected(
        &self,
        position: impl Fn(&Claim) -> Option<i64>,
    ) -> Vec<(String, Option<i64>)> {
        self.claims.iter().map(|(name, claim)| (name.clone(), position(claim))).collect()
    }

    /// Remembers where this writer moved its claims.
    pub(crate) fn note(
        &mut self,
        moved: Vec<(String, i64)>,
        position: impl Fn(&mut Claim) -> &mut Option<i64>,
    ) {
        for (name, at) in moved {
            if let Some(claim) = self.claims.get_mut(&name) {
                *position(claim) = Some(at);
            }
        }
    }

    fn is_waiting(&self) -> bool {
        self.events.rows + self.rejects.rows > 0
    }
}
