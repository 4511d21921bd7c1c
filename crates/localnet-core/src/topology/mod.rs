//! Subnets: their keys, nodes and canister ranges, all derived from one seed.
//!
//! A network has a root subnet, whose key every client trusts and which hosts no canisters yet, and one application
//! subnet. Nothing below assumes that there are only these two.
//!
//! Invariants: the root subnet's id is self-authenticating over its key, as clients compute it; ranges of subnets do not
//! overlap. Keys follow from the seed, so they are no secret: such a network is for development and tests only.

mod keys;
#[cfg(test)]
mod tests;

use candid::Principal;

pub use self::keys::{NodeKey, SubnetKey};

/// First of the ids that flexible subnets hand out, and how many each has.
const FLEXIBLE_FIRST: u64 = 0xFFFF_FFFF_FFE0_0000;
const FLEXIBLE_IDS: u64 = 1 << 20;

/// Ids that the root subnet owns.
const ROOT_RANGE: CanisterRange = CanisterRange {
    first: 0,
    last: 0xF_FFFF,
};

/// Replicas of a subnet: the sizes that costs on the public network are quoted for.
const ROOT_NODES: usize = 40;
const APPLICATION_NODES: usize = 13;

/// What a subnet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubnetKind {
    /// It holds the network's trust anchor.
    Root,
    /// It hosts anybody's canisters.
    Application,
}

impl SubnetKind {
    /// As the state tree calls it.
    pub const fn as_text(self) -> &'static str {
        match self {
            Self::Root => "system",
            Self::Application => "application",
        }
    }
}

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
    /// The ids it hosts, in order.
    pub ranges: Vec<CanisterRange>,
    /// Its nodes; at least one.
    pub nodes: Vec<Node>,
    /// What signs its certificates.
    pub key: SubnetKey,
}

impl Subnet {
    fn new(
        seed: &[u8; 32],
        name: &str,
        kind: SubnetKind,
        ranges: Vec<CanisterRange>,
        nodes: usize,
    ) -> Self {
        let key = SubnetKey::derive(seed, name);
        let nodes = (0..nodes)
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
            ranges,
            nodes,
            key,
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
}

impl Topology {
    /// A root subnet and one application subnet, with keys from the seed.
    pub fn new(seed: &[u8; 32]) -> Self {
        let range = CanisterRange {
            first: FLEXIBLE_FIRST,
            last: FLEXIBLE_FIRST + FLEXIBLE_IDS - 1,
        };
        Self {
            subnets: vec![
                Subnet::new(seed, "root", SubnetKind::Root, vec![ROOT_RANGE], ROOT_NODES),
                Subnet::new(
                    seed,
                    "application 0",
                    SubnetKind::Application,
                    vec![range],
                    APPLICATION_NODES,
                ),
            ],
        }
    }

    /// Every subnet, the root first.
    pub fn subnets(&self) -> &[Subnet] {
        &self.subnets
    }

    /// The root subnet.
    pub fn root(&self) -> &Subnet {
        &self.subnets[0]
    }

    /// The subnet on which canisters are created unless somebody says otherwise.
    pub fn application(&self) -> &Subnet {
        &self.subnets[1]
    }

    /// The subnet with this id.
    pub fn subnet(&self, id: &Principal) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == *id)
    }

    /// The subnet that hosts this canister id, whether or not there is such a canister.
    pub fn subnet_of(&self, canister: &Principal) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.hosts(canister))
    }

    /// The root key, DER: what clients must trust.
    pub fn root_key(&self) -> &[u8] {
        self.root().key.public_der()
    }

    /// Where calls that name no canister go: the first id of the application subnet.
    pub fn default_effective_canister(&self) -> Principal {
        self.application().ranges[0].first_id()
    }
}

/// The canister id with this number.
pub fn canister_id(number: u64) -> Principal {
    let mut bytes = [1; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Principal::from_slice(&bytes)
}
