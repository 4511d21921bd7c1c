//! Asks a model one question and prints the answer as it comes: `chat MODEL.assay QUESTION [MAX_TOKENS]`.

use std::{
    env, error::Error, io::Write as _, ops::ControlFlow, path::Path, process::ExitCode,
    time::Instant,
};

use assay_engine::{
    forward::Options,
    model::Model,
    run::{self, Checked, Request},
    sampler::Sampling,
    tokenizer::{ChatMessage, Role, Tokenizer},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (path, question, max_tokens) = match &arguments[..] {
        [path, question] => (path, question, Ok(64)),
        [path, question, max_tokens] => (path, question, max_tokens.parse()),
        _ => {
            eprintln!("usage: chat MODEL.assay QUESTION [MAX_TOKENS]");
            return ExitCode::from(2);
        }
    };
    let answered = max_tokens
        .map_err(Into::into)
        .and_then(|max| answer(Path::new(path), question, max));
    match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "an example may look at the clock"
)]
fn answer(path: &Path, question: &str, max_tokens: u32) -> Result<(), Box<dyn Error>> {
    let model = Model::open(path)?;
    let tokenizer = Tokenizer::from_model(&model)?;
    let input = tokenizer.prompt_tokens(&[ChatMessage {
        role: Role::User,
        content: question.into(),
    }])?;
    let request = Request {
        input: &input,
        max_tokens,
        sampling: Sampling::GREEDY,
    };

    let mut out = std::io::stdout();
    let mut stream = tokenizer.stream();
    let begin = Instant::now();
    let transcript =
        run::generate(
            &model,
            &request,
            &Options::default(),
            &mut |_, token| match write!(out, "{}", stream.push(token)).and_then(|()| out.flush()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
        )?;
    writeln!(out, "{}", stream.finish())?;
    let generated = begin.elapsed();

    let begin = Instant::now();
    let checked = run::check(
        &model,
        &request,
        &transcript.output,
        transcript.finish,
        &Options::default(),
    )?;
    let checked_in = begin.elapsed();
    let verdict = if checked == Checked::Match(transcript.clone()) {
        "confirmed"
    } else {
        "NOT confirmed"
    };
    let (tokens, finish) = (transcript.output.len(), transcript.finish);
    eprintln!(
        "{} in, {tokens} out, {finish:?}, in {generated:.2?}; {verdict} in {checked_in:.2?}; tokens {:?}",
        input.len(),
        transcript.output
    );
    Ok(())
}
