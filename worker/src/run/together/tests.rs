use std::{ops::ControlFlow, sync::mpsc, time::Duration};

use assay_engine::import::convert_bytes;
use assay_protocol::request::{Parameters, Sampling, Task};
use tokio::time::timeout;

use super::*;
use crate::model::LocalModel;

#[path = "../../../../crates/engine/tests/files/builder.rs"]
mod builder;

const PATIENCE: Duration = Duration::from_secs(60);

fn model() -> Arc<TextModel> {
    let sizes = builder::Sizes {
        context: 2_048,
        ..builder::SMALL
    };
    let (file, _) = convert_bytes(&builder::checkpoint(sizes).build(), |_| ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.assay");
    std::fs::write(&path, file).unwrap();
    LocalModel::open_text(&path).unwrap()
}

fn job(content: &str, max_tokens: u32) -> Job {
    Job {
        task: Task::question(content),
        parameters: Parameters::new(
            max_tokens,
            Sampling {
                temperature_milli: 1_000,
                ..Sampling::GREEDY
            },
        ),
        input_tokens_max: None,
        seed: 7,
        threads: 1,
    }
}

fn silent() -> TokenSink {
    Box::new(|_| ())
}

#[tokio::test]
async fn answers_that_run_together_are_those_that_run_alone() {
    let model = model();
    let together = Together::new(model.clone(), 1);
    let jobs = ["hello", "hello world", "", "12 and 13"].map(|text| job(text, 60));
    let told = jobs.clone().map(|job| {
        let (sender, receiver) = mpsc::channel();
        let sink: TokenSink = Box::new(move |token: Token| sender.send(token).unwrap());
        (together.generate(job, sink), receiver)
    });
    let [(a, at), (b, bt), (c, ct), (d, dt)] = told;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    for ((job, body), told) in jobs.iter().zip([a, b, c, d]).zip([at, bt, ct, dt]) {
        let mut alone = Vec::new();
        let expected = model.generate(job, &mut |token| {
            alone.push(token);
            ControlFlow::Continue(())
        });
        assert_eq!(body.unwrap(), expected.unwrap());
        assert_eq!(told.iter().collect::<Vec<_>>(), alone);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_stops() {
    let together = Together::new(model(), 1);
    let (sender, receiver) = mpsc::channel();
    let sink: TokenSink = Box::new(move |token: Token| {
        // The end of the channel is the end of the answer.
        let _ = sender.send(token);
    });
    let mut dropped = Box::pin(together.generate(job("hello", 1_900), sink));
    // Long enough for it to begin, whatever it has said by then.
    let _ = timeout(Duration::from_millis(50), &mut dropped).await;
    drop(dropped);
    let ended = tokio::task::spawn_blocking(move || while receiver.recv().is_ok() {});
    timeout(PATIENCE, ended).await.unwrap().unwrap();
    together.generate(job("x", 3), silent()).await.unwrap();
}

#[tokio::test]
async fn a_panic_ends_what_is_in_progress_and_nothing_after_it() {
    let together = Together::new(model(), 1);
    let sink: TokenSink = Box::new(|_| panic!("a test's own panic"));
    let fault = together.generate(job("hello", 9), sink).await.unwrap_err();
    assert!(matches!(fault, Fault::Panicked), "{fault}");
    // The thread may take a moment to be gone.
    let again = async { while together.generate(job("x", 3), silent()).await.is_err() {} };
    timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_to_who_asked() {
    let together = Together::new(model(), 1);
    let fault = together.generate(job("x", 0), silent()).await.unwrap_err();
    assert!(fault.to_string().contains("max_tokens is 0"), "{fault}");
    let fault = together.generate(job("x", 4_000), silent()).await;
    assert!(fault.unwrap_err().to_string().contains("context"));
}
