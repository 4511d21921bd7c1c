//! A bench for scripts: people take steps one after another, every invariant is checked after each,
//! and what was refused and how the jobs ended is told in words.
//!
//! A script is steps separated by `;`:
//! - `submit KIND [key=K] [from=N] [cap=N] [attach=N] [deadline=N] [tokens=N] [model=NAME] [seed=N]` with KIND
//!   `single`, `checkedN`, `equalityN` or `thresholdN` (of which more than half must agree); without `cap` it is the quote's, without `attach` all of it.
//! - `go`: all workers announce two slots, then matching. `ready W[=SLOTS]..`, `match`, `tick`.
//! - `claim`: all workers claim. `pass N`, `pass_ns N`: time passes with sweeps; `live N`: with heartbeats, too.
//!   `stall N`, `later N`: seconds or nanoseconds pass and nothing runs; after a stall the timers do.
//! - `WHO claims`, `WHO commits [LIE]`, `WHO reveals [wrong nonce]`, `WHO abandons`, `WHO declines`, `WHO beats`, `WHO transcript`, `WHO streams`:
//!   WHO is `G`, `C1`.. or `R1`.., the newest job's round's generator, checkers and replicas, `G@2` of job 2, or `L3` for lease 3.
//!   LIE is `tokens`, `trace`, `text`, `input`, `twofaced`, `same` (one lie that all tell) or `copy WHO`.
//! - `treasury N`: somebody gives the treasury N cycles; `stake W N`, `unstake W N`, `release W`: the owner of worker W does.
//! - `cancel [N] [from=N]`, `deprecate`, `drain W`, `price W INPUT OUTPUT`, `reopen`, `jobs`, `money`.

use std::{collections::BTreeMap, fmt::Write};

use assay_jobs_core::{
    Rules,
    testing::{
        Fixture, Lie, MODELS, Market, MemoryMarket, body_root, canister, funder, honest_body,
        honest_opening, model_owner, payout, provider, requester, worker,
    },
};
use assay_protocol::{
    Cycles, Hash32, Hasher, JobId, LeaseId,
    job::SubmitArgs,
    lease::{
        Claim, CommitArgs, LeaseState, Mismatch, Offer, Opening, Order, ProgressArgs, RevealArgs,
        Role, commitment,
    },
    limits,
    registry::{Record, WorkerStatus},
    request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task},
};
use candid::Principal;
use expect_test::Expect;

pub(crate) const FEE_BPS: u16 = 250;

pub(crate) struct Bench {
    pub(crate) market: MemoryMarket,
    pub(crate) fixture: Fixture,
    pub(crate) orders: BTreeMap<LeaseId, Order>,
    pub(crate) reveals: BTreeMap<LeaseId, RevealArgs>,
    commits: BTreeMap<LeaseId, CommitArgs>,
    submits: u64,
    told: String,
}

/// Runs a script with four providers of one worker each.
pub(crate) fn check(script: &str, expected: Expect) {
    check_with(4, 1, script, expected);
}

/// Runs a script with so many providers and workers of each.
pub(crate) fn check_with(providers: u8, each: u8, script: &str, expected: Expect) {
    let mut bench = Bench::new(providers, each);
    bench.run(script);
    expected.assert_eq(&bench.finish());
}

/// A small request.
pub(crate) fn request(assurance: Assurance) -> JobRequest {
    JobRequest {
        model: ModelRef::Name(MODELS[0].into()),
        task: Task::question("what is the time?"),
        parameters: Parameters::new(20, Sampling::GREEDY),
        seed: Some(11),
        assurance,
    }
}

impl Bench {
    /// Every worker asks 1,000 cycles per 1,000 input tokens and 10,000 per 1,000 output tokens.
    pub(crate) fn new(providers: u8, each: u8) -> Self {
        Self::with_rules(providers, each, Rules::LAX)
    }

    /// The same under these rules.
    pub(crate) fn with_rules(providers: u8, each: u8, rules: Rules) -> Self {
        let fixture = Fixture::new(providers, each, 2);
        let mut market = MemoryMarket::with_rules(&fixture, FEE_BPS, rules, 1);
        for &operator in &fixture.workers {
            market
                .set_offers(operator, &offers(&fixture, 1_000, 10_000))
                .expect("workers may set prices");
        }
        Self {
            market,
            fixture,
            orders: BTreeMap::new(),
            reveals: BTreeMap::new(),
            commits: BTreeMap::new(),
            submits: 0,
            told: String::new(),
        }
    }

