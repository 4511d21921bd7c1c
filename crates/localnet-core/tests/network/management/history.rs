//! The history of a canister, and what else everybody may know of it.

use candid::Principal;
use ic_management_canister_types as ic;
use sha2::{Digest as _, Sha256};

use super::{decoded, forward, forwarder, forwarder_module, record, set};
use crate::harness::{Net, user, wasm};

const T: u128 = 1_000_000_000_000;

fn info(
    net: &mut Net,
    by: Principal,
    canister_id: Principal,
    count: Option<u64>,
) -> ic::CanisterInfoResult {
    let arg = ic::CanisterInfoArgs {
        canister_id,
        num_requested_changes: count,
    };
    decoded(&forward(net, by, "canister_info", &arg, 0).unwrap())
}

fn from_user() -> ic::ChangeOrigin {
    ic::ChangeOrigin::FromUser(ic::FromUserRecord { user_id: user() })
}

#[test]
fn changes_are_told_with_who_made_them() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let id = net.create();
    let controllers = vec![user(), by];
    let settings = ic::CanisterSettings {
        controllers: Some(controllers.clone()),
        ..Default::default()
    };
    set(&mut net, id, settings).unwrap();
    let module = forwarder_module();
    net.install_code(id, ic::CanisterInstallMode::Install, module.clone(), b"")
        .unwrap();
    net.upgrade(id, "").unwrap();
    let version = net.network.canister(&by).map(|_| 1);
    let uninstall = ic::UninstallCodeArgs {
        canister_id: id,
        sender_canister_version: version,
    };
    forward(&mut net, by, "uninstall_code", &uninstall, 0).unwrap();

    let all = info(&mut net, by, id, Some(100));
    assert_eq!(all.total_num_changes, 5);
    assert_eq!(all.module_hash, None);
    let mut sorted = controllers.clone();
    sorted.sort();
    assert_eq!(all.controllers, sorted);
    let hash = |module: &[u8]| Sha256::digest(module).to_vec();
    let told: Vec<_> = all
        .recent_changes
        .iter()
        .map(|change| {
            (
                change.canister_version,
                change.origin.clone(),
                change.details.clone().unwrap(),
            )
        })
        .collect();
    let deployed = |mode, module: &[u8]| {
        ic::ChangeDetails::CodeDeployment(ic::CodeDeploymentRecord {
            mode,
            module_hash: hash(module),
        })
    };
    let from_canister = ic::ChangeOrigin::FromCanister(ic::FromCanisterRecord {
        canister_id: by,
        canister_version: version,
    });
    assert_eq!(
        told,
        [
            (
                0,
                from_user(),
                ic::ChangeDetails::Creation(ic::CreationRecord {
                    controllers: vec![user()],
                    environment_variables_hash: None,
                })
            ),
            (
                1,
                from_user(),
                ic::ChangeDetails::ControllersChange(ic::ControllersChangeRecord {
                    controllers: sorted,
                })
            ),
            (
                2,
                from_user(),
                deployed(ic::CodeDeploymentMode::Install, &module)
            ),
            (
                3,
                from_user(),
                deployed(ic::CodeDeploymentMode::Upgrade, &wasm(""))
            ),
            (4, from_canister, ic::ChangeDetails::CodeUninstall),
        ]
    );
    assert!(
        all.recent_changes
            .is_sorted_by_key(|change| change.timestamp_nanos)
    );
    assert_eq!(info(&mut net, by, id, None).recent_changes, []);
    assert_eq!(
        info(&mut net, by, id, Some(2)).recent_changes,
        all.recent_changes[3..]
    );
}

#[test]
fn only_twenty_changes_are_kept_and_failures_are_none() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let id = net.create();
    for _ in 0..12 {
        net.install_code(id, ic::CanisterInstallMode::Reinstall, wasm(""), b"")
            .unwrap();
        net.install_code(id, ic::CanisterInstallMode::Install, wasm(""), b"")
            .unwrap_err();
        net.manage("uninstall_code", &record(id)).unwrap();
    }
    let told = info(&mut net, by, id, Some(u64::MAX));
    assert_eq!(
        (told.total_num_changes, told.recent_changes.len()),
        (25, 20)
    );
}

#[test]
fn variables_at_creation_leave_their_hash() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let arg = ic::CreateCanisterArgs {
        settings: Some(ic::CanisterSettings {
            environment_variables: Some(vec![ic::EnvironmentVariable {
                name: "K".into(),
                value: "value".into(),
            }]),
            ..Default::default()
        }),
        sender_canister_version: Some(1),
    };
    let reply = forward(&mut net, by, "create_canister", &arg, T).unwrap();
    let id = decoded::<ic::CanisterIdRecord>(&reply).canister_id;
    let change = info(&mut net, by, id, Some(1)).recent_changes.remove(0);
    let pair = [Sha256::digest("K"), Sha256::digest("value")].concat();
    assert_eq!(
        change.details,
        Some(ic::ChangeDetails::Creation(ic::CreationRecord {
            controllers: vec![by],
            environment_variables_hash: Some(Sha256::digest(pair).to_vec()),
        }))
    );
}

#[test]
fn a_canister_cannot_claim_a_version_that_it_has_not_reached() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let arg = |sender_canister_version| ic::CreateCanisterArgs {
        settings: None,
        sender_canister_version,
    };
    let (code, message) =
        forward(&mut net, by, "create_canister", &arg(Some(1_000)), T).unwrap_err();
    assert!(
        code == 5 && message.contains("sender canister version 1000 that does not match"),
        "{message}"
    );
    forward(&mut net, by, "create_canister", &arg(Some(1)), T).unwrap();
    net.check_cycles();
}

#[test]
fn metadata_is_for_everybody_or_for_controllers() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let id = net.create();
    let ask = |net: &mut Net, name: &str| {
        let arg = ic::CanisterMetadataArgs {
            canister_id: id,
            name: name.into(),
        };
        forward(net, by, "canister_metadata", &arg, 0)
            .map(|reply| decoded::<ic::CanisterMetadataResult>(&reply).value)
    };
    let (_, message) = ask(&mut net, "open").unwrap_err();
    assert!(
        message.contains("has no Wasm module and hence no metadata"),
        "{message}"
    );
    let module = wat::parse_str(
        r#"(module (@custom "icp:public open" "for all") (@custom "icp:private closed" "for some"))"#,
    )
    .unwrap();
    net.install_code(id, ic::CanisterInstallMode::Install, module, b"")
        .unwrap();
    assert_eq!(ask(&mut net, "open"), Ok(b"for all".to_vec()));
    assert_eq!(ask(&mut net, "closed").unwrap_err().0, 5);
    assert_eq!(ask(&mut net, "missing").unwrap_err().0, 4);
    let settings = ic::CanisterSettings {
        controllers: Some(vec![user(), by]),
        ..Default::default()
    };
    set(&mut net, id, settings).unwrap();
    assert_eq!(ask(&mut net, "closed"), Ok(b"for some".to_vec()));
}
