//! What a checked answer costs beside an unchecked one: `cargo xtask bench market`.
//!
//! A market of its own with real workers on this machine. The same questions are asked as `single` and as `checked`, in
//! turn, one at a time; a worker's compute is the processor time of its process, and a job's latency is by the canister's
//! clock. What workers and canister use while nothing is asked is measured first and taken off; so is, in a line of its own,
//! the time that an answer's updates need by themselves. Numbers are medians.
//!
//! A checker belongs to another provider, and so to another machine, but here it shares one with the generator, and both take longer
//! while the other works. So each question is asked a third time, and its checker is held until the generation is committed: that is
//! what the check itself takes.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use assay_cli::local::{Launcher, LocalMarket, MarketOptions, ProviderPlan};
use assay_jobs_core::Rules;
use assay_protocol::{
    Cycles,
    job::{ControlError, JobState, JobView, SubmitArgs, Verdict},
    lease::{LeaseState, Role},
    request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task},
};
use assay_worker::client::{Jobs, Network};
use candid::{CandidType, Principal};
use clap::Parser;
use ic_management_canister_types::CanisterStatusResult;
use tokio::time::sleep;

#[derive(Debug, Parser)]
#[command(about = "What a checked answer costs beside an unchecked one")]
struct Args {
    /// Questions; each is asked once in both ways.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Tokens of each answer.
    #[arg(long, default_value_t = 256)]
    tokens: u32,
    /// Threads of each worker.
    #[arg(long, default_value_t = 1)]
    threads: u16,
    /// Folder of canister modules.
    #[arg(long, env = "ASSAY_WASM_DIR")]
    wasm_dir: PathBuf,
    /// Converted model file.
    #[arg(long, env = "ASSAY_MODEL")]
    model: PathBuf,
    /// The worker daemon.
    #[arg(long, env = "ASSAY_WORKER_BIN")]
    worker: PathBuf,
    /// Cargo says it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

const FUNDS: Cycles = Cycles(100_000_000_000_000);
const PROVIDERS: u16 = 3;
/// How long use is measured while nothing is asked.
const IDLE: Duration = Duration::from_secs(15);
/// How long after an answer its last work may take.
const REST: Duration = Duration::from_millis(600);
/// Updates after one another from `submit` to the verdict, of an unchecked answer and of a checked one, as the test
/// `rounds::a_verified_answer_takes_few_rounds_beyond_the_work` counts them: only a checker asks for the transcript, and commits.
const UPDATES: [f64; 2] = [6.0, 8.0];
/// Updates that are timed.
const TIMED: usize = 9;
const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(300);
/// Stories end late or never, so every answer has as many tokens as it may.
const SUBJECTS: [&str; 8] = [
    "a lighthouse keeper",
    "a lost violin",
    "two rival bakers",
    "the last train north",
    "a clockmaker's apprentice",
    "an island of birds",
    "a letter that came late",
    "the night the river froze",
];

/// What workers and canister have used.
#[derive(Clone, Copy, Debug)]
struct Used {
    at: Instant,
    /// Processor time of all workers, in seconds.
    compute: f64,
    /// Cycles that the jobs canister has.
    cycles: f64,
}

/// What one answer took.
#[derive(Clone, Copy, Debug)]
struct Took {
    compute: f64,
    latency: f64,
    cycles: f64,
}

/// One of its numbers.
type Number = fn(&Took) -> f64;

/// What is used in a second in which nothing is asked.
#[derive(Clone, Copy, Debug)]
struct Idle {
    compute: f64,
    cycles: f64,
}

/// How a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Single,
    Checked,
    /// Checked, while nobody else works.
    Apart,
}

impl Way {
    const ALL: [Self; 3] = [Self::Single, Self::Checked, Self::Apart];

    fn assurance(self) -> Assurance {
        match self {
            Self::Single => Assurance::Single,
            Self::Checked | Self::Apart => Assurance::Checked { checkers: 1 },
        }
    }
}

/// A process that does nothing until this is dropped.
#[derive(Debug)]
struct Held(u32);

impl Held {
    fn new(pid: u32) -> anyhow::Result<Self> {
        signal(pid, "STOP")?;
        Ok(Self(pid))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Who has ended by now needs it no more.
        let _ = signal(self.0, "CONT");
    }
}

fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let told = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status()
        .context("kill")?;
    ensure!(told.success(), "process {pid} does not take {name}");
    Ok(())
}

#[derive(CandidType)]
struct CanisterId {
    canister_id: Principal,
}

