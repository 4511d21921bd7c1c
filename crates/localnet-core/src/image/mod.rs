//! Images: a network as bytes, and back.
//!
//! An image holds everything that canisters and users can ever notice, so a network that is made from one behaves as
//! the original would have. What is large — memories, modules, chunks — lies outside of it in [`Blobs`], each under
//! its SHA-256: pages that did not change between two images are kept once.
//!
//! Map of an image: `MAGIC`, then `FORMAT` as four bytes little-endian, then CBOR of `NetworkImage`, whose
//! fields have names. Whoever changes a field's meaning takes the next format.
//!
//! Not in an image: compiled modules (they are compiled again, or found in the module cache), warm instances, and
//! whatever follows from the seed, which is the topology with its keys.

mod canister;
mod memory;

use std::{
    borrow::Cow,
    collections::{BTreeSet, VecDeque},
    io,
    sync::Arc,
};

use candid::Principal;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use self::canister::CanisterImage;
use crate::{
    canister::{CanisterId, Origin, Request},
    mgmt::Outcalls,
    network::{Days, History, Network, NetworkConfig, Spending},
    system::{System, SystemPlan},
    topology::TopologyChange,
    types::Time,
    wasm::InvalidModule,
};

/// The first bytes of every image.
const MAGIC: &[u8] = b"assay-localnet image\n";

/// The way in which images are written.
const FORMAT: u32 = 1;

/// The name of a blob: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobId(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl BlobId {
    /// The name that these bytes have.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Debug for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Where the large parts of images are kept.
pub trait Blobs {
    /// Keeps bytes; gives their name. Bytes that are there already are kept once.
    ///
    /// # Errors
    /// Where they cannot be kept.
    fn put(&mut self, bytes: &[u8]) -> io::Result<BlobId>;

    /// The bytes with this name.
    ///
    /// # Errors
    /// Where they are not there, or are not what was put there.
    fn get(&mut self, id: BlobId) -> io::Result<Vec<u8>>;
}

/// Why an image does not become a network.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// Other bytes altogether.
    #[error("it is not an image of a network")]
    NoImage,
    /// Written by a program that writes them in another way.
    #[error("it is an image of format {found}, and this program reads format {FORMAT}")]
    Format {
        /// The format.
        found: u32,
    },
    /// The bytes are damaged.
    #[error("it cannot be read: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// It is of a network with other subnets.
    #[error("it is of a network with other subnets")]
    Topology,
    /// A blob is missing or damaged.
    #[error("a part of it cannot be read")]
    Blob(#[from] io::Error),
    /// A module that was installed cannot be compiled.
    #[error("the module of canister {canister} cannot be installed again: {reason}")]
    Module {
        /// Whose.
        canister: Principal,
        /// Why.
        reason: InvalidModule,
    },
}

/// What a subnet has counted.
#[derive(Debug, Serialize, Deserialize)]
struct HomeImage {
    id: Principal,
    next: u64,
    transactions: u64,
    spent: u128,
    instructions: u64,
    compiled: Vec<BlobId>,
}

/// Everything but the large parts.
#[derive(Debug, Serialize, Deserialize)]
struct NetworkImage<'a> {
    time: Time,
    round: u64,
    /// How the subnets have changed since the plan.
    changes: Cow<'a, [TopologyChange]>,
    homes: Vec<HomeImage>,
    canisters: Vec<CanisterImage<'a>>,
    history: Cow<'a, History>,
    management: Cow<'a, VecDeque<Request>>,
    random: Cow<'a, VecDeque<(u64, Origin, u128)>>,
    outcalls: Cow<'a, Outcalls>,
    days: Cow<'a, Days>,
    deadlines: Cow<'a, BTreeSet<(Time, CanisterId, u64)>>,
    ready: Cow<'a, BTreeSet<CanisterId>>,
    turn: Option<CanisterId>,
    totals: Spending,
    system: Option<Cow<'a, System>>,
}

