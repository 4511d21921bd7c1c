//! State folders: what is found again after a proper end, after a kill at any byte, and what is refused.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use assay_localnet_core::{
    system::SystemPlan,
    topology::{SubnetKind, SubnetPlan, Topology},
    types::{Ingress, RequestId},
};
use candid::{CandidType, Principal, encode_one};

use super::*;

const SEED: [u8; 32] = [5; 32];
const START: Time = Time(1_700_000_000_000_000_000);

/// Counts in its heap and in stable memory.
const COUNTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
    (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
    (memory 2)
    (func (export "canister_init") (drop (call $grow (i64.const 1))))
    (func (export "canister_update go")
        (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))
        (call $write (i64.const 0) (i64.const 0) (i64.const 8))
        (call $reply)))"#;

fn subnets() -> Vec<SubnetPlan> {
    vec![SubnetPlan::of(SubnetKind::Application)]
}

fn plan() -> Plan {
    Plan::new(SEED, subnets(), &SystemPlan::none())
}

fn config() -> NetworkConfig {
    NetworkConfig {
        seed: SEED,
        start: START,
        topology: Arc::new(Topology::plan(&SEED, &subnets()).unwrap()),
        system: SystemPlan::none(),
        module_cache: None,
    }
}

/// A network in a folder, and what was done to it.
struct Kept {
    folder: StateFolder,
    network: Network,
    messages: u64,
}

impl Kept {
    fn open(path: &Path) -> Self {
        let (folder, network) = StateFolder::open(path, &plan(), config()).unwrap();
        Self {
            folder,
            network,
            messages: 0,
        }
    }

    fn record(&mut self, before: Time, input: &Input) {
        self.folder
            .record(&mut self.network, before, input, Duration::ZERO)
            .unwrap();
    }

    fn submit(&mut self, canister: Principal, method: &str, arg: Vec<u8>) {
        self.messages += 1;
        let number = u128::from(self.folder.number()) << 64 | u128::from(self.messages);
        let mut id = [0; 32];
        id[..16].copy_from_slice(&number.to_be_bytes());
        let effective = self.network.topology().default_effective_canister();
        let message = Ingress {
            id: RequestId(id),
            sender: Principal::anonymous(),
            canister,
            effective_canister: effective,
            method: method.to_owned(),
            arg,
            expiry: self.network.time().plus_nanos(100_000_000_000),
            info: None,
            bytes: 0,
        };
        let before = self.network.time();
        self.network.submit(message.clone()).unwrap();
        self.record(before, &Input::Message(message));
    }

    fn round(&mut self) {
        let before = self.network.time();
        self.network.round();
        let input = Input::Round(self.network.seal());
        self.record(before, &input);
    }

    fn advance(&mut self, nanos: u64) {
        // As the wall clock does it: nobody writes that down.
        let time = self.network.time().plus_nanos(nanos);
        self.network.set_time(time);
    }

    /// Creates the counter, with the first id there is.
    fn install(&mut self) -> Principal {
        #[derive(CandidType)]
        struct Create {
            amount: Option<candid::Nat>,
        }
        #[derive(CandidType)]
        enum Mode {
            #[allow(non_camel_case_types, reason = "the management canister's name")]
            install,
        }
        #[derive(CandidType)]
        struct Install {
            mode: Mode,
            canister_id: Principal,
            wasm_module: Vec<u8>,
            arg: Vec<u8>,
        }
        let management = Principal::management_canister();
        let create = Create {
            amount: Some(candid::Nat::from(1u128 << 60)),
        };
        let id = self.network.topology().default_effective_canister();
        let create = encode_one(create).unwrap();
        self.submit(
            management,
            "provisional_create_canister_with_cycles",
            create,
        );
        self.round();
        let install = Install {
            mode: Mode::install,
            canister_id: id,
            wasm_module: wat::parse_str(COUNTER).unwrap(),
            arg: Vec::new(),
        };
        self.submit(management, "install_code", encode_one(install).unwrap());
        self.round();
        assert!(self.network.canister(&id).unwrap().module_hash.is_some());
        id
    }

    fn close(mut self) -> [u8; 32] {
        let digest = self.network.digest();
        self.folder.close(&mut self.network).unwrap();
        digest
    }
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in names(from) {
        if from.join(&name).is_file() {
            fs::copy(from.join(&name), to.path().join(&name)).unwrap();
        }
    }
    to
}

