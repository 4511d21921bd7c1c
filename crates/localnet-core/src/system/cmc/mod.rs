//! The cycles minting canister: cycles for ICP, and canisters for cycles.
//!
//! The rate is fixed at that of a fresh network: 100 XDR, which are 100 trillion cycles, for an ICP. A payment is a
//! transfer on the ICP ledger to an account of this canister, with a memo that says what it is for; a notification
//! names its block. What a notification has led to is kept, so that repeating it changes nothing.
//!
//! Invariant: this canister holds no cycles between two messages.

mod notify;
mod payments;
#[cfg(test)]
mod tests;
mod types;

use std::{collections::BTreeMap, sync::Arc};

use candid::{Nat, Principal, encode_one};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use self::{
    notify::Notified,
    types::{
        Authorised, CertifiedRate, ConversionRate, CreateCanisterArg, CreateCanisterError,
        SubnetTypes,
    },
};
use super::{
    call::{Answer, Call, World, one},
    cycles_ledger::{CreationArgs, CyclesLedger, SubnetSelection},
    icp_ledger::IcpLedger,
};
use crate::cert::{Witness, cbor::Writer};

/// When the rate was set: as old as the first networks.
const RATE_SECONDS: u64 = 1_620_633_600;
/// Ten-thousandths of an XDR for an ICP.
const RATE_PERMYRIAD: u64 = 1_000_000;
/// Cycles for an XDR.
const CYCLES_PER_XDR: u128 = 1_000_000_000_000;
/// E8s in an ICP.
const E8S_PER_ICP: u128 = 100_000_000;
/// With fewer cycles no canister is created.
const CREATE_CYCLES_MIN: u128 = 100_000_000_000;
/// What a request costs that cannot be met.
const BAD_REQUEST_CYCLES: u128 = 100_000_000;
/// Where the rate is in the tree that is certified.
const RATE_LABEL: &[u8] = b"ICP_XDR_CONVERSION_RATE";

/// The canister's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cmc {
    notified: BTreeMap<u64, Notified>,
    /// Payments in earlier blocks are too old.
    first_block: u64,
}

/// The two ledgers.
pub(super) struct Ledgers<'a> {
    pub(super) icp: &'a mut IcpLedger,
    pub(super) cycles: &'a mut CyclesLedger,
}

/// Why a canister was not created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Cycles that are given back.
    pub(super) refund: u128,
    /// Why.
    pub(super) error: String,
}

impl Cmc {
    /// Executes an update method; none where there is no such method.
    pub(super) fn update(
        &mut self,
        method: &str,
        call: &Call<'_>,
        ledgers: Ledgers<'_>,
        world: &mut dyn World,
    ) -> Option<Answer> {
        Some(match method {
            "create_canister" => create_canister(call, world),
            "notify_top_up" => self.notify_top_up(call, ledgers, world),
            "notify_create_canister" => self.notify_create_canister(call, ledgers, world),
            "notify_mint_cycles" => self.notify_mint_cycles(call, ledgers, world),
            _ => return None,
        })
    }

    /// Answers a query method; none where there is no such method.
    pub(super) fn query(
        &self,
        method: &str,
        call: &Call<'_>,
        places: &[super::call::Place],
    ) -> Option<Answer> {
        Some(match method {
            "get_icp_xdr_conversion_rate" => one(rate(call.certificate)),
            "get_default_subnets" => one(places
                .iter()
                .filter(|place| place.open)
                .map(|place| place.id)
                .collect::<Vec<_>>()),
            "get_subnet_types_to_subnets" => one(SubnetTypes { data: vec![] }),
            "get_principals_authorized_to_create_canisters_to_subnets" => {
                one(Authorised { data: vec![] })
            }
            _ => return None,
        })
    }

    /// What the canister certifies: the rate.
    pub(super) fn certified_data() -> Vec<u8> {
        rate_tree().root_hash().to_vec()
    }
}

/// Cycles for so many e8s.
fn cycles_for(e8s: u64) -> u128 {
    u128::from(e8s) * u128::from(RATE_PERMYRIAD) * CYCLES_PER_XDR / (E8S_PER_ICP * 10_000)
}

