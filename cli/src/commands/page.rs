//! The web app into its canister.

use assay_worker::{client::Network, config::root_key_of, identity};
use candid::Principal;

use crate::{
    Failure, args, exit,
    home::Home,
    page,
    show::{out, talk},
};

pub(super) async fn run(command: args::Page) -> Result<u8, Failure> {
    let args::Page::Publish {
        dir,
        canister,
        url,
        identity,
    } = command;
    let (network, canister) = match url {
        // The command line sees to it that both are there then.
        Some(url) => {
            let key = identity::load(&identity.unwrap_or_default())?;
            let network = Network::connect(&url, Some(&key), &root_key_of(&url)).await?;
            (network, canister.unwrap_or(Principal::anonymous()))
        }
        None => {
            let running = Home::find()
                .running_as_operator(identity.as_deref())
                .await?;
            let own = running.up.page.as_ref().map(|page| &page.canister);
            let own = own.and_then(|text| Principal::from_text(text).ok());
            let canister = canister.or(own).ok_or(Failure::NoPageCanister)?;
            (running.jobs.network().clone(), canister)
        }
    };
    talk("publishing");
    let published = page::publish(&network, canister, &dir, &[]).await?;
    out(format_args!(
        "{} files, {} bytes, served by {canister}",
        published.files, published.bytes
    ));
    Ok(exit::OK)
}
