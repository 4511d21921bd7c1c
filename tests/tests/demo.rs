//! The `assay` command as people use it: the demo, a market that stays, questions to it, and everything that may be missing.
//!
//! The programs, modules and the model are found through the environment, as `cargo xtask test` sets it.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};

use assay_cli::UpFile;
use assay_jobs_core::event::{Entry, Event};
use assay_protocol::Cycles;

/// Several markets at once would only slow each other down.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const PROMPT: &str = "What is the capital of France?";
const TOKENS: &str = "24";

fn needed(variable: &str) -> PathBuf {
    env::var_os(variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{variable} is not set; run the tests with: cargo xtask test"))
}

/// `assay` with a home of its own.
fn assay(home: &Path) -> Command {
    let mut command = Command::new(needed("ASSAY_CLI_BIN"));
    command.env("ASSAY_HOME", home).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn all(output: &Output) -> String {
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

/// The rest of the only line that begins so.
fn field(output: &str, name: &str) -> String {
    let mut found = output.lines().filter_map(|line| line.strip_prefix(name));
    let first = found
        .next()
        .unwrap_or_else(|| panic!("no line {name:?} in:\n{output}"))
        .trim()
        .to_owned();
    assert!(
        found.next().is_none(),
        "several lines {name:?} in:\n{output}"
    );
    first
}

fn demo(home: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = assay(home)
        .args(["demo", "--prompt", PROMPT, "--max-tokens", TOKENS])
        .args(more)
        .output()
        .unwrap();
    (output.status.code(), all(&output))
}

#[test]
fn the_demo_answers_alike_every_time_as_the_engine_does_alone_and_whoever_lies_is_caught() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let home = tempfile::tempdir().unwrap();
    let alone = assay(home.path())
        .args([
            "engine",
            "generate",
            "--json",
            "--prompt",
            PROMPT,
            "--max-tokens",
            TOKENS,
        ])
        .output()
        .unwrap();
    assert!(alone.status.success(), "{}", all(&alone));
    let alone: serde_json::Value = serde_json::from_slice(&alone.stdout).unwrap();
    let (root, answer) = (
        alone["result_root"].as_str().unwrap(),
        alone["text"].as_str().unwrap(),
    );
    assert!(
        answer.contains("Paris"),
        "sensible English about the question: {answer}"
    );

    for _ in 0..2 {
        let (code, output) = demo(home.path(), &[]);
        assert_eq!(code, Some(0), "{output}");
        assert_eq!(field(&output, "verdict "), "verified", "{output}");
        assert_eq!(field(&output, "result root "), root, "{output}");
        assert_eq!(
            output.matches(&format!("root {root}")).count(),
            3,
            "generator, checker and result: {output}"
        );
        assert!(output.contains(answer.lines().next().unwrap()), "{output}");
        assert_eq!(output.matches("  payout  ").count(), 2, "{output}");
        assert!(field(&output, "receipt ").starts_with("proven"), "{output}");
        assert!(output.contains("\nrefund  "), "{output}");
    }

    let (code, output) = demo(home.path(), &["--cheat"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("is going to lie"), "{output}");
    assert!(
        output.contains("Amber generated the answer of generation 1 with a swapped token"),
        "{output}"
    );
    assert!(output.contains("Amber was paid 0 cycles"), "{output}");
    assert_eq!(field(&output, "verdict "), "verified", "{output}");
    assert_eq!(
        field(&output, "result root "),
        root,
        "the honest answer follows: {output}"
    );
    assert!(!output.contains("cycles to Amber"), "{output}");
}

/// `assay up`, stopped when dropped.
struct Up(Child);

impl Up {
    fn start(home: &Path, port: &str) -> (Self, String) {
        let mut child = assay(home)
            .args(["up", "--port", port])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Read on, so that the child never waits for a full pipe.
        let stderr = child.stderr.take().unwrap();
        let talk = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            said.push_str(&line.unwrap());
            said.push('\n');
            if said.contains("settings ") {
                return (Self(child), said);
            }
        }
        let _ = child.wait();
        panic!("up ended early:\n{said}\n{}", talk.join().unwrap());
    }

    fn stop(mut self) -> Option<i32> {
        assert!(
            Command::new("kill")
                .args(["-TERM", &self.0.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        self.0.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_market_that_stays_answers_questions_and_its_receipts_hold_until_tampered_with() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let home = tempfile::tempdir().unwrap();
    let (up, said) = Up::start(home.path(), "0");
    let port = field(&said, "network ")
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();

    let chat = assay(home.path())
        .args(["chat", PROMPT, "--max-tokens", TOKENS])
        .output()
        .unwrap();
    assert_eq!(chat.status.code(), Some(0), "{}", all(&chat));
    assert!(
        text(&chat.stdout).contains("Paris"),
        "the answer is the data: {}",
        all(&chat)
    );
    let receipt = home.path().join("receipt-1.json");
    assert!(
        text(&chat.stderr).contains(&receipt.display().to_string()),
        "{}",
        all(&chat)
    );

    // The requester's export proves the question too; anybody else's only its salted hash.
    let stranger = home.path().join("somebody.pem");
    assay_worker::identity::create(&stranger).unwrap();
    let stranger = stranger.to_str().unwrap();
    for (file, more, asked) in [
        ("ours.json", &[][..], true),
        ("theirs.json", &["--identity", stranger], false),
    ] {
        let file = home.path().join(file);
        let exported = assay(home.path())
            .args(["receipt", "export", "1", "--out"])
            .arg(&file)
            .args(more)
            .output()
            .unwrap();
        assert_eq!(exported.status.code(), Some(0), "{}", all(&exported));
        let mut verify = assay(home.path());
        let verified = verify
            .args(["receipt", "verify"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(verified.status.code(), Some(0), "{}", all(&verified));
        let shown = text(&verified.stdout);
        let proven = shown.contains("whose salted hash the receipt holds");
        assert_eq!((shown.contains(PROMPT), proven), (asked, asked), "{shown}");
    }

    let job = assay(home.path()).args(["job", "1"]).output().unwrap();
    let shown = text(&job.stdout);
    assert!(
        job.status.success() && shown.contains("timeline") && shown.contains("the roots agree"),
        "{}",
        all(&job)
    );
    let json = assay(home.path())
        .args(["job", "1", "--json"])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["verdict"], "verified");
    let unknown = assay(home.path()).args(["job", "99"]).output().unwrap();
    assert!(
        !unknown.status.success() && text(&unknown.stderr).contains("no job 99"),
        "{}",
        all(&unknown)
    );

    let status = assay(home.path()).arg("status").output().unwrap();
    assert!(
        status.status.success() && text(&status.stdout).contains("1 verified"),
        "{}",
        all(&status)
    );

    let going_on = assay(home.path())
        .args(["complete", "The capital of France is", "--max-tokens", "8"])
        .output()
        .unwrap();
    assert_eq!(going_on.status.code(), Some(0), "{}", all(&going_on));
    assert!(
        text(&going_on.stdout).contains("Paris"),
        "{}",
        all(&going_on)
    );
    // Nobody is trusted yet, so the treasury pays for a checker.
    let single = assay(home.path())
        .args(["chat", PROMPT, "--assurance", "single"])
        .args(["--max-tokens", "8"])
        .output()
        .unwrap();
    assert_eq!(single.status.code(), Some(0), "{}", all(&single));
    let vector = assay(home.path())
        .args(["embed", "Paris"])
        .output()
        .unwrap();
    assert_eq!(vector.status.code(), Some(8), "{}", all(&vector));
    assert!(
        text(&vector.stderr).contains("this model makes texts and no vectors"),
        "{}",
        all(&vector)
    );

    questions_are_given_again_as_canaries(home.path());
    a_saved_log_holds_until_tampered_with(home.path());

    let cap = assay(home.path())
        .args(["chat", PROMPT, "--price-cap", "1"])
        .output()
        .unwrap();
    assert_eq!(cap.status.code(), Some(8), "{}", all(&cap));
    assert!(
        text(&cap.stderr).contains("below the quote"),
        "{}",
        all(&cap)
    );
    let empty = assay(home.path()).args(["chat", ""]).output().unwrap();
    assert_eq!(empty.status.code(), Some(8), "{}", all(&empty));

    // The port is taken: a typed error, and the market that is there goes on.
    let second = assay(home.path())
        .args(["up", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(7), "{}", all(&second));
    assert!(
        text(&second.stderr).contains(&format!("port {port} is in use")),
        "{}",
        all(&second)
    );

    assert_eq!(up.stop(), Some(0));
    let gone = assay(home.path()).args(["chat", PROMPT]).output().unwrap();
    assert_eq!(gone.status.code(), Some(4), "{}", all(&gone));
    assert!(text(&gone.stderr).contains("assay up"), "{}", all(&gone));

    // Offline from here on.
    let verify = |path: &Path, more: &[&str]| {
        assay(home.path())
            .args(["receipt", "verify"])
            .arg(path)
            .args(more)
            .output()
            .unwrap()
    };
    let good = verify(&receipt, &[]);
    assert_eq!(good.status.code(), Some(0), "{}", all(&good));
    assert!(text(&good.stdout).contains("proven"), "{}", all(&good));
    let saved: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&receipt).unwrap()).unwrap();
    let root_key = saved["root_key"].as_str().unwrap();
    assert_eq!(
        verify(&receipt, &["--root-key", root_key]).status.code(),
        Some(0)
    );

    // What was asked, run again here.
    let model = needed("ASSAY_MODEL");
    let replayed = verify(&receipt, &["--replay", model.to_str().unwrap()]);
    assert_eq!(replayed.status.code(), Some(0), "{}", all(&replayed));
    assert!(
        text(&replayed.stdout).contains("\nreplay      the same "),
        "{}",
        all(&replayed)
    );
    let no_model = verify(&receipt, &["--replay", receipt.to_str().unwrap()]);
    assert_eq!(no_model.status.code(), Some(6), "{}", all(&no_model));

    let tampered = home.path().join("tampered.json");
    let original = saved["certified_receipt"].as_str().unwrap();
    // One digit in the middle, behind it and at the end: each time something else. The first quarter is Candid's type
    // table, where a digit may hide an optional field; then less is proven, and nothing else.
    for (at, may_hide) in [
        (original.len() / 4, true),
        (original.len() / 2, false),
        (original.len() * 3 / 4, false),
        (original.len() - 2, false),
    ] {
        let digit = if original.as_bytes()[at] == b'0' {
            "1"
        } else {
            "0"
        };
        let mut changed = saved.clone();
        let text_changed = format!("{}{digit}{}", &original[..at], &original[at + 1..]);
        changed["certified_receipt"] = text_changed.into();
        std::fs::write(&tampered, changed.to_string()).unwrap();
        let output = verify(&tampered, &[]);
        let proven = text(&good.stdout);
        let hides = may_hide
            && output.status.success()
            && text(&output.stdout)
                .lines()
                .all(|line| proven.lines().any(|other| other == line));
        assert!(
            output.status.code() == Some(5) || hides,
            "digit {at}: {}",
            all(&output)
        );
    }
    let other_key = format!(
        "{}{}",
        &root_key[..root_key.len() - 2],
        if root_key.ends_with("00") { "01" } else { "00" }
    );
    assert_eq!(
        verify(&receipt, &["--root-key", &other_key]).status.code(),
        Some(5)
    );
}

/// What `assay canary` makes of exported receipts.
fn questions_are_given_again_as_canaries(home: &Path) {
    let canary = |args: &[&str]| {
        let mut run = assay(home);
        run.arg("canary").args(args).current_dir(home);
        run.output().unwrap()
    };
    let unfit = canary(&["add", "theirs.json"]);
    assert_eq!(unfit.status.code(), Some(2), "{}", all(&unfit));
    assert!(
        all(&unfit).contains("the question is not in it"),
        "{}",
        all(&unfit)
    );
    // Whoever gives canaries pays for them beforehand.
    let poor = canary(&["add", "ours.json", "--price-cap", "900T"]);
    assert_eq!(poor.status.code(), Some(8), "{}", all(&poor));
    assert!(all(&poor).contains("deposit the rest"), "{}", all(&poor));
    let good = |args: &[&str]| {
        let output = canary(args);
        assert_eq!(output.status.code(), Some(0), "{}", all(&output));
        text(&output.stdout)
    };
    good(&["add", "ours.json"]);
    let listed: serde_json::Value = serde_json::from_str(&good(&["list", "--json"])).unwrap();
    assert_eq!(listed["waiting"], 1, "{listed}");
    good(&["take-back", "1"]);
    let listed = good(&["list"]);
    assert_eq!(listed, "1      -            taken back\n");
    let again = canary(&["take-back", "1"]);
    assert_eq!(again.status.code(), Some(8), "{}", all(&again));
}

/// What `assay events` saves of the market that runs, and what it makes of it afterwards.
fn a_saved_log_holds_until_tampered_with(home: &Path) {
    let log = home.join("events.cbor");
    let events = |command: &str, more: &[&str]| {
        let mut run = assay(home);
        run.args(["events", command]).arg(&log).args(more);
        run.output().unwrap()
    };
    let good = |output: Output| {
        assert_eq!(output.status.code(), Some(0), "{}", all(&output));
        text(&output.stdout)
    };
    let stranger = home.join("stranger.pem");
    assay_worker::identity::create(&stranger).unwrap();
    let refused = events("save", &["--identity", stranger.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{}", all(&refused));
    assert!(
        all(&refused).contains("only its controllers read its events"),
        "{}",
        all(&refused)
    );

    good(events("save", &[]));
    let shown: serde_json::Value =
        serde_json::from_str(&good(events("verify", &["--json"]))).unwrap();
    assert_eq!(shown["jobs"]["verified"], 3, "{shown}");
    let told = good(events("verify", &[]));
    assert!(told.contains("3 verified"), "{told}");
    assert_eq!(
        field(&told, "state "),
        shown["state"].as_str().unwrap(),
        "{told}"
    );

    // Cut off in the middle: seen, and mended by saving again.
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..whole.len() - 7]).unwrap();
    let cut = events("verify", &[]);
    assert_eq!(cut.status.code(), Some(5), "{}", all(&cut));
    assert!(
        all(&cut).contains("in the middle of entry"),
        "{}",
        all(&cut)
    );
    good(events("save", &[]));
    assert!(std::fs::read(&log).unwrap().starts_with(&whole));

    // An amount changed, or an entry left out: neither read nor continued.
    let mut rest = &whole[..];
    let mut entries: Vec<Entry> = Vec::new();
    while !rest.is_empty() {
        entries.push(ciborium::from_reader(&mut rest).unwrap());
    }
    let richer = |entry: &Entry| match entry.event.clone() {
        Event::Deposited { account, .. } => Some(Event::Deposited {
            account,
            amount: Cycles(1),
        }),
        _ => None,
    };
    let at = entries.iter().position(|entry| richer(entry).is_some());
    let at = at.unwrap();
    let mut changed = entries.clone();
    changed[at].event = richer(&changed[at]).unwrap();
    let mut fewer = entries.clone();
    fewer.remove(at);
    for wrong in [changed, fewer] {
        let bytes: Vec<u8> = wrong.iter().flat_map(Entry::to_bytes).collect();
        std::fs::write(&log, &bytes).unwrap();
        for command in ["verify", "save"] {
            let told = events(command, &[]);
            assert_eq!(told.status.code(), Some(5), "{}", all(&told));
            assert!(!all(&told).contains("panicked"), "{}", all(&told));
        }
        assert!(std::fs::read(&log).unwrap() == bytes);
    }
    std::fs::remove_file(&log).unwrap();
    let none = events("verify", &[]);
    assert!(
        none.status.code() != Some(0) && all(&none).contains("events.cbor"),
        "{}",
        all(&none)
    );
}

#[test]
fn what_is_missing_is_named_with_the_next_step() {
    let home = tempfile::tempdir().unwrap();
    let check = |change: &dyn Fn(&mut Command) -> &mut Command, code: i32, fragments: &[&str]| {
        let mut command = assay(home.path());
        command.arg("demo");
        change(&mut command);
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{}", all(&output));
        for fragment in fragments {
            assert!(said.contains(fragment), "{said}");
        }
    };
    check(
        &|command| command.env_remove("ASSAY_WASM_DIR"),
        6,
        &["cargo xtask wasm"],
    );
    check(
        &|command| command.args(["--wasm-dir", "/nowhere"]),
        6,
        &["/nowhere", "cargo xtask wasm"],
    );
    check(
        &|command| command.env_remove("ASSAY_MODEL"),
        6,
        &["cargo xtask model"],
    );
    check(
        &|command| command.args(["--model", "/nowhere.assay"]),
        6,
        &["/nowhere.assay"],
    );
    check(
        &|command| command.args(["--worker-bin", "/nowhere"]),
        6,
        &["/nowhere"],
    );
    check(
        &|command| command.args(["--max-tokens", "0"]),
        2,
        &["--max-tokens"],
    );
    check(
        &|command| command.args(["--max-tokens", "999999"]),
        2,
        &["--max-tokens"],
    );
    check(&|command| command.arg("--nonsense"), 2, &["--nonsense"]);

    let damaged = home.path().join("model.assay");
    std::fs::write(&damaged, b"not a model").unwrap();
    check(
        &|command| command.arg("--model").arg(&damaged),
        6,
        &["model.assay"],
    );
}

#[test]
fn a_network_that_does_not_answer_is_told_from_one_that_was_never_started() {
    let home = tempfile::tempdir().unwrap();
    let status = assay(home.path()).arg("status").output().unwrap();
    assert_eq!(status.status.code(), Some(4));
    assert!(
        text(&status.stderr).contains("assay up"),
        "{}",
        all(&status)
    );

    let pem = home.path().join("requester.pem");
    assay_worker::identity::create(&pem).unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let up = UpFile {
        page: None,
        url: format!("http://{address}"),
        root_key: "3081".to_owned(),
        registry: "rwlgt-iiaaa-aaaaa-aaaaa-cai".to_owned(),
        jobs: "rrkah-fqaaa-aaaaa-aaaaq-cai".to_owned(),
        purse: "ryjl3-tyaaa-aaaaa-aaaba-cai".to_owned(),
        model: "tiny".to_owned(),
        requester: pem.clone(),
        operator: pem,
        pid: 1,
    };
    up.save(&home.path().join(UpFile::NAME)).unwrap();
    let status = assay(home.path()).arg("status").output().unwrap();
    assert_eq!(status.status.code(), Some(4), "{}", all(&status));
    assert!(
        text(&status.stderr).contains(&address.to_string()),
        "{}",
        all(&status)
    );
}
