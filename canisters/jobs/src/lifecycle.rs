//! Install and upgrade. There is nothing to save before an upgrade; after it the heap is made again.

use assay_jobs_core::Rules;
use candid::{CandidType, Principal};
use serde::Deserialize;

use crate::{
    certification, logs,
    memory::{self, LAYOUT, Settings},
    now, timers,
};

/// Given at install and at upgrade; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Deserialize)]
pub(crate) struct InstallArgs {
    /// The registry canister. Once set it stays: ids and names come from it.
    pub(crate) registry: Option<Principal>,
    /// The market's fee on top of every payout, in basis points; 0 at first.
    pub(crate) fee_bps: Option<u16>,
    /// Trust, audits and stake; see `set_rules`.
    pub(crate) rules: Option<Rules>,
    /// The cycles ledger (ICRC-1, ICRC-2) for deposits and withdrawals. Once set it stays: money lies there.
    pub(crate) ledger: Option<Principal>,
}

#[ic_cdk::init]
fn init(args: Option<InstallArgs>) {
    start("installed", args.unwrap_or_default());
}

#[ic_cdk::post_upgrade]
fn post_upgrade(args: Option<InstallArgs>) {
    start("upgraded", args.unwrap_or_default());
}

/// Traps on a bad argument, which leaves the canister as it was.
fn start(done: &str, args: InstallArgs) {
    let rules = args.rules;
    let before = memory::settings();
    let read = before.layout;
    let settings = merge(before, args).unwrap_or_else(|problem| refuse(&problem));
    let canister = ic_cdk::api::canister_self();
    memory::open(now(), canister, &settings, rules)
        .unwrap_or_else(|error| refuse(&error.to_string()));
    tell(done, read, &settings);
    if let Some(rules) = rules {
        tell_rules(&rules);
    }
    memory::set_settings(settings);
    certification::rebuild();
    timers::arm();
}

/// Logs what runs now, and on which memory.
fn tell(done: &str, read: u32, settings: &Settings) {
    let Settings {
        registry,
        fee_bps,
        layout,
        ledger,
    } = settings;
    let name = |id: &Option<Principal>| id.map_or_else(|| "none".to_owned(), |id| id.to_text());
    let (registry, ledger) = (name(registry), name(ledger));
    let release = env!("CARGO_PKG_VERSION");
    let version = ic_cdk::api::canister_version();
    let found = match read {
        0 => "new memory".to_owned(),
        read => format!("memory of layout v{read}"),
    };
    logs::info(format_args!(
        "{done}: release {release}, canister version {version}, layout v{layout} over {found}"
    ));
    logs::info(format_args!(
        "registry {registry}, ledger {ledger}, fee {fee_bps} basis points"
    ));
}

/// Logs which rules hold now.
pub(crate) fn tell_rules(rules: &Rules) {
    let Rules {
        trusted_after,
        audit_ppm_min,
        stake_factor,
        reveal_bond,
        sponsor_caller_daily,
        sponsor_daily,
        canary_ppm,
    } = rules;
    logs::info(format_args!(
        "rules set: trusted after {trusted_after}, audits at least {audit_ppm_min} ppm, stake factor {stake_factor}, \
         reveal bond {reveal_bond} cycles, sponsored a day {sponsor_caller_daily} for each and {sponsor_daily} for all, \
         canaries {canary_ppm} ppm"
    ));
}

fn merge(before: Settings, args: InstallArgs) -> Result<Settings, String> {
    let InstallArgs {
        registry,
        fee_bps,
        rules: _,
        ledger,
    } = args;
    match (before.registry, registry) {
        (Some(kept), Some(other)) if kept != other => {
            return Err(format!(
                "registry: this market follows {kept} and cannot change to {other}; install a new one"
            ));
        }
        (_, Some(nobody))
            if nobody == Principal::anonymous() || nobody == Principal::management_canister() =>
        {
            return Err(format!(
                "registry: {nobody} is not a registry; give the id of a registry canister"
            ));
        }
        _ => {}
    }
    if before.layout > LAYOUT {
        return Err(format!(
            "stable memory has layout v{}, newer than v{LAYOUT}, which is the newest that this release reads; install a newer one",
            before.layout
        ));
    }
    Ok(Settings {
        registry: registry.or(before.registry),
        fee_bps: fee_bps.unwrap_or(before.fee_bps),
        layout: LAYOUT,
        // The core refuses what is no ledger, and another one than before.
        ledger: ledger.or(before.ledger),
    })
}

fn refuse(problem: &str) -> ! {
    ic_cdk::trap(format!("install arguments: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canister(n: u8) -> Principal {
        Principal::from_slice(&[n])
    }

    #[test]
    fn what_an_upgrade_does_not_name_stays() {
        let first = merge(
            Settings::default(),
            InstallArgs {
                registry: Some(canister(7)),
                fee_bps: Some(50),
                rules: None,
                ledger: Some(canister(6)),
            },
        )
        .unwrap();
        assert_eq!(
            first,
            Settings {
                registry: Some(canister(7)),
                fee_bps: 50,
                layout: LAYOUT,
                ledger: Some(canister(6)),
            }
        );
        assert_eq!(
            merge(first.clone(), InstallArgs::default()),
            Ok(first.clone())
        );
        let other_fee = InstallArgs {
            fee_bps: Some(0),
            ..InstallArgs::default()
        };
        assert_eq!(
            merge(first.clone(), other_fee),
            Ok(Settings {
                fee_bps: 0,
                ..first
            })
        );
    }

    #[test]
    fn a_market_follows_one_registry_for_ever() {
        let before = Settings {
            registry: Some(canister(7)),
            fee_bps: 0,
            layout: LAYOUT,
            ledger: None,
        };
        let same = InstallArgs {
            registry: Some(canister(7)),
            ..InstallArgs::default()
        };
        assert_eq!(merge(before.clone(), same), Ok(before.clone()));
        let other = InstallArgs {
            registry: Some(canister(8)),
            ..InstallArgs::default()
        };
        assert!(merge(before, other).unwrap_err().starts_with("registry: "));
    }

    #[test]
    fn memory_of_a_newer_release_is_left_alone() {
        let newer = Settings {
            layout: LAYOUT + 1,
            ..Settings::default()
        };
        let refused = merge(newer, InstallArgs::default()).unwrap_err();
        assert!(refused.contains("layout v3, newer than v2"), "{refused}");
    }

    #[test]
    fn a_registry_is_a_canister() {
        for nobody in [Principal::anonymous(), Principal::management_canister()] {
            let args = InstallArgs {
                registry: Some(nobody),
                ..InstallArgs::default()
            };
            assert!(
                merge(Settings::default(), args)
                    .unwrap_err()
                    .starts_with("registry: ")
            );
        }
    }
}
