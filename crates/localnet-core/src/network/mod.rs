//! The network: every canister, every message and the clock, in one value.
//!
//! Single-threaded and deterministic: the same configuration and the same calls in the same order give the same
//! state, to the byte. It knows no sockets, signatures or certificates; who sent a message was settled before.

pub mod access;
mod audit;
mod charges;
mod days;
mod history;
mod homes;
mod input;
mod subnets;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use candid::Principal;
use serde::{Deserialize, Serialize};

pub use audit::CyclesTotals;
pub(crate) use days::Days;
pub(crate) use history::History;
pub use history::RequestRecord;
pub(crate) use homes::Home;
pub use homes::SubnetMetrics;
pub use input::{Input, InputError, Queried, Seal};

use crate::{
    canister::{Canister, CanisterId, LogLine, Origin, Request},
    exec::Executor,
    mgmt,
    system::{self, System, SystemPlan},
    topology::{Subnet, Topology},
    types::{ErrorCode, Ingress, Query, Reject, RequestId, Time},
    wasm::Compiler,
};

/// What a network is made from.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Source of every random byte that canisters see.
    pub seed: [u8; 32],
    /// The clock at the first round.
    pub start: Time,
    /// The subnets.
    pub topology: Arc<Topology>,
    /// The system canisters; each needs a subnet that hosts its id.
    pub system: SystemPlan,
    /// A folder for compiled modules, private to this user; `None` keeps them in memory only.
    pub module_cache: Option<PathBuf>,
}

/// What one round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundOutcome {
    /// Whether there is work that another round can do now.
    pub more: bool,
}

/// Whether a canister takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// It takes messages.
    Running,
    /// It finishes what is open, and takes nothing new.
    Stopping,
    /// It does nothing.
    Stopped,
}

/// A canister as the state tree shows it.
#[derive(Clone, Copy, Debug)]
pub struct CanisterView<'a> {
    /// Its id.
    pub id: Principal,
    /// The subnet that it lives on.
    pub subnet: Principal,
    /// SHA-256 of the installed module as it was sent.
    pub module_hash: Option<[u8; 32]>,
    /// Who controls it, sorted.
    pub controllers: &'a [Principal],
    /// At most 32 bytes.
    pub certified_data: &'a [u8],
    /// Custom sections named `icp:public …` and `icp:private …`.
    pub metadata: &'a [MetadataSection],
    /// Whether it takes messages.
    pub state: RunState,
    /// When it was created.
    pub created: Time,
    /// When its module was last installed or upgraded.
    pub installed: Option<Time>,
}

/// A custom section that a module shows to the world or to its controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataSection {
    /// The name after `icp:public ` or `icp:private `.
    pub name: String,
    /// Whether everybody may read it.
    pub public: bool,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// All canisters, their messages and the clock.
pub struct Network {
    pub(crate) seed: [u8; 32],
    pub(crate) time: Time,
    pub(crate) round: u64,
    pub(crate) topology: Arc<Topology>,
    /// One per subnet, in the topology's order.
    pub(crate) homes: Vec<Home>,
    pub(crate) canisters: BTreeMap<CanisterId, Canister>,
    pub(crate) history: History,
    /// Calls to the management canister.
    pub(crate) management: VecDeque<Request>,
    /// Who waits for random bytes, since which round, and with which cycles.
    pub(crate) random: VecDeque<(u64, Origin, u128)>,
    /// Requests that wait for the world's answer.
    pub(crate) outcalls: mgmt::Outcalls,
    /// How many rounds there were by which day.
    pub(crate) days: Days,
    /// When bounded-wait calls end: their callers' callbacks.
    pub(crate) deadlines: BTreeSet<(Time, CanisterId, u64)>,
    /// Canisters with something in their inbox.
    pub(crate) ready: BTreeSet<CanisterId>,
    /// The canister that executed the last message.
    pub(crate) turn: Option<CanisterId>,
    pub(crate) totals: Spending,
    /// Canisters that have counted queries since a journal asked for it.
    pub(crate) queried: BTreeSet<CanisterId>,
    /// The states of the system canisters; none while one of them executes.
    pub(crate) system: Option<Box<System>>,
    pub(crate) compiler: Compiler,
    pub(crate) executor: Executor,
}

