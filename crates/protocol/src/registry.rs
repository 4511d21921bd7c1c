//! Providers, workers and models, as the registry canister keeps and serves them.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::{Hash32, Hasher, ModelId, Timestamp};

/// The canonical semantics of this release: the contract that makes two machines comparable.
pub const SPEC_CIS_1: &str = "CIS-1";

/// The semantics of servers that compute in floats, each kind in its own order: nobody can run an answer again elsewhere, so answers
/// are compared as a whole, and only with those of the same deployment (see [`ModelManifest::is_class_bound`]).
pub const SPEC_CLASS_1: &str = "CLASS-1";

/// More than all fields of fixed size of one record (or of one model file) take in Candid.
const FIXED_BYTES: usize = 128;

/// What fixes a model's bytes: everything a machine needs to give the canonical answer.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ModelManifest {
    /// What requesters call it; first come, first served.
    pub name: String,
    /// Family of the network, for example `llama`.
    pub architecture: String,
    /// The semantics by which it runs, for example [`SPEC_CIS_1`].
    pub semantics: String,
    /// The files a worker needs.
    pub files: Vec<ModelFile>,
    /// Root over the converted weights and their manifest; for [`SPEC_CLASS_1`], over what describes the deployment.
    pub model_root: Hash32,
    /// SHA-256 of the tokenizer.
    pub tokenizer_sha256: Hash32,
    /// SHA-256 of the chat template.
    pub template_sha256: Hash32,
    /// Input and output tokens together, at most.
    pub context_max: u32,
    /// SPDX expression.
    pub license: String,
    /// Share of every payout that goes to whoever registered the model, in basis points.
    pub royalty_bps: u16,
    /// Whether answers can be run again on any machine, to the bit.
    pub verifiable: bool,
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ModelFile {
    /// File name, without a folder.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// Hash of the content.
    pub sha256: Hash32,
    /// Where it may be fetched; the hash decides, not the place.
    pub urls: Vec<String>,
}

/// The architectures that make vectors of texts.
const ENCODERS: [&str; 1] = ["bert"];

impl ModelManifest {
    /// Whether it makes vectors of texts, and no texts.
    pub fn is_encoder(&self) -> bool {
        ENCODERS.contains(&self.architecture.as_str())
    }

    /// Whether answers can be compared with each other though nobody can run them again.
    pub fn is_class_bound(&self) -> bool {
        is_class_bound(&self.semantics, self.verifiable)
    }

    /// The version id: a hash of every field.
    pub fn id(&self) -> ModelId {
        // Destructured so that a new field cannot be forgotten.
        let Self {
            name,
            architecture,
            semantics,
            files,
            model_root,
            tokenizer_sha256,
            template_sha256,
            context_max,
            license,
            royalty_bps,
            verifiable,
        } = self;
        let mut hasher = Hasher::new("assay-model-manifest-1")
            .bytes(name.as_bytes())
            .bytes(architecture.as_bytes())
            .bytes(semantics.as_bytes())
            .hash(model_root)
            .hash(tokenizer_sha256)
            .hash(template_sha256)
            .u64(u64::from(*context_max))
            .bytes(license.as_bytes())
            .u64(u64::from(*royalty_bps))
            .u64(u64::from(*verifiable))
            .u64(files.len() as u64);
        for ModelFile {
            name,
            bytes,
            sha256,
            urls,
        } in files
        {
            hasher = hasher
                .bytes(name.as_bytes())
                .u64(*bytes)
                .hash(sha256)
                .u64(urls.len() as u64);
            for url in urls {
                hasher = hasher.bytes(url.as_bytes());
            }
        }
        ModelId(hasher.finish())
    }

    /// The determinism class: answers are compared only inside one class.
    pub fn class(&self) -> Hash32 {
        Hasher::new("assay-class-1")
            .hash(&self.id().0)
            .bytes(self.semantics.as_bytes())
            .finish()
    }
}

/// Whether answers under these semantics can be compared with each other though nobody can run them again.
pub fn is_class_bound(semantics: &str, verifiable: bool) -> bool {
    !verifiable && semantics == SPEC_CLASS_1
}

impl ModelFile {
    fn size_bytes(&self) -> usize {
        let Self {
            name,
            bytes: _,
            sha256: _,
            urls,
        } = self;
        FIXED_BYTES + name.len() + urls.iter().map(|url| 4 + url.len()).sum::<usize>()
    }
}

/// A registered model version.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Model {
    /// Hash of the manifest.
    pub id: ModelId,
    /// What was registered; never changes.
    pub manifest: ModelManifest,
    /// Who registered it and earns its royalty.
    pub owner: Principal,
    /// When.
    pub registered_at: Timestamp,
    /// New jobs are refused; running ones go on.
    pub deprecated: bool,
}

impl Model {
    /// An upper bound of its size in Candid.
    pub fn size_bytes(&self) -> usize {
        let ModelManifest {
            name,
            architecture,
            semantics,
            files,
            license,
            ..
        } = &self.manifest;
        let texts = name.len() + architecture.len() + semantics.len() + license.len();
        3 * FIXED_BYTES + texts + files.iter().map(ModelFile::size_bytes).sum::<usize>()
    }
}

