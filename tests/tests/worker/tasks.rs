//! Every kind of task, end to end: what comes back is what the model says on this machine, and it is verified.

use std::{env, ops::ControlFlow, path::PathBuf, process::Command, sync::Arc};

use assay_cli::{UpFile, local::ProviderPlan};
use assay_engine::import;
use assay_protocol::{
    Cycles,
    job::{JobState, JobView, Reason, Verdict},
    lease::{LeaseState, Mismatch},
    request::{Assurance, Format, LogitBias, Parameters, Sampling, Task},
    result::{Answer, Finish},
};
use assay_worker::{
    cheat::Cheat,
    model::{Checked, Job, LocalModel, TextModel},
};

use crate::harness::{FUNDS, Market, ONE_AT_A_TIME, assert_settled, needed};

/// What the model says here, for a request as [`Market::request`] makes it.
pub(crate) fn here(
    model: &LocalModel,
    task: Task,
    parameters: Parameters,
) -> assay_protocol::result::ResultBody {
    let job = Job {
        task,
        parameters,
        input_tokens_max: None,
        seed: 0,
        threads: 1,
    };
    model.run(&job, &mut |_| ControlFlow::Continue(())).unwrap()
}

pub(crate) fn text_model() -> Arc<TextModel> {
    LocalModel::open_text(&needed("ASSAY_MODEL")).unwrap()
}

impl Market {
    /// Asks, and compares the verified answer with what the model says here.
    async fn verified(&self, model: &LocalModel, task: Task, parameters: Parameters) -> Answer {
        let request = self.request(task.clone(), parameters.clone());
        let view = self.until_ended(self.submit(1, request).await).await;
        assert_settled(&view);
        let answer = view.answer.unwrap();
        let body = here(model, task, parameters);
        assert_eq!(answer.bytes(), body.answer);
        assert_eq!(answer.output_tokens, body.output_tokens);
        assert_eq!(answer.input_tokens, body.input_tokens);
        assert_eq!(answer.logprobs, body.logprobs);
        assert_eq!(answer.trace_root, body.trace_root);
        answer
    }

    /// Asks for what cannot be done, and gives the reason that the workers found.
    async fn declined(&self, task: Task, parameters: Parameters) -> String {
        let before = self.balance().await;
        let job = self.submit(1, self.request(task, parameters)).await;
        let view = self.until_ended(job).await;
        assert_eq!(view.state, JobState::Failed, "{view:#?}\n{}", self.logs());
        assert_eq!(self.balance().await, before, "nothing is charged");
        assert!(
            view.leases
                .iter()
                .all(|lease| lease.state != LeaseState::Revealed && lease.paid == Cycles::ZERO),
            "{view:#?}"
        );
        match last_reason(&view) {
            Reason::Declined(why) => why.clone(),
            other => panic!("ended for {other:?}"),
        }
    }
}

fn last_reason(view: &JobView) -> &Reason {
    &view.history.last().unwrap().reason
}