#[test]
fn a_folder_that_was_closed_gives_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut kept = Kept::open(path);
    let counter = kept.install();
    kept.submit(counter, "go", Vec::new());
    kept.round();
    let digest = kept.close();
    assert_eq!(
        names(path),
        [
            "checkpoint-1",
            "journal-1",
            "lock",
            "modules",
            "network.json",
            "pages-1"
        ]
    );
    let kept = Kept::open(path);
    assert_eq!(kept.network.digest(), digest);
    assert_eq!(kept.close(), digest);
    assert_eq!(names(path).len(), 6, "and nothing was written again");
}

#[test]
fn a_journal_that_is_cut_at_any_byte_gives_a_state_that_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut kept = Kept::open(path);
    let counter = kept.install();
    kept.folder.checkpoint(&mut kept.network).unwrap();
    let journal = path.join("journal-1");
    let len = || fs::metadata(&journal).unwrap().len();
    // Where a record ended, and the state then.
    let mut states = vec![(0, kept.network.digest())];
    for step in 0..4 {
        kept.advance(step * 1_000_000_000);
        kept.submit(counter, "go", Vec::new());
        states.push((len(), kept.network.digest()));
        kept.round();
        states.push((len(), kept.network.digest()));
    }
    drop(kept);
    let (end, _) = states[states.len() - 1];
    for cut in (0..=end)
        .step_by(7)
        .chain(states.iter().map(|(end, _)| *end))
    {
        let copy = copy(path);
        let file = File::options()
            .write(true)
            .open(copy.path().join("journal-1"))
            .unwrap();
        file.set_len(cut).unwrap();
        let found = Kept::open(copy.path());
        // The clock may stand where the record that was lost began: it is written down before its record.
        let (at, digest) = *states.iter().rfind(|(end, _)| *end <= cut).unwrap();
        let exact = found.network.digest() == digest;
        let moved = found.network.time() > START && !exact && cut > at;
        assert!(exact || moved, "cut at {cut} of {end}");
        // It goes on from there, and ends properly.
        let mut found = found;
        found.submit(counter, "go", Vec::new());
        found.round();
        let digest = found.close();
        assert_eq!(Kept::open(copy.path()).network.digest(), digest);
    }
}

#[test]
fn a_record_that_was_changed_ends_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut kept = Kept::open(path);
    kept.install();
    let before = kept.network.digest();
    let journal = path.join("journal-0");
    let end = fs::metadata(&journal).unwrap().len() as usize;
    kept.round();
    drop(kept);
    let mut bytes = fs::read(&journal).unwrap();
    bytes[end + 9] ^= 1;
    fs::write(&journal, bytes).unwrap();
    assert_eq!(Kept::open(path).network.digest(), before);
}

#[test]
fn a_kill_within_a_checkpoint_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut kept = Kept::open(path);
    let counter = kept.install();
    kept.submit(counter, "go", Vec::new());
    kept.round();
    let digest = kept.network.digest();
    drop(kept);
    let last = copy(path);
    // What a checkpoint leaves that does not come to its end, by how far it came.
    fs::write(last.path().join("pages-7"), [9; 100]).unwrap();
    assert_eq!(Kept::open(last.path()).network.digest(), digest);
    fs::write(last.path().join("checkpoint-9.partial"), b"half").unwrap();
    assert_eq!(Kept::open(last.path()).network.digest(), digest);
    assert!(
        !names(last.path())
            .iter()
            .any(|name| name.ends_with(".partial"))
    );
    assert!(!names(last.path()).contains(&"pages-7".to_owned()));
    // The next one is there, and what came before it still is too.
    let mut kept = Kept::open(last.path());
    let old = copy(last.path());
    kept.folder.checkpoint(&mut kept.network).unwrap();
    drop(kept);
    for name in ["checkpoint-1", "journal-1"] {
        fs::copy(old.path().join(name), last.path().join(name)).unwrap();
    }
    fs::remove_file(last.path().join("journal-2")).unwrap();
    assert_eq!(Kept::open(last.path()).network.digest(), digest);
}

#[test]
fn a_process_that_was_killed_at_once_leaves_a_folder_that_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("network.json.partial"), b"{").unwrap();
    drop(Kept::open(path));
    for name in ["checkpoint-0", "journal-0"] {
        fs::remove_file(path.join(name)).unwrap();
    }
    let mut kept = Kept::open(path);
    kept.install();
}

