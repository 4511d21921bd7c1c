//! Workers whose model lies on a real server: llama.cpp's own, with the default model as it is published.
//!
//! `cargo xtask conformance server` installs it, which compiles llama.cpp; the double of such servers is in the `worker` tests.

#[path = "../../../crates/tensix/tests/chip/cases.rs"]
mod cases;
#[allow(dead_code, reason = "each test binary uses a part")]
#[path = "../worker/harness.rs"]
mod harness;
#[path = "../worker/served.rs"]
mod served;
mod server;

use std::{collections::BTreeSet, ffi::OsString, io, process::ExitCode};

use assay_protocol::{
    job::{JobState, Verdict},
    request::{Assurance, Parameters, Sampling, Task},
    result::{Finish, ResultBody},
};
use assay_tests::block_on_threads;
use assay_worker::{
    model::Job,
    openai::{Dialect, ServerModel},
};

use self::{
    cases::{Case, cases},
    served::Served,
    server::LlamaServer,
};

const CASES: &[Case] = cases!(&["ASSAY_LLAMA_SERVER", "ASSAY_GGUF"];
    a_server_tells_what_it_is,
    answers_are_the_same_every_time,
    a_token_limit_a_stop_string_and_a_seed_are_kept,
    two_servers_of_one_class_verify_each_other,
);

fn main() -> io::Result<ExitCode> {
    cases::run(CASES.to_vec())
}

fn job(prompt: &str, parameters: Parameters, seed: u64) -> Job {
    Job {
        task: Task::question(prompt),
        parameters,
        input_tokens_max: None,
        seed,
        threads: 1,
    }
}

/// The answer, and what was heard of it on the way.
async fn ask(model: &ServerModel, job: &Job) -> (ResultBody, String) {
    let mut heard = String::new();
    let body = model
        .generate(job, &mut |token| heard.push_str(&token.text))
        .await
        .unwrap();
    (body, heard)
}

fn a_server_tells_what_it_is(program: &OsString) {
    let server = LlamaServer::start(program);
    block_on_threads(async {
        let model = ServerModel::open(&server.settings()).await.unwrap();
        let deployment = model.deployment();
        assert_eq!(deployment.dialect, Dialect::LlamaCpp, "{deployment:?}");
        assert!(!deployment.version.is_empty());
        let manifest = model.registration("x", "MIT");
        assert_eq!(manifest.context_max, server::CONTEXT);
    });
}

fn answers_are_the_same_every_time(program: &OsString) {
    let server = LlamaServer::start(program);
    block_on_threads(async {
        let model = ServerModel::open(&server.settings()).await.unwrap();
        let greedy = Parameters::new(24, Sampling::GREEDY);
        let (first, heard) = ask(&model, &job("Count to ten.", greedy.clone(), 0)).await;
        assert_eq!(first.answer, heard.as_bytes());
        assert!(!first.answer.is_empty() && !first.input_tokens.is_empty());
        let (again, _) = ask(&model, &job("Count to ten.", greedy.clone(), 0)).await;
        assert_eq!(first, again);
        let (other, _) = ask(&model, &job("Name a color.", greedy, 0)).await;
        assert_ne!(first.answer, other.answer);
    });
}

fn a_token_limit_a_stop_string_and_a_seed_are_kept(program: &OsString) {
    let server = LlamaServer::start(program);
    block_on_threads(async {
        let model = ServerModel::open(&server.settings()).await.unwrap();
        let few = Parameters::new(3, Sampling::GREEDY);
        let (body, _) = ask(&model, &job("Tell me a long story.", few, 0)).await;
        assert_eq!((body.output_tokens.len(), body.finish), (3, Finish::Length));

        let mut stops = Parameters::new(64, Sampling::GREEDY);
        let (whole, _) = ask(&model, &job("Say: one two three four", stops.clone(), 0)).await;
        let text = String::from_utf8(whole.answer).unwrap();
        // Whatever it says, it stops before a word of that.
        let word = text.split_whitespace().nth(1).unwrap().to_owned();
        stops.stop = Some(vec![word.clone()]);
        let (body, _) = ask(&model, &job("Say: one two three four", stops, 0)).await;
        let stopped = String::from_utf8(body.answer).unwrap();
        assert!(
            !stopped.contains(&word) && text.starts_with(&stopped),
            "{stopped:?} of {text:?}"
        );
        assert_eq!(body.finish, Finish::Stop);

        let warm = Sampling {
            temperature_milli: 1_500,
            ..Sampling::GREEDY
        };
        let mut answers = BTreeSet::new();
        for seed in [1, 1, 2, 3] {
            let job = job("Invent a name.", Parameters::new(12, warm.clone()), seed);
            answers.insert((seed, ask(&model, &job).await.0.answer));
        }
        assert_eq!(answers.len(), 3, "one seed, one answer: {answers:?}");
        let texts: BTreeSet<_> = answers.into_iter().map(|(_, text)| text).collect();
        assert!(texts.len() > 1, "seeds make no difference: {texts:?}");
    });
}

fn two_servers_of_one_class_verify_each_other(program: &OsString) {
    let servers = [(); 2].map(|()| LlamaServer::start(program));
    block_on_threads(async {
        let settings = servers.each_ref().map(LlamaServer::settings);
        let served = Served::start(&settings).await;
        let view = served
            .ask("Say hello.", Assurance::Equality { total: 2 })
            .await;
        assert_eq!(
            (view.state, view.verdict),
            (JobState::Settled, Some(Verdict::Verified)),
            "{view:#?}"
        );
        let model = ServerModel::open(&settings[0]).await.unwrap();
        let parameters = Parameters::new(8, Sampling::GREEDY);
        let (own, _) = ask(&model, &job("Say hello.", parameters, 0)).await;
        assert_eq!(view.answer.unwrap().text.as_bytes(), own.answer);
        served.market.stop().await;
    });
}
