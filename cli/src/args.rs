//! The command line.

use std::path::PathBuf;

use assay_protocol::{Cycles, limits};
use candid::Principal;
use clap::{Args, Parser, Subcommand};
use serde_bytes::ByteBuf;

use crate::exit;

/// Assay: AI inference whose answers can be checked.
#[derive(Debug, Parser)]
#[command(name = "assay", version, after_help = exit::HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Also log what happens inside, to standard error
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a network, canisters and workers, ask one question, show what came of it, and stop everything
    Demo(Demo),
    /// Keep a network, canisters and workers running, for the commands below
    Up(Up),
    /// Ask a question; the answer goes to standard output, all else to standard error
    Chat(Chat),
    /// Go on from a text as it stands; else as `chat`
    Complete(Complete),
    /// Make the vector of a text, where the network offers an encoder; prints a JSON list of numbers
    Embed(Embed),
    /// Show a job: its timeline, its workers and who was paid
    Job(Job),
    /// Receipts
    #[command(subcommand)]
    Receipt(Receipt),
    /// The market's event log, for its controllers and whom they give it to
    #[command(subcommand)]
    Events(Events),
    /// Questions whose answers the market's controllers know, asked among the jobs of others
    #[command(subcommand)]
    Canary(Canary),
    /// Balance, deposits, withdrawals and stake
    Money(Money),
    /// The web app
    #[command(subcommand)]
    Page(Page),
    /// Show the network, the canisters, the workers and the queue
    Status(Status),
    /// The engine, without any network
    #[command(subcommand)]
    Engine(Engine),
    /// Run whole markets of honest and dishonest people, in which everything goes wrong, and check what must hold
    Simulate(Simulate),
    /// Run the worker daemon of this program; `assay-worker` is the same
    #[command(hide = true)]
    Worker(Worker),
}

/// What a local network is made from.
#[derive(Clone, Debug, Args)]
pub(crate) struct Parts {
    /// Folder of canister modules
    #[arg(long, env = "ASSAY_WASM_DIR", value_name = "DIR")]
    pub(crate) wasm_dir: Option<PathBuf>,
    /// Converted model file
    #[arg(long, env = "ASSAY_MODEL", value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Worker program [default: assay-worker beside this program]
    #[arg(long, env = "ASSAY_WORKER_BIN", value_name = "FILE")]
    pub(crate) worker_bin: Option<PathBuf>,
    /// Threads of each worker [default: processor cores, shared among two workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

/// How an answer is drawn and checked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Question {
    /// Tokens to generate at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::OUTPUT_TOKENS_MAX)))]
    pub(crate) max_tokens: u32,
    /// Temperature in thousandths; 0 always takes the likeliest token
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) temperature_milli: u32,
    /// Nucleus mass in millionths
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) top_p_ppm: u32,
    /// Keep the N likeliest tokens; 0 keeps all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) top_k: u32,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The question
    #[arg(long, value_name = "TEXT", default_value = "What is gravity?")]
    pub(crate) prompt: String,
    /// Let one worker lie, and show how it is caught
    #[arg(long)]
    pub(crate) cheat: bool,
    /// Workers, each of a provider of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) workers: u16,
    /// Port of the network on this machine; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Leave the folder with keys, logs and the receipt where it is
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) question: Question,
    #[command(flatten)]
    pub(crate) parts: Parts,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Workers, each of a provider of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) workers: u16,
    /// Port of the network on this machine; 0 takes a free one
    #[arg(long, default_value_t = 4943)]
    pub(crate) port: u16,
    /// Folder of the built web app, to be served by a canister of the network
    #[arg(long, env = "ASSAY_PAGE_DIR", value_name = "DIR")]
    pub(crate) page: Option<PathBuf>,
    /// Where people sign in to the web app [default: Internet Identity]
    #[arg(long, env = "ASSAY_IDENTITY_PROVIDER", value_name = "URL")]
    pub(crate) identity_provider: Option<String>,
    #[command(flatten)]
    pub(crate) parts: Parts,
}

