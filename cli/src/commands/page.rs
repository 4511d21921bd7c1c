//! The web app into its canister.

use std::path::PathBuf;

use assay_worker::{client::Network, config::root_key_of, identity};
use candid::Principal;

use crate::{
    Failure, args, exit,
    home::{Home, UpPage},
    page,
    show::{out, talk},
};

pub(super) async fn run(command: args::Page) -> Result<u8, Failure> {
    let args::Page::Publish {
        dir,
        canister,
        model,
        url,
        identity,
    } = command;
    let (network, canister, own) = match (url, canister, &identity) {
        (Some(url), Some(canister), Some(identity)) => {
            let key = identity::load(identity)?;
            let network = Network::connect(&url, Some(&key), &root_key_of(&url)).await?;
            (network, canister, None)
        }
        (_, canister, identity) => {
            let home = Home::find();
            let running = home.running_as_operator(identity.as_deref()).await?;
            let own = running.up.page.clone();
            let named = own.as_ref().map(|page| &page.canister);
            let named = named.and_then(|text| Principal::from_text(text).ok());
            let canister = canister.or(named).ok_or(Failure::NoPageCanister)?;
            (running.jobs.network().clone(), canister, own)
        }
    };
    talk("publishing");
    let models: Vec<(String, PathBuf)> = match (model, own) {
        (Some(file), _) => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            vec![(format!("/models/{name}"), file.clone())]
        }
        (None, Some(UpPage { model, served, .. })) => vec![(served, model)],
        (None, None) => Vec::new(),
    };
    let published = page::publish(&network, canister, &dir, &models).await?;
    out(format_args!(
        "{} files, {} bytes, served by {canister}",
        published.files, published.bytes
    ));
    Ok(exit::OK)
}
