//! Worker processes on the embedded network: killed, stopped, lied to by their network, and lying themselves.
//!
//! Real daemons with the real model. The programs, modules and the model are found through the environment, as
//! `cargo xtask test` sets it.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use assay_cli::local::{Asks, Launcher, LocalMarket, MarketOptions, Modules, ProviderPlan};
use assay_protocol::{
    Cycles, JobId, LeaseId,
    job::{JobState, JobView, LeaseView, StreamArgs, SubmitArgs, Verdict},
    lease::{LeaseState, Role},
    request::{Assurance, JobRequest, Message, MessageRole, ModelRef, Sampling},
};
use assay_worker::{cheat::Cheat, client::Jobs, exit};
use tokio::{sync::Mutex, time::sleep};

/// Several markets at once would only slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
const FUNDS: Cycles = Cycles(10_000_000_000_000);
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(180);

fn needed(variable: &str) -> PathBuf {
    env::var_os(variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{variable} is not set; run the tests with: cargo xtask test"))
}

struct Market {
    market: LocalMarket,
    jobs: Jobs,
    dir: tempfile::TempDir,
}

impl Market {
    async fn start(plans: &[ProviderPlan]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = MarketOptions {
            wasm_dir: needed("ASSAY_WASM_DIR"),
            model: needed("ASSAY_MODEL"),
            launcher: Launcher::program(needed("ASSAY_WORKER_BIN")),
            threads: 1,
            port: 0,
            dir: dir.path().join("market"),
            // Compiled once for all tests here.
            module_cache: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules")),
        };
        let mut market = LocalMarket::start(&options).await.unwrap();
        market.add_workers(plans).await.unwrap();
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        market.wait_until_ready(&names).await.unwrap();
        let (key, _) = market.fund("requester.pem", FUNDS).await.unwrap();
        let jobs = Jobs::new(&market.connect(&key).await.unwrap(), market.canisters.jobs);
        Self { market, jobs, dir }
    }

    /// Balance of the requester; what a job takes is what it paid and kept.
    async fn balance(&self) -> u128 {
        self.jobs.balance(None).await.unwrap().0
    }

    async fn ask(&self, prompt: &str, max_tokens: u32) -> JobId {
        self.ask_paying(1, prompt, max_tokens).await
    }

    /// Offers so many times the quote, which admits workers that ask so many times as much.
    async fn ask_paying(&self, times: u128, prompt: &str, max_tokens: u32) -> JobId {
        let request = JobRequest {
            model: ModelRef::Name(self.market.model.manifest.name.clone()),
            task: Task::question(prompt),
            parameters: Parameters::new(max_tokens, Sampling::GREEDY),
            seed: Some(0),
            assurance: Assurance::Checked { checkers: 1 },
        };
        let price_cap = Cycles(self.jobs.quote(&request).await.unwrap().price_max.0 * times);
        let args = SubmitArgs {
            request,
            price_cap,
            deadline_seconds: 600,
            idempotency_key: assay_worker::identity::random_bytes().unwrap()[..16].to_vec(),
        };
        self.jobs.submit(&args).await.unwrap().job
    }

    /// Waits until a job is as wanted.
    async fn until(&self, job: JobId, what: &str, wanted: impl Fn(&JobView) -> bool) -> JobView {
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

    async fn until_ended(&self, job: JobId) -> JobView {
        let started = Instant::now();
        loop {
            let view = self.jobs.job(job).await.unwrap();
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

    async fn until_streaming(&self, job: JobId) {
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
    async fn until_generating(&self, job: JobId) -> LeaseView {
        self.until_streaming(job).await;
        let view = self
            .until(job, "is being generated", |view| generator(view).is_some())
            .await;
        generator(&view).unwrap().clone()
    }

    fn name_of(&self, lease: &LeaseView) -> String {
        self.market
            .fleet
            .name_of(&lease.provider)
            .unwrap()
            .to_owned()
    }

    async fn signal(&mut self, name: &str, signal: &str) -> ExitStatus {
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

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.market.fleet.processes()[name].log()).unwrap_or_default()
    }

    fn logs(&self) -> String {
        self.market
            .fleet
            .processes()
            .keys()
            .map(|name| format!("--- {name}\n{}", self.log(name)))
            .collect()
    }

    async fn stop(mut self) {
        self.market.fleet.stop().await;
        drop(self.market);
        self.dir.close().unwrap();
    }
}

fn generator(view: &JobView) -> Option<&LeaseView> {
    view.leases
        .iter()
        .find(|lease| lease.role == Role::Generator && lease.state.is_live())
}

fn lease_of(view: &JobView, id: LeaseId) -> &LeaseView {
    view.leases.iter().find(|lease| lease.id == id).unwrap()
}

fn assert_settled(view: &JobView) {
    assert_eq!(
        (view.state, view.verdict),
        (JobState::Settled, Some(Verdict::Verified)),
        "{view:#?}"
    );
    let paid: u128 = view.leases.iter().map(|lease| lease.paid.0).sum();
    assert_eq!(paid, view.paid.0, "payouts are those of the leases");
}

/// One worker far cheaper than the others, so that it all but surely generates.
fn with_a_cheap_one(cheat: Option<Cheat>) -> Vec<ProviderPlan> {
    let mut plans = ProviderPlan::honest(3);
    plans[0].asks = Asks {
        input: 100_000,
        output: 1_000_000,
    };
    plans[0].cheat = cheat;
    plans
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_generator_is_killed_in_the_middle_still_ends_in_a_verified_answer() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut market = Market::start(&with_a_cheap_one(None)).await;
    let job = market
        .ask("Tell me a long story about a lighthouse keeper.", 160)
        .await;
    let lease = market.until_generating(job).await;
    assert_eq!(lease.state, LeaseState::Leased, "killed while it generates");
    let name = market.name_of(&lease);
    market.signal(&name, "-KILL").await;

    let view = market.until_ended(job).await;
    assert_settled(&view);
    let killed = lease_of(&view, lease.id);
    assert_eq!(
        (killed.state, killed.paid),
        (LeaseState::Lost, Cycles::ZERO),
        "silence is not paid"
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_commit_and_reveal_reveals_after_its_restart_and_is_paid() {
    let _turn = ONE_AT_A_TIME.lock().await;
    // It commits and then sits on its commitment, which gives the test all the time to kill it there.
    let mut plans = with_a_cheap_one(Some(Cheat::NoReveal));
    let mut market = Market::start(&plans).await;
    let job = market.ask("What is gravity?", 24).await;
    let view = market
        .until(job, "waits for the generator's reveal", |view| {
            view.state == JobState::Revealing
                && generator(view).is_some_and(|lease| lease.state == LeaseState::Committed)
        })
        .await;
    let lease = generator(&view).unwrap().clone();
    let name = market.name_of(&lease);
    assert_eq!(name, plans[0].name);
    market.signal(&name, "-KILL").await;

    // An honest daemon with the same key and state folder takes over.
    plans[0].cheat = None;
    market.market.fleet.configure(&plans[0]).unwrap();
    market.market.fleet.start(&name).unwrap();
    let view = market.until_ended(job).await;
    assert_settled(&view);
    let lease = lease_of(&view, lease.id);
    assert_eq!(lease.state, LeaseState::Revealed, "{}", market.log(&name));
    assert!(lease.paid > Cycles::ZERO);
    assert_eq!(view.leases.len(), 2, "nobody had to do anything again");
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_mid_run_takes_its_order_up_again_after_its_restart() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut market = Market::start(&with_a_cheap_one(None)).await;
    let job = market
        .ask("Tell me a long story about a lighthouse keeper.", 160)
        .await;
    let lease = market.until_generating(job).await;
    assert_eq!(lease.state, LeaseState::Leased, "killed while it generates");
    let name = market.name_of(&lease);
    market.signal(&name, "-KILL").await;
    market.market.fleet.start(&name).unwrap();

    let view = market.until_ended(job).await;
    assert_settled(&view);
    let lease = lease_of(&view, lease.id);
    assert_eq!(lease.state, LeaseState::Revealed, "{}", market.log(&name));
    assert!(lease.paid > Cycles::ZERO);
    assert_eq!(view.leases.len(), 2, "nobody else had to generate");
    assert!(
        !market.log(&name).contains("taking up a lease"),
        "it had committed already: {}",
        market.log(&name)
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_that_comes_too_late_is_refused_and_unpaid() {
    let _turn = ONE_AT_A_TIME.lock().await;
    // It falls silent and commits when its lease has run out.
    let plans = with_a_cheap_one(Some(Cheat::LateCommit));
    let market = Market::start(&plans).await;
    let late = market.market.fleet.processes()[&plans[0].name].provider;
    let job = market.ask("What is gravity?", 24).await;
    let view = market.until_ended(job).await;
    assert_settled(&view);
    let lease = view
        .leases
        .iter()
        .find(|lease| lease.provider == late)
        .unwrap();
    assert!(
        matches!(lease.state, LeaseState::Late | LeaseState::Lost),
        "{view:#?}"
    );
    assert_eq!(lease.paid, Cycles::ZERO);
    let name = plans[0].name.clone();
    while !market.log(&name).contains("refused: ") {
        assert!(
            market.log(&name).contains("CHEATING"),
            "it does not cheat: {}",
            market.log(&name)
        );
        sleep(LOOK).await;
    }
    assert_eq!(
        market.balance().await + view.paid.0 + view.fee.0,
        FUNDS.0,
        "every cycle is accounted for"
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_gives_back_what_runs_and_another_worker_takes_over_at_once() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut market = Market::start(&with_a_cheap_one(None)).await;
    doctor_finds_nothing_wrong(&market);
    // Far longer than the grace period of these workers.
    let job = market
        .ask("Tell me a long story about a lighthouse keeper.", 400)
        .await;
    let lease = market.until_generating(job).await;
    let name = market.name_of(&lease);
    let status = market.signal(&name, "-TERM").await;
    assert_eq!(
        status.code(),
        Some(i32::from(exit::OK)),
        "{}",
        market.log(&name)
    );

    let view = market.until_ended(job).await;
    assert_settled(&view);
    let given_back = lease_of(&view, lease.id);
    assert_eq!(
        (given_back.state, given_back.paid),
        (LeaseState::Abandoned, Cycles::ZERO)
    );
    market.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn canisters_upgraded_in_the_middle_of_a_job_lose_nothing() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let market = Market::start(&ProviderPlan::honest(3)).await;
    let job = market
        .ask("Tell me a long story about a lighthouse keeper.", 160)
        .await;
    market.until_streaming(job).await;
    let modules = Modules::load(&needed("ASSAY_WASM_DIR")).unwrap();
    market.market.upgrade(&modules).await.unwrap();
    let open = market.jobs.job(job).await.unwrap();
    assert!(
        !open.state.is_terminal(),
        "upgraded while it ran: {open:#?}"
    );

    let view = market.until_ended(job).await;
    assert_settled(&view);
    assert_eq!(
        view.leases.len(),
        2,
        "nobody had to do anything again: {view:#?}\n{}",
        market.logs()
    );
    assert_eq!(
        market.balance().await + view.paid.0 + view.fee.0,
        FUNDS.0,
        "every cycle is accounted for"
    );
    market.stop().await;
}

/// Beside a running worker, with its settings.
fn doctor_finds_nothing_wrong(market: &Market) {
    let (_, process) = market.market.fleet.processes().first_key_value().unwrap();
    let output = Command::new(needed("ASSAY_WORKER_BIN"))
        .args(["doctor", "--config"])
        .arg(process.place().join("worker.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(exit::OK)), "{text}");
    for fragment in [
        "clock skew",
        "registered; ",
        "root as registered",
        "tokens/s",
    ] {
        assert!(text.contains(fragment), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checker_that_lies_is_outvoted_and_unpaid() {
    let _turn = ONE_AT_A_TIME.lock().await;
    // A generator, and two honest checkers to outvote the liar.
    let mut plans = ProviderPlan::honest(4);
    // Dear to generate and cheap to check with: what it reads costs next to nothing.
    plans[0].asks = Asks {
        input: 1_000,
        output: 100_000_000_000,
    };
    plans[0].cheat = Some(Cheat::WrongCheck);
    let market = Market::start(&plans).await;
    let liar = market.market.fleet.processes()[&plans[0].name].provider;
    // Who checks is drawn evenly from three, so the liar's turn comes: 2 in 100,000 runs would see none.
    let mut spent = 0;
    let mut lied = false;
    for _ in 0..27 {
        let job = market.ask_paying(1_000, "What is gravity?", 24).await;
        let view = market.until_ended(job).await;
        assert_settled(&view);
        spent += view.paid.0 + view.fee.0;
        assert_eq!(
            market.balance().await + spent,
            FUNDS.0,
            "every cycle is accounted for"
        );
        let mut lies = view.leases.iter().filter(|lease| lease.provider == liar);
        assert!(
            lies.clone().all(|lease| lease.paid == Cycles::ZERO),
            "{view:#?}"
        );
        if lies.any(|lease| lease.role == Role::Checker) {
            lied = true;
            break;
        }
    }
    assert!(lied, "the liar never checked");
    assert!(
        market.log(&plans[0].name).contains("CHEATING"),
        "the log says so loudly"
    );
    market.stop().await;
}

/// A worker's folder without any network.
struct Lone {
    dir: tempfile::TempDir,
}

impl Lone {
    fn new(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("worker.pem");
        assay_worker::identity::create(&pem).unwrap();
        let settings = format!(
            "state_dir = {state:?}\n[network]\nurl = {url:?}\nroot_key = \"fetch\"\n[canisters]\nregistry = \"rwlgt-iiaaa-aaaaa-aaaaa-cai\"\n\
             jobs = [\"rrkah-fqaaa-aaaaa-aaaaq-cai\"]\n[identity]\npem = {pem:?}\n[[models]]\nfile = {model:?}\nask_input = 1\nask_output = 1\n",
            state = dir.path().join("state"),
            model = needed("ASSAY_MODEL"),
        );
        std::fs::write(dir.path().join("worker.toml"), settings).unwrap();
        Self { dir }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(needed("ASSAY_WORKER_BIN"));
        command
            .arg(verb)
            .arg("--config")
            .arg(self.dir.path().join("worker.toml"))
            .stdin(Stdio::null());
        command
    }
}

/// An address on this machine at which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Reads a child's log until it says something.
fn read_until(child: &mut std::process::Child, wanted: &str) -> String {
    use std::io::BufRead as _;
    let mut text = String::new();
    for line in std::io::BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        text.push_str(&line);
        text.push('\n');
        if line.contains(wanted) {
            return text;
        }
    }
    panic!("the log ends without {wanted:?}:\n{text}");
}

#[test]
fn a_network_that_is_down_is_waited_for_and_sigterm_ends_the_wait() {
    let lone = Lone::new(&nobody());
    let mut child = lone.command("run").stderr(Stdio::piped()).spawn().unwrap();
    let log = read_until(&mut child, "waiting for the network");
    assert!(log.contains("cannot reach the network"), "{log}");
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(i32::from(exit::OK)));
}

#[test]
fn a_second_worker_on_the_same_state_folder_is_refused() {
    let lone = Lone::new(&nobody());
    let mut first = lone.command("run").stderr(Stdio::piped()).spawn().unwrap();
    read_until(&mut first, "waiting for the network");
    let second = lone.command("run").output().unwrap();
    let text = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(i32::from(exit::STATE)), "{text}");
    assert!(
        text.contains(&format!("process id {}", first.id())),
        "{text}"
    );
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn doctor_names_each_problem_and_its_json_says_the_same() {
    let lone = Lone::new(&nobody());
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, text) = run(&mut lone.command("doctor"));
    assert_eq!(code, Some(i32::from(exit::FAILED)), "{text}");
    let line = |what: &str| {
        text.lines()
            .find(|line| line.contains(&format!("  {what}")))
            .unwrap_or_else(|| panic!("no {what} in:\n{text}"))
    };
    for good in ["config", "identity", "state", "engine", "model"] {
        assert!(line(good).starts_with("ok"), "{text}");
    }
    assert!(
        line("network").starts_with("fail") && line("network").contains("cannot reach the network"),
        "{text}"
    );

    let (_, json) = run(lone.command("doctor").arg("--json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(
        json["checks"].as_array().unwrap().len(),
        text.lines().count()
    );

    expose(&lone.dir.path().join("worker.pem"));
    let (code, text) = run(&mut lone.command("doctor"));
    assert_eq!(code, Some(i32::from(exit::CREDENTIALS)), "{text}");
    assert!(text.contains("chmod 600"), "{text}");
}

fn expose(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}
