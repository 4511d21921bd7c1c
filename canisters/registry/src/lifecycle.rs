//! Install and upgrade. There is nothing to save before an upgrade.

use candid::{CandidType, Principal};
use serde::Deserialize;

use crate::{
    logs,
    memory::{LAYOUT, set_written_layout, with_registry, with_registry_mut, written_layout},
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
    let found = written_layout();
    if let Err(problem) = check_layout(found) {
        ic_cdk::trap(format!("install arguments: {problem}"));
    }
    set_written_layout();
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
        "{done}: release {release}, canister version {version}, layout v{LAYOUT} over v{found}"
    ));
    tell_shards(&with_registry(|registry| registry.shards()));
}

/// Refuses memory that only newer code can read.
fn check_layout(found: u32) -> Result<(), String> {
    if found <= LAYOUT {
        return Ok(());
    }
    Err(format!(
        "stable memory has layout v{found}, newer than v{LAYOUT}, which is the newest that this release reads; install a newer one"
    ))
}

/// Logs which jobs canisters are listed now.
pub(crate) fn tell_shards(shards: &[Principal]) {
    let names: Vec<String> = shards.iter().map(Principal::to_text).collect();
    let (count, names) = (names.len(), names.join(" "));
    logs::info(format_args!("{count} jobs canisters are listed: {names}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_newer_release_is_left_alone() {
        assert_eq!(check_layout(LAYOUT), Ok(()));
        let refused = check_layout(LAYOUT + 1).unwrap_err();
        assert!(refused.contains("layout v3, newer than v2"), "{refused}");
    }
}
