//! Receipts in certified data: the hash tree `receipts / <job>` with the receipt's hash as leaf.
//!
//! The tree lies on the heap and is made again after an upgrade, from the hashes in stable memory, a
//! bounded number of them in each message. Until it is whole nothing is certified anew, so the data
//! certified before the upgrade stays, and witnesses wait.

use std::cell::RefCell;

use assay_protocol::{Hash32, JobId, job::JobError, receipt::RECEIPTS_LABEL};
use ic_certification::{AsHashTree, Hash, HashTree, RbTree, labeled, labeled_hash};

use crate::memory::{with_jobs, with_jobs_mut};

/// Receipts that one message puts back into the tree after an upgrade.
const RECEIPTS_PER_MESSAGE: usize = 2_000;

/// CBOR's tag that says "this is CBOR", which verifiers of witnesses look for.
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

type Receipts = RbTree<[u8; 8], Hash>;

thread_local! {
    static VOLATILE_TREE: RefCell<Tree> = RefCell::default();
}

/// The tree, and how much of it is there.
#[derive(Default)]
struct Tree {
    receipts: Receipts,
    /// The job from which on receipts have still to be read; `None` once all are in.
    unread: Option<JobId>,
}

impl Tree {
    fn insert(&mut self, hashes: Vec<(JobId, Hash32)>) {
        for (job, hash) in hashes {
            self.receipts.insert(job.0.to_be_bytes(), hash.0);
        }
    }

    /// Takes the next page of receipts, read from [`Tree::unread`] on; less than a full one is the last.
    fn read(&mut self, page: Vec<(JobId, Hash32)>, full: usize) {
        self.unread = page
            .last()
            .filter(|_| page.len() == full)
            .map(|(last, _)| JobId(last.0 + 1));
        self.insert(page);
    }
}

/// Certifies the receipts that were written since the last time.
pub(crate) fn update() {
    let fresh = with_jobs_mut(|jobs| jobs.take_receipts());
    if !fresh.is_empty() {
        VOLATILE_TREE.with_borrow_mut(|tree| tree.insert(fresh));
        certify();
    }
}

/// Begins to make the tree from what stable memory holds.
pub(crate) fn rebuild() {
    VOLATILE_TREE.with_borrow_mut(|tree| tree.unread = Some(JobId(0)));
    read_on();
}

/// Reads on, and certifies once the tree is whole.
pub(crate) fn read_on() {
    VOLATILE_TREE.with_borrow_mut(|tree| {
        if let Some(from) = tree.unread {
            let page = with_jobs(|jobs| jobs.receipt_hashes(from, RECEIPTS_PER_MESSAGE));
            tree.read(page, RECEIPTS_PER_MESSAGE);
        }
    });
    certify();
}

/// Whether receipts have still to be read after an upgrade.
pub(crate) fn is_reading() -> bool {
    VOLATILE_TREE.with_borrow(|tree| tree.unread.is_some())
}

/// The subnet's certificate and the witness of a job's receipt. Only a query can give them.
pub(crate) fn proof(job: JobId) -> Result<(Vec<u8>, Vec<u8>), JobError> {
    if is_reading() {
        return Err(JobError::NoReceiptYet(job));
    }
    let certificate = certificate()?;
    let witness = VOLATILE_TREE.with_borrow(|tree| witness(&tree.receipts, job));
    Ok((certificate, encode(&witness)))
}

/// The same of all receipts from `first` to `last`: that these are there, and no others between.
pub(crate) fn proof_of_range(first: JobId, last: JobId) -> Result<(Vec<u8>, Vec<u8>), JobError> {
    if is_reading() {
        return Err(JobError::Other(
            "receipts are read again after an upgrade; ask again in a minute".to_owned(),
        ));
    }
    let certificate = certificate()?;
    let witness = VOLATILE_TREE.with_borrow(|tree| witness_of_range(&tree.receipts, first, last));
    Ok((certificate, encode(&witness)))
}

fn certificate() -> Result<Vec<u8>, JobError> {
    ic_cdk::api::data_certificate().ok_or_else(|| {
        JobError::Other("a certificate comes only with a query; ask as a query".to_owned())
    })
}

fn certify() {
    VOLATILE_TREE.with_borrow(|tree| {
        if tree.unread.is_none() {
            ic_cdk::api::certified_data_set(root(&tree.receipts));
        }
    });
}

fn root(receipts: &Receipts) -> Hash {
    labeled_hash(RECEIPTS_LABEL, &receipts.root_hash())
}

fn witness(receipts: &Receipts, job: JobId) -> HashTree {
    labeled(RECEIPTS_LABEL, receipts.witness(&job.0.to_be_bytes()))
}