fn completion(prompt: &str) -> Task {
    Task::Completion {
        prompt: prompt.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_as_they_were_asked_for() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let market = Market::start(&ProviderPlan::honest(3)).await;
    let model = text_model();
    let local = LocalModel::Text(model.clone());
    let plain = |max_tokens| Parameters::new(max_tokens, Sampling::GREEDY);

    // The prompt as it stands, without any template.
    let prompt = "The capital of France is";
    let answer = market.verified(&local, completion(prompt), plain(24)).await;
    assert_eq!(
        answer.input_tokens,
        model.tokenizer().text_tokens(prompt).unwrap()
    );
    assert!(answer.text.contains("Paris"), "{}", answer.text);
    assert_eq!((answer.logprobs, answer.embedding), (None, None));

    // The same up to a stop string, which may end in the middle of a token.
    let stop = "ari";
    let stopped = market
        .verified(
            &local,
            completion(prompt),
            Parameters {
                stop: Some(vec!["never said".to_owned(), stop.to_owned()]),
                ..plain(24)
            },
        )
        .await;
    let (before, _) = answer.text.split_once(stop).unwrap();
    assert_eq!(
        (stopped.text.as_str(), stopped.finish),
        (before, Finish::Stop)
    );
    assert!(stopped.output_tokens.len() < answer.output_tokens.len());

    // The likeliest token is drawn, and is the first of its alternatives.
    let likely = market
        .verified(
            &local,
            Task::question("What is gravity?"),
            Parameters {
                logprobs: Some(3),
                ..plain(8)
            },
        )
        .await;
    let logprobs = likely.logprobs.unwrap();
    assert_eq!(logprobs.len(), likely.output_tokens.len());
    for (token, told) in likely.output_tokens.iter().zip(&logprobs) {
        assert_eq!((told.drawn.token, told.top.len()), (*token, 3));
        assert_eq!(told.top[0], told.drawn);
        assert!(told.top.is_sorted_by(|a, b| a.micro_nats >= b.micro_nats));
        assert!(told.drawn.micro_nats <= 0);
    }

    // JSON as the schema wants it, though the question does not ask for any.
    let schema = r#"{"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}, "warm": {"type": "boolean"}},
        "required": ["colour", "warm"], "additionalProperties": false}"#;
    let shaped = market
        .verified(
            &local,
            Task::question("Is the sky on a clear day red or blue?"),
            Parameters {
                format: Some(Format::JsonSchema(schema.to_owned())),
                ..plain(60)
            },
        )
        .await;
    let json: serde_json::Value = serde_json::from_str(&shaped.text).unwrap();
    assert!(json["warm"].is_boolean(), "{json}");
    assert!(
        json["colour"] == "red" || json["colour"] == "blue",
        "{json}"
    );
    assert_eq!(shaped.finish, Finish::Stop);
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_worker_can_do_is_declined_with_the_reason_and_refunded() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let market = Market::start(&ProviderPlan::honest(3)).await;
    let plain = Parameters::new(8, Sampling::GREEDY);
    let why = market
        .declined(
            Task::question("Red or blue?"),
            Parameters {
                format: Some(Format::JsonSchema(r#"{"type": "colour"}"#.to_owned())),
                ..plain.clone()
            },
        )
        .await;
    assert!(why.starts_with("schema: "), "{why}");
    let beyond = LogitBias {
        token: u32::MAX,
        milli: 1_000,
    };
    let why = market
        .declined(
            completion("Red or"),
            Parameters {
                sampling: Sampling {
                    logit_bias: Some(vec![beyond]),
                    ..Sampling::GREEDY
                },
                ..plain.clone()
            },
        )
        .await;
    assert!(why.contains("logit bias for token 4294967295"), "{why}");
    // The workers go on as if nothing had been.
    let local = LocalModel::Text(text_model());
    market.verified(&local, completion("Red or"), plain).await;
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_met_in_spite_of_a_liar_who_is_unpaid() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut plans = ProviderPlan::honest(3);
    plans[0].cheat = Some(Cheat::WrongTokens);
    let market = Market::start(&plans).await;
    let liar = market.market.fleet.processes()[&plans[0].name].provider;
    let (task, parameters) = (
        Task::question("What is gravity?"),
        Parameters::new(12, Sampling::GREEDY),
    );
    let mut request = market.request(task.clone(), parameters.clone());
    request.assurance = Assurance::Threshold { total: 3, min: 2 };
    let view = market
        .until_ended(market.submit(1, request.clone()).await)
        .await;
    assert_settled(&view);
    let paid = |lease: &&assay_protocol::job::LeaseView| lease.paid > Cycles::ZERO;
    assert_eq!(view.leases.iter().filter(paid).count(), 2, "{view:#?}");
    assert!(
        view.leases
            .iter()
            .all(|lease| lease.provider != liar || lease.paid == Cycles::ZERO),
        "{view:#?}"
    );
    let local = LocalModel::Text(text_model());
    assert_eq!(
        view.answer.unwrap().bytes(),
        here(&local, task, parameters).answer
    );

    // All three cannot agree.
    request.assurance = Assurance::Equality { total: 3 };
    let view = market.until_ended(market.submit(1, request).await).await;
    assert_eq!(
        (view.state, view.verdict),
        (JobState::Settled, Some(Verdict::Inconclusive)),
        "{view:#?}"
    );
    assert_eq!(view.answer, None);
    market.stop().await;
}

/// The encoder, converted.
fn converted_encoder(folder: &tempfile::TempDir) -> PathBuf {
    let source = env::var_os("ASSAY_ENCODER").expect("ASSAY_ENCODER names the encoder's folder");
    let file = folder.path().join("all-minilm-l6-v2.assay");
    import::convert(PathBuf::from(source).as_path(), &file, |_| ()).unwrap();
    file
}

fn embedding(text: &str) -> Task {
    Task::Embedding {
        text: text.to_owned(),
    }
}

/// The vector of an answer.
fn vector(answer: &Answer) -> Vec<f32> {
    let bytes = answer.embedding.as_ref().unwrap();
    bytes
        .chunks_exact(4)
        .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_made_and_checked_by_workers_with_an_encoder() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let file = converted_encoder(&folder);
    let market = Market::of(file.clone(), &ProviderPlan::honest(3)).await;
    let local = LocalModel::open(&file).unwrap();
    let parameters = Parameters::new(1, Sampling::GREEDY);
    let mut vectors = Vec::new();
    for text in [
        "A man is playing a guitar.",
        "Someone plays an instrument.",
        "The market closed lower on Friday.",
    ] {
        let answer = market
            .verified(&local, embedding(text), parameters.clone())
            .await;
        assert_eq!((answer.text.as_str(), answer.finish), ("", Finish::Stop));
        let vector = vector(&answer);
        assert_eq!(vector.len(), 384);
        vectors.push(vector);
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let [guitar, instrument, stocks] = [&vectors[0], &vectors[1], &vectors[2]];
    assert!((dot(guitar, guitar) - 1.0).abs() < 1e-3);
    assert!(dot(guitar, instrument) > dot(guitar, stocks) + 0.2);

    // More bytes than its context has tokens, and still short enough; then one word too many.
    let long = "tokenization ".repeat(100);
    assert!(long.len() > 256);
    market
        .verified(&local, embedding(&long), parameters.clone())
        .await;
    let why = market
        .declined(embedding(&"word ".repeat(255)), parameters.clone())
        .await;
    assert!(why.contains("257 tokens long"), "{why}");

    // The same by the command line.
    let home = tempfile::tempdir().unwrap();
    let (_, requester) = market.market.fund("person.pem", FUNDS).await.unwrap();
    let (url, canisters) = (market.market.url(), &market.market.canisters);
    let up = UpFile {
        page: None,
        url: url.to_owned(),
        root_key: hex::encode(market.market.root_key()),
        registry: canisters.registry.to_text(),
        jobs: canisters.jobs.to_text(),
        purse: canisters.purse.to_text(),
        model: market.market.model.manifest.name.clone(),
        requester: requester.clone(),
        operator: requester,
        pid: 1,
    };
    up.save(&home.path().join(UpFile::NAME)).unwrap();
    let mut assay = Command::new(needed("ASSAY_CLI_BIN"));
    assay
        .env("ASSAY_HOME", home.path())
        .args(["embed", "A man is playing a guitar."]);
    let asked = tokio::task::spawn_blocking(move || assay.output());
    let asked = asked.await.unwrap().unwrap();
    assert!(asked.status.success(), "{asked:?}");
    let printed: Vec<f32> = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(printed, vectors[0]);

    // An encoder is asked for nothing else.
    let request = market.request(Task::question("Who are you?"), parameters);
    let refused = market.jobs.quote(&request).await.unwrap_err().to_string();
    assert!(refused.contains("ask for an embedding"), "{refused}");
    market.stop().await;
}

#[test]
fn a_vector_that_is_claimed_with_tokens_or_another_end_is_a_mismatch() {
    let folder = tempfile::tempdir().unwrap();
    let model = LocalModel::open(&converted_encoder(&folder)).unwrap();
    let job = |task| Job {
        task,
        parameters: Parameters::new(1, Sampling::GREEDY),
        input_tokens_max: Some(9),
        seed: 0,
        threads: 1,
    };
    let guitar = job(embedding("A man is playing a guitar."));
    let own = model.run(&guitar, &mut |_| unreachable!()).unwrap();
    let checked = |tokens: &[u32], finish| {
        let mut check = model.check(&guitar).unwrap();
        check.push(tokens).unwrap();
        check.finish(finish).unwrap()
    };
    assert_eq!(checked(&[], Finish::Stop), Checked::Match(own.clone()));
    let mismatch = Checked::Mismatch {
        input_tokens: 9,
        mismatch: Mismatch {
            position: 0,
            trace_root: own.trace_root,
        },
    };
    assert_eq!(checked(&[1], Finish::Stop), mismatch);
    assert_eq!(checked(&[], Finish::Length), mismatch);

    // What the market does not allow, and what the model is not for.
    for (task, told) in [
        (embedding("A man is playing a guitar now."), "allows 9"),
        (Task::question("Why?"), "ask it for an embedding"),
    ] {
        let fault = model.check(&job(task)).unwrap_err();
        assert!(fault.is_of_request(), "{fault}");
        assert!(fault.to_string().contains(told), "{fault}");
    }
    let text = LocalModel::Text(text_model());
    let fault = text.check(&guitar).unwrap_err();
    assert!(fault.is_of_request(), "{fault}");
    assert!(
        fault.to_string().contains("a chat or a completion"),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vector_of_another_text_is_rejected_by_its_checkers() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let file = converted_encoder(&folder);
    // So cheap that it all but surely generates.
    let mut plans = crate::harness::with_a_cheap_one(Some(Cheat::WrongTokens));
    plans.push(ProviderPlan::honest(4).remove(3));
    let market = Market::of(file, &plans).await;
    let liar = market.market.fleet.processes()[&plans[0].name].provider;
    let text = embedding("A man is playing a guitar.");
    let request = market.request(text, Parameters::new(1, Sampling::GREEDY));
    let view = market.until_ended(market.submit(1, request).await).await;
    assert_settled(&view);
    let lies: Vec<_> = view
        .leases
        .iter()
        .filter(|lease| lease.provider == liar)
        .collect();
    assert!(!lies.is_empty(), "the liar did not generate: {view:#?}");
    assert!(lies.iter().all(|lease| lease.paid == Cycles::ZERO));
    assert_eq!(
        market.balance().await + view.paid.0 + view.fee.0,
        FUNDS.0,
        "every cycle is accounted for"
    );
    market.stop().await;
}