    pub(crate) fn run(&mut self, script: &str) {
        for step in script
            .split(';')
            .map(str::trim)
            .filter(|step| !step.is_empty())
        {
            if let Err(refused) = self.step(step) {
                self.tell(&format!("{step}: {refused}"));
            }
            if let Err(what) = self.market.check() {
                panic!("after {step}: {what}\n{}", self.told);
            }
        }
    }

    /// Everything that was told, and how all jobs stand.
    pub(crate) fn finish(mut self) -> String {
        self.tell_jobs();
        if let Err(what) = self.market.check_replay() {
            panic!("{what}");
        }
        self.told
    }

    pub(crate) fn tell(&mut self, line: &str) {
        self.told.push_str(line);
        self.told.push('\n');
    }

    fn step(&mut self, step: &str) -> Result<(), String> {
        let words: Vec<&str> = step.split_whitespace().collect();
        let number = |i: usize| {
            words
                .get(i)
                .and_then(|word| word.parse::<u64>().ok())
                .unwrap_or_else(|| panic!("{step}: a number is missing"))
        };
        match words[0] {
            "submit" => self.submit(&words[1..]),
            "go" => {
                for operator in self.fixture.workers.clone() {
                    // Drained workers cannot.
                    let _ = self.market.ready(operator, 2);
                }
                self.market.match_jobs();
                Ok(())
            }
            "ready" => {
                for name in &words[1..] {
                    let (name, slots) = name.split_once('=').map_or((*name, 2), |(name, slots)| {
                        (name, slots.parse().expect("a number"))
                    });
                    let operator = self.operator(name);
                    self.market
                        .ready(operator, slots)
                        .map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            "match" => {
                self.market.match_jobs();
                Ok(())
            }
            "tick" => {
                self.market.tick();
                Ok(())
            }
            "claim" => {
                for operator in self.fixture.workers.clone() {
                    self.claim(operator)?;
                }
                Ok(())
            }
            "pass" => {
                self.market.pass(number(1));
                Ok(())
            }
            "pass_ns" => {
                self.market.stand_still(number(1));
                self.market.tick();
                Ok(())
            }
            "live" => {
                self.live(number(1));
                Ok(())
            }
            "later" => {
                self.market.stand_still(number(1));
                Ok(())
            }
            "stall" => {
                self.market.stall(number(1));
                self.market.tick();
                Ok(())
            }
            "cancel" => {
                let from = words
                    .iter()
                    .find_map(|word| word.strip_prefix("from="))
                    .map_or(0, |n| n.parse().expect("a number"));
                let job = words
                    .get(1)
                    .and_then(|n| n.parse().ok())
                    .map_or_else(|| self.newest(), JobId);
                self.market
                    .cancel(requester(from), job)
                    .map_err(|error| error.to_string())
            }
            "deprecate" => {
                let mut model = self.fixture.model(0).clone();
                model.deprecated = true;
                self.market.sync(&Record::Model(model));
                Ok(())
            }
            "drain" => {
                let mut record = self.fixture.worker(self.operator(words[1])).clone();
                record.status = WorkerStatus::Draining;
                self.market.sync(&Record::Worker(record));
                Ok(())
            }
            "price" => {
                let offers = offers(&self.fixture, u128::from(number(2)), u128::from(number(3)));
                let operator = self.operator(words[1]);
                self.market
                    .set_offers(operator, &offers)
                    .map_err(|error| error.to_string())
            }
            "treasury" => {
                let amount = Cycles(number(1).into());
                self.market.deposit(funder(), amount);
                let told = self.market.fund_treasury(funder(), amount);
                told.map(drop).map_err(|error| error.to_string())
            }
            "stake" | "unstake" | "release" => {
                let owner = self.fixture.worker(self.operator(words[1])).provider;
                let amount = || Cycles(number(2).into());
                let told = match words[0] {
                    "stake" => {
                        self.market.deposit(owner, amount());
                        self.market.stake(owner, amount())
                    }
                    "unstake" => self.market.unstake(owner, amount()),
                    _ => self.market.release_stake(owner),
                };
                told.map(drop).map_err(|error| error.to_string())
            }
            "reopen" => {
                self.market.reopen();
                Ok(())
            }
            "jobs" => {
                self.tell_jobs();
                Ok(())
            }
            "money" => {
                self.tell_money();
                Ok(())
            }
            who => self.act(who, &words[1..]),
        }
    }

    fn submit(&mut self, words: &[&str]) -> Result<(), String> {
        let (kind, n) = words[0].split_at(
            words[0]
                .trim_end_matches(|c: char| c.is_ascii_digit())
                .len(),
        );
        let n = n.parse().unwrap_or(0);
        let assurance = match kind {
            "single" => Assurance::Single,
            "checked" => Assurance::Checked { checkers: n },
            "equality" => Assurance::Equality { total: n },
            "threshold" => Assurance::Threshold {
                total: n,
                min: n / 2 + 1,
            },
            other => panic!("no assurance {other}"),
        };
        let option = |name: &str| {
            words
                .iter()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let amount = |name: &str| option(name).map(|n| n.parse::<u128>().expect("a number"));
        let mut request = request(assurance);
        if let Some(tokens) = amount("tokens") {
            request.parameters.max_tokens = tokens as u32;
        }
        if let Some(model) = option("model") {
            request.model = ModelRef::Name(model.into());
        }
        if let Some(seed) = amount("seed") {
            request.seed = (seed > 0).then_some(seed as u64);
        }
        let quoted = || {
            Ok::<u128, String>(
                self.market
                    .jobs
                    .quote(self.market.at(requester(0)).now, &request)
                    .map_err(|error| error.to_string())?
                    .price_max
                    .0,
            )
        };
        let cap = amount("cap").map_or_else(quoted, Ok)?;
        self.submits += 1;
        let args = SubmitArgs {
            request,
            price_cap: Cycles(cap),
            deadline_seconds: amount("deadline").unwrap_or(3_600) as u32,
            idempotency_key: option("key").map_or_else(
                || self.submits.to_le_bytes().to_vec(),
                |key| key.as_bytes().to_vec(),
            ),
        };
        let from = requester(amount("from").unwrap_or(0) as u8);
        let attached = Cycles(amount("attach").unwrap_or(cap));
        match self.market.submit(from, &args, attached) {
            Ok((submitted, _)) if submitted.duplicate => {
                self.tell(&format!("the same job {} again", submitted.job));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn claim(&mut self, operator: Principal) -> Result<(), String> {
        let orders = self
            .market
            .claim(operator, &self.orders.keys().copied().collect::<Vec<_>>())
            .map_err(|error| error.to_string())?;
        self.orders
            .extend(orders.into_iter().map(|order| (order.lease, order)));
        Ok(())
    }

    /// Time passes while all who hold a claimed lease show that they live.
    fn live(&mut self, seconds: u64) {
        let mut rest = seconds;
        while rest > 0 {
            let part = rest.min(5);
            self.market.pass(part);
            rest -= part;
            for operator in self.fixture.workers.clone() {
                let held: Vec<LeaseId> = self
                    .market
                    .work(operator)
                    .expect("workers may ask")
                    .leases
                    .iter()
                    .map(|hint| hint.lease)
                    .collect();
                self.market
                    .heartbeat(operator, &held)
                    .expect("workers may beat");
            }
        }
    }

    fn act(&mut self, who: &str, words: &[&str]) -> Result<(), String> {
        let (id, operator) = self.lease(who);
        let held = self.orders.get(&id).cloned();
        let order = || {
            held.clone()
                .ok_or_else(|| "nothing was claimed".to_string())
        };
        match words[0] {
            "commits" => {
                let (args, reveal) = self.commitment(operator, &order()?, &words[1..]);
                self.market
                    .commit(operator, &args)
                    .map_err(|error| error.to_string())?;
                self.commits.insert(id, args);
                self.reveals.insert(id, reveal);
                Ok(())
            }
            "commits_again" => {
                let args = self.commits[&id].clone();
                self.market
                    .commit(operator, &args)
                    .map_err(|error| error.to_string())
            }
            "reveals" => {
                let mut reveal = self
                    .reveals
                    .get(&id)
                    .cloned()
                    .ok_or("nothing was committed")?;
                if words.get(1) == Some(&"wrong") {
                    reveal.nonce = Hash32([1; 32]);
                }
                self.market
                    .reveal(operator, &reveal)
                    .map_err(|error| error.to_string())
            }
            "claims" => self.claim(operator),
            "declines" => self
                .market
                .decline(operator, id, "no such schema")
                .map_err(|error| error.to_string()),
            "abandons" => self
                .market
                .abandon(operator, id, "going home")
                .map_err(|error| error.to_string()),
            "beats" => {
                let (_, beat) = self
                    .market
                    .heartbeat(operator, &[id])
                    .map_err(|error| error.to_string())?
                    .remove(0);
                let told = match beat {
                    assay_protocol::lease::Beat::Continue(until) => {
                        let now = self.market.now();
                        format!("continue for {} s", until.since(now) / 1_000_000_000)
                    }
                    assay_protocol::lease::Beat::Stop(reason) => format!("stop: {reason:?}"),
                };
                self.tell(&format!("{who} beats: {told}"));
                Ok(())
            }
            "streams" => {
                let body = honest_body(&order()?);
                let args = ProgressArgs {
                    lease: id,
                    from: 0,
                    tokens: body.output_tokens,
                    text: String::from_utf8(body.answer).expect("text"),
                };
                self.market
                    .progress(operator, &args)
                    .map(drop)
                    .map_err(|error| error.to_string())
            }
            "transcript" => self
                .market
                .transcript(operator, id)
                .map(drop)
                .map_err(|error| error.to_string()),
            other => panic!("nobody can {other}"),
        }
    }

    fn commitment(
        &mut self,
        operator: Principal,
        order: &Order,
        lie: &[&str],
    ) -> (CommitArgs, RevealArgs) {
        let told = match lie.first() {
            Some(&"tokens") => Some(Lie::Tokens),
            Some(&"trace") => Some(Lie::Trace),
            Some(&"text") => Some(Lie::Text),
            Some(&"input") => Some(Lie::Input),
            _ => None,
        };
        let mut claim = None;
        let opening = if order.role == Role::Checker {
            match (told, lie.first()) {
                (Some(lie), _) => lie.opening(order),
                (_, Some(&"same")) => Opening::Mismatch(Mismatch {
                    position: 0,
                    trace_root: Hash32([3; 32]),
                }),
                _ => {
                    let claim = self.market.transcript(operator, order.lease);
                    honest_opening(
                        order,
                        &claim.unwrap_or(Claim {
                            output: Vec::new(),
                            finish: assay_protocol::result::Finish::Stop,
                        }),
                    )
                }
            }
        } else {
            let body = told.map_or_else(|| honest_body(order), |lie| lie.body(order));
            if order.role == Role::Generator {
                let shown = if lie.first() == Some(&"twofaced") {
                    Lie::Tokens.body(order)
                } else {
                    body.clone()
                };
                claim = Some(Claim {
                    output: shown.output_tokens,
                    finish: shown.finish,
                });
            }
            Opening::Result(body)
        };
        let root = match &opening {
            Opening::Result(body) => body_root(order, body),
            Opening::Agrees { root } => *root,
            Opening::Mismatch(mismatch) => mismatch.root(order.job, order.round),
        };
        let nonce = Hasher::new("bench-nonce").u64(order.lease.0).finish();
        let mut hash = commitment(&canister(), order.lease, &operator, &nonce, &root);
        if lie.first() == Some(&"copy") {
            hash = self.commits[&self.lease(lie[1]).0].commitment;
        }
        (
            CommitArgs {
                lease: order.lease,
                commitment: hash,
                claim,
            },
            RevealArgs {
                lease: order.lease,
                nonce,
                opening,
            },
        )
    }

    /// The lease that a name means, and its worker.
    pub(crate) fn lease(&self, who: &str) -> (LeaseId, Principal) {
        let (who, job) = who
            .split_once('@')
            .map_or((who, self.newest()), |(who, job)| {
                (who, JobId(job.parse().expect("a job number")))
            });
        let (role, n) = who.split_at(1);
        if role == "L" {
            let id = LeaseId(n.parse().expect("a lease number"));
            let order = self.orders.get(&id).expect("the lease was claimed");
            let view = self
                .market
                .jobs
                .job(requester(0), order.job)
                .expect("the job exists");
            let lease = view
                .leases
                .into_iter()
                .find(|lease| lease.id == id)
                .expect("the lease exists");
            return (id, lease.worker);
        }
        let role = match role {
            "G" => Role::Generator,
            "C" => Role::Checker,
            "R" => Role::Replica,
            other => panic!("nobody is called {other}"),
        };
        let view = self
            .market
            .jobs
            .job(requester(0), job)
            .expect("the job exists");
        let round = view
            .leases
            .iter()
            .map(|lease| lease.round)
            .max()
            .unwrap_or(0);
        let n: usize = if n.is_empty() {
            1
        } else {
            n.parse().expect("a number")
        };
        let found = view
            .leases
            .iter()
            .filter(|lease| lease.round == round && lease.role == role)
            .nth(n - 1);
        found
            .map(|lease| (lease.id, lease.worker))
            .unwrap_or_else(|| panic!("there is no {who} in job {job}:\n{}", self.told))
    }

    fn newest(&self) -> JobId {
        JobId(self.market.jobs.next_job().0 - 1)
    }

    fn operator(&self, name: &str) -> Principal {
        worker(
            name.trim_start_matches('w')
                .parse()
                .expect("a worker's number"),
        )
    }

    fn tell_jobs(&mut self) {
        for id in 1..self.market.jobs.next_job().0 {
            let view = self.market.jobs.job(requester(0), JobId(id));
            let from = view.expect("the job exists").requester;
            let view = self.market.jobs.job(from, JobId(id));
            let view = view.expect("the job exists");
            let mut line = format!("job {id} {:?}", view.state);
            if let Some(verdict) = view.verdict {
                write!(line, " {verdict:?}").expect("text");
            }
            let last = view.history.last().expect("a job has a history");
            write!(line, " ({:?})", last.reason).expect("text");
            if view.state.is_terminal() {
                write!(
                    line,
                    ": paid {} kept {} refunded {}",
                    view.paid, view.fee, view.refund
                )
                .expect("text");
                if view.subsidy > Cycles::ZERO {
                    write!(line, " treasury {}", view.subsidy).expect("text");
                }
            }
            self.tell(&line);
            for lease in view.leases {
                let mut line = format!("  {} {:?} {:?}", lease.round, lease.role, lease.state);
                if let Some(reason) = lease.reason {
                    write!(line, " ({reason:?})").expect("text");
                }
                if lease.paid > Cycles::ZERO {
                    write!(line, " paid {}", lease.paid).expect("text");
                }
                if lease.forfeited > Cycles::ZERO {
                    write!(line, " lost {}", lease.forfeited).expect("text");
                }
                if lease.bonus > Cycles::ZERO {
                    write!(line, " bonus {}", lease.bonus).expect("text");
                }
                if lease.state == LeaseState::Leased && self.orders.contains_key(&lease.id) {
                    line.push_str(" claimed");
                }
                self.tell(&line);
            }
        }
    }

    fn tell_money(&mut self) {
        let stats = self.market.jobs.stats();
        let providers = self
            .fixture
            .records
            .iter()
            .filter(|record| matches!(record, Record::Provider(_)))
            .count() as u8;
        let earned: u128 = (0..providers)
            .map(|i| self.market.balance(payout(i)).0)
            .sum();
        let to_owners: u128 = (0..providers)
            .map(|i| self.market.balance(provider(i)).0)
            .sum();
        assert_eq!(to_owners, 0, "payouts go to payout accounts");
        let (asked, royalty) = (
            self.market.balance(requester(0)),
            self.market.balance(model_owner()),
        );
        self.tell(&format!(
            "in {}: workers {}, model {royalty}, fees {}, requester {asked}, held {}",
            stats.deposited,
            Cycles(earned),
            stats.treasury,
            stats.held
        ));
    }
}

pub(crate) fn offers(fixture: &Fixture, input: u128, output: u128) -> Vec<Offer> {
    (0..MODELS.len())
        .map(|i| Offer {
            model: fixture.model(i).id,
            ask_input: Cycles(input),
            ask_output: Cycles(output),
        })
        .collect()
}

#[test]
fn the_scripts_know_the_limits() {
    assert_eq!(
        (
            limits::CLAIM_SECONDS,
            limits::LEASE_SECONDS,
            limits::REVEAL_SECONDS,
            limits::EXTENSION_SECONDS
        ),
        (60, 30, 60, 60)
    );
    assert_eq!(
        (
            limits::RUN_SECONDS_MAX,
            limits::ROUNDS_MAX,
            limits::EXTRA_CHECKS_MAX,
            limits::STALL_SECONDS
        ),
        (600, 5, 4, 20)
    );
}
