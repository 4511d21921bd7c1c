//! The engine on the real model: one answer however it is run.
//!
//! Needs `ASSAY_MODEL`, the converted SmolLM2-135M-Instruct; `cargo xtask test` sets it.

use std::{env, ops::ControlFlow, path::PathBuf, sync::OnceLock};

use assay_engine::{
    forward::{Kernels, Options},
    model::Model,
    run::{self, Checked, Finish, Request, Transcript},
    sampler::Sampling,
    tokenizer::{ChatMessage, Role, Tokenizer},
};

/// Tokens of the raw prompt whose continuation the first prototype of the semantics recorded, in C.
const PROTOTYPE_PROMPT: [u32; 7] = [504, 2340, 314, 260, 1172, 2455, 282];
const PROTOTYPE_OUTPUT: [u32; 10] = [4513, 30, 198, 198, 504, 2340, 314, 260, 2340, 1955];

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path = env::var_os("ASSAY_MODEL")
            .map(PathBuf::from)
            .expect("ASSAY_MODEL names the converted model; run `cargo xtask test`");
        Model::open(&path).expect("the converted model opens")
    })
}

fn generate(request: &Request<'_>, options: &Options) -> Transcript {
    run::generate(model(), request, options, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .expect("the request is within limits")
}

fn with(threads: usize, prefill_chunk: usize) -> Options {
    Options {
        threads,
        prefill_chunk,
        kernels: Kernels::Auto,
    }
}

#[test]
fn the_prototypes_tokens_come_out() {
    let request = Request {
        input: &PROTOTYPE_PROMPT,
        max_tokens: 10,
        sampling: Sampling::GREEDY,
        ..Request::default()
    };
    assert_eq!(
        generate(&request, &Options::default()).output,
        PROTOTYPE_OUTPUT
    );
}

#[test]
fn a_context_past_700_tokens_has_one_root_for_threads_chunks_generating_and_checking() {
    let tokenizer = Tokenizer::from_model(model()).expect("the model carries its tokenizer");
    let sentence = "The river rises in the hills, turns the old mill, feeds the fields, and meets the sea beyond the town. ";
    let message = ChatMessage::new(
        Role::User,
        format!("{}\nWhat does the river turn?", sentence.repeat(30)),
    );
    let input = tokenizer
        .prompt_tokens(&[message])
        .expect("the prompt fits");
    assert!(
        input.len() > 700,
        "{} tokens are no long context",
        input.len()
    );

    let sampling = Sampling {
        temperature_milli: 700,
        top_p_ppm: 950_000,
        top_k: 0,
        seed: 7,
        ..Sampling::GREEDY
    };
    let request = Request {
        input: &input,
        max_tokens: 12,
        sampling,
        ..Request::default()
    };
    let whole = generate(&request, &with(1, input.len()));
    for (threads, chunk) in [(2, input.len()), (1, 64), (2, 17)] {
        assert_eq!(
            generate(&request, &with(threads, chunk)),
            whole,
            "{threads} threads, chunks of {chunk}"
        );
    }
    for (threads, chunk) in [(1, 1_024), (2, 50)] {
        let checked = run::check(
            model(),
            &request,
            &whole.output,
            whole.finish,
            &with(threads, chunk),
        )
        .expect("the claim is within limits");
        assert_eq!(
            checked,
            Checked::Match(whole.clone()),
            "{threads} threads, chunks of {chunk}"
        );
    }
}

#[test]
fn one_changed_token_is_found_where_it_stands() {
    let request = Request {
        input: &PROTOTYPE_PROMPT,
        max_tokens: 10,
        sampling: Sampling::GREEDY,
        ..Request::default()
    };
    let honest = generate(&request, &Options::default());
    let mut claimed = honest.output.clone();
    claimed[6] = 17;
    let checked = run::check(
        model(),
        &request,
        &claimed,
        honest.finish,
        &Options::default(),
    )
    .expect("the claim is within limits");
    let Checked::Mismatch {
        position, expected, ..
    } = checked
    else {
        panic!("a wrong token passed")
    };
    assert_eq!((position, expected), (6, Some(honest.output[6])));
}

/// What the engine for browsers must say as well: its own tests read this record.
#[test]
fn the_answer_that_browsers_must_give_is_the_recorded_one() {
    let tokenizer = Tokenizer::from_model(model()).expect("the model carries its tokenizer");
    let (role, content) = (
        "user",
        "Name three rivers of Europe, and say where they end.",
    );
    let input = tokenizer
        .prompt_tokens(&[ChatMessage::new(Role::User, content)])
        .expect("the prompt fits");
    let sampling = Sampling {
        temperature_milli: 700,
        top_p_ppm: 950_000,
        top_k: 40,
        seed: u64::MAX,
        ..Sampling::GREEDY
    };
    let request = Request {
        input: &input,
        max_tokens: 40,
        sampling,
        ..Request::default()
    };
    let transcript = generate(&request, &with(2, 64));
    let record = serde_json::json!({
        "model_root": hex::encode(model().root()),
        "messages": [{ "role": role, "content": content }],
        "max_tokens": request.max_tokens,
        "sampling": {
            "temperature_milli": sampling.temperature_milli,
            "top_p_ppm": sampling.top_p_ppm,
            "top_k": sampling.top_k,
            "seed": sampling.seed.to_string(),
        },
        "transcript": {
            "output": transcript.output,
            "finish": match transcript.finish {
                Finish::Stop => "stop",
                Finish::Length => "length",
            },
            "trace_root": hex::encode(transcript.trace_root),
            "text": tokenizer.answer_text(&transcript.output),
        },
    });
    let text = serde_json::to_string_pretty(&record).expect("it is plain data");
    expect_test::expect_file!["../../crates/engine-web/tests/answer.json"]
        .assert_eq(&(text + "\n"));
}
