//! Canaries of the running market: questions whose answers its controllers know.

use std::path::{Path, PathBuf};

use assay_protocol::{
    Cycles, Hash32,
    canary::{Canary, CanaryOutcome, CanaryView},
    job::Verdict,
    request::{Assurance, JobRequest, ModelRef},
};
use serde_json::json;

use crate::{
    Failure, args, exit,
    home::{Home, Running},
    receipt::{self, ReceiptFile},
    show::{out, talk},
};

pub(super) async fn run(command: args::Canary) -> Result<u8, Failure> {
    match command {
        args::Canary::Add {
            receipts,
            price_cap,
            identity,
        } => add(&receipts, price_cap, identity.as_deref()).await,
        args::Canary::List {
            before,
            json,
            identity,
        } => list(before, json, identity.as_deref()).await,
        args::Canary::TakeBack { number, identity } => {
            let running = Home::find()
                .running_as_operator(identity.as_deref())
                .await?;
            running.jobs.take_canary_back(number).await?;
            talk(format_args!(
                "canary {number} will not be asked; its money is back in the balance"
            ));
            Ok(exit::OK)
        }
    }
}

async fn add(
    receipts: &[PathBuf],
    price_cap: Option<Cycles>,
    identity: Option<&Path>,
) -> Result<u8, Failure> {
    let running = Home::find().running_as_operator(identity).await?;
    let mut canaries = Vec::new();
    for path in receipts {
        let file = ReceiptFile::load(path)?;
        let (request, root) = known_answer(path, &file, &running)?;
        let price_cap = match price_cap {
            Some(cap) => cap,
            // An unchecked answer costs no more; what is left comes back.
            None => running.jobs.quote(&request).await?.price_max,
        };
        let request = JobRequest {
            assurance: Assurance::Single,
            ..request
        };
        canaries.push(Canary {
            request,
            root,
            price_cap,
        });
    }
    running.jobs.add_canaries(&canaries).await?;
    talk(format_args!(
        "{} taken; they are asked as often as the rules say: canary_ppm",
        canaries.len()
    ));
    Ok(exit::OK)
}

/// The question of a verified answer, with the seed that was drawn for it, and the answer's root.
fn known_answer(
    path: &Path,
    file: &ReceiptFile,
    running: &Running,
) -> Result<(JobRequest, Hash32), Failure> {
    let unfit = |problem: &str| {
        Failure::Usage(format!(
            "{}: {problem}; take the receipt of a verified job, exported by its requester",
            path.display()
        ))
    };
    // A root key of this network, not the one that the file names.
    receipt::verify(&file.certified, &running.root_key)?;
    let receipt = &file.certified.receipt;
    if receipt.canister != running.jobs.id {
        return Err(unfit("it is of another market"));
    }
    let (Some(Verdict::Verified), Some(result)) = (receipt.verdict, receipt.result) else {
        return Err(unfit("the job was not verified"));
    };
    let Some(salted) = &file.certified.request else {
        return Err(unfit("the question is not in it"));
    };
    let request = JobRequest {
        model: ModelRef::Version(receipt.model),
        seed: receipt.seed,
        ..salted.request.clone()
    };
    Ok((request, result.root))
}

async fn list(before: Option<u64>, json: bool, identity: Option<&Path>) -> Result<u8, Failure> {
    let running = Home::find().running_as_operator(identity).await?;
    let page = running.jobs.canaries(before).await?;
    if json {
        let all: Vec<_> = page
            .canaries
            .iter()
            .map(
                |CanaryView {
                     number,
                     job,
                     outcome,
                 }| {
                    json!({
                        "canary": number,
                        "job": job.map(|job| job.0),
                        "outcome": outcome.map(outcome_name),
                    })
                },
            )
            .collect();
        out(format_args!(
            "{:#}",
            json!({ "waiting": page.waiting, "canaries": all })
        ));
        return Ok(exit::OK);
    }
    for CanaryView {
        number,
        job,
        outcome,
    } in &page.canaries
    {
        let job = job.map_or("-".to_owned(), |job| format!("job {job}"));
        let state = match (outcome, job.as_str()) {
            (Some(outcome), _) => outcome_name(*outcome),
            (None, "-") => "waiting",
            (None, _) => "asked",
        };
        out(format_args!("{number:<6} {job:<12} {state}"));
    }
    if let Some(oldest) = page.canaries.last().filter(|oldest| oldest.number > 1) {
        talk(format_args!(
            "more: assay canary list --before {}",
            oldest.number
        ));
    }
    Ok(exit::OK)
}

fn outcome_name(outcome: CanaryOutcome) -> &'static str {
    match outcome {
        CanaryOutcome::Right => "right",
        CanaryOutcome::Caught => "caught",
        CanaryOutcome::Refuted => "refuted",
        CanaryOutcome::Unanswered => "unanswered",
        CanaryOutcome::TakenBack => "taken back",
    }
}
