//! The two canisters: the cores in memory, and the clock they see.

use assay_jobs_core::{
    config::Rules,
    testing::{Fixture, Market, MemoryMarket, model_owner, payout, provider, worker},
};
use assay_protocol::{
    Hash32, JobId, Moment, Timestamp, limits,
    registry::{ChangesArgs, ModelFile, ProviderArgs, Record, RegistryError, Worker, WorkerArgs},
    store::Table,
};
use assay_registry_core::{
    Registry,
    store::{Memory, Store},
};
use candid::Principal;

use crate::{
    message::{Call, Reply},
    schedule::Millis,
};

/// The registry and the market, which hears of the registry's records page by page.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) market: MemoryMarket,
    registry: Registry<Memory>,
    /// The models, and the workers that will be there.
    pub(crate) fixture: Fixture,
    start: Timestamp,
    /// By how much the canister's clock has jumped ahead.
    skew: Millis,
    /// For how long it has stood still, jumps included: the deadlines of all open jobs have moved on by that at least.
    still: Millis,
}

impl Host {
    /// Canisters that know the models and nobody yet.
    pub(crate) fn new(fee_bps: u16, rules: Rules, seed: u64) -> Result<Self, String> {
        let nobody = Fixture {
            records: Vec::new(),
            workers: Vec::new(),
        };
        let mut market = MemoryMarket::with_rules(&nobody, fee_bps, rules, seed);
        let start = market.now();
        let mut registry = Registry::new(Store::default());
        let mut fixture = nobody;
        for record in Fixture::new(0, 0, 1).records {
            let Record::Model(model) = record else {
                continue;
            };
            let mut manifest = model.manifest;
            manifest.files.push(ModelFile {
                name: "weights".into(),
                bytes: 1,
                sha256: Hash32::sha256(b"weights"),
                urls: Vec::new(),
            });
            let by = Moment {
                caller: model_owner(),
                now: start,
            };
            let model = registry
                .register_model(&by, manifest)
                .map_err(|error| format!("registering a model: {error:?}"))?;
            fixture.records.push(Record::Model(model));
        }
        Ok(Self {
            market,
            registry,
            fixture,
            start,
            skew: 0,
            still: 0,
        })
    }

    /// Registers a provider and its workers; gives their operators.
    pub(crate) fn join(
        &mut self,
        number: u8,
        workers: u8,
        slots: u16,
    ) -> Result<Vec<Principal>, RegistryError> {
        let at = self.moment(provider(number));
        self.registry
            .register_provider(&at, provider_args(number))?;
        let machine = Fixture::new(1, 1, slots).worker(worker(0)).clone();
        let mut operators = Vec::new();
        for _ in 0..workers {
            let Worker {
                hardware,
                backends,
                region,
                slots,
                ..
            } = machine.clone();
            let operator = worker(self.fixture.workers.len() as u8);
            self.registry.add_worker(
                &at,
                WorkerArgs {
                    operator,
                    hardware,
                    backends,
                    region,
                    slots,
                },
            )?;
            self.fixture.workers.push(operator);
            operators.push(operator);
        }
        Ok(operators)
    }

    /// Lets a provider's worker take nothing new.
    pub(crate) fn drain(&mut self, number: u8, operator: Principal) -> Result<(), RegistryError> {
        let at = self.moment(provider(number));
        self.registry.drain_worker(&at, operator).map(drop)
    }

    /// Moves a provider's payouts to another account.
    pub(crate) fn move_payout(&mut self, number: u8, to: Principal) -> Result<(), RegistryError> {
        let at = self.moment(provider(number));
        let args = ProviderArgs {
            payout: Some(to),
            ..provider_args(number)
        };
        self.registry.update_provider(&at, args).map(drop)
    }

