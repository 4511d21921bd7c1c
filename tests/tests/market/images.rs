//! Golden images: the stable memory of every layout that was released still opens, with everything in it.
//!
//! An image is what the registry and the jobs canister kept at a moment at which jobs of every state were there, beside a
//! text that says what anybody could see then. A layout may have several, of what was kept in it at different times.
//! `UPDATE_IMAGES=1` writes the newest again; one of a layout that was released is never written again.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use assay_jobs_core::{
    Rules,
    testing::{Fixture, Market, Plan, World, worker},
};
use assay_protocol::{
    Cycles,
    job::Stats,
    registry::{
        HardwareCatalogue, MeasuredSpeed, Model, ModelsArgs, RegistryError, Speed, SpeedArgs,
        Worker,
    },
};
use candid::Principal;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use pocket_ic::common::rest::BlobCompression;

use crate::{chain::admin, worker::CanisterMarket};

/// The images, the newest last.
const IMAGES: [u32; 3] = [1, 2, 3];
/// Decides who and what is in an image.
const SEED: u64 = 5;
const STEPS_MAX: usize = 800;
/// No job of a world waits longer.
const DEADLINE_SECONDS: u64 = 1_200;
/// Seconds between two rounds while nothing new comes; more would count as a stall.
const STRIDE: u64 = 10;

fn plan() -> Plan {
    Plan {
        attach: false,
        funds: 50_000_000,
        rules: Rules {
            trusted_after: 0,
            audit_ppm_min: 300_000,
            stake_factor: 1,
            reveal_bond: Cycles(101),
            ..Rules::LAX
        },
        stake: 8_000,
        treasury: 1_000_000,
        ..Plan::default()
    }
}

fn start(plan: &Plan) -> (CanisterMarket, Fixture) {
    let mut fixture = Fixture::new(plan.providers, plan.workers_each, plan.slots);
    let market = CanisterMarket::with_rules(&mut fixture, plan.fee_bps, plan.rules, SEED);
    (market, fixture)
}

