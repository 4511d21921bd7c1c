//! The whole path in one command.

use std::path::Path;

use assay_protocol::{
    Cycles,
    job::JobView,
    lease::Role,
    receipt::CertifiedReceipt,
    request::{Assurance, ModelRef, Task},
};
use assay_worker::{cheat::Cheat, client::Jobs};

use super::{market_options, start_workers, tell, until_interrupted};
use crate::{
    Failure,
    args::Demo,
    ask::{self, Heard},
    exit,
    home::{Home, private_dir},
    local::{Asks, LocalMarket, ProviderPlan},
    receipt::{Proof, ReceiptFile},
    show::{out, piece, plain, seconds, step, talk},
};

/// What the requester gets from the purse.
const FUNDS: Cycles = Cycles(10_000_000_000_000);
/// How long the job may take.
const DEADLINE_SECONDS: u32 = 600;

pub(super) async fn run(args: Demo) -> Result<u8, Failure> {
    let home = Home::find();
    home.create()?;
    let dir = tempfile::Builder::new()
        .prefix("assay-demo-")
        .tempdir()
        .map_err(Failure::io(std::env::temp_dir()))?;
    let place = dir.path().to_owned();
    let result = until_interrupted(play(&args, &home, &place)).await;
    if args.keep {
        let kept = dir.keep();
        talk(format_args!(
            "keys, settings, logs and the receipt are in {}",
            kept.display()
        ));
    }
    result
}

async fn play(args: &Demo, home: &Home, dir: &Path) -> Result<u8, Failure> {
    private_dir(dir)?;
    let options = market_options(&args.parts, args.port, dir.join("market"), home)?;
    talk("starting a market of our own");
    let mut market = LocalMarket::start(&options).await?;
    start_workers(&mut market, &plans(args)).await?;
    let result = question(args, &mut market, dir).await;
    market.fleet.stop().await;
    result
}

fn plans(args: &Demo) -> Vec<ProviderPlan> {
    // Three are enough in both cases: of the honest two, one generates anew and the other checks.
    let mut plans = ProviderPlan::honest(args.workers);
    if args.cheat
        && let Some(first) = plans.first_mut()
    {
        first.cheat = Some(Cheat::WrongTokens);
        // So cheap that the canister, which weighs prices, all but surely lets it generate.
        first.asks = Asks {
            input: 100_000,
            output: 1_000_000,
        };
    }
    plans
}

async fn question(args: &Demo, market: &mut LocalMarket, dir: &Path) -> Result<u8, Failure> {
    let (key, _) = step("purse", async {
        let funded = market.fund("requester.pem", FUNDS).await?;
        Ok((funded, format!("{FUNDS} cycles for the requester")))
    })
    .await?;
    if args.cheat {
        let cheat = market
            .fleet
            .processes()
            .iter()
            .find(|(_, process)| process.cheat.is_some())
            .map(|(name, _)| name.clone());
        talk(format_args!(
            "  {} is going to lie: it swaps one token of the answer it generates",
            cheat.unwrap_or_default()
        ));
    }

    let jobs = Jobs::new(&market.connect(&key).await?, market.canisters.jobs);
    let request = ask::request(
        ModelRef::Name(market.model.manifest.name.clone()),
        Task::question(&args.prompt),
        &args.question,
        Assurance::Checked { checkers: 1 },
    );
    let quote = ask::quote(&jobs, &request).await?;
    out(format_args!("\nquestion    {}", plain(&args.prompt)));
    out(format_args!(
        "quote       at most {} cycles, {} expected",
        quote.price_max, quote.price_expected
    ));

    let started = std::time::Instant::now();
    let submitted = ask::submit(&jobs, request.clone(), quote.price_max, DEADLINE_SECONDS).await?;
    out(format_args!(
        "job {}       one worker generates, another checks; {} cycles held",
        submitted.job, submitted.escrow
    ));
    out("\nprovisional answer, one worker's word until the verdict:\n");
    let view = listen(&jobs, submitted.job).await?;
    let took = started.elapsed();
    let certified = ask::receipt(&jobs, submitted.job).await?;
    let proof = ask::prove(&certified, &view, &request, &jobs, market.root_key())?;
    let path = dir.join("receipt.json");
    ReceiptFile {
        network: market.url().to_owned(),
        root_key: market.root_key().to_vec(),
        certified: certified.clone(),
    }
    .save(&path)?;

    show(args, market, &view, &certified, &proof);
    out(format_args!(
        "took        {} from submit to verdict",
        seconds(took)
    ));
    market.fleet.check()?;
    Ok(if args.cheat {
        cheat_code(market, &view)
    } else {
        tell::code(view.verdict)
    })
}

/// Streams a job's provisional text to the terminal.
async fn listen(jobs: &Jobs, job: assay_protocol::JobId) -> Result<JobView, Failure> {
    let mut heard = false;
    let view = ask::follow(jobs, job, DEADLINE_SECONDS, |event| match event {
        Heard::Text(text) => {
            if !heard {
                piece("  ");
            }
            heard = true;
            piece(&plain(text).replace('\n', "\n  "));
        }
        Heard::StartOver => {
            piece("\n\n  That generation does not count; another worker begins anew:\n\n");
            heard = false;
        }
    })
    .await?;
    piece("\n\n");
    Ok(view)
}

fn show(
    args: &Demo,
    market: &LocalMarket,
    view: &JobView,
    certified: &CertifiedReceipt,
    proof: &Proof,
) {
    let name_of = |provider: &candid::Principal| market.fleet.name_of(provider).map(str::to_owned);
    let line = |text: String| out(text);
    if args.cheat {
        lie(market, view);
    }
    if let Some(answer) = &view.answer {
        out(format_args!(
            "answer      {}\n",
            plain(&answer.text).replace('\n', "\n            ")
        ));
    }
    tell::receipt(&certified.receipt, &name_of, &line);
    tell::proof(proof, market.root_key(), &line);
}

/// How the lie was caught.
fn lie(market: &LocalMarket, view: &JobView) {
    let Some((name, liar)) = market
        .fleet
        .processes()
        .iter()
        .find(|(_, process)| process.cheat.is_some())
    else {
        return;
    };
    let lies: Vec<_> = view
        .leases
        .iter()
        .filter(|lease| lease.provider == liar.provider && lease.role == Role::Generator)
        .collect();
    for lease in lies {
        out(format_args!(
            "caught      {name} generated the answer of generation {} with a swapped token",
            lease.round
        ));
        for witness in view
            .leases
            .iter()
            .filter(|other| other.round == lease.round && other.role == Role::Checker)
        {
            let who = market
                .fleet
                .name_of(&witness.provider)
                .unwrap_or("a checker");
            out(format_args!(
                "            {who} ran the model over it, found the difference and was paid {} cycles",
                witness.paid
            ));
        }
        out(format_args!(
            "            {name} was paid {} cycles",
            lease.paid
        ));
    }
    out("");
}

/// With a liar, all is well if it was caught, unpaid, and the answer is verified without it.
fn cheat_code(market: &LocalMarket, view: &JobView) -> u8 {
    let Some(liar) = market
        .fleet
        .processes()
        .values()
        .find(|process| process.cheat.is_some())
    else {
        return exit::FAILED;
    };
    let mut lies = view
        .leases
        .iter()
        .filter(|lease| lease.provider == liar.provider && lease.role == Role::Generator);
    let caught = lies.clone().count() > 0 && lies.all(|lease| lease.paid == Cycles::ZERO);
    if caught {
        tell::code(view.verdict)
    } else {
        exit::FAILED
    }
}
