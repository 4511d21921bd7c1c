//! A tiny model on one tile that wolfpine simulates.

use std::{ffi::OsString, path::PathBuf, process::Command};

use assay_engine::import::convert_bytes;
use assay_protocol::request::Task;
use assay_worker::{backend::TensixFile, client::Registry};

use crate::{
    cases::{Case, cases},
    harness::needed,
    market,
};

#[path = "../../../crates/engine/tests/files/builder.rs"]
mod builder;

pub(crate) const CASES: &[Case] = cases!(&["ASSAY_WOLFPINE_PYTHON"];
    a_worker_on_a_chip_and_one_on_a_processor_give_the_same_answers,
);

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

fn a_worker_on_a_chip_and_one_on_a_processor_give_the_same_answers(python: &OsString) {
    assay_tests::block_on_threads(serve(PathBuf::from(python)));
}

async fn serve(python: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let chip = TensixFile {
        wolfpine: Some(python),
        tiles: Some(1),
        ..TensixFile::default()
    };
    let (market, chip) = market::start(model(&folder), chip).await;
    market::ask_both_ways(&market, Task::question("hello"), 4).await;
    let log = market.log(&chip);
    assert!(log.contains("placed on chips"), "{log}");

    // What the operator sees: the processor and the chip, of which both left the same bytes.
    let process = &market.market.fleet.processes()[&chip];
    let told = Command::new(needed("ASSAY_WORKER_BIN"))
        .args(["bench", "--read", "8", "--write", "2", "--json", "--report"])
        .arg("--config")
        .arg(process.place().join("worker.toml"))
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

    // What was reported is in the catalogue, and in the worker's record.
    let network = market
        .market
        .connect(&market.market.operator)
        .await
        .unwrap();
    let registry = Registry::new(&network, market.market.canisters.registry);
    let measured = registry.hardware_catalogue().await.unwrap().measured;
    let [one] = &measured[..] else {
        panic!("{measured:?}")
    };
    assert_eq!((one.workers, one.model), (1, market.market.model.id));
    let writes = speeds[1]["writes"].as_f64().unwrap();
    assert_eq!(one.writes_milli, Some((writes * 1e3) as u64));
    let worker = registry.worker(process.operator).await.unwrap().unwrap();
    assert_eq!(worker.hardware.tokens_per_second_milli, one.writes_milli);
    market.stop().await;
}
