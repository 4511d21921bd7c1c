//! Receipts in certified data: the hash tree `receipts / <job>` with the receipt's hash as leaf.
//!
//! The tree lies on the heap and is made again after an upgrade, from the hashes in stable memory.

use std::cell::RefCell;

use assay_protocol::{Hash32, JobId, job::JobError, receipt::RECEIPTS_LABEL};
use ic_certification::{AsHashTree, Hash, HashTree, RbTree, labeled, labeled_hash};

use crate::memory::{with_jobs, with_jobs_mut};

/// Receipts read in one go after an upgrade.
const REBUILD_PAGE: usize = 1_000;

/// CBOR's tag that says "this is CBOR", which verifiers of witnesses look for.
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

type Receipts = RbTree<[u8; 8], Hash>;

thread_local! {
    static VOLATILE_RECEIPTS: RefCell<Receipts> = RefCell::default();
}

/// Certifies the receipts that were written since the last time.
pub(crate) fn update() {
    let fresh = with_jobs_mut(|jobs| jobs.take_receipts());
    if !fresh.is_empty() {
        insert(fresh);
        certify();
    }
}

/// Makes the tree from what stable memory holds, and certifies it.
pub(crate) fn rebuild() {
    let mut from = JobId(0);
    loop {
        let page = with_jobs(|jobs| jobs.receipt_hashes(from, REBUILD_PAGE));
        let Some((last, _)) = page.last() else { break };
        from = JobId(last.0 + 1);
        insert(page);
    }
    certify();
}

/// The subnet's certificate and the witness of a job's receipt. Only a query can give them.
pub(crate) fn proof(job: JobId) -> Result<(Vec<u8>, Vec<u8>), JobError> {
    let certificate = ic_cdk::api::data_certificate().ok_or_else(|| {
        JobError::Other("a certificate comes only with a query; ask receipt as a query".to_owned())
    })?;
    let witness = VOLATILE_RECEIPTS.with_borrow(|receipts| witness(receipts, job));
    Ok((certificate, encode(&witness)))
}

fn insert(hashes: Vec<(JobId, Hash32)>) {
    VOLATILE_RECEIPTS.with_borrow_mut(|receipts| {
        for (job, hash) in hashes {
            receipts.insert(job.0.to_be_bytes(), hash.0);
        }
    });
}

fn certify() {
    ic_cdk::api::certified_data_set(VOLATILE_RECEIPTS.with_borrow(root));
}

fn root(receipts: &Receipts) -> Hash {
    labeled_hash(RECEIPTS_LABEL, &receipts.root_hash())
}

fn witness(receipts: &Receipts, job: JobId) -> HashTree {
    labeled(RECEIPTS_LABEL, receipts.witness(&job.0.to_be_bytes()))
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
