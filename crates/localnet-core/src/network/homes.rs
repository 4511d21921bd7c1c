//! Subnets as the network counts for them: ids given away, messages executed, cycles spent.

use std::{collections::BTreeSet, sync::Arc};

use candid::Principal;

use super::{Network, canister_number};
use crate::{
    canister::{CanisterId, Origin},
    cycles::Prices,
    help, limits,
    sysapi::SubnetFacts,
    topology::{InstructionLimits, Subnet, SubnetKind, Topology, canister_id},
    types::{ErrorCode, Reject},
};

/// A subnet and what the network counts for it.
#[derive(Debug)]
pub(crate) struct Home {
    /// What its canisters see of it.
    pub(crate) facts: Arc<SubnetFacts>,
    /// The next id that it gives to a new canister, as a number.
    pub(crate) next: u64,
    /// Messages that it has executed.
    pub(crate) transactions: u64,
    /// Cycles that its canisters have spent.
    pub(crate) spent: u128,
    /// Instructions that it has executed.
    pub(crate) instructions: u64,
    /// Modules that were installed here, by hash; to compile one of them again is cheap.
    pub(crate) compiled: BTreeSet<[u8; 32]>,
}

/// What a subnet says of itself in the state tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubnetMetrics {
    /// Canisters that it hosts.
    pub canisters: u64,
    /// Bytes that they hold.
    pub state_bytes: u64,
    /// Cycles that its canisters have spent, deleted ones included.
    pub spent: u128,
    /// Messages that it has executed.
    pub transactions: u64,
}

impl Home {
    /// One per subnet, in the topology's order.
    pub(super) fn all(topology: &Topology) -> Vec<Self> {
        (0..topology.subnets().len())
            .map(|index| Self::of(topology, index))
            .collect()
    }

    /// The one of the subnet at this place.
    pub(super) fn of(topology: &Topology, index: usize) -> Self {
        let subnet = &topology.subnets()[index];
        Self {
            facts: Arc::new(SubnetFacts {
                index,
                id: subnet.id,
                root_key: topology.root_key().to_vec(),
                prices: Prices::of(subnet),
                instructions: instructions(subnet),
            }),
            next: subnet.allocation.first,
            transactions: 0,
            spent: 0,
            instructions: 0,
            compiled: BTreeSet::new(),
        }
    }
}

fn instructions(subnet: &Subnet) -> limits::Instructions {
    match subnet.instructions {
        InstructionLimits::Benchmarking => limits::INSTRUCTIONS_BENCHMARKING,
        InstructionLimits::Production if subnet.kind.is_system() => limits::INSTRUCTIONS_SYSTEM,
        InstructionLimits::Production => limits::INSTRUCTIONS,
    }
}

impl Network {
    /// The place of the subnet that a call with this effective id goes to: a canister's, or a subnet by its own id.
    pub(crate) fn effective_subnet(&self, effective: &Principal) -> usize {
        self.topology
            .index_of(effective)
            .or_else(|| {
                let mut subnets = self.topology.subnets().iter();
                subnets.position(|subnet| subnet.id == *effective)
            })
            .unwrap_or_else(|| self.topology.default_index())
    }

    /// Bytes in the argument of an ingress message with this effective id.
    pub(crate) fn ingress_bytes_max(&self, effective: &Principal) -> usize {
        match self.topology.subnets()[self.effective_subnet(effective)].kind {
            SubnetKind::Nns => limits::INGRESS_BYTES_MAX_NNS,
            _ => limits::INGRESS_BYTES_MAX,
        }
    }

    /// The place of the subnet that a call to the management canister came in at.
    pub(crate) fn subnet_of_origin(&self, origin: &Origin) -> usize {
        match origin {
            Origin::Ingress { id, .. } => self
                .history
                .get(id)
                .map(|record| self.effective_subnet(&record.effective)),
            Origin::Canister { caller, .. } => self
                .canisters
                .get(caller)
                .map(|canister| canister.home.index),
            Origin::System => None,
        }
        .unwrap_or_else(|| self.topology.default_index())
    }

