//! Subnets: their keys, nodes and canister ranges, all derived from one seed.
//!
//! Every network has a root subnet, whose key every client trusts; where nobody asked for one it is hidden and hosts
//! no canisters. The others are as planned: each kind has the size, the type and the canister ids that it has on the
//! public network.
//!
//! Subnets may come and go while a network runs. A network's subnets follow from its seed, its plan and the changes since.
//!
//! Invariants: the root subnet comes first, and its id is self-authenticating over its key, as clients compute it;
//! ranges of subnets do not overlap. Keys follow from the seed, so they are no secret: such a network is for
//! development and tests only.

mod change;
mod keys;
mod plan;
#[cfg(test)]
mod tests;

use candid::Principal;

use self::plan::RangeSource;
pub use self::{
    change::TopologyChange,
    keys::{NodeKey, SubnetKey},
    plan::{CostSchedule, InstructionLimits, SubnetKind, SubnetPlan, TopologyError},
};

/// Canister ids from `first` to `last`, both included, as the numbers in their first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanisterRange {
    /// The first id.
    pub first: u64,
    /// The last id.
    pub last: u64,
}

impl CanisterRange {
    /// The first id as a principal.
    pub fn first_id(self) -> Principal {
        canister_id(self.first)
    }

    /// The last id as a principal.
    pub fn last_id(self) -> Principal {
        canister_id(self.last)
    }

    /// Whether an id lies in the range, by the order of bytes that clients use.
    pub fn contains(self, id: &Principal) -> bool {
        (self.first_id()..=self.last_id()).contains(id)
    }
}

/// A node: what signs the answers to queries.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its principal.
    pub id: Principal,
    /// Its signing key.
    pub key: NodeKey,
}

/// A subnet.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// Its principal, self-authenticating over its key.
    pub id: Principal,
    /// What it is for.
    pub kind: SubnetKind,
    /// What it was made from, for clients that ask.
    pub seed: [u8; 32],
    /// The ids it hosts, in order; `allocation` is one of them.
    pub ranges: Vec<CanisterRange>,
    /// The ids that it gives to new canisters.
    pub allocation: CanisterRange,
    /// Its nodes; at least one.
    pub nodes: Vec<Node>,
    /// What signs its certificates.
    pub key: SubnetKey,
    /// What it charges.
    pub cost: CostSchedule,
    /// How long messages may run.
    pub instructions: InstructionLimits,
    /// Who administers it.
    pub admins: Vec<Principal>,
    /// Whether nobody asked for it: it exists for its key, and hosts no canisters.
    pub hidden: bool,
}

impl Subnet {
    /// A subnet that gives away ids of this range, which nobody else has.
    fn new(seed: &[u8; 32], name: &str, plan: SubnetPlan, allocation: CanisterRange) -> Self {
        Self::with(seed, name, plan, None, allocation)
    }

    /// The same, and it also has the ids of another range.
    fn with(
        seed: &[u8; 32],
        name: &str,
        plan: SubnetPlan,
        also: Option<CanisterRange>,
        allocation: CanisterRange,
    ) -> Self {
        let SubnetPlan {
            kind,
            cost,
            instructions,
            admins,
        } = plan;
        let mut ranges = kind.own_ranges().to_vec();
        ranges.extend(also);
        if !ranges.contains(&allocation) {
            ranges.push(allocation);
        }
        let key = SubnetKey::derive(seed, name);
        let nodes = (0..kind.nodes())
            .map(|index| {
                let key = NodeKey::derive(seed, name, index);
                Node {
                    id: Principal::self_authenticating(key.public_der()),
                    key,
                }
            })
            .collect();
        Self {
            id: Principal::self_authenticating(key.public_der()),
            kind,
            seed: keys::subnet_seed(seed, name),
            ranges,
            allocation,
            nodes,
            key,
            cost,
            instructions,
            admins,
            hidden: false,
        }
    }

