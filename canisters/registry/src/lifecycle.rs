//! Install and upgrade. There is nothing to save before an upgrade.

use candid::{CandidType, Principal};
use serde::Deserialize;

use crate::{memory::with_registry_mut, moment};

/// Given at install and at upgrade; what is absent stays as it is.
#[derive(Clone, Debug, Default, CandidType, Deserialize)]
pub(crate) struct InstallArgs {
    /// The jobs canisters.
    pub(crate) shards: Option<Vec<Principal>>,
}

#[ic_cdk::init]
fn init(args: Option<InstallArgs>) {
    configure(args.unwrap_or_default());
}

#[ic_cdk::post_upgrade]
fn post_upgrade(args: Option<InstallArgs>) {
    configure(args.unwrap_or_default());
}

/// Traps on a bad argument, which leaves the canister as it was.
fn configure(args: InstallArgs) {
    let InstallArgs { shards } = args;
    with_registry_mut(|registry| {
        if let Some(shards) = shards
            && let Err(error) = registry.set_shards(&moment(), shards)
        {
            ic_cdk::trap(format!("install arguments: {error}"));
        }
    });
}