/// The web app and its canister.
#[derive(Debug, Subcommand)]
pub(crate) enum Page {
    /// Put the files of a built web app into a frontend canister, all at once
    Publish {
        /// Folder of the built web app, as `cargo xtask page` leaves it
        dir: PathBuf,
        /// The frontend canister [default: that of the running network]
        #[arg(long, value_name = "ID")]
        canister: Option<Principal>,
        /// A model file for those who run it on their device, served under its name in /models [default: that of the running network]
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
        /// Where the network answers [default: the running network]
        #[arg(long, value_name = "URL", requires = "canister", requires = "identity")]
        url: Option<String>,
        /// A key that controls the canister [default: who controls the running network's]
        #[arg(long, value_name = "PEM")]
        identity: Option<PathBuf>,
    },
}

/// How a running network is asked.
#[derive(Debug, Args)]
pub(crate) struct Asking {
    /// How sure the answer must be: single, checked, checked:N, equality:N or threshold:MIN/N
    #[arg(long, value_name = "HOW", default_value = "checked", value_parser = assurance)]
    pub(crate) assurance: assay_protocol::request::Assurance,
    /// Pay at most this many cycles [default: the quote]
    #[arg(long, value_name = "CYCLES", value_parser = cycles)]
    pub(crate) price_cap: Option<Cycles>,
    /// Give up after this many seconds
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(i64::from(limits::DEADLINE_SECONDS_MIN)..=i64::from(limits::DEADLINE_SECONDS_MAX)))]
    pub(crate) deadline_seconds: u32,
    /// Where to write the receipt [default: receipt-JOB.json in the state folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// The question
    pub(crate) prompt: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
    /// Tools that the model may call: a JSON file with the list that OpenAI's interface takes
    #[arg(long, value_name = "FILE")]
    pub(crate) tools: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wanted: crate::wanted::Wanted,
    #[command(flatten)]
    pub(crate) question: Question,
}

#[derive(Debug, Args)]
pub(crate) struct Complete {
    /// The text
    pub(crate) prompt: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
    #[command(flatten)]
    pub(crate) wanted: crate::wanted::Wanted,
    #[command(flatten)]
    pub(crate) question: Question,
}