    /// Whether it hosts this id, existing or not.
    pub fn hosts(&self, canister: &Principal) -> bool {
        self.ranges.iter().any(|range| range.contains(canister))
    }
}

/// All subnets of a network.
#[derive(Clone, Debug)]
pub struct Topology {
    subnets: Vec<Subnet>,
    /// Where canisters are created unless somebody says otherwise.
    default: usize,
    /// What keys of subnets that come later follow from, what they are called, and the ids that they give away.
    seed: [u8; 32],
    names: plan::Names,
    source: RangeSource,
    /// What has changed since the plan.
    changes: Vec<TopologyChange>,
}

impl Topology {
    /// A hidden root subnet and one application subnet, with keys from the seed.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self::plan(seed, &[SubnetPlan::of(SubnetKind::Application)])
            .expect("BUG: one application subnet is a valid plan")
    }

    /// The subnets that are asked for, with keys from the seed, and a hidden root subnet where none is among them.
    /// Ranges of ids are handed out in the order of the plan.
    ///
    /// # Errors
    /// Where no subnet is asked for, too many are, or two of a kind of which there is one.
    pub fn plan(seed: &[u8; 32], plan: &[SubnetPlan]) -> Result<Self, TopologyError> {
        plan::check(plan)?;
        let mut source = RangeSource::default();
        let mut names = plan::Names::default();
        let mut subnets: Vec<Subnet> = plan
            .iter()
            .map(|subnet| {
                let name = names.next(subnet.kind);
                Subnet::new(seed, &name, subnet.clone(), source.take())
            })
            .collect();
        match subnets
            .iter()
            .position(|subnet| subnet.kind == SubnetKind::Nns)
        {
            Some(root) => subnets[..=root].rotate_right(1),
            None => {
                // It gives no ids away, so it needs none besides its own.
                let plan = SubnetPlan::of(SubnetKind::Nns);
                let own = plan.kind.own_ranges()[0];
                let root = Subnet::new(seed, &names.next(plan.kind), plan, own);
                subnets.insert(
                    0,
                    Subnet {
                        hidden: true,
                        ..root
                    },
                );
            }
        }
        let default = plan::default_subnet(&subnets);
        Ok(Self {
            subnets,
            default,
            seed: *seed,
            names,
            source,
            changes: Vec::new(),
        })
    }

    /// Every subnet, the root first.
    pub fn subnets(&self) -> &[Subnet] {
        &self.subnets
    }

    /// The root subnet.
    pub fn root(&self) -> &Subnet {
        &self.subnets[0]
    }

    /// The subnet on which canisters are created unless somebody says otherwise: the first application subnet, else
    /// the first verified application subnet, else the first system subnet, else the first that is not hidden.
    pub fn default_subnet(&self) -> &Subnet {
        &self.subnets[self.default]
    }

    /// The subnet with this id.
    pub fn subnet(&self, id: &Principal) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == *id)
    }

    /// The subnet that hosts this canister id, whether or not there is such a canister.
    pub fn subnet_of(&self, canister: &Principal) -> Option<&Subnet> {
        Some(&self.subnets[self.index_of(canister)?])
    }

    /// The place in [`Self::subnets`] of the subnet that hosts this canister id.
    pub(crate) fn index_of(&self, canister: &Principal) -> Option<usize> {
        self.subnets
            .iter()
            .position(|subnet| subnet.hosts(canister))
    }

    /// The place in [`Self::subnets`] of the default subnet.
    pub(crate) const fn default_index(&self) -> usize {
        self.default
    }

    /// The root key, DER: what clients must trust.
    pub fn root_key(&self) -> &[u8] {
        self.root().key.public_der()
    }

    /// Where calls that name no canister go: the first id of the default subnet.
    pub fn default_effective_canister(&self) -> Principal {
        self.default_subnet().ranges[0].first_id()
    }
}

/// The canister id with this number.
pub fn canister_id(number: u64) -> Principal {
    let mut bytes = [1; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Principal::from_slice(&bytes)
}
