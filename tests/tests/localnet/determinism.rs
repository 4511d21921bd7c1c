//! The same calls on two instances have the same results and the same certified state, to the byte, however long clients
//! take and whatever others read in between.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use assay_tests::http::Answer;
use candid::{Principal, encode_one};
use fastrand::Rng;
use pocket_ic::{CanisterSettings, PocketIc};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::harness::{
    anybody, keep, networks, number, post, probe_on, probe_wasm, query, read, tell, update, user,
};

/// Steps in a life.
const STEPS: u64 = 40;
/// Others who read beside the one who lives.
const READERS: u64 = 3;
/// How long anybody may pause between two calls.
const PAUSE_MILLIS_MAX: u64 = 8;

/// What a client saw of one step, and the root of every subnet's state after it.
type Seen = (String, BTreeMap<Principal, [u8; 32]>);

fn network() -> PocketIc {
    networks()
        .with_nns_subnet()
        .with_system_subnet()
        .with_application_subnet()
        .with_application_subnet()
        .build()
}

/// A network with a probe on each application subnet.
struct Life<'a> {
    network: &'a PocketIc,
    subnets: Vec<Principal>,
    one: Principal,
    two: Principal,
}

impl<'a> Life<'a> {
    fn begin(network: &'a PocketIc) -> Self {
        let subnets = network.topology().get_app_subnets();
        Self {
            one: probe_on(network, subnets[0]),
            two: probe_on(network, subnets[1]),
            subnets,
            network,
        }
    }

    /// Lives, with a pause before each step.
    fn live(&self, pause: impl Fn()) -> Vec<Seen> {
        (0..STEPS)
            .map(|step| {
                pause();
                let seen = self.step(step);
                (seen, state_roots(self.network))
            })
            .collect()
    }

    fn step(&self, step: u64) -> String {
        let Self {
            network,
            ref subnets,
            one,
            two,
        } = *self;
        match step % 10 {
            0 => {
                let sum: Result<u64, String> =
                    update(network, one, "add_there", (two, step)).unwrap();
                format!("{sum:?}")
            }
            1 => format!("{:?}", update::<ByteBuf>(network, two, "random", ())),
            2 => {
                let trap = tell(network, one, "trap_after_adding", (step, "why"));
                format!("{trap:?}")
            }
            3 => {
                tell(network, one, "run_often", (step + 1,)).unwrap();
                network.advance_time(Duration::from_secs(10 * step));
                network.tick();
                format!("{:?}", network.get_time())
            }
            // Several wait at the same time.
            4 => {
                let call = |from, to, more: u64| {
                    let arg = encode_one(more).unwrap();
                    network.submit_call(to, user(from), "add", arg).unwrap()
                };
                let calls: Vec<_> = (0..9u8)
                    .map(|from| call(from, if from % 2 == 0 { one } else { two }, step))
                    .collect();
                network.tick();
                let answers = calls.into_iter().rev().map(|call| network.await_call(call));
                format!("{:?}", answers.collect::<Vec<_>>())
            }
            5 => {
                network
                    .upgrade_canister(one, probe_wasm(), keep(), None)
                    .unwrap();
                tell(
                    network,
                    one,
                    "certify",
                    (ByteBuf::from(step.to_le_bytes()),),
                )
                .unwrap();
                // Its status would count the queries of others, as it should.
                format!("{:?}", network.get_controllers(one))
            }
            6 => {
                let place = subnets[usize::try_from(step).unwrap() / 10 % 2];
                let settings = CanisterSettings {
                    controllers: Some(vec![user(1)]),
                    ..CanisterSettings::default()
                };
                let new = network.create_canister_on_subnet(Some(user(1)), Some(settings), place);
                network.install_canister(new, probe_wasm(), number(step), Some(user(1)));
                network.stop_canister(new, Some(user(1))).unwrap();
                if step % 20 == 6 {
                    network.delete_canister(new, Some(user(1))).unwrap();
                }
                new.to_text()
            }
            7 => {
                tell(
                    network,
                    two,
                    "stable_write",
                    (step, ByteBuf::from(*b"kept")),
                )
                .unwrap();
                format!("{:?}", network.get_stable_memory(two).len())
            }
            8 => {
                let more = network.add_cycles(two, u128::from(step));
                let snapshot = network.take_canister_snapshot(two, None, None);
                format!("{more} {:?}", snapshot.unwrap().total_size)
            }
            _ => {
                for _ in 0..step {
                    network.tick();
                }
                let balances = [one, two].map(|canister| network.cycle_balance(canister));
                format!("{balances:?}")
            }
        }
    }

