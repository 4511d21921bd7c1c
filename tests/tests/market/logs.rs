//! What operators read at `/logs`.

use assay_jobs_core::{Rules, testing::stranger};
use assay_protocol::{job::ControlError, registry::RegistryError};
use candid::{Principal, encode_one};

use crate::chain::{Chain, JobsArgs, admin};

/// Fewer cycles than a jobs canister keeps for its own work.
const TOO_FEW_CYCLES: u128 = 900_000_000_000;

/// The lines without their times, which must be there and in order.
fn lines(chain: &mut Chain, canister: Principal) -> Vec<String> {
    let text = chain.page(canister, "/logs");
    let split = |line: &str| -> (String, String) {
        let (at, rest) = line.split_once(' ').expect("a time and a text");
        assert!(at.starts_with("20") && at.ends_with('Z'), "{line}");
        (at.to_owned(), rest.to_owned())
    };
    let (times, lines): (Vec<String>, Vec<String>) = text.lines().map(split).unzip();
    assert!(times.is_sorted(), "{text}");
    lines
}

/// The lines that came after so many others.
fn since(chain: &mut Chain, canister: Principal, before: usize) -> Vec<String> {
    lines(chain, canister).split_off(before)
}

#[test]
fn operators_read_what_was_installed_set_and_upgraded() {
    let mut chain = Chain::new(1, 250);
    let (jobs, registry) = (chain.jobs, chain.registry);
    let said = lines(&mut chain, jobs);
    assert!(
        said[0].starts_with("INFO  installed: release 0.0.0, canister version ")
            && said[0].ends_with(", layout v2 over new memory"),
        "{said:#?}"
    );
    assert_eq!(
        said[1..],
        [
            format!("INFO  registry {registry}, ledger none, fee 250 basis points"),
            "INFO  rules set: trusted after 0, audits at least 0 ppm, stake factor 0, reveal bond 0 cycles, sponsored a day 0 for each and 0 for all, canaries 0 ppm"
                .to_owned()
        ]
    );

    let told: Result<(), ControlError> = chain.update(stranger(), jobs, "pause", ("mine",));
    assert!(told.is_err());
    let reason = "moving\nto another subnet";
    let told: Result<(), ControlError> = chain.update(admin(), jobs, "pause", (reason,));
    told.unwrap();
    let told: Result<(), ControlError> = chain.update(admin(), jobs, "resume", ());
    told.unwrap();
    let told: Result<(), ControlError> =
        chain.update(admin(), jobs, "set_rules", (Rules::default(),));
    told.unwrap();
    assert_eq!(
        since(&mut chain, jobs, 3),
        [
            "WARN  paused: moving to another subnet",
            "INFO  resumed",
            "INFO  rules set: trusted after 10, audits at least 50000 ppm, stake factor 0, reveal bond 0 cycles, sponsored a day 0 for each and 0 for all, canaries 20000 ppm",
        ]
    );

    let said = lines(&mut chain, registry);
    assert!(
        said[0].starts_with("INFO  installed: release 0.0.0, canister version ")
            && said[0].ends_with(", layout v2 over v2"),
        "{said:#?}"
    );
    assert_eq!(said[1..], ["INFO  0 jobs canisters are listed: "]);
    let told: Result<Vec<Principal>, RegistryError> =
        chain.update(admin(), registry, "set_shards", (vec![jobs],));
    told.unwrap();
    assert_eq!(
        since(&mut chain, registry, 2),
        [format!("INFO  1 jobs canisters are listed: {jobs}")]
    );

    // An upgrade begins with none.
    chain.upgrade_all();
    let said = lines(&mut chain, jobs);
    assert!(
        said[0].starts_with("INFO  upgraded: ")
            && said[0].ends_with(", layout v2 over memory of layout v2"),
        "{said:#?}"
    );
    assert_eq!(said.len(), 2, "{said:#?}");
    let said = lines(&mut chain, registry);
    assert!(said[0].starts_with("INFO  upgraded: "), "{said:#?}");
    assert_eq!(said.len(), 2, "{said:#?}");
}

#[test]
fn a_trouble_that_lasts_is_told_at_its_beginning_and_at_its_end() {
    let mut chain = Chain::new(2, 0);
    let (jobs, registry) = (chain.jobs, chain.registry);
    let before = lines(&mut chain, jobs).len();
    chain
        .network()
        .stop_canister(registry, Some(admin()))
        .unwrap();
    chain.pass(60);
    let said = since(&mut chain, jobs, before);
    assert!(
        said.len() == 1
            && said[0].starts_with("WARN  the registry was not read: no answer from the registry"),
        "{said:#?}"
    );
    chain
        .network()
        .start_canister(registry, Some(admin()))
        .unwrap();
    chain.pass(60);
    assert_eq!(
        since(&mut chain, jobs, before + 1),
        ["INFO  the registry is read again"]
    );

    // A clock that jumps, as after a stall of the subnet.
    chain.skip(3_600);
    chain.pass(30);
    let said = since(&mut chain, jobs, before + 2);
    assert!(
        said.is_empty()
            || (said.len() == 2
                && said[0].starts_with("ERROR no sweep came to its end for 36")
                && said[1] == "INFO  sweeps come to their end again"),
        "whichever timer comes first: {said:#?}"
    );
}

#[test]
fn low_cycles_are_told_when_they_stop_the_intake_and_when_that_is_over() {
    let mut chain = Chain::bare(3);
    let args = encode_one(None::<JobsArgs>).unwrap();
    let jobs = chain.install_with("jobs", &args, TOO_FEW_CYCLES);
    chain.pass(10);
    let said = since(&mut chain, jobs, 2);
    assert!(
        said.len() == 1
            && said[0].starts_with("ERROR low on cycles (")
            && said[0].ends_with("): no new job and no deposit is taken; top the canister up"),
        "{said:#?}"
    );
    chain.network().add_cycles(jobs, 10 * TOO_FEW_CYCLES);
    chain.pass(10);
    assert_eq!(
        since(&mut chain, jobs, 3),
        ["INFO  cycles suffice again: jobs and deposits are taken"]
    );
}
