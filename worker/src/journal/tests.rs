use assay_protocol::{
    lease::{Claim, Opening},
    result::{Finish, Logprob, ResultBody, TokenLogprobs},
};

use super::*;

fn here() -> Principal {
    Principal::from_slice(&[1, 1])
}

fn record(lease: u64) -> Record {
    let output = vec![1, 2, 3];
    Record {
        canister: here(),
        worker: Principal::from_slice(&[2]),
        job: JobId(9),
        role: Role::Generator,
        commit: CommitArgs {
            lease: LeaseId(lease),
            commitment: Hash32([7; 32]),
            claim: Some(Claim {
                output: output.clone(),
                finish: Finish::Stop,
            }),
        },
        reveal: RevealArgs {
            lease: LeaseId(lease),
            nonce: Hash32([8; 32]),
            opening: Opening::Result(ResultBody {
                input_tokens: vec![4, 5],
                output_tokens: output,
                answer: b"an answer".to_vec(),
                logprobs: Some(vec![TokenLogprobs {
                    drawn: Logprob {
                        token: 1,
                        micro_nats: -5,
                    },
                    top: Vec::new(),
                }]),
                finish: Finish::Stop,
                trace_root: Hash32([9; 32]),
            }),
        },
    }
}

#[test]
fn records_come_back_whole_and_in_order_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    for lease in [12, 3, 7] {
        journal.save(&record(lease)).unwrap();
    }
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(
        journal.records().unwrap(),
        [record(3), record(7), record(12)]
    );
    journal.remove(here(), LeaseId(7)).unwrap();
    journal.remove(here(), LeaseId(7)).unwrap();
    assert_eq!(journal.records().unwrap(), [record(3), record(12)]);
}

#[test]
fn a_crash_while_writing_leaves_no_record_and_touches_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    journal.save(&record(1)).unwrap();
    // What a kill between opening and renaming leaves behind, at every length of the write.
    let bytes = encode(&record(2));
    for cut in [0, 1, HEADER_BYTES, bytes.len() / 2, bytes.len()] {
        fs::write(dir.path().join("leases/2.new"), &bytes[..cut]).unwrap();
        assert_eq!(journal.records().unwrap(), [record(1)], "cut at {cut}");
        assert!(!dir.path().join("leases/2.new").exists());
    }
    // A kill while a lease's record is written again leaves the first one.
    fs::write(dir.path().join("leases/1.new"), b"half").unwrap();
    assert_eq!(journal.records().unwrap(), [record(1)]);
}

#[test]
fn truncated_flipped_newer_and_misplaced_records_are_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let good = encode(&record(5));
    let path = dir.path().join("leases/5.lease");
    let check = |bytes: &[u8], fragment: &str| {
        fs::write(&path, bytes).unwrap();
        let error = journal.records().expect_err(fragment);
        assert!(matches!(error, JournalError::Damaged { .. }));
        assert!(
            error.to_string().contains(fragment),
            "{error} should contain {fragment:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), bytes, "the evidence stays");
    };
    for cut in 0..good.len() {
        fs::write(&path, &good[..cut]).unwrap();
        assert!(
            matches!(journal.records(), Err(JournalError::Damaged { .. })),
            "cut at {cut}"
        );
    }
    for byte in (0..good.len()).step_by(7) {
        let mut flipped = good.clone();
        flipped[byte] ^= 0x10;
        fs::write(&path, &flipped).unwrap();
        assert!(
            matches!(journal.records(), Err(JournalError::Damaged { .. })),
            "flip at {byte}"
        );
    }
    let mut newer = good.clone();
    newer[MAGIC.len()] = VERSION + 1;
    check(&newer, "start the newer release");
    check(&encode(&record(6)), "belongs to lease 6");
    check(
        &vec![0; usize::try_from(RECORD_BYTES_MAX).unwrap() + 1],
        "longer than",
    );
    fs::write(&path, &good).unwrap();
    assert_eq!(journal.records().unwrap(), [record(5)]);
}

#[test]
fn equal_leases_of_two_canisters_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let there = Principal::from_slice(&[1, 2]);
    let mut other = record(7);
    other.canister = there;
    journal.save(&other).unwrap();
    journal.save(&record(7)).unwrap();
    assert_eq!(journal.records().unwrap(), [record(7), other.clone()]);
    assert_eq!(journal.begin(here(), LeaseId(7)).unwrap(), 0);
    assert_eq!(journal.begin(there, LeaseId(7)).unwrap(), 0);
    journal.remove(here(), LeaseId(7)).unwrap();
    assert_eq!(journal.records().unwrap(), [other]);
    assert_eq!(journal.begin(there, LeaseId(7)).unwrap(), 1);
}

#[test]
fn records_that_the_first_daemons_named_by_their_leases_alone_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let old = dir.path().join("leases/4.lease");
    fs::write(&old, encode(&record(4))).unwrap();
    assert_eq!(journal.records().unwrap(), [record(4)]);
    assert!(!old.exists());
    assert_eq!(journal.records().unwrap(), [record(4)]);
    journal.remove(here(), LeaseId(4)).unwrap();
    assert!(journal.records().unwrap().is_empty());
}

#[test]
fn how_often_a_run_began_outlives_the_process_until_its_lease_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (LeaseId(1), LeaseId(2));
    {
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.begin(here(), first).unwrap(), 0);
        assert_eq!(journal.begin(here(), second).unwrap(), 0);
    }
    let journal = Journal::open(dir.path()).unwrap();
    assert!(journal.records().unwrap().is_empty());
    assert_eq!(journal.begin(here(), first).unwrap(), 1);
    journal.remove(here(), first).unwrap();
    journal.forget(here(), second);
    assert_eq!(journal.begin(here(), first).unwrap(), 0);
    assert_eq!(journal.begin(here(), second).unwrap(), 0);
}

#[test]
fn a_second_worker_on_the_same_folder_is_refused_with_the_first_ones_process_id() {
    let dir = tempfile::tempdir().unwrap();
    let first = Journal::open(dir.path()).unwrap();
    match Journal::open(dir.path()) {
        Err(JournalError::Locked { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    drop(first);
    Journal::open(dir.path()).unwrap();
}

#[test]
fn a_record_is_never_saved_when_the_folder_cannot_take_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    // The folder disappears below the running worker, as a full or read-only disk would refuse the write.
    fs::remove_dir_all(dir.path().join("leases")).unwrap();
    assert!(matches!(
        journal.save(&record(1)),
        Err(JournalError::Io { .. })
    ));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_records() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(&dir.path().join("state")).unwrap();
    journal.save(&record(1)).unwrap();
    let mode = |path: &str| {
        fs::metadata(dir.path().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("state/leases"), 0o700);
    assert_eq!(mode(&format!("state/leases/{}-1.lease", here())), 0o600);
}
