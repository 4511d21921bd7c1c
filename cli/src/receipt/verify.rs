//! From the root key to every field of a receipt.

use assay_protocol::{
    Cycles, Hash32,
    receipt::{CertifiedReceipt, HashedReceipt, RECEIPTS_LABEL, Receipt, ReceiptsPage},
};
use candid::Principal;
use ic_certification::HashTree;

use super::certificate::{self, CertificateError};

/// Why a receipt is not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The certificate.
    #[error("certificate: {0}")]
    Certificate(CertificateError),
    /// The witness cannot be read.
    #[error("witness: {0}")]
    Witness(CertificateError),
    /// The witness belongs to other certified data.
    #[error("witness: its root is not what the canister certifies")]
    OtherData,
    /// The witness is about other jobs.
    #[error("witness: it says nothing about job {job}")]
    OtherJob {
        /// The job of the receipt.
        job: u64,
    },
    /// The receipt is another canister's.
    #[error("receipt: it is canister {canister}'s, not that of the page")]
    OtherCanister {
        /// Which it names.
        canister: Principal,
    },
    /// A field of the receipt was changed.
    #[error(
        "receipt: its hash is {found}, the canister certifies {certified}; a field was changed"
    )]
    Changed {
        /// The hash of the receipt as it is.
        found: Hash32,
        /// The certified one.
        certified: Hash32,
    },
    /// The request is not the one that the receipt is about.
    #[error(
        "request: with its salt it hashes to {found}, the receipt says {certified}; it was changed"
    )]
    OtherRequest {
        /// The salted hash of the request as it is.
        found: Hash32,
        /// The one in the receipt.
        certified: Hash32,
    },
    /// What was paid, kept and given back is not what was held.
    #[error("receipt: {held} cycles were held and added, {spent} are accounted for")]
    Amounts {
        /// Held, and added by the treasury.
        held: Cycles,
        /// Paid, kept and given back.
        spent: Cycles,
    },
}

/// What a verified receipt rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The network's time when the certificate was signed, nanoseconds since the Unix epoch.
    pub signed_at: u64,
    /// The certified hash of the receipt.
    pub hash: Hash32,
    /// Whether the request came along and is the one that was asked.
    pub request: bool,
}

/// Checks everything: signatures from the root key down, the canister's certified data, the path to the receipt, every
/// field of it, the request if it is there, and that the amounts add up.
pub fn verify(certified: &CertifiedReceipt, root_key: &[u8]) -> Result<Proof, VerifyError> {
    let CertifiedReceipt {
        receipt,
        certificate,
        witness,
        request,
    } = certified;
    let (tree, time) = certified_tree(certificate, witness, &receipt.canister, root_key)?;
    let leaf = check_hash(receipt, &tree)?;
    if let Some(salted) = request {
        let found = salted.request.salted_hash(&salted.salt);
        if found != receipt.request_hash {
            return Err(VerifyError::OtherRequest {
                found,
                certified: receipt.request_hash,
            });
        }
    }
    check_amounts(receipt)?;
    Ok(Proof {
        signed_at: time,
        hash: leaf,
        request: request.is_some(),
    })
}

/// Checks a page of receipts of one canister: all that [`verify`] checks of a single one, and that each has the hash that
/// stands beside it.
pub fn verify_page(
    page: &ReceiptsPage,
    canister: &Principal,
    root_key: &[u8],
) -> Result<(), VerifyError> {
    let ReceiptsPage {
        receipts,
        next: _,
        certificate,
        witness,
    } = page;
    let (tree, _) = certified_tree(certificate, witness, canister, root_key)?;
    for HashedReceipt { hash, receipt } in receipts {
        if receipt.canister != *canister {
            return Err(VerifyError::OtherCanister {
                canister: receipt.canister,
            });
        }
        let certified = check_hash(receipt, &tree)?;
        if *hash != certified {
            return Err(VerifyError::Changed {
                found: *hash,
                certified,
            });
        }
        check_amounts(receipt)?;
    }
    Ok(())
}

/// The tree that a canister certifies, and when that was signed.
fn certified_tree(
    certificate: &[u8],
    witness: &[u8],
    canister: &Principal,
    root_key: &[u8],
) -> Result<(HashTree, u64), VerifyError> {
    let certificate::Certified { data, time } =
        certificate::certified(certificate, canister, root_key)
            .map_err(VerifyError::Certificate)?;
    let tree = certificate::tree(witness).map_err(VerifyError::Witness)?;
    if data != tree.digest() {
        return Err(VerifyError::OtherData);
    }
    Ok((tree, time))
}

/// The certified hash of a receipt, which must be its own.
fn check_hash(receipt: &Receipt, tree: &HashTree) -> Result<Hash32, VerifyError> {
    let leaf = certificate::find(tree, &[RECEIPTS_LABEL, &receipt.job.0.to_be_bytes()])
        .and_then(|leaf| Hash32::try_from(leaf).ok())
        .ok_or(VerifyError::OtherJob { job: receipt.job.0 })?;
    let found = receipt.hash();
    if found != leaf {
        return Err(VerifyError::Changed {
            found,
            certified: leaf,
        });
    }
    Ok(leaf)
}

fn check_amounts(receipt: &Receipt) -> Result<(), VerifyError> {
    let Receipt {
        leases,
        escrow,
        fee,
        royalty,
        refund,
        subsidy,
        ..
    } = receipt;
    let held = escrow.checked_add(*subsidy);
    let spent = leases
        .iter()
        .map(|lease| lease.paid)
        .chain([*fee, *royalty, *refund])
        .try_fold(Cycles::ZERO, Cycles::checked_add)
        .unwrap_or(Cycles(u128::MAX));
    match held {
        Some(held) if held == spent => Ok(()),
        held => Err(VerifyError::Amounts {
            held: held.unwrap_or(Cycles(u128::MAX)),
            spent,
        }),
    }
}
