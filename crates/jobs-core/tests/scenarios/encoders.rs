//! Models that make vectors: asked for nothing else, priced by what they can read, checked like any other.

use assay_jobs_core::testing::{Market, requester};
use assay_protocol::{
    Cycles, ModelId,
    job::{SubmitArgs, Verdict},
    lease::Offer,
    registry::{Model, Record},
    request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task},
};
use expect_test::expect;

use crate::bench::{Bench, request};

/// A market in which every worker also offers an encoder that reads 256 tokens.
fn bench() -> (Bench, ModelId) {
    let mut bench = Bench::new(4, 1);
    let mut model: Model = bench.fixture.model(0).clone();
    model.manifest.name = "vectors".into();
    model.manifest.architecture = "bert".into();
    model.manifest.context_max = 256;
    model.id = model.manifest.id();
    bench.market.sync(&Record::Model(model.clone()));
    for operator in bench.fixture.workers.clone() {
        let offer = Offer {
            model: model.id,
            ask_input: Cycles(1_000),
            ask_output: Cycles(10_000),
        };
        bench
            .market
            .set_offers(operator, &[offer])
            .expect("workers may set prices");
    }
    (bench, model.id)
}

fn embedding(model: ModelId, text: String) -> JobRequest {
    JobRequest {
        model: ModelRef::Version(model),
        task: Task::Embedding { text },
        parameters: Parameters::new(1, Sampling::GREEDY),
        seed: Some(11),
        assurance: Assurance::Checked { checkers: 1 },
    }
}

#[test]
fn tasks_go_to_models_that_can_do_them() {
    let (mut bench, model) = bench();
    let mut refused = |change: &dyn Fn(&mut JobRequest)| {
        let mut asked = embedding(model, "x".into());
        change(&mut asked);
        match bench.market.quote(&asked) {
            Ok(_) => "quoted".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let told = [
        refused(&|_| ()),
        refused(&|asked| asked.task = Task::question("why?")),
        refused(&|asked| asked.model = request(Assurance::Single).model),
        refused(&|asked| {
            asked.task = Task::Embedding {
                text: String::new(),
            }
        }),
        refused(&|asked| asked.parameters.max_tokens = 2),
        refused(&|asked| asked.parameters.logprobs = Some(0)),
        refused(&|asked| asked.parameters.sampling.top_k = 1),
    ];
    expect![[r#"
        quoted
        task: this model only makes vectors of texts; ask for an embedding
        task: this model makes texts and no vectors; ask for a chat or a completion
        text: the text is empty; write something
        parameters: an embedding draws no tokens: ask with max_tokens 1, greedy sampling and without stop, format and logprobs
        parameters: an embedding draws no tokens: ask with max_tokens 1, greedy sampling and without stop, format and logprobs
        parameters: an embedding draws no tokens: ask with max_tokens 1, greedy sampling and without stop, format and logprobs"#]].assert_eq(&told.join("\n"));
}

#[test]
fn a_text_may_have_more_bytes_than_its_encoder_reads_tokens() {
    let (mut bench, model) = bench();
    let mut price = |bytes: usize| {
        let quote = bench.market.quote(&embedding(model, "x".repeat(bytes)));
        quote.expect("texts of any length are taken").price_max
    };
    assert!(price(10) < price(1_000));
    assert_eq!(price(1_000), price(60_000));
}

#[test]
fn a_vector_is_generated_checked_and_paid_for() {
    let (mut bench, model) = bench();
    let args = SubmitArgs {
        request: embedding(model, "what is the time?".into()),
        price_cap: Cycles(1_000_000),
        deadline_seconds: 300,
        idempotency_key: vec![1],
    };
    bench
        .market
        .submit(requester(0), &args, args.price_cap)
        .expect("the request is good");
    bench.run("go; claim; G commits; C1 commits; G reveals; C1 reveals");
    let view = bench
        .market
        .job(requester(0), assay_protocol::JobId(1))
        .expect("the job exists");
    assert_eq!(view.verdict, Some(Verdict::Verified));
    assert!(view.leases.iter().all(|lease| lease.paid > Cycles::ZERO));
    let answer = view.answer.expect("a verified job has its answer");
    assert_eq!(answer.text, "");
    assert!(answer.output_tokens.is_empty());
    assert_eq!(answer.embedding.map(|vector| vector.len()), Some(8));
}

#[test]
fn tokens_where_there_are_none_are_malformed() {
    let (mut bench, model) = bench();
    let args = SubmitArgs {
        request: embedding(model, "what is the time?".into()),
        price_cap: Cycles(1_000_000),
        deadline_seconds: 300,
        idempotency_key: vec![1],
    };
    bench
        .market
        .submit(requester(0), &args, args.price_cap)
        .expect("the request is good");
    bench.run("go; claim; G commits tokens; C1 commits; G reveals");
    expect![[r#"
        job 1 Queued (Malformed("an embedding is numbers of four bytes, without tokens"))
          1 Generator Revealed (Malformed("an embedding is numbers of four bytes, without tokens"))
          1 Checker Released (NoLongerNeeded)
    "#]]
    .assert_eq(&bench.finish());
}
