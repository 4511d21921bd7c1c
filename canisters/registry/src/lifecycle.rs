//! Install and upgrade. There is nothing to save before an upgrade.

use candid::{CandidType, Principal};
use serde::Deserialize;

use crate::{
    logs,
    memory::{with_registry, with_registry_mut},
    moment,
};

/// Given at install and at upgrade; what is absent stays as it is.
#[derive(Clone, Debug, Default, CandidType, Deserialize)]
pub(crate) struct InstallArgs {
    /// The jobs canisters.
    pub(crate) shards: Option<Vec<Principal>>,
}

#[ic_cdk::init]
fn init(args: Option<InstallArgs>) {
    configure("installed", args.unwrap_or_default());
}

#[ic_cdk::post_upgrade]
fn post_upgrade(args: Option<InstallArgs>) {
    configure("upgraded", args.unwrap_or_default());
}

/// Traps on a bad argument, which leaves the canister as it was.
fn configure(done: &str, args: InstallArgs) {
    let InstallArgs { shards } = args;
    with_registry_mut(|registry| {
        if let Some(shards) = shards
            && let Err(error) = registry.set_shards(&moment(), shards)
        {
            ic_cdk::trap(format!("install arguments: {error}"));
        }
    });
    let release = env!("CARGO_PKG_VERSION");
    let version = ic_cdk::api::canister_version();
    logs::info(format_args!(
        "{done}: release {release}, canister version {version}"
    ));
    tell_shards(&with_registry(|registry| registry.shards()));
}

/// Logs which jobs canisters are listed now.
pub(crate) fn tell_shards(shards: &[Principal]) {
    let names: Vec<String> = shards.iter().map(Principal::to_text).collect();
    let (count, names) = (names.len(), names.join(" "));
    logs::info(format_args!("{count} jobs canisters are listed: {names}"));
}