/// Creates a canister with cycles that the executing canister has. On failure the refund is still there, and what it is
/// less than the cycles must be destroyed.
pub(super) fn create(
    world: &mut dyn World,
    owner: &Principal,
    args: CreationArgs,
    cycles: u128,
) -> Result<Principal, Failure> {
    let refused = |error: String| Failure {
        refund: cycles,
        error,
    };
    if cycles < CREATE_CYCLES_MIN {
        return Err(refused("Insufficient cycles attached.".to_owned()));
    }
    let CreationArgs {
        settings,
        subnet_selection,
    } = args;
    let failed = |error: String| Failure {
        refund: cycles - BAD_REQUEST_CYCLES,
        error,
    };
    let subnet = select(world, owner, subnet_selection).map_err(failed)?;
    world
        .create_canister(&subnet, owner, settings, cycles)
        .map_err(|reject| {
            failed(format!(
                "Creating canister in subnet {subnet} failed with code {}: {}",
                reject.code as u8, reject.message
            ))
        })
}

fn select(
    world: &dyn World,
    owner: &Principal,
    selection: Option<SubnetSelection>,
) -> Result<Principal, String> {
    let places = world.places();
    match selection {
        Some(SubnetSelection::Subnet { subnet }) => places
            .iter()
            .find(|place| place.id == subnet)
            .map(|place| place.id)
            .ok_or_else(|| {
                format!(
                    "Subnet {subnet} does not exist or {owner} is not authorized to deploy to that subnet."
                )
            }),
        Some(SubnetSelection::Filter {
            subnet_type: Some(subnet_type),
        }) => Err(format!("Provided subnet type {subnet_type} does not exist")),
        Some(SubnetSelection::Filter { subnet_type: None }) | None => places
            .iter()
            .find(|place| place.open)
            .map(|place| place.id)
            .ok_or_else(|| "No subnets in which to create a canister.".to_owned()),
    }
}

/// The two ways to name a subnet, as one.
fn selection(
    subnet_type: Option<String>,
    subnet_selection: Option<SubnetSelection>,
) -> Result<Option<SubnetSelection>, String> {
    match (subnet_type, subnet_selection) {
        (Some(_), Some(_)) => Err(
            "Cannot specify subnet_type and subnet_selection at the same time; leave subnet_type out"
                .to_owned(),
        ),
        (Some(subnet_type), None) => Ok(Some(SubnetSelection::Filter {
            subnet_type: Some(subnet_type),
        })),
        (None, selection) => Ok(selection),
    }
}

fn create_canister(call: &Call<'_>, world: &mut dyn World) -> Answer {
    let CreateCanisterArg {
        settings,
        subnet_type,
        subnet_selection,
    } = call.one()?;
    let cycles = world.available();
    world.accept(cycles);
    let result = selection(subnet_type, subnet_selection)
        .map_err(|error| Failure {
            refund: cycles,
            error,
        })
        .and_then(|subnet_selection| {
            let args = CreationArgs {
                settings,
                subnet_selection,
            };
            create(world, &call.caller, args, cycles)
        });
    one(result.map_err(|Failure { refund, error }| {
        world.burn(cycles - refund);
        world.hand_back(refund);
        CreateCanisterError::Refunded {
            refund_amount: Nat::from(refund),
            create_error: error,
        }
    }))
}

fn rate(certificate: Option<&[u8]>) -> CertifiedRate {
    let mut tree = Writer::self_described();
    rate_tree().write(&mut tree);
    CertifiedRate {
        data: conversion_rate(),
        hash_tree: ByteBuf::from(tree.finish()),
        certificate: ByteBuf::from(certificate.unwrap_or_default().to_vec()),
    }
}

fn rate_tree() -> Witness {
    let value = encode_one(conversion_rate()).expect("BUG: the rate is plain data");
    Witness::Labelled(
        Arc::from(RATE_LABEL),
        Box::new(Witness::Leaf(Arc::from(value))),
    )
}

const fn conversion_rate() -> ConversionRate {
    ConversionRate {
        timestamp_seconds: RATE_SECONDS,
        xdr_permyriad_per_icp: RATE_PERMYRIAD,
    }
}
