//! Why a command failed, and with which exit code.

use std::path::PathBuf;

use assay_engine::{forward::SessionError, run::RunError, tokenizer::TokenizerError};
use assay_localnet::StartError;
use assay_protocol::{
    TransferId,
    canary::CanaryError,
    events::EventsError,
    job::{ControlError, JobError, SubmitError},
    lease::WorkerError,
    money::{MoneyError, TransferState, TransferView},
    registry::RegistryError,
};
use assay_worker::{
    client::{CallError, Outcome},
    identity::IdentityError,
    model::{ModelFault, RunFault},
};

use crate::{exit, ledger::LedgerError, page::PageError, receipt, show::plain};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The network gave no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No network is known.
    #[error(
        "{path} is not there: no network runs; start one with `assay up` in another terminal, or set ASSAY_HOME to where one was started"
    )]
    NoNetwork {
        /// The file that tells where a network is.
        path: PathBuf,
    },
    /// The network did not start.
    #[error(transparent)]
    Start(StartError),
    /// The port is in use.
    #[error(
        "port {port} is in use; is `assay up` running already? Stop it, or choose another port with --port (0 takes a free one)"
    )]
    PortInUse {
        /// Which.
        port: u16,
    },
    /// A canister module is missing.
    #[error(
        "{path} is not there: no canister module; build them with `cargo xtask wasm`, and name their folder with --wasm-dir or ASSAY_WASM_DIR"
    )]
    NoModule {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// No folder of modules was named.
    #[error(
        "which canister modules? Build them with `cargo xtask wasm`, and name their folder with --wasm-dir or ASSAY_WASM_DIR"
    )]
    NoWasmDir,
    /// No model was named.
    #[error(
        "which model? Get one with `cargo xtask model` or `assay engine convert`, and name the file with --model or ASSAY_MODEL"
    )]
    NoModel,
    /// The model file cannot be used.
    #[error(transparent)]
    Model(#[from] ModelFault),
    /// A checkpoint cannot be converted.
    #[error(transparent)]
    Import(#[from] assay_engine::import::ImportError),
    /// The worker program is missing.
    #[error(
        "{path} is not there: no worker program; build it with `cargo build --package assay-worker`, or name it with --worker-bin or ASSAY_WORKER_BIN"
    )]
    NoWorkerProgram {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A worker process ended before it was told to.
    #[error("worker {name} ended by itself ({status}); the end of its log, {log}:\n{tail}")]
    WorkerEnded {
        /// Its provider's name.
        name: String,
        /// How.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A worker process does not take work.
    #[error("worker {name} was not ready after {seconds} s ({why}); its log is {log}")]
    WorkerNotReady {
        /// Its provider's name.
        name: String,
        /// How long was waited.
        seconds: u64,
        /// What the market says about it.
        why: String,
        /// Its log file.
        log: PathBuf,
    },
    /// The market refused a request.
    #[error("the market refused: {0}; nothing was charged")]
    Submit(SubmitError),
    /// The market refused to show a job.
    #[error("the market refused: {0}")]
    Job(JobError),
    /// The market refused what only its controllers may do.
    #[error("the market refused: {0}")]
    Control(ControlError),
    /// The registry refused.
    #[error("the registry refused: {0}")]
    Registry(RegistryError),
    /// The market refused something on behalf of a worker.
    #[error("the market refused: {0}")]
    Worker(WorkerError),
    /// The market moved no money.
    #[error("the market refused: {0}; nothing was moved")]
    Money(MoneyError),
    /// The ledger did not let the market take anything, or did not send it.
    #[error("the ledger refused: {0}; nothing was moved")]
    Ledger(LedgerError),
    /// A transfer came to nothing.
    #[error("transfer {id} failed: {why}; nothing was moved")]
    TransferFailed {
        /// Which.
        id: TransferId,
        /// Why, as the market says.
        why: String,
    },
    /// A transfer without an end.
    #[error("transfer {id} {state}; follow it with: assay money transfers --open")]
    TransferOpen {
        /// Which.
        id: TransferId,
        /// Where it stands.
        state: &'static str,
    },
    /// The purse did not pay.
    #[error("the purse did not pay: {0}")]
    Purse(String),
    /// The receipt does not prove what it says.
    #[error("the receipt is not proven: {0}")]
    Receipt(#[from] receipt::VerifyError),
    /// The receipt file cannot be read.
    #[error(transparent)]
    ReceiptFile(#[from] receipt::FileError),
    /// The answer of a receipt could not be made again, or came out otherwise.
    #[error(transparent)]
    Replay(#[from] receipt::ReplayError),
    /// What the market shows is not what its certified receipt says.
    #[error("{what} shown by the market differs from the certified receipt; do not trust it")]
    Contradicted {
        /// Which part.
        what: &'static str,
    },
    /// The job did not end in time.
    #[error("job {job} had not ended after {seconds} s; look at it with: assay job {job}")]
    NotEnded {
        /// Which.
        job: u64,
        /// How long was waited.
        seconds: u64,
    },
    /// A key could not be loaded or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The engine refused to run.
    #[error(transparent)]
    Run(#[from] RunFault),
    /// A file or folder could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file of this program's own is not what it wrote.
    #[error("{path}: {problem}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The engine refused the tokens.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A text could not be turned into tokens.
    #[error(transparent)]
    Tokens(#[from] TokenizerError),
    /// More text than is read.
    #[error("{path}: has {found} bytes, more than the limit of {max}; take a part of it")]
    TextTooLong {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// Not enough text to measure anything.
    #[error(
        "{path}: has {found} tokens, fewer than one window of {window}; take a longer text or a smaller --window"
    )]
    TextTooShort {
        /// The file.
        path: PathBuf,
        /// Its tokens.
        found: usize,
        /// Tokens of a window.
        window: usize,
    },
    /// There is no frontend canister to publish to.
    #[error(
        "the running network has no page; name a canister with --canister, or start it with: assay up --page DIR"
    )]
    NoPageCanister,
    /// The web app cannot be published.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The market did not do what was asked about canaries.
    #[error("the market refused: {0}; nothing changed")]
    Canary(CanaryError),
    /// The market did not show its log.
    #[error("the market refused: {0}")]
    Events(EventsError),
    /// A log is not what it should be.
    #[error("the log does not hold: {0}")]
    Log(String),
    /// A simulated market did not keep what it promises.
    #[error("a simulated market failed: {0}")]
    Simulation(#[from] assay_simulator::Failure),
    /// Colluding providers got more than their chance.
    #[error(transparent)]
    Captured(#[from] assay_simulator::capture::TooHigh),
    /// A command that cannot be carried out as given.
    #[error("{0}")]
    Usage(String),
    /// Ctrl-C while a job runs elsewhere.
    #[error("interrupted; a job that was submitted goes on without you, see: assay status")]
    StoppedListening,
    /// Ctrl-C.
    #[error("interrupted; everything that was started has been stopped")]
    Interrupted,
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Call(error) if error.is_unreachable() => exit::UNREACHABLE,
            Self::NoNetwork { .. } => exit::UNREACHABLE,
            Self::PortInUse { .. } => exit::PORT_IN_USE,
            Self::NoModule { .. }
            | Self::NoPageCanister
            | Self::NoWasmDir
            | Self::NoModel
            | Self::Model(_)
            | Self::NoWorkerProgram { .. } => exit::MISSING,
            Self::Page(PageError::NoPage { .. } | PageError::TooMany { .. }) => exit::MISSING,
            Self::Submit(_)
            | Self::Money(_)
            | Self::Ledger(_)
            | Self::Canary(_)
            | Self::Page(PageError::Refused(_)) => exit::REFUSED,
            Self::Receipt(_)
            | Self::ReceiptFile(_)
            | Self::Replay(_)
            | Self::Log(_)
            | Self::Contradicted { .. } => exit::NOT_PROVEN,
            Self::Usage(_) => exit::USAGE,
            Self::NotEnded { .. } => exit::NOT_VERIFIED,
            Self::Interrupted | Self::StoppedListening => exit::INTERRUPTED,
            Self::Call(_)
            | Self::Start(_)
            | Self::Import(_)
            | Self::WorkerEnded { .. }
            | Self::WorkerNotReady { .. }
            | Self::Job(_)
            | Self::Registry(_)
            | Self::Worker(_)
            | Self::Control(_)
            | Self::Events(_)
            | Self::Purse(_)
            | Self::TransferFailed { .. }
            | Self::TransferOpen { .. }
            | Self::Identity(_)
            | Self::Run(_)
            | Self::Session(_)
            | Self::Tokens(_)
            | Self::TextTooLong { .. }
            | Self::TextTooShort { .. }
            | Self::Simulation(_)
            | Self::Captured(_)
            | Self::Io { .. }
            | Self::Damaged { .. } => exit::FAILED,
        }
    }

    /// What is wrong with a transfer, unless it is done.
    pub(crate) fn of_transfer(transfer: &TransferView) -> Option<Self> {
        let id = transfer.id;
        match &transfer.state {
            TransferState::Done { .. } => None,
            TransferState::Failed(why) => Some(Self::TransferFailed {
                id,
                why: plain(why),
            }),
            TransferState::Pending => Some(Self::TransferOpen {
                id,
                state: "has no answer yet, and the market asks again by itself",
            }),
            TransferState::Quarantined => Some(Self::TransferOpen {
                id,
                state: "has no certain answer, and a controller of the market decides",
            }),
        }
    }

    /// A file operation that failed.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, error }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(error.into())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::PortInUse { port, .. } => Self::PortInUse { port },
            other => Self::Start(other),
        }
    }
}

/// A call that the canister refused becomes the failure of its kind, one without an answer that of a call.
macro_rules! refusals {
    ($($error:ident => $failure:ident),* $(,)?) => {
        $(impl From<Outcome<$error>> for Failure {
            fn from(outcome: Outcome<$error>) -> Self {
                match outcome {
                    Outcome::Call(error) => Self::Call(error),
                    Outcome::Refused(refusal) => Self::$failure(refusal),
                }
            }
        })*
    };
}

refusals! {
    SubmitError => Submit,
    JobError => Job,
    CanaryError => Canary,
    EventsError => Events,
    MoneyError => Money,
    RegistryError => Registry,
    WorkerError => Worker,
}