/// How many jobs are in each state.
fn states(stats: &Stats) -> [(&'static str, u64); 10] {
    [
        ("queued", stats.queued),
        ("running", stats.running),
        ("revealing", stats.revealing),
        ("extended", stats.extended),
        ("verified", stats.verified),
        ("unverified", stats.unverified),
        ("inconclusive", stats.inconclusive),
        ("cancelled", stats.cancelled),
        ("expired", stats.expired),
        ("failed", stats.failed),
    ]
}

/// Which of these states jobs are in.
fn new_states(market: &mut CanisterMarket, missing: &BTreeSet<&'static str>) -> Vec<&'static str> {
    states(&market.chain.stats())
        .into_iter()
        .filter(|(state, jobs)| *jobs > 0 && missing.contains(state))
        .map(|(state, _)| state)
        .collect()
}

/// Lets a world live until jobs of every kind are there: waiting, at work, with commitments, and ended in every way that
/// leaves an answer or none.
fn crowded() -> (CanisterMarket, World) {
    let plan = plan();
    let (mut market, fixture) = start(&plan);
    let mut world = World::new(plan, SEED, &mut market, fixture);
    for _ in 0..STEPS_MAX {
        if let Err(what) = world.step(&mut market) {
            panic!("{what}");
        }
        let stats = market.chain.stats();
        // Commitments are open for a moment only; a job that was extended has some as well.
        let committed = stats.revealing + stats.extended;
        let open = [stats.queued, stats.running, committed];
        let ended = [
            stats.verified,
            stats.unverified,
            stats.inconclusive,
            stats.cancelled + stats.expired + stats.failed,
        ];
        if open.into_iter().chain(ended).all(|jobs| jobs > 0) {
            return (market, world);
        }
    }
    panic!(
        "no moment with jobs of every kind: {:?}",
        states(&market.chain.stats())
    );
}

/// What anybody could see: a line for each job, and for each account with money.
fn seen(market: &mut CanisterMarket) -> String {
    let mut told = String::new();
    let (views, receipts, balances) = market.look();
    for view in views {
        let receipt = receipts
            .iter()
            .find(|certified| certified.receipt.job == view.id)
            .map(|certified| certified.receipt.hash());
        let root = view.result_root.map_or("-".into(), |root| root.to_string());
        let receipt = receipt.map_or("-".into(), |hash| hash.to_string());
        let verdict = view
            .verdict
            .map_or("-".into(), |verdict| format!("{verdict:?}"));
        writeln!(
            told,
            "job {} {:?} {verdict} leases {} escrow {} paid {} fee {} refund {} root {root} receipt {receipt}",
            view.id,
            view.state,
            view.leases.len(),
            view.escrow.0,
            view.paid.0,
            view.fee.0,
            view.refund.0,
        )
        .unwrap();
    }
    for (account, balance) in market.accounts().into_iter().zip(balances) {
        let holdings = market.holdings(account);
        let (stake, locked) = (holdings.stake.0, holdings.locked.0);
        if (balance.0, stake) != (0, 0) {
            writeln!(
                told,
                "{account} {} stake {stake} locked {locked}",
                balance.0
            )
            .unwrap();
        }
    }
    let registry = market.chain.registry;
    let catalogue: HardwareCatalogue =
        market
            .chain
            .query(admin(), registry, "hardware_catalogue", ());
    for speed in catalogue.measured {
        let MeasuredSpeed {
            board,
            chips,
            model,
            workers,
            writes_milli,
            ..
        } = speed;
        writeln!(
            told,
            "speed {board:?} x{chips} {model} workers {workers} writes {writes_milli:?}"
        )
        .unwrap();
    }
    told
}

fn place(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "images", name]
        .iter()
        .collect()
}

fn canisters(market: &CanisterMarket) -> [(&'static str, Principal); 2] {
    [
        ("registry", market.chain.registry),
        ("jobs", market.chain.jobs),
    ]
}

/// The seconds since its beginning that the network's clock shows.
fn age(market: &CanisterMarket) -> u64 {
    (market.chain.time() - crate::chain::START.as_nanos_since_unix_epoch()) / 1_000_000_000
}

/// Some workers tell the registry how fast they are.
fn report_speeds(market: &mut CanisterMarket) {
    let registry = market.chain.registry;
    let args = ModelsArgs {
        after: None,
        limit: 1,
    };
    let models: Vec<Model> = market.chain.query(admin(), registry, "models", (args,));
    for n in 0..3 {
        let args = SpeedArgs {
            model: models[0].id,
            speed: Speed {
                reads_milli: None,
                writes_milli: Some(1_000 * (1 + u64::from(n))),
                watts: Some(5),
            },
        };
        let told: Result<Worker, RegistryError> =
            market
                .chain
                .update(worker(n), registry, "report_speed", (args,));
        told.unwrap();
    }
}

fn write_image(image: u32) {
    let (mut market, _) = crowded();
    report_speeds(&mut market);
    market.chain.rest();
    let told = format!("age {}\n{}", age(&market), seen(&mut market));
    fs::create_dir_all(place("")).unwrap();
    for (name, canister) in canisters(&market) {
        let memory = market.chain.network().get_stable_memory(canister);
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&memory).unwrap();
        let file = place(&format!("{name}-{image}.gz"));
        fs::write(file, packed.finish().unwrap()).unwrap();
    }
    fs::write(place(&format!("market-{image}.txt")), told).unwrap();
}

/// A market whose canisters have just been given an image.
fn opened(image: u32) -> (CanisterMarket, String) {
    let told = fs::read_to_string(place(&format!("market-{image}.txt")));
    let told = told.expect("the images are there; UPDATE_IMAGES=1 writes a new one");
    let (age, told) = told.split_once('\n').unwrap();
    let age: u64 = age.strip_prefix("age ").unwrap().parse().unwrap();

    let (mut market, _) = start(&plan());
    let now = self::age(&market);
    market
        .chain
        .network()
        .advance_time(Duration::from_secs(age + 1 - now));
    for (name, canister) in canisters(&market) {
        let network = market.chain.network();
        network.stop_canister(canister, Some(admin())).unwrap();
        let packed = fs::read(place(&format!("{name}-{image}.gz"))).unwrap();
        let mut memory = Vec::new();
        GzDecoder::new(&packed[..])
            .read_to_end(&mut memory)
            .unwrap();
        network.set_stable_memory(canister, memory, BlobCompression::NoCompression);
    }
    market.chain.upgrade_all();
    (market, told.to_owned())
}

#[test]
fn every_released_layout_opens_with_all_that_is_in_it() {
    if std::env::var_os("UPDATE_IMAGES").is_some() {
        write_image(IMAGES[IMAGES.len() - 1]);
    }
    for image in IMAGES {
        let (mut market, told) = opened(image);
        assert_eq!(seen(&mut market), told, "image {image}");
        // What this code writes, this code reads.
        market.chain.upgrade_all();
        assert_eq!(seen(&mut market), told, "image {image}, upgraded twice");
        // And it goes on: what was open comes to its end.
        for _ in 0..2 * 3_600 / STRIDE {
            market.chain.skip(STRIDE);
            market.chain.network().tick();
        }
        market.chain.rest();
        let stats = market.chain.stats();
        let open = stats.queued + stats.running + stats.revealing + stats.extended;
        assert_eq!((open, stats.held), (0, Cycles::ZERO), "image {image}");
        market.check().unwrap();
    }
}

#[test]
fn a_market_is_upgraded_twice_with_jobs_of_every_state_in_it_and_goes_on() {
    let plan = plan();
    let (mut market, fixture) = start(&plan);
    let mut world = World::new(plan, SEED, &mut market, fixture);
    let mut missing: BTreeSet<&'static str> =
        states(&Stats::default()).map(|(state, _)| state).into();
    for _ in 0..STEPS_MAX {
        if let Err(what) = world.step(&mut market) {
            panic!("{what}");
        }
        if missing.iter().eq(&["expired"]) {
            // Nobody works for a while, so what waits expires.
            market.pass(DEADLINE_SECONDS);
        }
        if new_states(&mut market, &missing).is_empty() {
            continue;
        }
        // So that nothing is due before the upgrade; it may end what was new.
        market.chain.rest();
        let new = new_states(&mut market, &missing);
        if new.is_empty() {
            continue;
        }
        market.upgrade();
        market.upgrade();
        missing.retain(|state| !new.contains(state));
        if missing.is_empty() {
            break;
        }
    }
    assert!(missing.is_empty(), "no job was {missing:?}");
    if let Err(what) = world.finish(&mut market) {
        panic!("{what}");
    }
    assert_eq!(market.chain.stats().held, Cycles::ZERO);
}