/// A node provider: the cold key that owns workers and is paid.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Provider {
    /// The owner's principal.
    pub id: Principal,
    /// Shown to people.
    pub name: String,
    /// How to reach the owner.
    pub contact: String,
    /// The account that payouts go to.
    pub payout: Principal,
    /// When it registered.
    pub registered_at: Timestamp,
}

impl Provider {
    /// An upper bound of its size in Candid.
    pub fn size_bytes(&self) -> usize {
        let Self {
            id: _,
            name,
            contact,
            payout: _,
            registered_at: _,
        } = self;
        FIXED_BYTES + name.len() + contact.len()
    }
}

/// What a provider registers or changes.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ProviderArgs {
    /// Shown to people.
    pub name: String,
    /// How to reach the owner.
    pub contact: String,
    /// The account that payouts go to; the caller's own when absent.
    pub payout: Option<Principal>,
}

/// A machine that takes leases: the hot key of one daemon.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Worker {
    /// The daemon's principal.
    pub operator: Principal,
    /// Who owns it.
    pub provider: Principal,
    /// What it runs on.
    pub hardware: Hardware,
    /// Engines it offers, for example `cpu`.
    pub backends: Vec<String>,
    /// Where it stands, in the owner's words.
    pub region: String,
    /// Leases it can hold at once, committed ones included.
    pub slots: u16,
    /// Whether it takes work.
    pub status: WorkerStatus,
    /// When it was added.
    pub added_at: Timestamp,
}

impl Worker {
    /// An upper bound of its size in Candid.
    pub fn size_bytes(&self) -> usize {
        let Self {
            operator: _,
            provider: _,
            hardware,
            backends,
            region,
            slots: _,
            status: _,
            added_at: _,
        } = self;
        let board = match &hardware.board {
            Board::Gpu { vendor, name } => vendor.len() + name.len(),
            _ => 0,
        };
        let backends = backends
            .iter()
            .map(|backend| 4 + backend.len())
            .sum::<usize>();
        2 * FIXED_BYTES + hardware.driver.len() + board + backends + region.len()
    }
}

/// What a provider adds.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct WorkerArgs {
    /// The daemon's principal.
    pub operator: Principal,
    /// What it runs on.
    pub hardware: Hardware,
    /// Engines it offers.
    pub backends: Vec<String>,
    /// Where it stands.
    pub region: String,
    /// Leases it can hold at once, committed ones included.
    pub slots: u16,
}

/// Whether a worker takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum WorkerStatus {
    /// Takes leases.
    Active,
    /// Finishes what it has.
    Draining,
    /// Gone for good.
    Retired,
}

/// A worker's machine.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Hardware {
    /// The board or processor.
    pub board: Board,
    /// How many of them.
    pub chips: u32,
    /// Memory the engine can use.
    pub memory_bytes: u64,
    /// Driver and firmware, as the machine reports them.
    pub driver: String,
    /// Measured decode speed, in thousandths of a token per second.
    pub tokens_per_second_milli: Option<u64>,
    /// Measured power draw.
    pub watts: Option<u32>,
}

/// Kinds of machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, CandidType, Serialize, Deserialize)]
pub enum Board {
    /// Tenstorrent Wormhole n150.
    WormholeN150,
    /// Tenstorrent Wormhole n300.
    WormholeN300,
    /// Tenstorrent T3000.
    WormholeT3000,
    /// Tenstorrent Galaxy.
    WormholeGalaxy,
    /// A processor without an accelerator.
    Cpu,
    /// A graphics processor.
    Gpu {
        /// Maker.
        vendor: String,
        /// Model.
        name: String,
    },
    /// A many-core RISC-V machine.
    RiscvManycore,
    /// A field-programmable gate array.
    Fpga,
    /// A web browser.
    Browser,
}

/// How fast a worker runs a model, as it measured itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Speed {
    /// Tokens read, several at once, in thousandths of a token per second.
    pub reads_milli: Option<u64>,
    /// Tokens generated one after the other, in thousandths of a token per second; none of an encoder.
    pub writes_milli: Option<u64>,
    /// Power that its boards drew at the end of the run.
    pub watts: Option<u32>,
}

/// What a worker reports of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct SpeedArgs {
    /// Which model it ran.
    pub model: ModelId,
    /// How fast.
    pub speed: Speed,
}

/// Boards as their maker describes them, and what workers measured on machines.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct HardwareCatalogue {
    /// What is published of boards.
    pub boards: Vec<BoardFacts>,
    /// What workers say of themselves; nobody else has measured it.
    pub measured: Vec<MeasuredSpeed>,
}

