//! The official client of PocketIC: what a test waits for.

use std::time::Instant;

use anyhow::{Context as _, anyhow, ensure};
use candid::Principal;
use pocket_ic::{PocketIc, RejectResponse};

use crate::{
    modules::{count, counter, variant},
    report::{Report, Unit, quantile},
    server::Subject,
};

/// A call that waits for its reply.
type Call<'a> = dyn Fn() -> anyhow::Result<Vec<u8>> + 'a;

/// Calls in one run.
const CALLS: u32 = 200;
/// Canisters of each kind whose memory is measured.
const CANISTERS: u32 = 100;

fn refused(what: &'static str) -> impl FnOnce(RejectResponse) -> anyhow::Error {
    move |reject| anyhow!("{what} is refused: {reject}")
}

fn install_counter(network: &PocketIc) -> anyhow::Result<Principal> {
    let id = network.create_canister();
    network.install_canister(id, counter()?, Vec::new(), None);
    Ok(id)
}

/// One call after another.
pub(crate) fn latency(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let server = subject.start()?;
    let network = server.instance()?;
    let id = install_counter(&network)?;
    let update = || {
        let answer = network.update_call(id, Principal::anonymous(), "inc", Vec::new());
        answer.map_err(refused("an update"))
    };
    let query = || {
        let answer = network.query_call(id, Principal::anonymous(), "get", Vec::new());
        answer.map_err(refused("a query"))
    };
    let mut rows = report.rows(subject, "the client of PocketIC, one call after another");
    let calls: [(&str, &Call<'_>); 2] = [("updates", &update), ("queries", &query)];
    for (name, call) in calls {
        let (mut rates, mut usual, mut slow) = (Vec::new(), Vec::new(), Vec::new());
        // The first run warms everything up.
        for run in 0..=rows.runs().len() {
            let mut each = Vec::new();
            let begun = Instant::now();
            for _ in 0..CALLS {
                let begun = Instant::now();
                call()?;
                each.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            if run > 0 {
                rates.push(f64::from(CALLS) / begun.elapsed().as_secs_f64());
                usual.push(quantile(&each, 0.5));
                slow.push(quantile(&each, 0.99));
            }
        }
        rows.put(name, Unit::PerSecond, rates);
        rows.put(format!("{name}: one takes"), Unit::Microseconds, usual);
        rows.put(
            format!("{name}: 99 of 100 take at most"),
            Unit::Microseconds,
            slow,
        );
    }
    let expected = u64::from(CALLS) * (rows.runs().len() as u64 + 1);
    let found = count(&query()?)?;
    ensure!(
        found == expected,
        "the counter says {found}, not {expected}"
    );
    Ok(())
}

/// Installing a module: compiled, found compiled on disk by another network, and known to the network already.
pub(crate) fn installing(
    subject: &Subject,
    module: &[u8],
    report: &mut Report,
) -> anyhow::Result<()> {
    let server = subject.start()?;
    let first = server.instance()?;
    let second = server.instance()?;
    let (mut cold, mut kept, mut known) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = report.rows(subject, "installing the module, by the client of PocketIC");
    let arg = argument()?;
    for run in 0..=rows.runs().len() {
        let module = variant(module, run as u64)?;
        for (network, times) in [
            (&first, &mut cold),
            (&second, &mut kept),
            (&second, &mut known),
        ] {
            let id = network.create_canister();
            let begun = Instant::now();
            network.install_canister(id, module.clone(), arg.clone(), None);
            if run > 0 {
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    rows.put("never seen before", Unit::Milliseconds, cold);
    rows.put(
        "compiled before, by another network",
        Unit::Milliseconds,
        kept,
    );
    rows.put("known to this network", Unit::Milliseconds, known);
    Ok(())
}

/// What the measured module is installed with: the one optional argument of our test canisters.
fn argument() -> anyhow::Result<Vec<u8>> {
    candid::encode_one(Some(0u64)).context("BUG: a number is no Candid")
}

/// How much memory canisters take, empty ones and ones with the module.
pub(crate) fn memory(subject: &Subject, module: &[u8], report: &mut Report) -> anyhow::Result<()> {
    let mut rows = report.rows(subject, "memory per canister, by what the server holds");
    let (mut bare, mut installed) = (Vec::new(), Vec::new());
    for _ in rows.runs() {
        let server = subject.start()?;
        let network = server.instance()?;
        // What is allocated once for all is not theirs.
        let id = network.create_canister();
        network.install_canister(id, module.to_vec(), argument()?, None);
        let Some(before) = server.resident() else {
            return Ok(());
        };
        let ids: Vec<Principal> = (0..CANISTERS).map(|_| network.create_canister()).collect();
        let created = server.resident().context("the server has gone")?;
        for id in ids {
            network.install_canister(id, module.to_vec(), argument()?, None);
        }
        let full = server.resident().context("the server has gone")?;
        let per_canister =
            |from: u64, to: u64| to.saturating_sub(from) as f64 / 1024.0 / f64::from(CANISTERS);
        bare.push(per_canister(before, created));
        installed.push(per_canister(before, full));
    }
    rows.put("without a module", Unit::Kibibytes, bare);
    rows.put("with the module", Unit::Kibibytes, installed);
    Ok(())
}
