//! Chains: a chain is all markers that one host key signed. `latest` and `status` use them.

use super::SignedBy;
use super::note::VerifyingKey;
use super::snapshots::{Markers, Snapshot};

/// The two newest snapshots that one host key signed.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// The snapshot with the highest sequence.
    pub newest: &'a Snapshot,
    /// The snapshot before it in the chain, if that still exists.
    pub before: Option<&'a Snapshot>,
}

impl Chain<'_> {
    /// The key.
    pub fn key(&self) -> &VerifyingKey {
        self.newest.signed_by.key()
    }

    /// Whether the administrator vouched for the key.
    pub fn is_pinned(&self) -> bool {
        matches!(self.newest.signed_by, SignedBy::Pinned(_))
    }
}

/// A chain that ended because another chain continues it.
#[derive(Debug, Clone, Copy)]
pub struct RetiredChain<'a> {
    /// The chain that ended.
    pub chain: Chain<'a>,
    /// The newest snapshot of the chain that continues it.
    pub by: &'a Snapshot,
}

impl Markers {
    /// The chains that go on, and those that another chain continues. Only a pinned key can retire
    /// a pinned key. A key that signed again after it was retired is not retired.
    pub fn living_and_retired(&self) -> (Vec<Chain<'_>>, Vec<RetiredChain<'_>>) {
        let chains = self.chains();
        let retires = |by: &&Chain<'_>, chain: &Chain<'_>| {
            let mut ended = by.newest.marker.retired.iter();
            by.key() != chain.key()
                && (by.is_pinned() || !chain.is_pinned())
                && ended
                    .any(|retired| retired.key == *chain.key() && chain.newest.id() <= retired.last)
        };
        let (mut living, mut ended) = (Vec::new(), Vec::new());
        for chain in &chains {
            match chains.iter().find(|by| retires(by, chain)) {
                Some(by) => ended.push(RetiredChain { chain: *chain, by: by.newest }),
                None => living.push(*chain),
            }
        }
        (living, ended)
    }

    /// Every chain, in order of its newest snapshot's name. Within a chain the sequence number
    /// decides which snapshot is newest, since the host's clock may have been wrong.
    pub fn chains(&self) -> Vec<Chain<'_>> {
        let rank = |snapshot: &Snapshot| (snapshot.marker.sequence, snapshot.id());
        let mut chains: Vec<Chain<'_>> = Vec::new();
        let mut ordered: Vec<&Snapshot> = self.snapshots.iter().collect();
        ordered.sort_by_key(|snapshot| rank(snapshot));
        for newest in ordered {
            let key = newest.signed_by.key();
            match chains.iter_mut().find(|chain| chain.key() == key) {
                Some(chain) => *chain = Chain { newest, before: Some(chain.newest) },
                None => chains.push(Chain { newest, before: None }),
            }
        }
        chains.sort_by_key(|chain| chain.newest.id());
        chains
    }
}
