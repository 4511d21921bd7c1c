//! One question to a running network: a message of a chat, a text to go on from, a text to make a vector of.

use assay_protocol::request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task};

use super::{tell, until_interrupted};
use crate::{
    Failure,
    args::{Asking, Chat, Complete, Embed},
    ask::{self, Heard},
    home::Home,
    receipt::ReceiptFile,
    show::{out, piece, plain, talk, talk_piece},
};

pub(super) async fn chat(args: Chat) -> Result<u8, Failure> {
    let Chat {
        prompt,
        asking,
        tools,
        wanted,
        question,
    } = args;
    let mut task = Task::question(prompt);
    if let (Some(path), Task::Chat(chat)) = (tools, &mut task) {
        chat.tools = Some(crate::wanted::tools(&path)?);
    }
    run(asking, |model, assurance| {
        let mut request = ask::request(model, task, &question, assurance);
        wanted.apply(&mut request)?;
        Ok(request)
    })
    .await
}

pub(super) async fn complete(args: Complete) -> Result<u8, Failure> {
    let Complete {
        prompt,
        asking,
        wanted,
        question,
    } = args;
    run(asking, |model, assurance| {
        let task = Task::Completion { prompt };
        let mut request = ask::request(model, task, &question, assurance);
        wanted.apply(&mut request)?;
        Ok(request)
    })
    .await
}

pub(super) async fn embed(args: Embed) -> Result<u8, Failure> {
    let Embed { text, asking } = args;
    run(asking, |model, assurance| {
        Ok(JobRequest {
            model,
            task: Task::Embedding { text },
            parameters: Parameters::new(1, Sampling::GREEDY),
            seed: None,
            assurance,
        })
    })
    .await
}

async fn run(
    asking: Asking,
    request: impl FnOnce(ModelRef, Assurance) -> Result<JobRequest, Failure>,
) -> Result<u8, Failure> {
    until_interrupted(put(asking, request))
        .await
        .map_err(|failure| match failure {
            Failure::Interrupted => Failure::StoppedListening,
            other => other,
        })
}

async fn put(
    asking: Asking,
    request: impl FnOnce(ModelRef, Assurance) -> Result<JobRequest, Failure>,
) -> Result<u8, Failure> {
    let home = Home::find();
    let running = home.running().await?;
    let model = ModelRef::Name(running.up.model.clone());
    let request = request(model, asking.assurance)?;
    let quote = ask::quote(&running.jobs, &request).await?;
    let cap = asking.price_cap.unwrap_or(quote.price_max);
    let submitted =
        ask::submit(&running.jobs, request.clone(), cap, asking.deadline_seconds).await?;
    talk(format_args!(
        "job {}: at most {cap} cycles, {} expected",
        submitted.job, quote.price_expected
    ));

    // On a terminal the provisional text is shown as it comes; elsewhere only the final answer counts.
    let live = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let mut told = String::new();
    let view = ask::follow(
        &running.jobs,
        submitted.job,
        asking.deadline_seconds,
        |event| match event {
            Heard::Text(text) if live => {
                told.push_str(text);
                piece(&plain(text));
            }
            Heard::Text(_) => talk_piece("."),
            Heard::StartOver => {
                if live && !told.is_empty() {
                    piece("\n");
                }
                told.clear();
                talk("that generation does not count; another worker begins anew");
            }
        },
    )
    .await?;
    let certified = ask::receipt(&running.jobs, submitted.job).await?;
    let proof = ask::prove(
        &certified,
        &view,
        &request,
        &running.jobs,
        &running.root_key,
    )?;

    if let Some(answer) = &view.answer {
        match &answer.embedding {
            Some(numbers) => out(vector(numbers)),
            None => match answer.text.strip_prefix(&told) {
                Some(rest) if live => out(plain(rest)),
                _ => {
                    talk("");
                    out(plain(&answer.text));
                }
            },
        }
        tell::calls(&request.task, &answer.text, &|text| talk(text));
    }
    let path = asking
        .receipt
        .unwrap_or_else(|| home.receipt_file(submitted.job.0));
    let file = ReceiptFile {
        network: running.up.url.clone(),
        root_key: running.root_key.clone(),
        certified,
    };
    file.save(&path)?;
    let line = |text: String| talk(text);
    tell::receipt(&file.certified.receipt, &|_| None, &line);
    tell::proof(&proof, &running.root_key, &line);
    talk(format_args!("saved       {}", path.display()));
    Ok(tell::code(view.verdict))
}

/// The numbers of a vector as a JSON list, each in as few digits as bring it back; null for what is no number.
fn vector(numbers: &[u8]) -> String {
    let words = numbers.as_chunks::<4>().0.iter();
    let numbers: Vec<f32> = words.map(|bytes| f32::from_le_bytes(*bytes)).collect();
    serde_json::json!(numbers).to_string()
}
