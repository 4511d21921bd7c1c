//! A worker whose products are made on a Wormhole chip, beside one without: the same answers, by comparison and by check.
//!
//! The chip is a simulated one, in Python, and the model a tiny one: every cycle is simulated.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use assay_cli::local::ProviderPlan;
use assay_engine::import::convert_bytes;
use assay_protocol::{
    job::JobView,
    request::{Assurance, JobRequest, Parameters, Sampling, Task},
};
use assay_worker::{backend::TensixFile, client::Registry};

use crate::harness::{Market, ONE_AT_A_TIME, assert_settled, needed};

#[path = "../../../crates/engine/tests/files/builder.rs"]
mod builder;

/// A model so small that a simulated chip runs it in seconds.
fn model(folder: &tempfile::TempDir) -> PathBuf {
    let sizes = builder::Sizes {
        context: 512,
        ..builder::SMALL
    };
    let (file, _) = convert_bytes(&builder::checkpoint(sizes).build(), |_| ()).unwrap();
    let path = folder.path().join("tiny.assay");
    std::fs::write(&path, file).unwrap();
    path
}

fn simulated() -> TensixFile {
    TensixFile {
        wolfpine: Some(needed("ASSAY_WOLFPINE_PYTHON")),
        tiles: Some(1),
        ..TensixFile::default()
    }
}

/// Who was paid for a job.
fn paid(market: &Market, view: &JobView) -> BTreeSet<String> {
    let paid = view.leases.iter().filter(|lease| lease.paid.0 > 0);
    paid.map(|lease| market.name_of(lease)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_on_a_chip_and_one_on_a_processor_give_the_same_answers() {
    let _one = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plans = ProviderPlan::honest(2);
    plans[0].tensix = Some(simulated());
    let chip = plans[0].name.clone();
    let market = Market::of(model(&folder), &plans).await;

    let ask = async |assurance| {
        let request = JobRequest {
            assurance,
            ..market.request(
                Task::question("hello"),
                Parameters::new(4, Sampling::GREEDY),
            )
        };
        let job = market.submit(3, request).await;
        market.until_ended(job).await
    };
    // Two workers, so the chip's is one side of each comparison.
    let everybody: BTreeSet<String> = plans.iter().map(|plan| plan.name.clone()).collect();
    let both = ask(Assurance::Equality { total: 2 }).await;
    let checked = ask(Assurance::Checked { checkers: 1 }).await;
    for view in [&both, &checked] {
        assert_settled(view);
        assert_eq!(paid(&market, view), everybody, "{view:#?}");
    }
    let answers = [&both, &checked].map(|view| view.answer.as_ref().unwrap().text.clone());
    assert_eq!(answers[0], answers[1]);

    let log = market.log(&chip);
    assert!(log.contains("placed on chips"), "{log}");

    // What the operator sees: doctor and bench name the chip, and the bytes are compared.
    let config = market.market.fleet.processes()[&chip]
        .place()
        .join("worker.toml");
    let told = Command::new(needed("ASSAY_WORKER_BIN"))
        .args([
            "bench", "--read", "8", "--write", "2", "--json", "--report", "--config",
        ])
        .arg(config)
        .output()
        .unwrap();
    assert!(told.status.success(), "{told:?}");
    let speeds: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let on = |i: usize| speeds[i]["on"].as_str().unwrap().to_owned();
    assert!(on(0).starts_with("processor"), "{speeds}");
    assert!(
        on(1).starts_with("Wormhole, 1 tile(s) simulated"),
        "{speeds}"
    );
    assert!(speeds[1]["writes"].as_f64().unwrap() > 0.0, "{speeds}");

    // What was reported is in the catalogue, and in the worker's record.
    let key = &market.market.operator;
    let network = market.market.connect(key).await.unwrap();
    let registry = Registry::new(&network, market.market.canisters.registry);
    let measured = registry.hardware_catalogue().await.unwrap().measured;
    let [one] = &measured[..] else {
        panic!("{measured:?}")
    };
    assert_eq!((one.workers, one.model), (1, market.market.model.id));
    let told = speeds[1]["writes"].as_f64().unwrap();
    assert_eq!(one.writes_milli, Some((told * 1e3) as u64));
    let operator = market.market.fleet.processes()[&chip].operator;
    let worker = registry.worker(operator).await.unwrap().unwrap();
    assert_eq!(worker.hardware.tokens_per_second_milli, one.writes_milli);
    market.stop().await;
}