/// Cycles that came into being and that are gone.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Spending {
    pub(crate) minted: u128,
    pub(crate) spent: u128,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("time", &self.time)
            .field("round", &self.round)
            .field("canisters", &self.canisters.len())
            .field("requests", &self.history.iter().len())
            .finish_non_exhaustive()
    }
}

impl Network {
    /// An empty network. Threads that run it need 2 MiB of stack.
    pub fn new(config: NetworkConfig) -> Self {
        let compiler = Compiler::new(config.module_cache.clone());
        Self::assemble(config, compiler)
    }

    /// An empty network with this compiler.
    pub(crate) fn assemble(config: NetworkConfig, compiler: Compiler) -> Self {
        let NetworkConfig {
            seed,
            start,
            topology,
            system,
            module_cache: _,
        } = config;
        let executor = Executor::new(&compiler);
        let mut network = Self {
            seed,
            time: start,
            round: 0,
            homes: Home::all(&topology),
            topology,
            canisters: BTreeMap::new(),
            history: History::default(),
            management: VecDeque::new(),
            random: VecDeque::new(),
            outcalls: mgmt::Outcalls::default(),
            days: Days::default(),
            deadlines: BTreeSet::new(),
            ready: BTreeSet::new(),
            turn: None,
            totals: Spending::default(),
            queried: BTreeSet::new(),
            system: None,
            compiler,
            executor,
        };
        network.install_system(&system);
        network
    }

    /// The subnets.
    pub const fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The subnet that hosts this canister id, whether or not there is such a canister.
    pub fn subnet_of(&self, canister: &Principal) -> Option<&Subnet> {
        self.topology.subnet_of(canister)
    }

    /// The clock.
    pub fn time(&self) -> Time {
        self.time
    }

    /// Moves the clock; a time in the past is ignored.
    pub fn set_time(&mut self, time: Time) {
        self.time = self.time.max(time);
    }

    /// Whether this message may be submitted: its callee exists, runs, has a module, can pay for it, and accepts it;
    /// or, for the management canister, the sender may call the method.
    pub fn check_ingress(&mut self, message: &Ingress) -> Result<(), Reject> {
        let max = self.ingress_bytes_max(&message.effective_canister);
        if message.arg.len() > max {
            return Err(Reject::of(
                ErrorCode::CanisterRejectedMessage,
                format!(
                    "argument has {} bytes, at most {max} are allowed",
                    message.arg.len()
                ),
            ));
        }
        if message.canister == Principal::management_canister() {
            mgmt::check_ingress(self, message)?;
            return self.check_ingress_fee(message);
        }
        self.inspect(message)
    }

    /// Takes a message in, after [`Self::check_ingress`]. A request id that is known already changes nothing.
    pub fn submit(&mut self, message: Ingress) -> Result<(), Reject> {
        if self.history.get(&message.id).is_some() {
            return Ok(());
        }
        self.check_ingress(&message)?;
        self.history.check_room()?;
        // A canister's messages are where it is, whatever they were addressed to.
        let at = match self.canisters.get(&message.canister) {
            Some(canister) => canister.home.index,
            None => self.effective_subnet(&message.effective_canister),
        };
        self.charge_ingress(&message);
        self.history.receive(&message, self.homes[at].facts.id);
        let Ingress {
            id,
            sender,
            canister,
            effective_canister: _,
            method,
            arg,
            info,
            expiry: _,
            bytes: _,
        } = message;
        let origin = Origin::Ingress { id, info };
        self.deliver(
            canister,
            Request {
                origin,
                caller: sender,
                method,
                arg,
                cycles: 0,
            },
        );
        Ok(())
    }

