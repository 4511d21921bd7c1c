//! A market that stays.

use std::path::{Path, PathBuf};

use assay_protocol::{Cycles, frontend::Published};

use super::{interrupted, market_options, start_workers};
use crate::{
    Failure,
    args::Up,
    exit,
    home::{Home, UpFile, UpPage},
    local::{LocalMarket, Modules, ProviderPlan},
    show::{out, step, talk},
};

/// What the requester gets from the purse.
const FUNDS: Cycles = Cycles(100_000_000_000_000);
/// What the requester gets on the market's ledger.
const LEDGER_FUNDS: Cycles = Cycles(10_000_000_000_000);
/// What the operator gets from it, to pay for canaries.
const OPERATOR_FUNDS: Cycles = Cycles(10_000_000_000_000);
/// What the market may spend on people without money: in all, on each in a day, and on all of them in a day.
const GUESTS: Cycles = Cycles(10_000_000_000_000);
const GUEST_DAILY: Cycles = Cycles(10_000_000_000);
const GUESTS_DAILY: Cycles = Cycles(1_000_000_000_000);
/// What the treasury has for audits: without it nobody new may answer unchecked questions.
const TREASURY: Cycles = Cycles(10_000_000_000_000);
/// How often the workers are looked after.
const CARE: std::time::Duration = std::time::Duration::from_secs(2);

/// A web app to be served, found before anything is started.
struct Site {
    folder: PathBuf,
    module: Vec<u8>,
    identity_provider: Option<String>,
}

/// Puts the web app into a canister of the network.
async fn publish(market: &LocalMarket, model: &Path, site: &Site) -> Result<UpPage, Failure> {
    step("page", async {
        let Site {
            folder,
            module,
            identity_provider,
        } = site;
        let (canister, published) = market
            .publish_page(module, folder, model, identity_provider.as_deref())
            .await?;
        let page = UpPage {
            canister: canister.to_text(),
            url: market.page_url(&canister),
            model: model.to_owned(),
            served: market.model_path(),
        };
        let Published { files, bytes, .. } = published;
        Ok((
            page,
            format!(
                "{files} files, {} MB, the model among them",
                bytes / 1_000_000
            ),
        ))
    })
    .await
}

pub(super) async fn run(args: Up) -> Result<u8, Failure> {
    let home = Home::find();
    home.create()?;
    let dir = tempfile::Builder::new()
        .prefix("market-")
        .tempdir_in(&home.0)
        .map_err(Failure::io(&home.0))?;
    let options = market_options(&args.parts, args.port, dir.path().join("market"), &home)?;
    let site = match args.page {
        None => None,
        Some(folder) => Some(Site {
            folder,
            module: Modules::frontend(&options.wasm_dir)?,
            identity_provider: args.identity_provider,
        }),
    };
    talk("starting a market of our own");
    let up_file = home.up_file();
    let work = async {
        let mut market = LocalMarket::start(&options).await?;
        start_workers(&mut market, &ProviderPlan::honest(args.workers)).await?;
        let (requester, requester_file) = step("purse", async {
            let funded = market.fund("requester.pem", FUNDS).await?;
            let (jobs, operator) = (market.canisters.jobs, market.operator.principal);
            market.fund_at(jobs, operator, OPERATOR_FUNDS).await?;
            market.endow(TREASURY).await?;
            let told = format!(
                "{FUNDS} cycles for the requester, {OPERATOR_FUNDS} for the operator, {TREASURY} for audits"
            );
            Ok((funded, told))
        })
        .await?;
        step("ledger", async {
            market
                .send_on_ledger(requester.principal, LEDGER_FUNDS)
                .await?;
            let told = format!("{LEDGER_FUNDS} cycles for the requester, to be deposited");
            Ok(((), told))
        })
        .await?;
        step("guests", async {
            let (caller, all) = (GUEST_DAILY, GUESTS_DAILY);
            market.sponsor(GUESTS, caller, all).await?;
            Ok((
                (),
                format!("{GUESTS} cycles for people without money, {caller} a day for each, {all} for all"),
            ))
        })
        .await?;
        let page = match &site {
            None => None,
            Some(site) => Some(publish(&market, &options.model, site).await?),
        };
        UpFile {
            page: page.clone(),
            url: market.url().to_owned(),
            root_key: hex::encode(market.root_key()),
            registry: market.canisters.registry.to_text(),
            jobs: market.canisters.jobs.to_text(),
            purse: market.canisters.purse.to_text(),
            model: market.model.manifest.name.clone(),
            requester: requester_file,
            operator: market.operator_file(),
            pid: std::process::id(),
        }
        .save(&up_file)?;
        out(format_args!("network     {}", market.url()));
        out(format_args!("registry    {}", market.canisters.registry));
        out(format_args!("jobs        {}", market.canisters.jobs));
        out(format_args!("model       {}", market.model.manifest.name));
        out(format_args!("settings    {}", up_file.display()));
        if let Some(page) = &page {
            out(format_args!("page        {}", page.url));
        }
        talk(
            "\nin another terminal: assay chat \"What is gravity?\"; assay status\nCtrl-C stops everything",
        );
        loop {
            tokio::time::sleep(CARE).await;
            if let Err(ended) = market.fleet.check() {
                // The market goes on without it; whoever watches should know.
                crate::show::failure(&ended);
            }
        }
    };
    let result: Result<u8, Failure> = tokio::select! {
        result = work => result,
        () = interrupted() => {
            talk("\nstopped; the market and what it held are gone");
            Ok(exit::OK)
        }
    };
    // Nobody should be sent to a network that is gone. Another one may have taken the place meanwhile.
    if std::fs::read_to_string(&up_file)
        .is_ok_and(|text| text.contains(&format!("\"pid\": {}\n", std::process::id())))
    {
        let _ = std::fs::remove_file(&up_file);
    }
    result
}
