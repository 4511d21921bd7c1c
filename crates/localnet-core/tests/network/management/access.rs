//! Who may call which method, and what the others are told.

use assay_localnet_core::types::ErrorCode;
use candid::{Principal, encode_one};
use ic_management_canister_types as ic;

use super::{MANAGEMENT, code_of, forward, forwarder, record, set};
use crate::harness::{Net, plain, stranger, user};

/// Methods that only controllers may call, of users and canisters.
const CONTROLLED: &[&str] = &[
    "canister_metrics",
    "canister_status",
    "clear_chunk_store",
    "delete_canister",
    "list_canister_snapshots",
    "start_canister",
    "stop_canister",
    "stored_chunks",
    "uninstall_code",
];

#[test]
fn users_are_told_what_only_canisters_may_call() {
    let mut net = Net::new();
    for method in [
        "bitcoin_get_utxos",
        "canister_info",
        "canister_metadata",
        "create_canister",
        "deposit_cycles",
        "http_request",
        "node_metrics_history",
        "raw_rand",
        "subnet_info",
        "subnet_metrics",
    ] {
        let reject = net.manage(method, &()).unwrap_err();
        assert_eq!(
            (reject.error, reject.message),
            (
                Some(ErrorCode::CanisterRejectedMessage),
                format!("Only canisters can call ic00 method {method}")
            )
        );
    }
    for method in ["fetch_canister_logs", "list_canisters"] {
        let reject = net.manage(method, &()).unwrap_err();
        assert_eq!(
            plain(&reject),
            format!("{method} API is only accessible in non-replicated mode")
        );
    }
}

#[test]
fn strangers_are_refused_before_their_message_comes_in_and_canisters_after() {
    let mut net = Net::new();
    let id = net.create();
    let by = forwarder(&mut net);
    for method in CONTROLLED {
        let arg = encode_one(record(id)).unwrap();
        let reject = net
            .submit_as(stranger(), MANAGEMENT, method, arg)
            .unwrap_err();
        let (code, message) = forward(&mut net, by, method, &record(id), 0).unwrap_err();
        assert_eq!(code, 5, "{method}");
        if *method == "canister_status" {
            assert_eq!(reject.error, Some(ErrorCode::CanisterStatusAccessDenied));
            assert_eq!(
                plain(&reject),
                format!(
                    "Caller {} is not allowed to read the canister status",
                    stranger()
                )
            );
            assert!(message.contains(&format!("Caller {by} is not allowed")));
            continue;
        }
        assert_eq!(
            (reject.error, reject.message),
            (
                Some(ErrorCode::CanisterInvalidController),
                format!("Only controllers of canister {id} can call ic00 method {method}")
            )
        );
        assert!(
            message.contains(&format!(
                "Only the controllers of the canister {id} can control it.\nCanister's controllers: {}\nSender's ID: {by}",
                user()
            )),
            "{message}"
        );
    }
    net.check_cycles();
}

#[test]
fn a_canister_may_read_its_status_and_use_its_chunk_store() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    for method in ["canister_status", "stored_chunks", "clear_chunk_store"] {
        forward(&mut net, by, method, &record(by), 0).unwrap();
    }
    let upload = ic::UploadChunkArgs {
        canister_id: by,
        chunk: vec![1],
    };
    forward(&mut net, by, "upload_chunk", &upload, 0).unwrap();
    let (code, _) = forward(&mut net, by, "stop_canister", &record(by), 0).unwrap_err();
    assert_eq!(code, 5);
}

#[test]
fn snapshots_are_shown_to_those_whom_controllers_name() {
    let mut net = Net::new();
    let id = net.create();
    let ask = |net: &mut Net, who: Principal| {
        let arg = encode_one(record(id)).unwrap();
        net.call_as(who, MANAGEMENT, "list_canister_snapshots", arg)
    };
    let show = |net: &mut Net, snapshot_visibility| {
        let settings = ic::CanisterSettings {
            snapshot_visibility: Some(snapshot_visibility),
            ..Default::default()
        };
        set(net, id, settings).unwrap();
    };
    assert!(ask(&mut net, stranger()).is_err());
    let viewers = ic::SnapshotVisibility::AllowedViewers(vec![stranger()]);
    show(&mut net, viewers);
    assert!(ask(&mut net, stranger()).is_ok());
    assert!(ask(&mut net, Principal::anonymous()).is_err());
    show(&mut net, ic::SnapshotVisibility::Public);
    assert!(ask(&mut net, Principal::anonymous()).is_ok());
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let mut net = Net::new();
    let id = net.create();
    let by = forwarder(&mut net);
    for method in CONTROLLED {
        let reject = net.manage(method, &"text").unwrap_err();
        assert_eq!(
            (reject.error, reject.message),
            (
                Some(ErrorCode::InvalidManagementPayload),
                format!("Failed to decode payload for ic00 method: {method}")
            )
        );
        let (code, message) = forward(&mut net, by, method, &"text", 0).unwrap_err();
        assert!(
            code == 4 && message.starts_with("Error decoding candid: "),
            "{message}"
        );
    }
    // It names its canister, and nothing else fits.
    let reject = net.manage("install_code", &record(id)).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::InvalidManagementPayload));
    assert!(reject.message.starts_with("Error decoding candid: "));
}