    /// What became of a message.
    pub fn status(&self, request: &RequestId) -> Option<&RequestRecord> {
        self.history.get(request)
    }

    /// Every message that is still remembered, by request id.
    pub fn statuses(&self) -> impl Iterator<Item = (&RequestId, &RequestRecord)> {
        self.history.iter()
    }

    /// How many changes of messages there were so far; see [`Self::requests_changed_since`].
    pub fn request_changes(&self) -> u64 {
        self.history.change_count()
    }

    /// The messages of which something changed after so many changes, forgotten ones included; `None` where that was
    /// too long ago to tell.
    pub fn requests_changed_since(&self, count: u64) -> Option<BTreeSet<RequestId>> {
        self.history.changed_since(count)
    }

    /// Whether a query to this canister needs a certificate over its certified data: only those whose code asks for one
    /// can tell, and making one takes longer than most queries.
    pub fn sees_certificate(&self, canister: &Principal) -> bool {
        let code = self
            .canisters
            .get(canister)
            .and_then(|canister| canister.code.as_ref());
        self.is_native(canister) || code.is_some_and(|code| code.module.info.sees_certificate)
    }

    /// Answers a query from the present state; nothing that it does is kept.
    pub fn query(
        &mut self,
        query: &Query,
        data_certificate: Option<&[u8]>,
    ) -> Result<Vec<u8>, Reject> {
        if query.canister == Principal::management_canister() {
            return mgmt::query(self, query);
        }
        self.answer_query(query, data_certificate)
    }

    /// Executes a bounded number of messages, after what is due: timers, heartbeats and deadlines. The clock moves by
    /// one nanosecond.
    pub fn round(&mut self) -> RoundOutcome {
        self.run_round()
    }

    /// The earliest time at which a round has something to do, where no message waits. With a heartbeat that is now.
    pub fn next_timer(&self) -> Option<Time> {
        self.next_task()
    }

    /// Every canister, by id.
    pub fn canisters(&self) -> impl Iterator<Item = CanisterView<'_>> {
        self.canisters.values().map(|canister| self.view(canister))
    }

    /// One canister.
    pub fn canister(&self, id: &Principal) -> Option<CanisterView<'_>> {
        self.canisters.get(id).map(|canister| self.view(canister))
    }

    /// A canister's cycles.
    pub fn balance(&self, id: &Principal) -> Option<u128> {
        self.canisters.get(id).map(|canister| canister.balance)
    }

    /// What a canister has printed, as far as it is kept, oldest first.
    pub fn log(&self, id: &Principal) -> impl Iterator<Item = &LogLine> {
        self.canisters
            .get(id)
            .into_iter()
            .flat_map(|canister| canister.log.lines())
    }

    /// Cycles that are gone.
    pub(crate) fn spend(&mut self, cycles: u128) {
        self.totals.spent += cycles;
    }

    fn view<'a>(&self, canister: &'a Canister) -> CanisterView<'a> {
        let module = canister.code.as_ref().map(|code| &code.module);
        CanisterView {
            id: canister.id,
            subnet: canister.home.id,
            module_hash: module.map(|module| module.hash),
            controllers: &canister.settings.controllers,
            certified_data: &canister.certified_data,
            metadata: match module {
                Some(module) => &module.info.metadata,
                None if self.is_native(&canister.id) => system::metadata(&canister.id),
                None => &[],
            },
            state: canister.state,
            created: canister.created,
            installed: canister.installed,
        }
    }
}

/// The number of a canister id, if it is one of the usual form.
pub fn canister_number(id: &Principal) -> Option<u64> {
    match id.as_slice().split_at_checked(8)? {
        (number, [1, 1]) => Some(u64::from_be_bytes(number.try_into().ok()?)),
        _ => None,
    }
}