#[test]
fn pages_that_nobody_names_are_removed_and_the_others_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut kept = Kept::open(path);
    let counter = kept.install();
    let pages = || -> u64 {
        names(path)
            .iter()
            .filter(|name| name.starts_with("pages-"))
            .map(|name| fs::metadata(path.join(name)).unwrap().len())
            .sum()
    };
    let mut go = || {
        kept.submit(counter, "go", Vec::new());
        kept.round();
        kept.folder.checkpoint(&mut kept.network).unwrap();
    };
    go();
    let first = pages();
    for _ in 0..20 {
        go();
        assert!(
            pages() <= 3 * first,
            "{} bytes of pages, at first {first}",
            pages()
        );
    }
    let digest = kept.close();
    assert_eq!(Kept::open(path).network.digest(), digest);
}

#[test]
fn an_input_that_is_too_long_for_the_journal_makes_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut kept = Kept::open(path);
    let canister = kept.install();
    let mut set = |len: usize| {
        let bytes = vec![3; len];
        let before = kept.network.time();
        kept.network.set_stable_memory(&canister, &bytes).unwrap();
        kept.record(before, &Input::Stable { canister, bytes });
        kept.folder.number()
    };
    // Names and lengths take a few bytes too.
    assert_eq!(set(journal::INPUT_BYTES_MAX - 100), 0);
    assert_eq!(set(journal::INPUT_BYTES_MAX), 1);
    let digest = kept.network.digest();
    drop(kept);
    assert_eq!(Kept::open(path).network.digest(), digest);
}

fn refusal(path: &Path, plan: &Plan) -> String {
    let error = StateFolder::open(path, plan, config()).err().unwrap();
    error
        .to_string()
        .replace(&path.display().to_string(), "DIR")
}

#[test]
fn a_folder_is_used_by_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let _kept = Kept::open(folder.path());
    assert_eq!(
        refusal(folder.path(), &plan()),
        "the state folder DIR is used by another process; stop it, or take another folder"
    );
}

#[test]
fn another_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Kept::open(folder.path()));
    let two = [subnets(), subnets()].concat();
    let other = Plan::new(SEED, two, &SystemPlan::none());
    assert_eq!(
        refusal(folder.path(), &other),
        "the state folder DIR holds a network with seed 05050505, subnets application, not with seed 05050505, subnets \
         application + application; ask for the same, or take another folder"
    );
}

#[test]
fn folders_of_other_things_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), b"years of work").unwrap();
    assert_eq!(
        refusal(folder.path(), &plan()),
        "DIR is no state folder, and not empty; take another folder"
    );
    assert!(names(folder.path()).contains(&"thesis.txt".to_owned()));
}

#[test]
fn damage_is_told_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut kept = Kept::open(path);
    kept.install();
    kept.close();
    let damaged = |name: &str, at: usize| -> String {
        let copy = copy(path);
        let file = copy.path().join(name);
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 0x40;
        fs::write(&file, bytes).unwrap();
        refusal(copy.path(), &plan())
    };
    assert_eq!(
        damaged("checkpoint-1", 40),
        "DIR/checkpoint-1 is damaged; restore the state folder from a copy, or take another folder"
    );
    assert_eq!(damaged("pages-1", 40), "DIR/checkpoint-1 cannot be used");
    assert!(damaged("network.json", 0).starts_with("DIR/network.json is not understood: "));
}

#[test]
fn a_journal_of_another_program_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut kept = Kept::open(path);
    kept.install();
    let before = kept.network.time();
    // A round that gave something else.
    let seal = kept.network.seal();
    kept.record(before, &Input::Round(seal));
    drop(kept);
    let refusal = refusal(path, &plan());
    assert!(
        refusal.starts_with("DIR/journal-0 cannot be replayed; "),
        "{refusal}"
    );
}

#[test]
fn a_checkpoint_is_due_after_much_work_and_not_too_often() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path());
    assert!(!kept.folder.is_due());
    kept.folder.work = REPLAY_MAX + Duration::from_millis(1);
    assert!(kept.folder.is_due());
    kept.folder.last = (Instant::now(), Duration::from_secs(60));
    assert!(!kept.folder.is_due(), "the last one took a minute");
    kept.folder.work = Duration::ZERO;
    kept.folder.last = (Instant::now(), Duration::ZERO);
    assert!(!kept.folder.is_due());
}

#[test]
fn folders_are_made_where_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("a/b");
    drop(Kept::open(&path));
    assert!(path.join("network.json").exists());
}