#[test]
fn methods_that_there_are_not_say_what_is_missing() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    for method in ["make_coffee", "start", ""] {
        let message = format!("Management canister has no method '{method}'");
        let reject = net.manage(method, &()).unwrap_err();
        assert_eq!(
            (reject.error, &reject.message),
            (Some(ErrorCode::CanisterMethodNotFound), &message)
        );
        assert_eq!(forward(&mut net, by, method, &(), 0), Err((5, message)));
    }
    let (code, message) = forward(&mut net, by, "rename_canister", &(), 0).unwrap_err();
    assert!(code == 5 && message.contains("keep their ids"), "{message}");
    let (code, message) = forward(&mut net, by, "bitcoin_get_balance", &(), 9).unwrap_err();
    assert!(
        code == 3 && message.contains("no Bitcoin canister"),
        "{message}"
    );
    net.check_cycles();
}

#[test]
fn threshold_keys_are_unknown_and_the_cycles_come_back() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let ecdsa = ic::EcdsaPublicKeyArgs {
        canister_id: None,
        derivation_path: vec![],
        key_id: ic::EcdsaKeyId {
            curve: ic::EcdsaCurve::Secp256k1,
            name: "key_1".into(),
        },
    };
    let schnorr = ic::SignWithSchnorrArgs {
        key_id: ic::SchnorrKeyId {
            algorithm: ic::SchnorrAlgorithm::Ed25519,
            name: "k".into(),
        },
        ..Default::default()
    };
    let vetkd = ic::VetKDPublicKeyArgs {
        canister_id: None,
        context: vec![],
        key_id: ic::VetKDKeyId {
            curve: ic::VetKDCurve::Bls12_381_G2,
            name: "v".into(),
        },
    };
    let reject = forward(&mut net, by, "ecdsa_public_key", &ecdsa, 5).unwrap_err();
    assert_eq!(
        reject,
        (
            3,
            "Unable to route management canister request ecdsa_public_key: ChainKeyError(\"Requested unknown threshold \
             key: ecdsa:Secp256k1:key_1, existing keys: []\"); this network holds no threshold keys"
                .into()
        )
    );
    let (_, message) = forward(&mut net, by, "sign_with_schnorr", &schnorr, 5).unwrap_err();
    assert!(message.contains(
        "Requested unknown or signing disabled threshold key: schnorr:Ed25519:k, existing keys with signing enabled: []"
    ));
    let (_, message) = forward(&mut net, by, "vetkd_public_key", &vetkd, 5).unwrap_err();
    assert!(message.contains("vetkd:Bls12_381_G2:v"));
    let (code, _) = forward(&mut net, by, "sign_with_ecdsa", &(), 5).unwrap_err();
    assert_eq!(code, 4, "the argument does not fit");
    net.check_cycles();
}

#[test]
fn the_managed_canister_pays_for_the_message() {
    let mut net = Net::new();
    let id = net.create();
    let before = net.network.balance(&id).unwrap();
    net.manage("stop_canister", &record(id)).unwrap();
    let arg = encode_one(record(id)).unwrap().len() + "stop_canister".len();
    let paid = before - net.network.balance(&id).unwrap();
    assert!(
        (1_200_000..1_200_000 + 2_000 * (arg as u128 + 40)).contains(&paid),
        "{paid}"
    );
    let poor = net.create_with(1_000);
    assert_eq!(
        code_of(net.manage("stop_canister", &record(poor))),
        Some(ErrorCode::CanisterOutOfCycles)
    );
    set(&mut net, poor, ic::CanisterSettings::default()).unwrap();
    assert_eq!(
        net.network.balance(&poor),
        Some(1_000),
        "new settings are also for those who cannot pay"
    );
    net.check_cycles();
}
