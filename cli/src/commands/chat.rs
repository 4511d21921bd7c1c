//! One question to a running network.

use assay_protocol::{Cycles, request::ModelRef};

use super::{tell, until_interrupted};
use crate::{
    Failure,
    args::Chat,
    ask::{self, Heard},
    home::Home,
    receipt::ReceiptFile,
    show::{out, piece, plain, talk, talk_piece},
};

pub(super) async fn run(args: Chat) -> Result<u8, Failure> {
    until_interrupted(chat(args))
        .await
        .map_err(|failure| match failure {
            Failure::Interrupted => Failure::StoppedListening,
            other => other,
        })
}

async fn chat(args: Chat) -> Result<u8, Failure> {
    let home = Home::find();
    let running = home.running().await?;
    let mut request = ask::request(
        ModelRef::Name(running.up.model.clone()),
        &args.prompt,
        &args.question,
        args.assurance,
    );
    args.wanted.apply(&mut request)?;
    let quote = ask::quote(&running.jobs, &request).await?;
    let cap = args.price_cap.map_or(quote.price_max, Cycles);
    let submitted = ask::submit(&running.jobs, request.clone(), cap, args.deadline_seconds).await?;
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
        args.deadline_seconds,
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
        match answer.text.strip_prefix(&told) {
            Some(rest) if live => out(plain(rest)),
            _ => {
                talk("");
                out(plain(&answer.text));
            }
        }
        tell::calls(&request.task, &answer.text, &|text| talk(text));
    }
    let path = args
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
