//! What subnets a network is to have, and what follows from their kinds.

use candid::Principal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{CanisterRange, Subnet};
use crate::limits;

/// Ids in one range that is handed out to a subnet.
const RANGE_IDS: u64 = 1 << 20;

/// Ids below this are the public network's, which hands them out from the bottom up.
const PUBLIC_IDS: u64 = 1 << 32;

/// Ids that subnets of the public network have, and the like-named ones here.
const NNS_RANGES: &[CanisterRange] = &[range(0, 6), range(8, 0xF_FFFF)];
const II_RANGES: &[CanisterRange] = &[range(7, 7), range(0x210_0000, 0x21F_FFFF)];
const SNS_RANGES: &[CanisterRange] = &[range(0x200_0000, 0x20F_FFFF)];
const FIDUCIARY_RANGES: &[CanisterRange] = &[range(0x230_0000, 0x23F_FFFF)];
const BITCOIN_RANGES: &[CanisterRange] = &[range(0x1A0_0000, 0x1AF_FFFF)];

/// What a subnet is for. The first five are there at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SubnetKind {
    /// It governs the network and holds its root key.
    Nns,
    /// It hosts Internet Identity.
    Ii,
    /// It hosts service nervous systems.
    Sns,
    /// It hosts what holds other people's money.
    Fiduciary,
    /// It hosts the Bitcoin canisters.
    Bitcoin,
    /// It charges nothing.
    System,
    /// It hosts anybody's canisters.
    Application,
    /// It hosts canisters of those who were let in.
    VerifiedApplication,
    /// It is rented, and run by its administrators.
    CloudEngine,
}

impl SubnetKind {
    /// As a plan or an error names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nns => "NNS",
            Self::Ii => "II",
            Self::Sns => "SNS",
            Self::Fiduciary => "fiduciary",
            Self::Bitcoin => "bitcoin",
            Self::System => "system",
            Self::Application => "application",
            Self::VerifiedApplication => "verified application",
            Self::CloudEngine => "cloud engine",
        }
    }

    /// The type of subnet, as the state tree calls it.
    pub const fn as_text(self) -> &'static str {
        match self {
            Self::Nns | Self::Ii | Self::Bitcoin | Self::System => "system",
            Self::Sns | Self::Fiduciary | Self::Application => "application",
            Self::VerifiedApplication => "verified_application",
            Self::CloudEngine => "cloud_engine",
        }
    }

    /// Whether messages run longer here and cost nothing.
    pub const fn is_system(self) -> bool {
        matches!(self, Self::Nns | Self::Ii | Self::Bitcoin | Self::System)
    }

    /// How many replicas it has; costs grow with their number.
    pub const fn nodes(self) -> usize {
        match self {
            Self::Nns => 40,
            Self::Ii | Self::Sns | Self::Fiduciary => 34,
            Self::Bitcoin
            | Self::System
            | Self::Application
            | Self::VerifiedApplication
            | Self::CloudEngine => 13,
        }
    }

    /// The ids that it has besides those that are handed out to it.
    pub(super) const fn own_ranges(self) -> &'static [CanisterRange] {
        match self {
            Self::Nns => NNS_RANGES,
            Self::Ii => II_RANGES,
            Self::Sns => SNS_RANGES,
            Self::Fiduciary => FIDUCIARY_RANGES,
            Self::Bitcoin => BITCOIN_RANGES,
            Self::System | Self::Application | Self::VerifiedApplication | Self::CloudEngine => &[],
        }
    }

    /// Whether there is at most one of the kind.
    pub(super) const fn is_single(self) -> bool {
        !self.own_ranges().is_empty()
    }
}

/// What a subnet charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CostSchedule {
    /// What the public network charges on a subnet of this kind.
    #[default]
    Normal,
    /// Nothing.
    Free,
}

/// How long messages of a subnet may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstructionLimits {
    /// As on the public network.
    #[default]
    Production,
    /// Practically for ever.
    Benchmarking,
}

/// A subnet that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetPlan {
    /// What it is for.
    pub kind: SubnetKind,
    /// What it charges.
    pub cost: CostSchedule,
    /// How long messages may run.
    pub instructions: InstructionLimits,
    /// Who administers it.
    pub admins: Vec<Principal>,
}

impl SubnetPlan {
    /// A subnet of this kind as it is on the public network, without administrators.
    pub const fn of(kind: SubnetKind) -> Self {
        Self {
            kind,
            cost: CostSchedule::Normal,
            instructions: InstructionLimits::Production,
            admins: Vec::new(),
        }
    }
}