struct Bench {
    market: LocalMarket,
    operator: Network,
    jobs: Jobs,
    tokens: u32,
}

impl Bench {
    async fn start(args: &Args, dir: PathBuf) -> anyhow::Result<Self> {
        let options = MarketOptions {
            wasm_dir: args.wasm_dir.clone(),
            model: args.model.clone(),
            launcher: Launcher::program(args.worker.clone()),
            threads: args.threads,
            port: 0,
            dir,
            module_cache: None,
        };
        let mut market = LocalMarket::start(&options).await?;
        let operator = market.connect(&market.operator).await?;
        // No audits: an unchecked answer stays unchecked.
        let told: Result<(), ControlError> = operator
            .update(market.canisters.jobs, "set_rules", (Rules::LAX,))
            .await?;
        told.map_err(|error| anyhow::anyhow!("set_rules: {error}"))?;
        let plans = ProviderPlan::honest(PROVIDERS);
        market.add_workers(&plans).await?;
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        market.wait_until_ready(&names).await?;
        let (key, _) = market.fund("requester.pem", FUNDS).await?;
        let jobs = Jobs::new(&market.connect(&key).await?, market.canisters.jobs);
        Ok(Self {
            market,
            operator,
            jobs,
            tokens: args.tokens,
        })
    }

    async fn used(&self) -> anyhow::Result<Used> {
        let canister_id = self.market.canisters.jobs;
        let status: (CanisterStatusResult,) = (self
            .operator
            .manage(
                canister_id,
                "canister_status",
                (CanisterId { canister_id },),
            )
            .await?,);
        let cycles = u128::try_from(status.0.cycles.0).context("cycles fit into 128 bits")?;
        let mut compute = 0.0;
        for process in self.market.fleet.processes().values() {
            compute += processor_seconds(process.pid().context("a worker has ended")?)?;
        }
        Ok(Used {
            at: Instant::now(),
            compute,
            cycles: cycles as f64,
        })
    }

    async fn idle(&self) -> anyhow::Result<Idle> {
        let before = self.used().await?;
        sleep(IDLE).await;
        let after = self.used().await?;
        let seconds = (after.at - before.at).as_secs_f64();
        Ok(Idle {
            compute: (after.compute - before.compute) / seconds,
            cycles: (before.cycles - after.cycles) / seconds,
        })
    }

    /// Seconds of an update that changes nothing.
    async fn update(&self) -> anyhow::Result<f64> {
        let mut took = Vec::new();
        for _ in 0..TIMED {
            let started = Instant::now();
            let _: Result<(), ControlError> = self
                .operator
                .update(self.market.canisters.jobs, "set_rules", (Rules::LAX,))
                .await?;
            took.push(started.elapsed().as_secs_f64());
        }
        Ok(median(took.into_iter()))
    }

    /// Who checks a job whose generation is not committed yet.
    fn early_checker(&self, view: &JobView) -> Option<u32> {
        let generates = |role| role == Role::Generator;
        let mut leases = view.leases.iter();
        let busy = leases.any(|lease| generates(lease.role) && lease.state == LeaseState::Leased);
        let checker = view
            .leases
            .iter()
            .find(|lease| lease.role == Role::Checker)?;
        let processes = self.market.fleet.processes();
        let process = processes
            .values()
            .find(|process| process.operator == checker.worker)?;
        process.pid().filter(|_| busy)
    }

