//! Sums and hashes over the whole network, for tests and for the curious.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Network;
use crate::canister::{Input, Request};

/// Where all cycles are. `minted` always equals the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CyclesTotals {
    /// Made by the provisional methods.
    pub minted: u128,
    /// In balances, those that are set aside for memory among them.
    pub held: u128,
    /// On their way: with calls and answers, and set aside for callbacks.
    pub moving: u128,
    /// Charged and burned.
    pub spent: u128,
}

impl Network {
    /// Where all cycles are.
    pub fn cycles(&self) -> CyclesTotals {
        let with_requests = |request: &Request| request.cycles;
        let mut totals = CyclesTotals {
            minted: self.totals.minted,
            spent: self.totals.spent,
            held: 0,
            moving: self.management.iter().map(with_requests).sum::<u128>()
                + self
                    .random
                    .iter()
                    .map(|(_, _, cycles)| cycles)
                    .sum::<u128>()
                + self.outcalls.cycles(),
        };
        for canister in self.canisters.values() {
            totals.held += canister.balance + canister.reserved;
            totals.moving += canister
                .callbacks
                .values()
                .map(|callback| callback.prepaid)
                .sum::<u128>()
                + canister
                    .contexts
                    .values()
                    .map(|context| context.available)
                    .sum::<u128>()
                + canister
                    .stop_waiters
                    .iter()
                    .map(|waiter| waiter.cycles)
                    .sum::<u128>()
                + canister
                    .inbox
                    .iter()
                    .map(|input| match input {
                        Input::Task(_) => 0,
                        Input::Request(request) => request.cycles,
                        Input::Response(response) => response.refund,
                    })
                    .sum::<u128>();
        }
        totals
    }

    /// A hash of everything that canisters and users can ever notice: equal networks behave equally from here on.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut note = |what: &dyn fmt::Debug| {
            let text = format!("{what:?}");
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        note(&(
            self.time,
            self.round,
            self.homes
                .iter()
                .map(|home| {
                    let counts = (home.next, home.transactions, home.spent, home.instructions);
                    (counts, &home.compiled)
                })
                .collect::<Vec<_>>(),
            self.turn,
            self.totals.minted,
            self.totals.spent,
        ));
        note(&(
            &self.history,
            &self.management,
            &self.random,
            &self.outcalls,
            &self.days,
            &self.deadlines,
            &self.ready,
        ));
        note(&self.system);
        for canister in self.canisters.values() {
            note(canister);
        }
        for canister in self.canisters.values() {
            if let Some(code) = &canister.code {
                code.heap.chunks().for_each(|chunk| hash.update(chunk));
            }
            let snapshots = || canister.snapshots.iter(canister.id).map(|(_, one)| one);
            for heap in snapshots().map(|one| &one.heap) {
                heap.chunks().for_each(|chunk| hash.update(chunk));
            }
            for stable in
                std::iter::once(&canister.stable).chain(snapshots().map(|one| &one.stable))
            {
                for (index, page) in stable.pages() {
                    hash.update(index.to_le_bytes());
                    hash.update(page);
                }
            }
        }
        hash.finalize().into()
    }
}