/// Why there is no network of these subnets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopologyError {
    /// Nothing was asked for.
    #[error("a network needs a subnet; ask for at least one, such as an application subnet")]
    Empty,
    /// More than can be.
    #[error(
        "{found} subnets were asked for, at most {} are possible",
        limits::SUBNETS_MAX
    )]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Two of a kind of which there is one.
    #[error("two subnets of the kind {} were asked for; ask for one", kind.name())]
    Twice {
        /// Which.
        kind: SubnetKind,
    },
    /// No id of the public network that a subnet could be made for.
    #[error(
        "no subnet can be made for the canister id {id}: it is not one that the public network gives away"
    )]
    NotPublic {
        /// Which.
        id: Principal,
    },
    /// A subnet has the id already.
    #[error("a subnet hosts the canister id {id} already")]
    Hosted {
        /// Which.
        id: Principal,
    },
    /// No such subnet.
    #[error("there is no subnet {id} on this network")]
    Unknown {
        /// Its id.
        id: Principal,
    },
    /// A subnet that cannot be deleted.
    #[error(
        "subnet {id} is the {} subnet and cannot be deleted; subnets of canisters can, and system subnets",
        kind.name()
    )]
    Named {
        /// Its id.
        id: Principal,
        /// What it is for.
        kind: SubnetKind,
    },
    /// The only subnet that hosts canisters.
    #[error("subnet {id} is the network's last and cannot be deleted; delete the network instead")]
    Last {
        /// Its id.
        id: Principal,
    },
    /// More changes than are remembered.
    #[error(
        "subnets have come and gone {} times, and may no more; make a new network",
        limits::TOPOLOGY_CHANGES_MAX
    )]
    Changes,
    /// More administrators than a subnet can have.
    #[error(
        "{found} administrators were named for a subnet, at most {} are possible",
        limits::SUBNET_ADMINS_MAX
    )]
    Admins {
        /// How many.
        found: usize,
    },
}

pub(super) fn check(plan: &[SubnetPlan]) -> Result<(), TopologyError> {
    let found = plan.len();
    if found == 0 {
        return Err(TopologyError::Empty);
    }
    if found > limits::SUBNETS_MAX {
        return Err(TopologyError::TooMany { found });
    }
    for (place, SubnetPlan { kind, admins, .. }) in plan.iter().enumerate() {
        if kind.is_single() && plan[..place].iter().any(|before| before.kind == *kind) {
            return Err(TopologyError::Twice { kind: *kind });
        }
        if admins.len() > limits::SUBNET_ADMINS_MAX {
            let found = admins.len();
            return Err(TopologyError::Admins { found });
        }
    }
    Ok(())
}

/// Where canisters are created unless somebody says otherwise.
pub(super) fn default_subnet(subnets: &[Subnet]) -> usize {
    [
        SubnetKind::Application,
        SubnetKind::VerifiedApplication,
        SubnetKind::System,
    ]
    .into_iter()
    .find_map(|kind| subnets.iter().position(|subnet| subnet.kind == kind))
    .or_else(|| subnets.iter().position(|subnet| !subnet.hidden))
    .unwrap_or_default()
}

/// What hosts a canister id on the public network, with the range that the kind does not have by itself: a guess, as the
/// public network's table of subnets is not here.
pub(super) fn public_host(number: u64) -> Option<(SubnetKind, Option<CanisterRange>)> {
    if number >= PUBLIC_IDS {
        return None;
    }
    let holds = |kind: &SubnetKind| {
        let mut ranges = kind.own_ranges().iter();
        ranges.any(|range| (range.first..=range.last).contains(&number))
    };
    let named = [
        SubnetKind::Nns,
        SubnetKind::Ii,
        SubnetKind::Sns,
        SubnetKind::Fiduciary,
        SubnetKind::Bitcoin,
    ];
    match named.into_iter().find(holds) {
        // Keys of the network hang on it, so it is there from the beginning or never.
        Some(SubnetKind::Nns) => None,
        Some(kind) => Some((kind, None)),
        None => {
            let first = number / RANGE_IDS * RANGE_IDS;
            let whole = range(first, first + RANGE_IDS - 1);
            Some((SubnetKind::Application, Some(whole)))
        }
    }
}

/// Hands out ranges of ids from the top down, none of which a named subnet has.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeSource {
    taken: u64,
}

impl RangeSource {
    pub(super) const fn take(&mut self) -> CanisterRange {
        // The topmost range is left out, as elsewhere.
        self.taken += 1;
        let first = (u64::MAX / RANGE_IDS - self.taken) * RANGE_IDS;
        range(first, first + RANGE_IDS - 1)
    }
}

/// Names from which the keys of subnets follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    given: Vec<SubnetKind>,
}

impl Names {
    pub(super) fn next(&mut self, kind: SubnetKind) -> String {
        let number = self.given.iter().filter(|given| **given == kind).count();
        self.given.push(kind);
        match kind {
            // The root key stays what it is where somebody asks for the subnet later.
            SubnetKind::Nns => "root".to_owned(),
            _ => format!("{} {number}", kind.name()),
        }
    }
}

const fn range(first: u64, last: u64) -> CanisterRange {
    CanisterRange { first, last }
}