    async fn ask(&self, subject: &str, way: Way, idle: Idle) -> anyhow::Result<Took> {
        let assurance = way.assurance();
        let request = JobRequest {
            model: ModelRef::Version(self.market.model.id),
            task: Task::question(format!("Write a very long story about {subject}.")),
            parameters: Parameters::new(self.tokens, Sampling::GREEDY),
            seed: Some(1),
            assurance,
        };
        let price_cap = self.jobs.quote(&request).await?.price_max;
        let before = self.used().await?;
        let args = SubmitArgs {
            request,
            price_cap,
            deadline_seconds: 600,
            idempotency_key: format!("{subject} {way:?}").into_bytes(),
        };
        let job = self.jobs.submit(&args).await?.job;
        let started = Instant::now();
        let mut held = None;
        let view = loop {
            let view = self.jobs.job(job).await?;
            if way == Way::Apart {
                held = match (self.early_checker(&view), held) {
                    (Some(pid), None) => Some(Held::new(pid)?),
                    (Some(_), held) => held,
                    (None, _) => None,
                };
            }
            if view.state.is_terminal() {
                break view;
            }
            ensure!(started.elapsed() < PATIENCE, "job {job} does not end");
            sleep(LOOK).await;
        };
        let expected = match assurance {
            Assurance::Single => Verdict::Unverified,
            _ => Verdict::Verified,
        };
        let ended = (view.state, view.verdict);
        ensure!(
            ended == (JobState::Settled, Some(expected)),
            "job {job} ended as {ended:?}"
        );
        let tokens = view.usage.context("an answer has its usage")?.output_tokens;
        if tokens != self.tokens {
            bail!("the story about {subject} ends after {tokens} tokens; ask for fewer");
        }
        // The last messages of workers, and what the canister does after them.
        sleep(REST).await;
        let after = self.used().await?;
        let seconds = (after.at - before.at).as_secs_f64();
        let ended_at = view.ended_at.context("it has ended")?;
        Ok(Took {
            compute: after.compute - before.compute - idle.compute * seconds,
            latency: ended_at.since(view.submitted_at) as f64 / 1e9,
            cycles: before.cycles - after.cycles - idle.cycles * seconds,
        })
    }
}

/// Processor time of a process with all its threads, in seconds, by Linux's `/proc`.
fn processor_seconds(pid: u32) -> anyhow::Result<f64> {
    /// Fixed for programs, whatever the kernel counts in.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .context("processor time is read from /proc, which only Linux has")?;
    // The name before may hold spaces; after it the fields are numbers, user and system time the 12th and 13th.
    let (_, rest) = stat.rsplit_once(')').context("unexpected /proc stat")?;
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Says how far it is, beside the table.
fn say(line: fmt::Arguments<'_>) {
    // Who closes the pipe wants no more of it.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = of.collect();
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    if all.len() % 2 == 1 {
        all[middle]
    } else {
        (all[middle - 1] + all[middle]) / 2.0
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = Bench::start(args, dir.path().join("market")).await?;
    let idle = bench.idle().await?;
    let update = bench.update().await?;
    // The first answer of each worker reads the model from the disk.
    bench.ask("a market", Way::Checked, idle).await?;
    let mut took: [Vec<Took>; 3] = Default::default();
    for i in 0..usize::from(args.rounds) {
        let subject = match i / SUBJECTS.len() {
            0 => SUBJECTS[i].to_owned(),
            more => format!("{}, part {}", SUBJECTS[i % SUBJECTS.len()], more + 1),
        };
        for (of, way) in took.iter_mut().zip(Way::ALL) {
            of.push(bench.ask(&subject, way, idle).await?);
        }
        say(format_args!("{} of {} questions", i + 1, args.rounds));
    }
    let middle = |of: &[Took], what: Number| median(of.iter().map(what));
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} tokens, {} thread(s) a worker, {} questions; medians",
        args.tokens, args.threads, args.rounds
    )?;
    writeln!(
        out,
        "{:<28}{:>12}{:>12}{:>10}",
        "", "single", "checked", "ratio"
    )?;
    let rows: [(&str, Way, Number); 4] = [
        ("compute of workers, s", Way::Checked, |took| took.compute),
        ("  one after the other, s", Way::Apart, |took| took.compute),
        ("latency, s", Way::Checked, |took| took.latency),
        ("cycles of the canister, G", Way::Checked, |took| {
            took.cycles / 1e9
        }),
    ];
    for (name, way, what) in rows {
        let (single, checked) = (&took[0], &took[way as usize]);
        // Each question by itself, so that a long one does not weigh on the other column.
        let ratios = single.iter().zip(checked).map(|(a, b)| what(b) / what(a));
        let [single, checked] = [middle(single, what), middle(checked, what)];
        let ratio = median(ratios);
        writeln!(out, "{name:<28}{single:>12.3}{checked:>12.3}{ratio:>10.3}")?;
    }
    let beyond = |i: usize| {
        let latencies = took[i].iter().map(|took| took.latency);
        median(latencies) - UPDATES[i] * update
    };
    let [single, checked] = [beyond(0), beyond(1)];
    let ratio = checked / single;
    writeln!(
        out,
        "{:<28}{single:>12.3}{checked:>12.3}{ratio:>10.3}",
        "  beyond its updates, s"
    )?;
    writeln!(
        out,
        "one update takes {update:.3} s; an unchecked answer takes {} after one another, a checked one {}",
        UPDATES[0], UPDATES[1]
    )?;
    let mut bench = bench;
    bench.market.fleet.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
