//! A market of real daemons, and what its requester sees.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use assay_cli::local::{Asks, Launcher, LocalMarket, MarketOptions, ProviderPlan};
use assay_protocol::{
    Cycles, JobId, LeaseId,
    job::{JobState, JobView, LeaseView, StreamArgs, SubmitArgs, Verdict},
    lease::Role,
    request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task},
};
use assay_worker::{cheat::Cheat, client::Jobs};
use tokio::{sync::Mutex, time::sleep};

/// Several markets at once would only slow each other down.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
pub(crate) const FUNDS: Cycles = Cycles(10_000_000_000_000);
pub(crate) const LOOK: Duration = Duration::from_millis(50);
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn needed(variable: &str) -> PathBuf {
    env::var_os(variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{variable} is not set; run the tests with: cargo xtask test"))
}

pub(crate) struct Market {
    pub(crate) market: LocalMarket,
    pub(crate) jobs: Jobs,
    dir: tempfile::TempDir,
}

impl Market {
    pub(crate) async fn start(plans: &[ProviderPlan]) -> Self {
        Self::of(needed("ASSAY_MODEL"), plans).await
    }

    /// A market of another model.
    pub(crate) async fn of(model: PathBuf, plans: &[ProviderPlan]) -> Self {
        let mut market = Self::without_workers(model).await;
        market.hire(plans).await;
        market
    }

    /// A market in which nobody works yet.
    pub(crate) async fn without_workers(model: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = MarketOptions {
            wasm_dir: needed("ASSAY_WASM_DIR"),
            model,
            launcher: Launcher::program(needed("ASSAY_WORKER_BIN")),
            threads: 1,
            port: 0,
            dir: dir.path().join("market"),
            // Compiled once for all tests here.
            module_cache: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules")),
        };
        let market = LocalMarket::start(&options).await.unwrap();
        let (key, _) = market.fund("requester.pem", FUNDS).await.unwrap();
        let jobs = Jobs::new(&market.connect(&key).await.unwrap(), market.canisters.jobs);
        Self { market, jobs, dir }
    }

    /// Starts workers and waits until the first jobs canister would give them work.
    pub(crate) async fn hire(&mut self, plans: &[ProviderPlan]) {
        self.market.add_workers(plans).await.unwrap();
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        self.market.wait_until_ready(&names).await.unwrap();
    }

    /// Balance of the requester; what a job takes is what it paid and kept.
    pub(crate) async fn balance(&self) -> u128 {
        self.jobs.balance(None).await.unwrap().0
    }

    pub(crate) async fn ask(&self, prompt: &str, max_tokens: u32) -> JobId {
        self.ask_paying(1, prompt, max_tokens).await
    }

    /// Offers so many times the quote, which admits workers that ask so many times as much.
    pub(crate) async fn ask_paying(&self, times: u128, prompt: &str, max_tokens: u32) -> JobId {
        let parameters = Parameters::new(max_tokens, Sampling::GREEDY);
        let request = self.request(Task::question(prompt), parameters);
        self.submit(times, request).await
    }

    /// A request to this market's model, checked once.
    pub(crate) fn request(&self, task: Task, parameters: Parameters) -> JobRequest {
        JobRequest {
            model: ModelRef::Name(self.market.model.manifest.name.clone()),
            task,
            parameters,
            seed: Some(0),
            assurance: Assurance::Checked { checkers: 1 },
        }
    }

    /// Submits a request for so many times the quote.
    pub(crate) async fn submit(&self, times: u128, request: JobRequest) -> JobId {
        Self::submit_to(&self.jobs, times, request).await
    }

    /// The same in this jobs canister.
    pub(crate) async fn submit_to(jobs: &Jobs, times: u128, request: JobRequest) -> JobId {
        let price_cap = Cycles(jobs.quote(&request).await.unwrap().price_max.0 * times);
        let args = SubmitArgs {
            request,
            price_cap,
            deadline_seconds: 600,
            idempotency_key: assay_worker::identity::random_bytes().unwrap()[..16].to_vec(),
        };
        jobs.submit(&args).await.unwrap().job
    }

    /// Waits until a job is as wanted.
    pub(crate) async fn until(
        &self,
        job: JobId,
        what: &str,
        wanted: impl Fn(&JobView) -> bool,
    ) -> JobView {
        let started = Instant::now();
        loop {
            let view = self.jobs.job(job).await.unwrap();
            if wanted(&view) {
                return view;
            }
            assert!(
                started.elapsed() < PATIENCE && !view.state.is_terminal(),
                "no job that {what}: {view:#?}\n{}",
                self.logs()
            );
            sleep(LOOK).await;
        }
    }

    pub(crate) async fn until_ended(&self, job: JobId) -> JobView {
        self.until_ended_at(&self.jobs, job).await
    }

    /// The same in this jobs canister.
    pub(crate) async fn until_ended_at(&self, jobs: &Jobs, job: JobId) -> JobView {
        let started = Instant::now();
        loop {
            let view = jobs.job(job).await.unwrap();
            if view.state.is_terminal() {
                return view;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "the job does not end: {view:#?}\n{}",
                self.logs()
            );
            sleep(LOOK).await;
        }
    }

    pub(crate) async fn until_streaming(&self, job: JobId) {
        let started = Instant::now();
        while self
            .jobs
            .stream(StreamArgs {
                job,
                round: 0,
                cursor: 0,
            })
            .await
            .unwrap()
            .text
            .is_empty()
        {
            assert!(
                started.elapsed() < PATIENCE,
                "nothing is streamed\n{}",
                self.logs()
            );
            sleep(LOOK).await;
        }
    }

    /// Waits until a job's text is coming, and gives its generator's lease.
    pub(crate) async fn until_generating(&self, job: JobId) -> LeaseView {
        self.until_streaming(job).await;
        let view = self
            .until(job, "is being generated", |view| generator(view).is_some())
            .await;
        generator(&view).unwrap().clone()
    }

    pub(crate) fn name_of(&self, lease: &LeaseView) -> String {
        self.market
            .fleet
            .name_of(&lease.provider)
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn signal(&mut self, name: &str, signal: &str) -> ExitStatus {
        let pid = self.market.fleet.processes()[name]
            .pid()
            .expect("the worker runs");
        assert!(
            Command::new("kill")
                .args([signal, &pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
        self.market
            .fleet
            .ended(name)
            .await
            .expect("the worker has ended")
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.market.fleet.processes()[name].log()).unwrap_or_default()
    }

    pub(crate) fn logs(&self) -> String {
        self.market
            .fleet
            .processes()
            .keys()
            .map(|name| format!("--- {name}\n{}", self.log(name)))
            .collect()
    }

    pub(crate) async fn stop(mut self) {
        self.market.fleet.stop().await;
        drop(self.market);
        self.dir.close().unwrap();
    }
}

pub(crate) fn generator(view: &JobView) -> Option<&LeaseView> {
    view.leases
        .iter()
        .find(|lease| lease.role == Role::Generator && lease.state.is_live())
}

pub(crate) fn lease_of(view: &JobView, id: LeaseId) -> &LeaseView {
    view.leases.iter().find(|lease| lease.id == id).unwrap()
}

pub(crate) fn assert_settled(view: &JobView) {
    assert_eq!(
        (view.state, view.verdict),
        (JobState::Settled, Some(Verdict::Verified)),
        "{view:#?}"
    );
    let paid: u128 = view.leases.iter().map(|lease| lease.paid.0).sum();
    assert_eq!(paid, view.paid.0, "payouts are those of the leases");
}

/// One worker far cheaper than the others, so that it all but surely generates.
pub(crate) fn with_a_cheap_one(cheat: Option<Cheat>) -> Vec<ProviderPlan> {
    let mut plans = ProviderPlan::honest(3);
    plans[0].asks = Asks {
        input: 100_000,
        output: 1_000_000,
    };
    plans[0].cheat = cheat;
    plans
}