/// What the maker of a board publishes, or what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct BoardFacts {
    /// Which.
    pub board: Board,
    /// Its name for people.
    pub name: String,
    /// Chips on it.
    pub chips: u32,
    /// Tensix tiles that work, all chips together, where the maker says.
    pub tiles: Option<u32>,
    /// Memory of all chips.
    pub memory_bytes: u64,
    /// Bytes a second that all chips together read from it.
    pub bandwidth_bytes: u64,
    /// How it is connected.
    pub links: String,
    /// Power of the board, or of the boards in it, at most.
    pub watts: Option<u32>,
    /// Its price, where an official page names one.
    pub price: Option<String>,
    /// Whether the numbers are those of its parts, added up.
    pub derived: bool,
    /// Where the maker publishes them.
    pub source: String,
}

/// Machines of one kind, and how fast they run one model: the medians of what their workers report.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct MeasuredSpeed {
    /// The board or processor.
    pub board: Board,
    /// How many of them.
    pub chips: u32,
    /// Which model.
    pub model: ModelId,
    /// Workers that report it.
    pub workers: u32,
    /// As in [`Speed`].
    pub reads_milli: Option<u64>,
    /// As in [`Speed`].
    pub writes_milli: Option<u64>,
    /// As in [`Speed`].
    pub watts: Option<u32>,
}

/// One record of the registry's change feed, which jobs canisters read page by page.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Record {
    /// A provider as it is now.
    Provider(Provider),
    /// A worker as it is now.
    Worker(Worker),
    /// A model as it is now.
    Model(Model),
}

impl Record {
    /// An upper bound of its size in Candid, by which pages are cut to what a reply may hold.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Provider(provider) => provider.size_bytes(),
            Self::Worker(worker) => worker.size_bytes(),
            Self::Model(model) => model.size_bytes(),
        }
    }
}

/// A page of the change feed.
///
/// Every change gives its record a new place at the end of the feed, and the record leaves its old
/// place: the feed holds each record once, as it is now, and reading it to its end gives the whole
/// registry. A worker may come before its provider, when the provider has changed since.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Changes {
    /// Records in the order in which they changed.
    pub records: Vec<Record>,
    /// Where the next page begins.
    pub next: u64,
    /// Whether more pages follow.
    pub more: bool,
}

/// Which part of the change feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ChangesArgs {
    /// [`Changes::next`] of the page before; 0 at first.
    pub from: u64,
    /// Records at most; see [`crate::limits::PAGE_MAX`].
    pub limit: u32,
}

/// Which providers, in the order of their principals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ProvidersArgs {
    /// Only those after this one: the last of the page before.
    pub after: Option<Principal>,
    /// Records at most; see [`crate::limits::PAGE_MAX`].
    pub limit: u32,
}

/// Which workers, in the order of their operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct WorkersArgs {
    /// Only those of this provider.
    pub provider: Option<Principal>,
    /// Only those after this operator: the last of the page before.
    pub after: Option<Principal>,
    /// Records at most; see [`crate::limits::PAGE_MAX`].
    pub limit: u32,
}

/// Which models, in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ModelsArgs {
    /// Only those after this one: the last of the page before.
    pub after: Option<ModelId>,
    /// Records at most; see [`crate::limits::PAGE_MAX`].
    pub limit: u32,
}

/// Why the registry refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum RegistryError {
    /// The anonymous principal owns nothing.
    #[error("anonymous callers cannot register anything; sign the call with an identity")]
    Anonymous,
    /// Only those who control the registry may do this.
    #[error("{caller} does not control the registry; only its controllers list jobs canisters")]
    NotAController {
        /// Who called.
        caller: Principal,
    },
    /// The caller is not a provider.
    #[error("{caller} is not a provider; call register_provider first")]
    NotAProvider {
        /// Who called.
        caller: Principal,
    },
    /// The record belongs to somebody else.
    #[error("this record belongs to {owner}; only its owner may change it")]
    NotTheOwner {
        /// Whose it is.
        owner: Principal,
    },
    /// Registered already.
    #[error("provider {provider} is registered already; use update_provider to change it")]
    ProviderExists {
        /// Which.
        provider: Principal,
    },
    /// The operator key is in use.
    #[error(
        "operator {operator} already belongs to provider {provider}; give each daemon a key of its own"
    )]
    OperatorTaken {
        /// The key.
        operator: Principal,
        /// Whose it is.
        provider: Principal,
    },
    /// No such worker.
    #[error("no worker {operator}; add it with add_worker")]
    UnknownWorker {
        /// Which.
        operator: Principal,
    },
    /// The worker is gone for good.
    #[error("worker {operator} is retired for good; add another one with a key of its own")]
    Retired {
        /// Which.
        operator: Principal,
    },
    /// No such model.
    #[error("no model {model}; list them with models")]
    UnknownModel {
        /// Which.
        model: ModelId,
    },
    /// The name is in use.
    #[error("the model name {name} is taken by version {model}; register under another name")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose version holds it.
        model: ModelId,
    },
    /// A field is empty, too long or out of range.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A limit is reached.
    #[error("limit reached: {what}, at most {max}")]
    Full {
        /// Of what.
        what: String,
        /// How many there may be.
        max: u64,
    },
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
mod tests;
