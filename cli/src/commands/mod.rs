//! The commands.

mod canary;
mod chat;
mod demo;
mod engine;
mod events;
mod job;
mod money;
mod page;
mod receipt;
mod simulate;
mod status;
mod tell;
mod up;

use crate::{
    Failure,
    args::{self, Command},
    exit,
    home::Home,
    local::{Launcher, LocalMarket, MarketOptions, ProviderPlan},
    show::step,
};

/// Does what one command says; gives the exit code.
pub(crate) fn dispatch(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Worker(args) => {
            let args = std::iter::once("assay-worker".into()).chain(args.args);
            // The daemon brings its own exit codes.
            return Ok(assay_worker::cli::main_code(args));
        }
        Command::Engine(command) => return engine::run(command),
        Command::Simulate(args) => return simulate::run(&args),
        Command::Receipt(args::Receipt::Verify {
            file,
            root_key,
            replay,
        }) => {
            return receipt::verify(&file, root_key.as_deref(), replay.as_deref());
        }
        Command::Events(args::Events::Verify { file, json }) => return events::verify(&file, json),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::io("threads"))?;
    runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Up(args) => up::run(args).await,
            Command::Chat(args) => chat::chat(args).await,
            Command::Complete(args) => chat::complete(args).await,
            Command::Embed(args) => chat::embed(args).await,
            Command::Job(args) => job::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Page(command) => page::run(command).await,
            Command::Canary(command) => canary::run(command).await,
            Command::Money(args) => money::run(args).await,
            Command::Receipt(args::Receipt::Export { id, out, identity }) => {
                receipt::export(id, out, identity.as_deref()).await
            }
            Command::Receipt(args::Receipt::List { from, limit, json }) => {
                receipt::list(from, limit, json).await
            }
            Command::Events(args::Events::Save { file, identity }) => {
                events::save(&file, identity.as_deref()).await
            }
            Command::Receipt(args::Receipt::Verify { .. })
            | Command::Events(args::Events::Verify { .. })
            | Command::Worker(_)
            | Command::Simulate(_)
            | Command::Engine(_) => Ok(exit::OK),
        }
    })
}

/// Adds workers to a market and waits until each has offered its model.
async fn start_workers(market: &mut LocalMarket, plans: &[ProviderPlan]) -> Result<(), Failure> {
    let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
    step("workers", async {
        market.add_workers(plans).await?;
        market.wait_until_ready(&names).await?;
        Ok((
            (),
            format!("{}, each of a provider of its own", names.join(", ")),
        ))
    })
    .await
}

/// Where everything for a local market is found; what is missing is told at once.
fn market_options(
    parts: &args::Parts,
    port: u16,
    dir: std::path::PathBuf,
    home: &Home,
) -> Result<MarketOptions, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A generator and its checker work at the same time.
    let shared = u16::try_from(cores.div_ceil(2))
        .unwrap_or(u16::MAX)
        .min(256);
    Ok(MarketOptions {
        wasm_dir: parts.wasm_dir.clone().ok_or(Failure::NoWasmDir)?,
        model: parts.model.clone().ok_or(Failure::NoModel)?,
        launcher: match &parts.worker_bin {
            Some(program) => Launcher::program(program.clone()),
            None => Launcher::beside_this_program()?,
        },
        threads: parts.threads.unwrap_or(shared),
        port,
        dir,
        module_cache: Some(home.module_cache()),
    })
}

/// Runs something until it ends or Ctrl-C or SIGTERM comes; dropping it then stops what it started.
async fn until_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        result = work => result,
        () = interrupted() => Err(Failure::Interrupted),
    }
}

/// Waits for Ctrl-C, or for SIGTERM where there is one.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
            signal(SignalKind::hangup()),
        ) {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
