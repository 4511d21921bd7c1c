//! Receipts on disk, and those of everybody.

use std::path::{Path, PathBuf};

use assay_protocol::{
    JobId,
    receipt::{HashedReceipt, ReceiptsArgs},
};
use assay_worker::model::LocalModel;

use super::tell;
use crate::{
    Failure, ask, exit,
    home::Home,
    receipt::{self, ReceiptFile},
    show::{out, plain, talk},
};

/// Checks a saved receipt without any network.
///
/// With a model it also runs what was asked again.
pub(super) fn verify(
    path: &Path,
    root_key: Option<&str>,
    model: Option<&Path>,
) -> Result<u8, Failure> {
    let file = ReceiptFile::load(path)?;
    let trusted = match root_key {
        Some(text) => hex::decode(text)
            .map_err(|_| Failure::Usage("--root-key is not hexadecimal".to_owned()))?,
        None => {
            talk(
                "note: trusting the root key that the file itself names; give the one you trust with --root-key",
            );
            file.root_key.clone()
        }
    };
    let proof = receipt::verify(&file.certified, &trusted)?;
    let line = |text: String| out(text);
    out(format_args!("network     {}", plain(&file.network)));
    out(format_args!(
        "canister    {}",
        file.certified.receipt.canister
    ));
    out(format_args!("job         {}", file.certified.receipt.job));
    if let Some(salted) = &file.certified.request {
        tell::task(&salted.request.task, &line);
    }
    tell::receipt(&file.certified.receipt, &|_| None, &line);
    tell::proof(&proof, &trusted, &line);
    if let Some(model) = model {
        let model = LocalModel::open(model)?;
        talk("running it again ..");
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        let body = receipt::replay(&file.certified, &model, threads)?;
        out(format_args!(
            "replay      the same {} tokens, the same trace, the same root",
            body.output_tokens.len()
        ));
    }
    Ok(exit::OK)
}

/// Fetches the receipt of a job from the running network, and saves it with the request where that is the caller's.
pub(super) async fn export(
    id: u64,
    path: Option<PathBuf>,
    identity: Option<&Path>,
) -> Result<u8, Failure> {
    let home = Home::find();
    let running = home.running_as(identity).await?;
    let certified = ask::receipt(&running.jobs, JobId(id)).await?;
    let proof = receipt::verify(&certified, &running.root_key)?;
    let path = path.unwrap_or_else(|| home.receipt_file(id));
    ReceiptFile {
        network: running.up.url.clone(),
        root_key: running.root_key.clone(),
        certified,
    }
    .save(&path)?;
    if !proof.request {
        talk(
            "note: without the request and its salt, which its requester alone gets, for thirty days after the job's end",
        );
    }
    talk(format_args!(
        "saved {}; check it with: assay receipt verify {}",
        path.display(),
        path.display()
    ));
    Ok(exit::OK)
}

/// Lists receipts page by page; each is proven before it is shown.
pub(super) async fn list(from: u64, limit: u32, json: bool) -> Result<u8, Failure> {
    let running = Home::find().running().await?;
    let mut receipts: Vec<HashedReceipt> = Vec::new();
    let mut next = Some(JobId(from));
    while let Some(from) = next
        && receipts.len() < limit as usize
    {
        let args = ReceiptsArgs {
            from: Some(from),
            limit: limit - receipts.len() as u32,
        };
        let page = running.jobs.receipts(&args).await?;
        receipt::verify_page(&page, &running.jobs.id, &running.root_key)?;
        // A node that leads in circles must not keep this going for ever.
        next = page.next.filter(|next| *next > from);
        receipts.extend(page.receipts);
    }
    if json {
        let all: Vec<_> = receipts.iter().map(line_json).collect();
        out(format_args!("{:#}", serde_json::Value::Array(all)));
    } else {
        for HashedReceipt { hash, receipt } in &receipts {
            out(format_args!(
                "{:<6} {}  {hash}  {}",
                receipt.job.to_string(),
                receipt.ended_at,
                tell::verdict(receipt.state, receipt.verdict)
            ));
        }
    }
    if let Some(JobId(next)) = next {
        talk(format_args!("more: assay receipt list --from {next}"));
    }
    Ok(exit::OK)
}

fn line_json(HashedReceipt { hash, receipt }: &HashedReceipt) -> serde_json::Value {
    let paid: u128 = receipt.leases.iter().map(|lease| lease.paid.0).sum();
    serde_json::json!({
        "job": receipt.job.0,
        "hash": hash.to_string(),
        "request_hash": receipt.request_hash.to_string(),
        "model": receipt.model.to_string(),
        "state": tell::job_state(receipt.state),
        "verdict": tell::verdict(receipt.state, receipt.verdict),
        "result_root": receipt.result.map(|result| result.root.to_string()),
        "leases": receipt.leases.len(),
        "paid": paid.to_string(),
        "fee": receipt.fee.0.to_string(),
        "royalty": receipt.royalty.0.to_string(),
        "refund": receipt.refund.0.to_string(),
        "ended_at": receipt.ended_at.0,
    })
}
