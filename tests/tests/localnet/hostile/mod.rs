//! What nobody should send. Each gets a clean error, and whoever is beside it is not hurt; and one server that is sent
//! all of it, again and again, still answers and holds no more memory than it did.

mod calls;
mod modules;
mod requests;

use std::{
    process::Child,
    time::{Duration, Instant},
};

use assay_tests::{block_on, check_server};
use candid::Principal;
use pocket_ic::{PocketIc, PocketIcBuilder, StartServerParams, start_server};

use crate::harness::{network, probe, read, tell};

/// How often one server is sent everything.
const ROUNDS: usize = 4;
/// Rounds until caches are full and the allocator has what it needs.
const ROUNDS_TO_WARM: usize = 2;
/// Bytes by which the server's memory may differ between rounds. (A network that is kept holds at least that much after
/// these attacks.)
const DIFFERENCE_BYTES_MAX: u64 = 32 << 20;
/// How long the server may take to give memory back.
const PATIENCE: Duration = Duration::from_secs(10);

/// One test for each attack, on a network of its own, and the list of all of them.
macro_rules! attacks {
    ($($place:ident::$name:ident),* $(,)?) => {
        const ATTACKS: &[fn(&PocketIc)] = &[$($place::$name),*];

        $(#[test]
        fn $name() {
            let network = network();
            $place::$name(&network);
            let id = probe(&network);
            assert_eq!(read(&network, id), 0, "the network lives on");
        })*
    };
}

attacks! {
    requests::malformed_cbor_is_refused_with_a_reason,
    requests::wrong_signatures_are_refused,
    requests::expired_and_early_requests_are_refused,
    requests::oversized_bodies_are_refused,
    requests::json_that_makes_no_sense_is_refused,
    requests::connections_that_break_off_are_forgotten,
    modules::junk_is_not_installed,
    modules::forbidden_imports_are_not_installed,
    modules::a_module_that_unpacks_without_end_is_not_installed,
    calls::endless_loops_run_out_of_instructions,
    calls::memory_bombs_reach_the_limit_and_no_further,
    calls::what_fills_its_memory_gives_it_back,
    calls::recursion_ends_in_a_stack_overflow,
    calls::a_storm_of_calls_is_held_back,
    calls::ten_thousand_calls_wait_and_are_all_answered,
}

/// A server of its own, which ends with the test.
struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, which another check has shown then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> Self {
        check_server();
        let params = StartServerParams {
            reuse: false,
            ..StartServerParams::default()
        };
        let (process, url) = block_on(start_server(params));
        Self {
            process,
            url: url.into(),
        }
    }

    fn network(&self) -> PocketIc {
        PocketIcBuilder::new()
            .with_server_url(self.url.parse().unwrap())
            .with_application_subnet()
            .build()
    }

    /// Bytes of memory that the server's process holds, where the system says so.
    fn resident_bytes(&self) -> Option<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes << 10)
    }
}

/// Somebody who has nothing to do with all this.
struct Bystander {
    network: PocketIc,
    probe: Principal,
    number: u64,
}

impl Bystander {
    fn new(server: &Server) -> Self {
        let network = server.network();
        let probe = probe(&network);
        Self {
            network,
            probe,
            number: 0,
        }
    }

    /// Checks that it can work as before.
    fn works(&mut self) {
        tell(&self.network, self.probe, "add", (1u64,)).unwrap();
        self.number += 1;
        assert_eq!(read(&self.network, self.probe), self.number);
    }
}

#[test]
fn a_server_survives_all_of_it_again_and_again_and_keeps_no_memory() {
    let mut server = Server::start();
    let mut bystander = Bystander::new(&server);
    let mut held = Vec::new();
    for round in 0..ROUNDS {
        for attack in ATTACKS {
            attack(&server.network());
            bystander.works();
        }
        assert!(
            server.process.try_wait().unwrap().is_none(),
            "the server has ended"
        );
        let Some(mut bytes) = server.resident_bytes() else {
            continue;
        };
        if round >= ROUNDS_TO_WARM {
            // Networks are ended beside everything else.
            let allowed = held[ROUNDS_TO_WARM - 1] + DIFFERENCE_BYTES_MAX;
            let start = Instant::now();
            while bytes > allowed && start.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(50));
                bytes = server.resident_bytes().unwrap();
            }
            assert!(
                bytes <= allowed,
                "{bytes} bytes are held, after {held:?} in the rounds before"
            );
        }
        held.push(bytes);
    }
    eprintln!("bytes held after each round: {held:?}");
}