fn witness_of_range(receipts: &Receipts, first: JobId, last: JobId) -> HashTree {
    let (first, last) = (first.0.to_be_bytes(), last.0.to_be_bytes());
    labeled(RECEIPTS_LABEL, receipts.value_range(&first, &last))
}

fn encode(tree: &HashTree) -> Vec<u8> {
    let mut bytes = SELF_DESCRIBED.to_vec();
    ciborium::into_writer(tree, &mut bytes)
        .unwrap_or_else(|error| panic!("BUG: a hash tree cannot be written: {error}"));
    bytes
}

#[cfg(test)]
mod tests {
    use ic_certification::LookupResult;

    use super::*;

    fn receipts(jobs: u64) -> Receipts {
        let mut receipts = Receipts::default();
        for job in 1..=jobs {
            receipts.insert(job.to_be_bytes(), Hash32::sha256(&job.to_le_bytes()).0);
        }
        receipts
    }

    #[test]
    fn a_witness_leads_from_the_certified_root_to_the_receipt_hash() {
        let receipts = receipts(100);
        for job in [1, 50, 100] {
            let tree = witness(&receipts, JobId(job));
            assert_eq!(tree.digest(), root(&receipts));
            let found = tree.lookup_path([RECEIPTS_LABEL, &job.to_be_bytes()]);
            assert_eq!(
                found,
                LookupResult::Found(&Hash32::sha256(&job.to_le_bytes()).0)
            );
            let hidden = tree.lookup_path([RECEIPTS_LABEL, &(job % 100 + 2).to_be_bytes()]);
            assert!(
                !matches!(hidden, LookupResult::Found(_)),
                "other receipts stay out of it"
            );
        }
    }

    #[test]
    fn one_witness_leads_to_every_receipt_of_a_page_and_hides_the_others() {
        let receipts = receipts(100);
        for (first, last) in [(1, 100), (1, 1), (40, 60), (100, 100), (0, 3), (90, 200)] {
            let tree = witness_of_range(&receipts, JobId(first), JobId(last));
            assert_eq!(tree.digest(), root(&receipts));
            for job in 1..=100u64 {
                let found = tree.lookup_path([RECEIPTS_LABEL, &job.to_be_bytes()]);
                let hash = Hash32::sha256(&job.to_le_bytes()).0;
                if (first..=last).contains(&job) {
                    assert_eq!(found, LookupResult::Found(&hash));
                } else {
                    assert_ne!(found, LookupResult::Found(&hash), "{job}");
                }
            }
        }
        let none = witness_of_range(&receipts, JobId(101), JobId(101));
        assert_eq!(none.digest(), root(&receipts));
        let beyond = none.lookup_path([RECEIPTS_LABEL, &101u64.to_be_bytes()]);
        assert_eq!(beyond, LookupResult::Absent);
    }

    #[test]
    fn a_tree_read_in_pages_is_the_one_that_grew() {
        let hash = |job: u64| (JobId(job), Hash32::sha256(&job.to_le_bytes()));
        let all: Vec<_> = (1..=100).map(hash).collect();
        // With 100 receipts a page of 50 is full twice, and an empty one tells that these were all.
        for (full, pages) in [(7, 15), (50, 3), (100, 2), (101, 1)] {
            let mut tree = Tree {
                unread: Some(JobId(0)),
                ..Tree::default()
            };
            // A receipt written meanwhile comes twice.
            tree.insert(vec![hash(100)]);
            let mut read = 0;
            while let Some(from) = tree.unread {
                let rest = all.iter().filter(|(job, _)| *job >= from);
                tree.read(rest.take(full).copied().collect(), full);
                read += 1;
            }
            assert_eq!(read, pages, "pages of {full}");
            assert_eq!(root(&tree.receipts), root(&receipts(100)));
        }
    }

    #[test]
    fn a_witness_is_written_as_cbor_that_says_so() {
        let mut receipts = Receipts::default();
        receipts.insert([0, 0, 0, 0, 0, 0, 0, 1], [7; 32]);
        let label = [
            0x83, 2, 0x48, b'r', b'e', b'c', b'e', b'i', b'p', b't', b's',
        ];
        assert_eq!(RECEIPTS_LABEL.len(), 8);
        let mut expected = [&SELF_DESCRIBED[..], &label].concat();
        expected.extend([0x83, 2, 0x48, 0, 0, 0, 0, 0, 0, 0, 1, 0x82, 3, 0x58, 32]);
        expected.extend([7; 32]);
        assert_eq!(encode(&witness(&receipts, JobId(1))), expected);
    }

    #[test]
    fn a_job_without_a_receipt_is_proved_absent() {
        let receipts = receipts(3);
        let tree = witness(&receipts, JobId(9));
        assert_eq!(tree.digest(), root(&receipts));
        assert_eq!(
            tree.lookup_path([RECEIPTS_LABEL, &9u64.to_be_bytes()]),
            LookupResult::Absent
        );
    }
}