    /// The next free id of a subnet.
    pub(crate) fn allocate_id(
        &mut self,
        at: usize,
    ) -> Result<(CanisterId, Arc<SubnetFacts>), Reject> {
        let subnet = &self.topology.subnets()[at];
        if subnet.hidden {
            return Err(Reject::of(
                ErrorCode::SubnetNotFound,
                format!(
                    "Subnet {} exists for its key only and hosts no canisters; ask for an NNS subnet",
                    subnet.id
                ),
            ));
        }
        let home = &mut self.homes[at];
        while home.next <= subnet.allocation.last {
            let id = canister_id(home.next);
            home.next += 1;
            if !self.canisters.contains_key(&id) {
                return Ok((id, Arc::clone(&home.facts)));
            }
        }
        Err(Reject::of(
            ErrorCode::SubnetOversubscribed,
            "Could not create canister. Subnet has surpassed its canister ID allocation.",
        ))
    }

    /// An id that the caller asks for, at the subnet with this place where no other has it. An id of the public network
    /// that no subnet has is worth a new subnet.
    pub(crate) fn claim_id(
        &mut self,
        at: usize,
        id: CanisterId,
    ) -> Result<(CanisterId, Arc<SubnetFacts>), Reject> {
        self.host_public(&id)?;
        let subnets = self.topology.subnets();
        let home = canister_number(&id)
            .and_then(|_| self.topology.index_of(&id))
            .filter(|home| !subnets[*home].hidden)
            .ok_or_else(|| {
                help::INTERNAL.reject(
                    ErrorCode::CanisterNotHostedBySubnet,
                    format!(
                        "Unsuccessful validation of specified ID: Specified CanisterId {id} is not hosted by subnet {}.",
                        subnets[at].id
                    ),
                )
            })?;
        let subnet = &subnets[home];
        // Ids that a subnet hands out itself can be asked for only where it has no others.
        if subnet.ranges.len() > 1 && subnet.allocation.contains(&id) {
            return Err(help::SPECIFIED_ID.reject(
                ErrorCode::InvalidManagementPayload,
                format!(
                    "The `specified_id` {id} is invalid because it belongs to the canister allocation ranges of the \
                     test environment."
                ),
            ));
        }
        if self.canisters.contains_key(&id) {
            return Err(help::INTERNAL.reject(
                ErrorCode::CanisterIdAlreadyExists,
                format!("Unsuccessful canister creation: canister id {id} already exists."),
            ));
        }
        Ok((id, Arc::clone(&self.homes[home].facts)))
    }

    /// Runs something on a subnet, and counts what it spends there.
    pub(crate) fn on_subnet<T>(&mut self, at: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.totals.spent;
        let result = work(self);
        let spent = self.totals.spent - before;
        let home = &mut self.homes[at];
        home.spent += spent;
        home.transactions += 1;
        result
    }

    /// What subnets say of themselves in the state tree, in the topology's order.
    pub fn metrics(&self) -> Vec<SubnetMetrics> {
        let mut all: Vec<_> = self
            .homes
            .iter()
            .map(|home| SubnetMetrics {
                spent: home.spent,
                transactions: home.transactions,
                ..SubnetMetrics::default()
            })
            .collect();
        for canister in self.canisters.values() {
            let metrics = &mut all[canister.home.index];
            metrics.canisters += 1;
            metrics.state_bytes += canister.memory_bytes();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::SubnetPlan;

    #[test]
    fn messages_run_longer_on_system_subnets_and_longest_where_things_are_measured() {
        let limits = |plan: SubnetPlan| {
            let topology = Topology::plan(&[7; 32], &[plan]).unwrap();
            instructions(topology.default_subnet())
        };
        for (kind, update, install) in [
            (SubnetKind::Application, 40, 300),
            (SubnetKind::VerifiedApplication, 40, 300),
            (SubnetKind::Sns, 40, 300),
            (SubnetKind::Fiduciary, 40, 300),
            (SubnetKind::System, 50, 1_000),
            (SubnetKind::Nns, 50, 1_000),
            (SubnetKind::Ii, 50, 1_000),
            (SubnetKind::Bitcoin, 50, 1_000),
        ] {
            let found = limits(SubnetPlan::of(kind));
            let billions = (
                found.update / 1_000_000_000,
                found.install / 1_000_000_000,
                found.query / 1_000_000_000,
            );
            assert_eq!(billions, (update, install, 5), "{kind:?}");
            let measuring = limits(SubnetPlan {
                instructions: InstructionLimits::Benchmarking,
                ..SubnetPlan::of(kind)
            });
            assert_eq!(measuring.update, 99_999_999_999_999);
            assert_eq!(measuring.query, 99_999_999_999_999);
        }
    }
}