#[derive(Debug, Args)]
pub(crate) struct Embed {
    /// The text
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Job {
    /// Its number
    pub(crate) id: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Check a saved receipt, offline: from the root key to every field
    Verify {
        /// The file
        file: PathBuf,
        /// Trust this root key, DER in hexadecimal, and not the one that the file names
        #[arg(long, value_name = "HEX")]
        root_key: Option<String>,
        /// Also run what was asked again with this model, and compare answer, trace and root
        #[arg(long, value_name = "MODEL")]
        replay: Option<PathBuf>,
    },
    /// Save the receipt of a job that has ended; for its requester with the request and its salt
    #[command(visible_alias = "get")]
    Export {
        /// The job's number
        #[arg(value_name = "JOB")]
        id: u64,
        /// Where to write it [default: receipt-JOB.json in the state folder]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Ask as the owner of this key [default: the requester of `assay up`]
        #[arg(long, value_name = "PEM")]
        identity: Option<PathBuf>,
    },
    /// List the receipts of all ended jobs, each proven, in the order of the jobs
    List {
        /// Begin at this job
        #[arg(long, value_name = "JOB", default_value_t = 1)]
        from: u64,
        /// List at most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Canary {
    /// Give questions of verified jobs again; their money comes from the controller's balance
    Add {
        /// Receipts as `assay receipt export` saves them for the requester
        #[arg(required = true, value_name = "RECEIPT", num_args = 1..=limits::CANARIES_PER_CALL_MAX)]
        receipts: Vec<PathBuf>,
        /// Pay at most this for each [default: what the question costs as it was asked first]
        #[arg(long, value_name = "CYCLES", value_parser = cycles)]
        price_cap: Option<Cycles>,
        /// Act as the owner of this key [default: the operator of `assay up`]
        #[arg(long, value_name = "PEM")]
        identity: Option<PathBuf>,
    },
    /// List canaries and what became of them, newest first
    List {
        /// Only those older than this one
        #[arg(long, value_name = "N")]
        before: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Act as the owner of this key [default: the operator of `assay up`]
        #[arg(long, value_name = "PEM")]
        identity: Option<PathBuf>,
    },
    /// Take one back that was not asked yet
    TakeBack {
        /// Its number
        #[arg(value_name = "CANARY")]
        number: u64,
        /// Act as the owner of this key [default: the operator of `assay up`]
        #[arg(long, value_name = "PEM")]
        identity: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Save the log of the running network, or what was added since a file was saved
    Save {
        /// Where it goes; entries that it holds already are checked and kept
        file: PathBuf,
        /// Ask as the owner of this key [default: the operator of `assay up`, who controls the canister]
        #[arg(long, value_name = "PEM")]
        identity: Option<PathBuf>,
    },
    /// Read a saved log, offline: its chain, every step, every sum; and say what it comes to
    Verify {
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Amounts are cycles: digits, with _ between them where you like, and a T behind them for trillions."
)]
pub(crate) struct Money {
    /// Act as the owner of this key [default: the requester of `assay up`]
    #[arg(long, value_name = "PEM", global = true)]
    pub(crate) identity: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: MoneyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MoneyCommand {
    /// Show balance, stake, and what lies on the market's ledger
    #[command(visible_alias = "balance")]
    Holdings {
        /// Somebody else's
        #[arg(long, value_name = "PRINCIPAL")]
        of: Option<Principal>,
    },
    /// Move cycles from your account on the market's ledger into your balance: approves, then deposits
    Deposit {
        /// What shall arrive; the ledger takes its fee for each of the two steps on top
        #[arg(value_name = "CYCLES", value_parser = cycles)]
        amount: Cycles,
        /// Which of your accounts: 32 bytes in hexadecimal [default: the first]
        #[arg(long, value_name = "HEX", value_parser = subaccount)]
        subaccount: Option<ByteBuf>,
    },
    /// Move cycles out of your balance, to an account on the market's ledger or to a canister
    Withdraw {
        /// What shall arrive; to the ledger its fee comes on top
        #[arg(value_name = "CYCLES", value_parser = cycles)]
        amount: Cycles,
        /// To this owner's account on the ledger [default: your own]
        #[arg(long, value_name = "PRINCIPAL", conflicts_with = "canister")]
        to: Option<Principal>,
        /// Which of the owner's accounts: 32 bytes in hexadecimal [default: the first]
        #[arg(long, value_name = "HEX", value_parser = subaccount, conflicts_with = "canister")]
        subaccount: Option<ByteBuf>,
        /// As cycles of this canister, without a fee
        #[arg(long, value_name = "CANISTER")]
        canister: Option<Principal>,
    },
    /// Give a part of your balance to another account of this market
    Give {
        /// How much
        #[arg(value_name = "CYCLES", value_parser = cycles)]
        amount: Cycles,
        /// Whose it becomes
        #[arg(long, value_name = "PRINCIPAL")]
        to: Principal,
    },
    /// List deposits from the ledger and withdrawals, newest first
    Transfers {
        /// Somebody else's
        #[arg(long, value_name = "PRINCIPAL", conflicts_with = "all")]
        of: Option<Principal>,
        /// Everybody's
        #[arg(long)]
        all: bool,
        /// Only those without an end
        #[arg(long)]
        open: bool,
        /// Only those older than this one
        #[arg(long, value_name = "TRANSFER")]
        before: Option<u64>,
        /// List at most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::PAGE_MAX)))]
        limit: u32,
    },
    /// Put a part of your balance behind your workers
    Stake {
        /// How much
        #[arg(value_name = "CYCLES", value_parser = cycles)]
        amount: Cycles,
    },
    /// Begin to take stake out that stands behind no lease; it may be released seven days later
    Unstake {
        /// How much
        #[arg(value_name = "CYCLES", value_parser = cycles)]
        amount: Cycles,
    },
    /// Take stake that has waited seven days into your balance
    Release,
    /// Give a part of your balance to the pool that pays for people without money
    FundSponsor {
        /// How much
        #[arg(value_name = "CYCLES", value_parser = cycles)]
        amount: Cycles,
    },
    /// Give a part of your balance to the treasury, which pays for audits
    FundTreasury {
        /// How much
        #[arg(value_name = "CYCLES", value_parser = cycles)]
        amount: Cycles,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Engine {
    /// Generate an answer on this machine
    Generate(Generate),
    /// Compute the known answers with every kind of kernels that this machine can run
    Kat,
    /// Measure prefill, decode and checking, with every kind of kernels
    Bench(Bench),
    /// How well a text is predicted, by the converted model and by its source in plain floating point
    Perplexity(Perplexity),
    /// Run tokens and show what the trace commits to
    Trace(Trace),
    /// Convert a published checkpoint into a model file; prints its root
    Convert {
        /// The checkpoint: a GGUF file, or a folder as Hugging Face publishes them
        source: PathBuf,
        /// Where to write the model file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check a model file and show what it says about itself
    Inspect {
        /// The model file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Converted model file
    #[arg(long, env = "ASSAY_MODEL", value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// The question
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: String,
    /// Threads; the answer is the same for every number [default: processor cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Print JSON: the text, its tokens and the roots
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) question: Question,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Converted model file
    #[arg(long, env = "ASSAY_MODEL", value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) prompt: u32,
    /// Tokens after it, and of the answer that is checked
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) output: u32,
    /// Threads [default: one, then all processor cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Perplexity {
    /// Converted model file
    #[arg(long, env = "ASSAY_MODEL", value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// The checkpoint that it was converted from
    #[arg(long, value_name = "FILE")]
    pub(crate) source: Option<PathBuf>,
    /// The text
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Tokens of a window; each begins without memory of the one before
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(crate) window: u32,
    /// Most windows to take from the beginning of the text
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) windows: u32,
    /// Threads [default: processor cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Converted model file
    #[arg(long, env = "ASSAY_MODEL", value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// A text, taken as it is, without a chat template
    #[arg(long, value_name = "TEXT", required_unless_present = "tokens")]
    pub(crate) text: Option<String>,
    /// Token ids instead of a text
    #[arg(
        long,
        value_name = "ID",
        value_delimiter = ',',
        conflicts_with = "text"
    )]
    pub(crate) tokens: Option<Vec<u32>>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Threads; the trace is the same for every number [default: processor cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// Markets, each from a seed of its own
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) seeds: u64,
    /// Steps of the jobs canister in each market before it is left in peace
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) steps: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=u64::MAX / 2))]
    pub(crate) first: u64,
    /// Steps between two checks of the whole state; what is found is looked for again after each step
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) check_every: u64,
    /// Markets at a time; the report is the same for every number [default: processor cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Keep in this file what the seeds gave, and go on where it ends
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Also measure how often colluding providers get a wrong answer verified, and draw it into this file as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Jobs of each point in the drawing, at least
    #[arg(long, value_name = "N", default_value_t = 2_000, requires = "plot", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) jobs: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// What `assay-worker` takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<std::ffi::OsString>,
}

