//! `assay money` and `assay receipt`, as people use them against a market on a live network.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use assay_cli::UpFile;
use assay_jobs_core::testing::requester;
use assay_protocol::money::LedgerAccount;
use assay_tests::networks;
use candid::{Nat, Principal};
use serde_json::Value;

use crate::{
    chain::{Chain, admin},
    vault::{Bank, FEE, TRILLION, scripted},
};

/// Exit codes that `assay --help` lists.
const REFUSED: i32 = 8;
const FAILED: i32 = 1;
const USAGE: i32 = 2;

/// Somebody with ten trillion cycles on the ledger, and a home in which word of the network lies.
struct Person {
    home: tempfile::TempDir,
    id: Principal,
}

impl Person {
    fn new(bank: &mut Bank, url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let pem = home.path().join("requester.pem");
        let id = assay_worker::identity::create(&pem).unwrap().principal;
        let to = LedgerAccount::from(id);
        let ledger = bank.ledger;
        let amount = Nat::from(10 * TRILLION);
        let _: () = bank.chain.update(admin(), ledger, "mint", (to, amount));
        let root_key = bank.chain.network().root_key().unwrap();
        let up = UpFile {
            page: None,
            url: url.to_owned(),
            root_key: hex::encode(root_key),
            registry: bank.chain.jobs.to_text(),
            jobs: bank.chain.jobs.to_text(),
            purse: bank.chain.purse.to_text(),
            model: "tiny".to_owned(),
            requester: pem.clone(),
            operator: pem,
            pid: 1,
        };
        up.save(&home.path().join(UpFile::NAME)).unwrap();
        Self { home, id }
    }

    fn assay(&self, args: &[&str]) -> Output {
        let program = std::env::var_os("ASSAY_CLI_BIN")
            .map(PathBuf::from)
            .expect("ASSAY_CLI_BIN is not set; run the tests with: cargo xtask test");
        Command::new(program)
            .env("ASSAY_HOME", self.home.path())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.assay(args);
        assert!(output.status.success(), "{args:?}: {}", all(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[args, &["--json"]].concat())).unwrap()
    }

    fn bad(&self, args: &[&str], code: i32, says: &str) {
        let output = self.assay(args);
        assert_eq!(output.status.code(), Some(code), "{}", all(&output));
        assert!(all(&output).contains(says), "{args:?}: {}", all(&output));
    }
}

fn all(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

/// A market with a ledger on a network that people can reach.
fn live() -> (Bank, String) {
    let network = networks()
        .with_nns_subnet()
        .with_application_subnet()
        .build();
    let mut chain = Chain::on(network, 1);
    let ledger = scripted(&mut chain);
    let mut bank = Bank::with(chain, ledger);
    let url = bank.chain.go_live();
    (bank, url)
}

fn cycles(amount: u128) -> Value {
    amount.to_string().into()
}

#[test]
fn money_comes_in_stands_behind_workers_and_leaves_by_the_command_line() {
    let (mut bank, url) = live();
    let person = Person::new(&mut bank, &url);
    let held = person.json(&["money", "holdings"]);
    assert_eq!(held["account"], person.id.to_text());
    assert_eq!(held["balance"], "0");
    assert_eq!(held["ledger"]["balance"], cycles(10 * TRILLION));

    // In: two fees, for the approval and for the transfer.
    let done = person.json(&["money", "deposit", "5T"]);
    assert_eq!(
        (&done["state"], &done["amount"]),
        (&"done".into(), &cycles(5 * TRILLION))
    );
    let held = person.json(&["money", "holdings"]);
    assert_eq!(held["balance"], cycles(5 * TRILLION));
    assert_eq!(held["ledger"]["balance"], cycles(5 * TRILLION - 2 * FEE));
    person.bad(
        &["money", "deposit", "50T"],
        FAILED,
        "too few for amount and fee",
    );
    person.bad(&["money", "deposit", "1"], REFUSED, "at least 100_000_001");
    person.bad(&["money", "deposit", "much"], USAGE, "1_500_000");

    // Stake.
    let held = person.json(&["money", "stake", "1_000_000_000_000"]);
    assert_eq!(
        (&held["stake"], &held["balance"]),
        (&cycles(TRILLION), &cycles(4 * TRILLION))
    );
    person.bad(&["money", "stake", "9T"], REFUSED, "deposit the rest");
    person.bad(&["money", "release"], REFUSED, "begin with unstake");
    let held = person.json(&["money", "unstake", "1T"]);
    assert_eq!(held["unbonding"], cycles(TRILLION));
    person.bad(&["money", "release"], REFUSED, "may be taken after");
    assert!(
        person
            .good(&["money", "balance"])
            .contains("assay money release")
    );

    // To another account of the market.
    let other = requester(3).to_text();
    let held = person.json(&["money", "give", "100_000_000_000", "--to", &other]);
    assert_eq!(held["balance"], cycles(39 * TRILLION / 10));
    let theirs = person.json(&["money", "holdings", "--of", &other]);
    assert_eq!(theirs["balance"], cycles(TRILLION / 10));
    person.bad(
        &["money", "give", "1", "--to", &other],
        REFUSED,
        "at least 10_000_000",
    );
    let me = held["account"]
        .as_str()
        .expect("it names the account")
        .to_owned();
    person.bad(
        &["money", "give", "1T", "--to", &me],
        REFUSED,
        "is yourself",
    );

    let told = person.json(&["money", "fund-treasury", "1T"]);
    assert_eq!(told["treasury"], cycles(TRILLION));
    let told = person.json(&["money", "fund-sponsor", "1_000_000_000"]);
    assert_eq!(told["sponsor"], cycles(1_000_000_000));

    // Out: to another's account, and, where the market itself holds none, not as cycles.
    let other = requester(3).to_text();
    let sent = person.json(&["money", "withdraw", "1T", "--to", &other]);
    assert_eq!(
        (&sent["state"], &sent["fee"]),
        (&"done".into(), &cycles(FEE))
    );
    assert_eq!(bank.on_ledger(requester(3).into()), TRILLION);
    let purse = bank.chain.purse.to_text();
    person.bad(
        &["money", "withdraw", "1T", "--canister", &purse],
        REFUSED,
        "an account on the ledger as destination takes the rest",
    );
    let own = person.good(&["money", "withdraw", "1T"]);
    assert!(
        own.contains(&person.id.to_text()) && own.contains("done in block"),
        "{own}"
    );

    let listed = person.json(&["money", "transfers"]);
    let states: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, ["done", "done", "failed", "done"]);
    assert_eq!(
        person.json(&["money", "transfers", "--open"]),
        Value::Array(Vec::new())
    );
    assert_eq!(
        person.json(&["money", "transfers", "--all", "--before", "2"])[0]["transfer"],
        1
    );

    // Somebody else, by another key.
    let pem = person.home.path().join("other.pem");
    let id = assay_worker::identity::create(&pem).unwrap().principal;
    let held = person.json(&["money", "--identity", text(&pem), "holdings"]);
    assert_eq!(
        (&held["account"], &held["balance"]),
        (&id.to_text().into(), &"0".into())
    );

    // Nothing has ended yet.
    assert_eq!(person.json(&["receipt", "list"]), Value::Array(Vec::new()));
    person.bad(&["receipt", "export", "1"], FAILED, "no job 1");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}