    /// Reads without end: queries, statuses, certificates.
    fn read_beside(&self, reader: u64, ended: &AtomicBool, reads: &AtomicU64) {
        let url = self.network.get_server_url();
        let network = &PocketIc::new_from_existing_instance(url, self.network.instance_id(), None);
        let mut rng = Rng::with_seed(reader);
        while !ended.load(Ordering::Relaxed) {
            let canister = if rng.bool() { self.one } else { self.two };
            match rng.u8(..9) {
                // It may be late: the other moves the clock.
                0 => drop(certificate(network, self.subnets[0])),
                1 => drop(query::<u64>(network, canister, "add_in_vain", (1u64,))),
                2 => drop(query::<()>(network, canister, "trap_in_query", ("no",))),
                3 => drop(query::<Option<ByteBuf>>(
                    network,
                    canister,
                    "certificate",
                    (),
                )),
                4 => drop(network.get_time()),
                5 => drop(network.cycle_balance(canister)),
                6 => drop(network.topology()),
                7 => drop(network.fetch_canister_logs(canister, anybody())),
                _ => drop(read(network, canister)),
            }
            reads.fetch_add(1, Ordering::Relaxed);
            pause(&mut rng);
        }
    }
}

/// Lets readers end when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn pause(rng: &mut Rng) {
    std::thread::sleep(Duration::from_millis(rng.u64(..PAUSE_MILLIS_MAX)));
}

/// The root hash of every subnet's state, as a certificate shows it.
fn state_roots(network: &PocketIc) -> BTreeMap<Principal, [u8; 32]> {
    let subnets = network.topology().subnet_configs.into_keys();
    subnets
        .map(|subnet| (subnet, state_root(network, subnet)))
        .collect()
}

#[derive(Serialize)]
struct Envelope {
    content: ReadState,
}

#[derive(Serialize)]
struct ReadState {
    request_type: &'static str,
    sender: ByteBuf,
    paths: [[ByteBuf; 1]; 1],
    ingress_expiry: u64,
}

#[derive(Deserialize)]
struct Certified {
    certificate: ByteBuf,
}

/// What comes of asking for a certificate over a subnet's time.
fn certificate(network: &PocketIc, subnet: Principal) -> Answer {
    let soon = network.get_time() + Duration::from_secs(60);
    let request = Envelope {
        content: ReadState {
            request_type: "read_state",
            sender: ByteBuf::from(anybody().as_slice()),
            paths: [[ByteBuf::from(*b"time")]],
            ingress_expiry: soon.as_nanos_since_unix_epoch(),
        },
    };
    let path = format!("api/v2/subnet/{subnet}/read_state");
    post(network, &path, &serde_cbor::to_vec(&request).unwrap())
}

fn state_root(network: &PocketIc, subnet: Principal) -> [u8; 32] {
    let answer = certificate(network, subnet);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let certified: Certified = serde_cbor::from_slice(&answer.body).unwrap();
    let certificate: ic_agent::Certificate =
        serde_cbor::from_slice(&certified.certificate).unwrap();
    certificate.tree.digest()
}

#[track_caller]
fn same(one: &[Seen], other: &[Seen]) {
    assert_eq!(one.len(), other.len());
    for (step, (one, other)) in one.iter().zip(other).enumerate() {
        assert_eq!(one, other, "step {step}");
    }
}

#[test]
fn two_instances_live_the_same_life() {
    let (one, two) = (network(), network());
    // The second lives while the first does, and later.
    let lives = std::thread::scope(|scope| {
        let first = scope.spawn(|| Life::begin(&one).live(|| ()));
        std::thread::sleep(Duration::from_millis(50));
        let second = scope.spawn(|| Life::begin(&two).live(|| ()));
        [first.join().unwrap(), second.join().unwrap()]
    });
    same(&lives[0], &lives[1]);
    assert_eq!(one.root_key(), two.root_key());
    let roots = |at: usize| &lives[0][at].1;
    assert_eq!(roots(0).len(), 4, "every subnet has a root");
    assert!(
        (1..lives[0].len()).all(|at| roots(at - 1) != roots(at)),
        "every step changes what is certified"
    );
}

#[test]
fn the_timing_of_clients_and_what_others_read_change_no_state_root() {
    let quiet = network();
    let expected = Life::begin(&quiet).live(|| ());
    let noisy = network();
    let life = Life::begin(&noisy);
    let (ended, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let seen = std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (life, ended, reads) = (&life, &ended, &reads);
            scope.spawn(move || life.read_beside(reader, ended, reads));
        }
        let rng = RefCell::new(Rng::with_seed(READERS));
        // Readers end with this, even where it panics.
        let _ending = Ending(&ended);
        life.live(|| pause(&mut rng.borrow_mut()))
    });
    let reads = reads.into_inner();
    assert!(reads > STEPS, "only {reads} reads came in between");
    same(&seen, &expected);
}