    /// Lets the market read a page of the registry's feed; gives what it read, and whether there is more.
    pub(crate) fn sync(&mut self, limit: u32) -> (Vec<Record>, bool) {
        let page = self.registry.changes(&ChangesArgs {
            from: self.market.jobs.cursor(),
            limit,
        });
        let now = self.market.now();
        self.market.jobs.sync(now, &page.records, page.next);
        (page.records, page.more)
    }

    /// Moves the canister's clock to a time of the simulation.
    pub(crate) fn advance(&mut self, now: Millis) {
        let target = self.start.0 + (now + self.skew) * 1_000_000;
        let behind = target.saturating_sub(self.market.now().0);
        self.market.stand_still(behind);
    }

    /// The canister's clock jumps.
    pub(crate) fn jump(&mut self, by: Millis) {
        self.skew += by;
        self.stands_still(by);
    }

    /// The canister will execute nothing for so long.
    pub(crate) fn stands_still(&mut self, time: Millis) {
        if time > limits::STALL_SECONDS * 1_000 {
            self.still += time;
        }
    }

    /// For how long it has stood still, so that nobody could have acted.
    pub(crate) fn still(&self) -> Millis {
        self.still
    }

    fn moment(&self, caller: Principal) -> Moment {
        self.market.at(caller)
    }

    /// Executes a call.
    pub(crate) fn execute(&mut self, caller: Principal, call: &Call) -> Reply {
        let market = &mut self.market;
        match call {
            Call::SetOffers(offers) => Reply::Offered(market.set_offers(caller, offers)),
            Call::Ready(slots) => Reply::Announced(market.ready(caller, *slots)),
            Call::Work => Reply::Hint(market.work(caller)),
            Call::Claim(known) => Reply::Orders(market.claim(caller, known)),
            Call::Heartbeat(leases) => Reply::Beats(market.heartbeat(caller, leases)),
            Call::Progress(args) => {
                Reply::Step(args.lease, market.progress(caller, args).map(drop))
            }
            Call::Transcript(lease) => Reply::Transcript(*lease, market.transcript(caller, *lease)),
            Call::Commit(args) => Reply::Step(args.lease, market.commit(caller, args)),
            Call::Reveal(args) => Reply::Step(args.lease, market.reveal(caller, args)),
            Call::Abandon(lease) | Call::Meddle(lease) => {
                Reply::Step(*lease, market.abandon(caller, *lease, "going home"))
            }
            Call::Decline(lease) => {
                Reply::Step(*lease, market.decline(caller, *lease, "cannot be done"))
            }
            Call::Deposit(amount) => {
                market.deposit(caller, *amount);
                Reply::Deposited
            }
            Call::Stake(amount) => Reply::Holdings(market.stake(caller, *amount)),
            Call::Unstake(amount) => Reply::Holdings(market.unstake(caller, *amount)),
            Call::ReleaseStake => Reply::Holdings(market.release_stake(caller)),
            Call::FundTreasury(amount) => {
                let funded = market.fund_treasury(caller, *amount);
                Reply::Holdings(funded.map(|_| market.holdings(caller)))
            }
            Call::FundSponsor(amount) => {
                let funded = market.fund_sponsor(caller, *amount);
                Reply::Holdings(funded.map(|_| market.holdings(caller)))
            }
            Call::Quote(request) => Reply::Quote(market.quote(request)),
            Call::Submit {
                args,
                attached,
                malformed,
            } => {
                let caller = malformed.unwrap_or(caller);
                Reply::Submitted(market.submit(caller, args, *attached))
            }
            Call::Cancel(job) => Reply::Cancelled(market.cancel(caller, *job)),
        }
    }

    /// The job that a requester's key stands for.
    pub(crate) fn job_of(&self, from: Principal, key: &[u8]) -> Option<JobId> {
        let store = self.market.jobs.store();
        store.keys.get(&(from, key.to_vec())).map(|held| held.job)
    }
}

fn provider_args(number: u8) -> ProviderArgs {
    ProviderArgs {
        name: format!("provider {number}"),
        contact: String::new(),
        payout: Some(payout(number)),
    }
}
