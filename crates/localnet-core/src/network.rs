//! The network: every canister, every message and the clock, in one value.
//!
//! Single-threaded and deterministic: the same configuration and the same calls in the same order give the same
//! state, to the byte. It knows no sockets, signatures or certificates; who sent a message was settled before.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::PathBuf,
    sync::Arc,
};

use candid::Principal;
use sha2::{Digest as _, Sha256};

use crate::{
    canister::{Canister, CanisterId, Input, LogLine, Origin, Request},
    cycles,
    exec::Executor,
    limits, mgmt,
    sysapi::SubnetFacts,
    types::{ErrorCode, Ingress, IngressStatus, Query, Reject, RequestId, Time},
    wasm::Compiler,
};

/// What a network is made from.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Source of every random byte that canisters see.
    pub seed: [u8; 32],
    /// The clock at the first round.
    pub start: Time,
    /// Id of the first created canister, as the number in its first eight bytes.
    pub first_canister: u64,
    /// Id of the last canister that may be created.
    pub last_canister: u64,
    /// What canisters see as their subnet.
    pub subnet: Principal,
    /// What canisters see as the root key, DER.
    pub root_key: Vec<u8>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// An ingress message as the state tree shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Who sent it.
    pub sender: Principal,
    /// To whom.
    pub canister: Principal,
    /// What became of it.
    pub status: IngressStatus,
    pub(crate) expiry: Time,
    pub(crate) finished: Option<Time>,
}

/// Where all cycles are. `minted` always equals the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CyclesTotals {
    /// Made by the provisional methods.
    pub minted: u128,
    /// In balances.
    pub held: u128,
    /// On their way: with calls and answers, and set aside for callbacks.
    pub moving: u128,
    /// Charged and burned.
    pub spent: u128,
}

/// All canisters, their messages and the clock.
pub struct Network {
    pub(crate) seed: [u8; 32],
    pub(crate) time: Time,
    pub(crate) round: u64,
    pub(crate) subnet: Arc<SubnetFacts>,
    pub(crate) first_canister: u64,
    pub(crate) last_canister: u64,
    pub(crate) next_canister: u64,
    pub(crate) canisters: BTreeMap<CanisterId, Canister>,
    pub(crate) requests: BTreeMap<RequestId, RequestRecord>,
    /// Messages that are not answered yet.
    pub(crate) open_requests: usize,
    /// Answered messages, oldest answer first.
    pub(crate) finished: VecDeque<(Time, RequestId)>,
    /// Calls to the management canister.
    pub(crate) management: VecDeque<Request>,
    /// Who waits for random bytes, since which round, and with which cycles.
    pub(crate) random: VecDeque<(u64, Origin, u128)>,
    /// When bounded-wait calls end: their callers' callbacks.
    pub(crate) deadlines: BTreeSet<(Time, CanisterId, u64)>,
    /// Canisters with something in their inbox.
    pub(crate) ready: BTreeSet<CanisterId>,
    /// The canister that executed the last message.
    pub(crate) turn: Option<CanisterId>,
    pub(crate) totals: Spending,
    pub(crate) compiler: Compiler,
    pub(crate) executor: Executor,
}