impl Network {
    /// The network as bytes, which name the blobs that belong to them.
    ///
    /// # Errors
    /// Where a blob cannot be kept.
    pub fn image(&self, blobs: &mut dyn Blobs) -> io::Result<Vec<u8>> {
        // Every field is named here, so that a new one cannot be forgotten.
        let Self {
            seed: _,
            time,
            round,
            topology,
            homes,
            canisters,
            history,
            management,
            random,
            outcalls,
            days,
            deadlines,
            ready,
            turn,
            totals,
            // An image has the counts themselves.
            queried: _,
            system,
            compiler: _,
            executor: _,
        } = self;
        let image = NetworkImage {
            time: *time,
            round: *round,
            changes: Cow::Borrowed(topology.changes()),
            homes: homes
                .iter()
                .map(|home| HomeImage {
                    id: home.facts.id,
                    next: home.next,
                    transactions: home.transactions,
                    spent: home.spent,
                    instructions: home.instructions,
                    compiled: home.compiled.iter().copied().map(BlobId).collect(),
                })
                .collect(),
            canisters: canisters
                .values()
                .map(|canister| CanisterImage::of(canister, blobs))
                .collect::<io::Result<_>>()?,
            history: Cow::Borrowed(history),
            management: Cow::Borrowed(management),
            random: Cow::Borrowed(random),
            outcalls: Cow::Borrowed(outcalls),
            days: Cow::Borrowed(days),
            deadlines: Cow::Borrowed(deadlines),
            ready: Cow::Borrowed(ready),
            turn: *turn,
            totals: *totals,
            system: system.as_deref().map(Cow::Borrowed),
        };
        let mut bytes = [MAGIC, &FORMAT.to_le_bytes()].concat();
        ciborium::into_writer(&image, &mut bytes).map_err(io::Error::other)?;
        Ok(bytes)
    }

    /// The network that an image was taken of. Its clock and its system canisters are those of the image; the rest of
    /// `config` must be what the original was made from. Threads that do this need 2 MiB of stack.
    ///
    /// # Errors
    /// Where the image or one of its blobs cannot be read, or is of another network.
    pub fn restore(
        config: NetworkConfig,
        image: &[u8],
        blobs: &mut dyn Blobs,
    ) -> Result<Self, RestoreError> {
        let NetworkImage {
            time,
            round,
            changes,
            homes,
            canisters,
            history,
            management,
            random,
            outcalls,
            days,
            deadlines,
            ready,
            turn,
            totals,
            system,
        } = read(image)?;
        let mut topology = config.topology;
        for change in changes.iter() {
            let changed = topology.changed(*change);
            topology = Arc::new(changed.map_err(|_| RestoreError::Topology)?);
        }
        let mut network = Self::new(NetworkConfig {
            start: time,
            topology,
            system: SystemPlan::none(),
            ..config
        });
        if homes.len() != network.homes.len() {
            return Err(RestoreError::Topology);
        }
        for (home, image) in network.homes.iter_mut().zip(homes) {
            if home.facts.id != image.id {
                return Err(RestoreError::Topology);
            }
            home.next = image.next;
            home.transactions = image.transactions;
            home.spent = image.spent;
            home.instructions = image.instructions;
            home.compiled = image.compiled.into_iter().map(|hash| hash.0).collect();
        }
        network.round = round;
        for image in canisters {
            let canister = image.restore(&network.homes, &mut network.compiler, blobs)?;
            network.canisters.insert(canister.id, canister);
        }
        network.history = history.into_owned();
        network.management = management.into_owned();
        network.random = random.into_owned();
        network.outcalls = outcalls.into_owned();
        network.days = days.into_owned();
        network.deadlines = deadlines.into_owned();
        network.ready = ready.into_owned();
        network.turn = turn;
        network.totals = totals;
        network.system = system.map(|system| Box::new(system.into_owned()));
        Ok(network)
    }
}

fn read(image: &[u8]) -> Result<NetworkImage<'static>, RestoreError> {
    let rest = image.strip_prefix(MAGIC).ok_or(RestoreError::NoImage)?;
    let (format, rest) = rest.split_first_chunk().ok_or(RestoreError::NoImage)?;
    match u32::from_le_bytes(*format) {
        FORMAT => ciborium::from_reader(rest).map_err(|error| RestoreError::Damaged {
            reason: error.to_string(),
        }),
        found => Err(RestoreError::Format { found }),
    }
}

/// Shared values as images write them: each on its own.
pub(crate) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Arc<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<T>>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(Arc::new))
    }
}

/// Answers as images write them: replies as one string of bytes.
pub(crate) mod answer {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    use crate::types::Reject;

    pub(crate) fn serialize<S: Serializer>(
        answer: &Result<Vec<u8>, Reject>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        answer
            .as_ref()
            .map(|reply| Bytes::new(reply))
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Result<Vec<u8>, Reject>, D::Error> {
        let answer: Result<ByteBuf, Reject> = Deserialize::deserialize(deserializer)?;
        Ok(answer.map(ByteBuf::into_vec))
    }
}
