//! `engine generate`: an answer of this machine.

use std::{ops::ControlFlow, time::Instant};

use assay_protocol::{
    request::{Parameters, Task},
    result::ResultContext,
};
use assay_worker::model::Job;

use crate::{
    Failure,
    args::Generate,
    ask::sampling,
    exit,
    show::{out, piece, plain, talk},
};

pub(super) fn run(args: Generate) -> Result<u8, Failure> {
    let Generate {
        model,
        prompt,
        threads,
        json,
        question,
    } = args;
    let model = super::open(model.as_deref())?;
    let job = Job {
        task: Task::question(prompt),
        parameters: Parameters::new(question.max_tokens, sampling(&question)),
        input_tokens_max: None,
        seed: question.seed,
        threads: super::threads(threads),
    };
    let mut first = None;
    let body = model.generate(&job, &mut |token| {
        first.get_or_insert_with(Instant::now);
        if !json {
            piece(&plain(&token.text));
        }
        ControlFlow::Continue(())
    })?;
    let root = body.root(&ResultContext {
        spec: &model.manifest().spec,
        model_root: &model.root(),
        parameters: &job.parameters,
        seed: job.seed,
    });
    if json {
        let value = serde_json::json!({
            "text": String::from_utf8_lossy(&body.answer),
            "input_tokens": body.input_tokens,
            "output_tokens": body.output_tokens,
            "trace_root": body.trace_root.to_string(),
            "result_root": root.to_string(),
            "model_root": model.root().to_string(),
        });
        out(format_args!("{value:#}"));
    } else {
        let decoded = body.output_tokens.len().saturating_sub(1) as f64;
        let speed = first.map_or(0.0, |first| {
            decoded / first.elapsed().as_secs_f64().max(1e-6)
        });
        out("");
        talk(format_args!(
            "tokens      {} read, {} generated, {speed:.0} per second",
            body.input_tokens.len(),
            body.output_tokens.len()
        ));
        talk(format_args!("result root {root}"));
        talk(format_args!("trace root  {}", body.trace_root));
    }
    Ok(exit::OK)
}