/// Cycles as they are written here: `1_000_000`, `3T`.
fn cycles(text: &str) -> Result<Cycles, String> {
    const TRILLION: u128 = 1_000_000_000_000;
    let (digits, unit) = match text.strip_suffix('T') {
        Some(digits) => (digits, TRILLION),
        None => (text, 1),
    };
    let digits = digits.replace('_', "");
    let number = Some(digits)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u128>().ok());
    number
        .and_then(|number| number.checked_mul(unit))
        .map(Cycles)
        .ok_or_else(|| "say cycles as 1500000, 1_500_000 or 3T".to_owned())
}

/// Which of an owner's accounts on a ledger.
fn subaccount(text: &str) -> Result<ByteBuf, String> {
    let bytes = hex::decode(text).map_err(|_| "not hexadecimal".to_owned())?;
    if bytes.len() != limits::SUBACCOUNT_BYTES {
        return Err(format!(
            "{} bytes, exactly {} are needed",
            bytes.len(),
            limits::SUBACCOUNT_BYTES
        ));
    }
    Ok(ByteBuf::from(bytes))
}

/// `single`, `checked`, `checked:N`, `equality:N` or `threshold:MIN/N`.
fn assurance(text: &str) -> Result<assay_protocol::request::Assurance, String> {
    use assay_protocol::request::Assurance;
    let number = |count: &str| {
        count
            .parse::<u8>()
            .map_err(|_| format!("{count:?} is not a small number"))
    };
    match text.split_once(':').unwrap_or((text, "")) {
        ("single", "") if !text.contains(':') => Ok(Assurance::Single),
        ("checked", "") if !text.contains(':') => Ok(Assurance::Checked { checkers: 1 }),
        ("checked", count) => Ok(Assurance::Checked {
            checkers: number(count)?,
        }),
        ("equality", total) if !total.is_empty() => Ok(Assurance::Equality {
            total: number(total)?,
        }),
        ("threshold", counts) if counts.contains('/') => {
            let (min, total) = counts.split_once('/').unwrap_or((counts, ""));
            Ok(Assurance::Threshold {
                total: number(total)?,
                min: number(min)?,
            })
        }
        _ => Err("say single, checked, checked:N, equality:N or threshold:MIN/N".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use assay_protocol::request::Assurance;
    use clap::CommandFactory as _;
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_its_help_names_the_exit_codes() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for code in [
            exit::OK,
            exit::FAILED,
            exit::USAGE,
            exit::NOT_VERIFIED,
            exit::UNREACHABLE,
            exit::NOT_PROVEN,
            exit::MISSING,
            exit::PORT_IN_USE,
            exit::REFUSED,
            exit::INTERRUPTED,
        ] {
            assert!(help.contains(&format!("\n  {code} ")), "{help}");
        }
        for command in [
            "demo", "up", "chat", "job", "receipt", "money", "status", "engine", "simulate",
        ] {
            assert!(help.contains(&format!("\n  {command} ")), "{help}");
        }
    }

    #[test]
    fn assurances_are_read_and_nonsense_is_refused() {
        assert_eq!(assurance("single"), Ok(Assurance::Single));
        assert_eq!(assurance("checked"), Ok(Assurance::Checked { checkers: 1 }));
        assert_eq!(
            assurance("checked:2"),
            Ok(Assurance::Checked { checkers: 2 })
        );
        assert_eq!(
            assurance("equality:3"),
            Ok(Assurance::Equality { total: 3 })
        );
        assert_eq!(
            assurance("threshold:2/3"),
            Ok(Assurance::Threshold { total: 3, min: 2 })
        );
        for nonsense in [
            "",
            "equality",
            "single:1",
            "checked:",
            "checked:x",
            "checked:256",
            "threshold",
            "threshold:3",
            "threshold:/3",
            "threshold:2/",
            "sure",
        ] {
            assert!(assurance(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn amounts_are_read_as_they_are_shown() {
        assert_eq!(cycles("0"), Ok(Cycles(0)));
        assert_eq!(cycles("1_500_000"), Ok(Cycles(1_500_000)));
        assert_eq!(cycles("3T"), Ok(Cycles(3_000_000_000_000)));
        assert_eq!(cycles(&Cycles(1 << 70).to_string()), Ok(Cycles(1 << 70)));
        for nonsense in ["", "T", "_", "-1", "+1", "1.5T", "1 000", "3t", "0x10"] {
            assert!(cycles(nonsense).is_err(), "{nonsense}");
        }
        assert!(cycles(&format!("{}T", u128::MAX)).is_err(), "too many");
    }

    #[test]
    fn subaccounts_have_32_bytes() {
        assert_eq!(subaccount(&"0f".repeat(32)), Ok(ByteBuf::from([15; 32])));
        for wrong in ["", "0", "zz", &"00".repeat(31), &"00".repeat(33)] {
            assert!(subaccount(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_withdrawal_has_one_destination() {
        let parse = |more: &[&str]| {
            let line = ["assay", "money", "withdraw", "1T"];
            Cli::try_parse_from(line.iter().chain(more))
        };
        let (canister, owner) = ("rrkah-fqaaa-aaaaa-aaaaq-cai", "2vxsx-fae");
        assert!(parse(&[]).is_ok() && parse(&["--to", owner]).is_ok());
        assert!(parse(&["--canister", canister, "--json"]).is_ok());
        assert!(parse(&["--canister", canister, "--to", owner]).is_err());
        let account = "00".repeat(32);
        assert!(parse(&["--canister", canister, "--subaccount", &account]).is_err());
    }

    #[test]
    fn zero_and_huge_token_counts_are_refused_by_name() {
        let parse = |count: &str| {
            Cli::try_parse_from(["assay", "chat", "hi", &format!("--max-tokens={count}")])
        };
        assert!(parse("1").is_ok() && parse("4096").is_ok());
        for wrong in ["0", "4097", "-1", "many"] {
            assert!(
                parse(wrong)
                    .unwrap_err()
                    .to_string()
                    .contains("--max-tokens"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn help_is_as_published() {
        let mut command = Cli::command();
        let mut text = command.render_long_help().to_string();
        for name in command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .map(|sub| sub.get_name().to_owned())
            .collect::<Vec<_>>()
        {
            let sub = command
                .find_subcommand_mut(&name)
                .expect("a command just listed");
            // The environment of whoever runs the tests is not part of the help.
            text.push_str(&format!(
                "\n# {name}\n\n{}",
                sub.clone()
                    .mut_args(|arg| arg.hide_env_values(true))
                    .render_long_help()
            ));
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        expect_file!["../help.txt"].assert_eq(&(lines.join("\n") + "\n"));
    }
}