/// Cycles that came into being and that are gone.
#[derive(Clone, Copy, Debug, Default)]
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
            .field("requests", &self.requests.len())
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
            first_canister,
            last_canister,
            subnet,
            root_key,
            module_cache: _,
        } = config;
        let executor = Executor::new(&compiler);
        Self {
            seed,
            time: start,
            round: 0,
            subnet: Arc::new(SubnetFacts {
                id: subnet,
                root_key,
            }),
            first_canister,
            last_canister,
            next_canister: first_canister,
            canisters: BTreeMap::new(),
            requests: BTreeMap::new(),
            open_requests: 0,
            finished: VecDeque::new(),
            management: VecDeque::new(),
            random: VecDeque::new(),
            deadlines: BTreeSet::new(),
            ready: BTreeSet::new(),
            turn: None,
            totals: Spending::default(),
            compiler,
            executor,
        }
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
        if message.arg.len() > limits::INGRESS_BYTES_MAX {
            return Err(Reject::of(
                ErrorCode::CanisterRejectedMessage,
                format!(
                    "argument has {} bytes, at most {} are allowed",
                    message.arg.len(),
                    limits::INGRESS_BYTES_MAX
                ),
            ));
        }
        if message.canister == Principal::management_canister() {
            return mgmt::check_ingress(self, message);
        }
        self.inspect(message)
    }

    /// Takes a message in, after [`Self::check_ingress`]. A request id that is known already changes nothing.
    pub fn submit(&mut self, message: Ingress) -> Result<(), Reject> {
        if self.requests.contains_key(&message.id) {
            return Ok(());
        }
        self.check_ingress(&message)?;
        if self.open_requests >= limits::INGRESS_OPEN_MAX {
            return Err(Reject::of(
                ErrorCode::IngressHistoryFull,
                format!(
                    "{} messages wait for an answer already; try again later",
                    limits::INGRESS_OPEN_MAX
                ),
            ));
        }
        let Ingress {
            id,
            sender,
            canister,
            effective_canister: _,
            method,
            arg,
            expiry,
        } = message;
        let fee = cycles::ingress(arg.len() as u64);
        if let Some(canister) = self.canisters.get_mut(&canister) {
            canister.balance -= fee;
            self.spend(fee);
        }
        let status = IngressStatus::Received;
        self.requests.insert(
            id,
            RequestRecord {
                sender,
                canister,
                status,
                expiry,
                finished: None,
            },
        );
        self.open_requests += 1;
        let origin = Origin::Ingress { id };
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
        self.requests.get(request)
    }

    /// Every message that is still remembered, by request id.
    pub fn statuses(&self) -> impl Iterator<Item = (&RequestId, &RequestRecord)> {
        self.requests.iter()
    }

    /// Answers a query from the present state; nothing that it does is kept.
    pub fn query(
        &mut self,
        query: &Query,
        data_certificate: Option<&[u8]>,
    ) -> Result<Vec<u8>, Reject> {
        if query.canister == Principal::management_canister() {
            return Err(Reject::of(
                ErrorCode::CanisterMethodNotFound,
                format!(
                    "Query method '{}' of the management canister is not available on this network yet",
                    query.method
                ),
            ));
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
        self.canisters.values().map(view)
    }

    /// One canister.
    pub fn canister(&self, id: &Principal) -> Option<CanisterView<'_>> {
        self.canisters.get(id).map(view)
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

    /// Where all cycles are.
    pub fn cycles(&self) -> CyclesTotals {
        let with_requests = |request: &Request| request.cycles;
        let mut totals = CyclesTotals {
            minted: self.totals.minted,
            spent: self.totals.spent,
            held: 0,
            moving: self.management.iter().map(with_requests).sum::<u128>()
                + self
                    .random
                    .iter()
                    .map(|(_, _, cycles)| cycles)
                    .sum::<u128>(),
        };
        for canister in self.canisters.values() {
            totals.held += canister.balance;
            totals.moving += canister
                .callbacks
                .values()
                .map(|callback| callback.prepaid)
                .sum::<u128>()
                + canister
                    .contexts
                    .values()
                    .map(|context| context.available)
                    .sum::<u128>()
                + canister
                    .stop_waiters
                    .iter()
                    .map(|waiter| waiter.cycles)
                    .sum::<u128>()
                + canister
                    .inbox
                    .iter()
                    .map(|input| match input {
                        Input::Task(_) => 0,
                        Input::Request(request) => request.cycles,
                        Input::Response(response) => response.refund,
                    })
                    .sum::<u128>();
        }
        totals
    }

    /// A hash of everything that canisters and users can ever notice: equal networks behave equally from here on.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut note = |what: &dyn fmt::Debug| {
            let text = format!("{what:?}");
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        note(&(
            self.time,
            self.round,
            self.next_canister,
            self.turn,
            self.totals.minted,
            self.totals.spent,
        ));
        note(&(
            &self.requests,
            &self.finished,
            &self.management,
            &self.random,
            &self.deadlines,
            &self.ready,
        ));
        for canister in self.canisters.values() {
            note(canister);
        }
        for canister in self.canisters.values() {
            if let Some(code) = &canister.code {
                code.heap.chunks().for_each(|chunk| hash.update(chunk));
            }
            for (index, page) in canister.stable.pages() {
                hash.update(index.to_le_bytes());
                hash.update(page);
            }
        }
        hash.finalize().into()
    }

    /// Cycles that are gone.
    pub(crate) fn spend(&mut self, cycles: u128) {
        self.totals.spent += cycles;
    }
}

fn view(canister: &Canister) -> CanisterView<'_> {
    let module = canister.code.as_ref().map(|code| &code.module);
    CanisterView {
        id: canister.id,
        module_hash: module.map(|module| module.hash),
        controllers: &canister.settings.controllers,
        certified_data: &canister.certified_data,
        metadata: module.map_or(&[], |module| &module.info.metadata),
        state: canister.state,
        created: canister.created,
        installed: canister.installed,
    }
}

/// The canister id with this number.
pub fn canister_id(number: u64) -> Principal {
    let mut bytes = [1; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Principal::from_slice(&bytes)
}

/// The number of a canister id, if it is one of the usual form.
pub fn canister_number(id: &Principal) -> Option<u64> {
    match id.as_slice().split_at_checked(8)? {
        (number, [1, 1]) => Some(u64::from_be_bytes(number.try_into().ok()?)),
        _ => None,
    }
}
