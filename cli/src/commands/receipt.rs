//! Receipts on disk.

use std::path::Path;

use assay_protocol::JobId;
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

/// Fetches the receipt of a job from the running network.
pub(super) async fn get(id: u64, path: &Path) -> Result<u8, Failure> {
    let running = Home::find().running().await?;
    let certified = ask::receipt(&running.jobs, JobId(id)).await?;
    receipt::verify(&certified, &running.root_key)?;
    ReceiptFile {
        network: running.up.url.clone(),
        root_key: running.root_key.clone(),
        certified,
    }
    .save(path)?;
    talk(format_args!(
        "saved {}; check it with: assay receipt verify {}",
        path.display(),
        path.display()
    ));
    Ok(exit::OK)
}
