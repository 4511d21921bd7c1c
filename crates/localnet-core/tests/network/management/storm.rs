//! Random management, by users and canisters: no cycle is lost, and the same orders leave the same network.

use assay_localnet_core::network::access::OutcallAnswer;
use candid::{Principal, encode_one};
use ic_management_canister_types as ic;

use super::{MANAGEMENT, decoded, forwarded, forwarder_module, record};
use crate::harness::{Net, user};

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn order(dice: &mut Dice, net: &mut Net, id: Principal) -> (&'static str, Vec<u8>) {
    let snapshots = || -> Vec<ic::Snapshot> { Vec::new() };
    let mut snapshot_id = |dice: &mut Dice| {
        let all = net
            .manage("list_canister_snapshots", &record(id))
            .map_or_else(|_| snapshots(), |reply| decoded(&reply));
        match all.len() as u64 {
            0 => vec![1, 2, 3],
            count => all[dice.roll(count) as usize].id.clone(),
        }
    };
    let encoded = |arg: candid::Result<Vec<u8>>| arg.unwrap();
    match dice.roll(16) {
        0 => ("stop_canister", encoded(encode_one(record(id)))),
        1 | 2 => ("start_canister", encoded(encode_one(record(id)))),
        3 => ("uninstall_code", encoded(encode_one(record(id)))),
        4 => ("canister_status", encoded(encode_one(record(id)))),
        5 | 6 => {
            let mode = match dice.roll(3) {
                0 => ic::CanisterInstallMode::Install,
                1 => ic::CanisterInstallMode::Reinstall,
                _ => ic::CanisterInstallMode::Upgrade(None),
            };
            let arg = ic::InstallCodeArgs {
                mode,
                canister_id: id,
                wasm_module: forwarder_module(),
                arg: vec![],
                sender_canister_version: None,
            };
            ("install_code", encoded(encode_one(arg)))
        }
        7 | 8 => {
            let arg = ic::TakeCanisterSnapshotArgs {
                canister_id: id,
                replace_snapshot: (dice.roll(3) == 0).then(|| snapshot_id(dice)),
                uninstall_code: Some(dice.roll(5) == 0),
                sender_canister_version: None,
            };
            ("take_canister_snapshot", encoded(encode_one(arg)))
        }
        9 | 10 => {
            let arg = ic::LoadCanisterSnapshotArgs {
                canister_id: id,
                snapshot_id: snapshot_id(dice),
                sender_canister_version: None,
            };
            ("load_canister_snapshot", encoded(encode_one(arg)))
        }
        11 => {
            let arg = ic::DeleteCanisterSnapshotArgs {
                canister_id: id,
                snapshot_id: snapshot_id(dice),
            };
            ("delete_canister_snapshot", encoded(encode_one(arg)))
        }
        12 => {
            let arg = ic::UploadChunkArgs {
                canister_id: id,
                chunk: vec![dice.roll(200) as u8; 10],
            };
            ("upload_chunk", encoded(encode_one(arg)))
        }
        13 => {
            let arg = ic::UpdateSettingsArgs {
                canister_id: id,
                settings: ic::CanisterSettings {
                    compute_allocation: Some(dice.roll(110).into()),
                    log_memory_limit: Some((dice.roll(3) * 4_096).into()),
                    freezing_threshold: Some(dice.roll(5_000_000).into()),
                    ..Default::default()
                },
                sender_canister_version: None,
            };
            ("update_settings", encoded(encode_one(arg)))
        }
        14 => {
            let arg = ic::ProvisionalTopUpCanisterArgs {
                canister_id: id,
                amount: dice.roll(1_000_000_000).into(),
            };
            ("provisional_top_up_canister", encoded(encode_one(arg)))
        }
        _ => ("raw_rand", encoded(encode_one(()))),
    }
}

/// What a canister asks for and pays.
fn paid(dice: &mut Dice, id: Principal) -> (&'static str, Vec<u8>, u128) {
    let cycles = u128::from(dice.roll(1_000_000_000)) * u128::from(dice.roll(2_000));
    let (method, arg) = match dice.roll(5) {
        0 => (
            "create_canister",
            encode_one(ic::CreateCanisterArgs::default()),
        ),
        1 => ("deposit_cycles", encode_one(record(id))),
        2 => ("raw_rand", encode_one(())),
        3 => (
            "sign_with_ecdsa",
            encode_one(ic::SignWithEcdsaArgs::default()),
        ),
        _ => {
            let arg = ic::HttpRequestArgs {
                url: "https://a.b".into(),
                max_response_bytes: Some(dice.roll(10_000)),
                ..Default::default()
            };
            ("http_request", encode_one(arg))
        }
    };
    (method, arg.unwrap(), cycles)
}

/// What a storm leaves; every so many steps, the network goes through an image.
fn storm(seed: u64, steps: usize, rebirths: Option<usize>) -> [u8; 32] {
    let mut dice = Dice(seed);
    let mut net = Net::new();
    let ids: Vec<_> = (0..3).map(|_| net.canister(super::FORWARDER)).collect();
    for step in 0..steps {
        if rebirths.is_some_and(|every| step % every == 0) {
            net.be_reborn();
        }
        let id = ids[dice.roll(3) as usize];
        let sent = match dice.roll(10) {
            0..5 => {
                let (method, arg) = order(&mut dice, &mut net, id);
                net.submit_as(user(), MANAGEMENT, method, arg)
            }
            5..8 => {
                let other = ids[dice.roll(3) as usize];
                let (method, arg, cycles) = paid(&mut dice, other);
                net.submit_as(user(), id, "forward", forwarded(method, &arg, cycles))
            }
            8 => {
                let waiting = net.network.outcalls().next().map(|outcall| outcall.id);
                if let Some(outcall) = waiting {
                    let answer = OutcallAnswer::Reply {
                        status: 200,
                        headers: vec![],
                        body: vec![0; dice.roll(5_000) as usize],
                    };
                    net.network.answer_outcall(outcall, answer).unwrap();
                }
                net.submit_as(user(), id, "bump", "")
            }
            _ => {
                net.advance(dice.roll(20));
                net.submit_as(user(), id, "print_and_trap", "line")
            }
        };
        // Refused where the canister is stopped, empty or frozen; what matters is the sum.
        drop(sent);
        net.check_cycles();
        net.rounds(dice.roll(3) as usize);
        net.check_cycles();
    }
    for _ in 0..8 {
        net.settle();
        net.advance(100);
        net.check_cycles();
    }
    assert_eq!(net.network.cycles().moving, 0, "nothing is on its way");
    net.network.digest()
}

#[test]
fn random_management_loses_nothing_and_repeats() {
    for seed in 0..4 {
        let first = storm(seed, 120, None);
        assert_eq!(storm(seed, 120, None), first, "seed {seed}");
        assert_eq!(
            storm(seed, 120, Some(10)),
            first,
            "seed {seed}, through images"
        );
    }
}
