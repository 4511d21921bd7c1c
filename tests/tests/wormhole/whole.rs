//! The default model on all tiles of the maker's simulator.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use assay_engine::{
    conformance::{self, Feed, Variant},
    forward::Kernels,
    model::Model,
};
use assay_protocol::request::Task;
use assay_worker::backend::{self, Chips, Tensix, TensixFile};

use crate::{
    cases::{Case, cases},
    harness::needed,
    market,
};

pub(crate) const CASES: &[Case] = cases!(&["ASSAY_TTSIM", "ASSAY_MODEL"];
    a_worker_on_the_simulator_and_one_on_a_processor_give_the_same_answers,
    a_decode_step_of_the_default_model_gives_the_canonical_logits,
);

/// Tokens of which the canonical trace and logits are recorded.
const TOKENS: usize = 16;

fn a_decode_step_of_the_default_model_gives_the_canonical_logits(library: &OsString) {
    let device = backend::open(&Tensix {
        chips: Chips::Ttsim(library.into()),
        deadline: Duration::from_secs(3_600),
    })
    .unwrap();
    let mut model = Model::open(needed("ASSAY_MODEL")).unwrap();
    let placed = model.offload(&device).unwrap();
    assert_eq!(
        (placed.matrices, placed.left),
        (7 * model.shape.layers + 1, 0)
    );
    let step = Variant {
        kernels: Kernels::Auto,
        threads: 2,
        feed: Feed::Step,
    };
    conformance::check_model(&step, &model, TOKENS).unwrap();
    assert_eq!(device.failure(), None);
    // The step multiplies with every matrix; what came before, with all but the last or with all.
    let layers = 7 * model.shape.layers as u64;
    assert!(device.calls() > 2 * layers, "{}", device.calls());
}

fn a_worker_on_the_simulator_and_one_on_a_processor_give_the_same_answers(library: &OsString) {
    assay_tests::block_on_threads(serve(PathBuf::from(library)));
}

async fn serve(library: PathBuf) {
    let chip = TensixFile {
        ttsim: Some(library),
        deadline_seconds: Some(3_600),
        ..TensixFile::default()
    };
    let (market, chip) = market::start(needed("ASSAY_MODEL"), chip).await;
    let prompt = "The capital of France is".to_owned();
    market::ask_both_ways(&market, Task::Completion { prompt }, 2).await;
    let log = market.log(&chip);
    assert!(log.contains("placed on chips"), "{log}");
    market.stop().await;
}
