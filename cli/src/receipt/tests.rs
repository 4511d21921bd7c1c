//! Receipts under real signatures, with every part of them changed in turn.

use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, ModelId, Timestamp,
    job::{JobState, Verdict},
    lease::{LeaseState, Role},
    receipt::{
        CertifiedReceipt, HashedReceipt, RECEIPTS_LABEL, Receipt, ReceiptLease, ReceiptResult,
        ReceiptsPage, SaltedRequest,
    },
    request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task},
    result::{Finish, Usage},
};
use candid::Principal;
use ciborium::Value;
use ic_certification::{HashTree, hash_tree};
use ic_verify_bls_signature::PrivateKey;

use super::{certificate::CBOR_BYTES_MAX, *};

/// Changes one field.
type Change = fn(&mut Receipt);

const SUBNET: &[u8] = b"subnet";

fn canister() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0x10, 0, 5, 1, 1])
}

fn key(seed: u8) -> PrivateKey {
    let mut bytes = [0; 32];
    bytes[31] = seed;
    PrivateKey::deserialize(&bytes).unwrap()
}

fn der(key: &PrivateKey) -> Vec<u8> {
    let prefix =
        hex::decode("308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100")
            .unwrap();
    [prefix, key.public_key().serialize().to_vec()].concat()
}

fn label(name: &[u8], inner: HashTree) -> HashTree {
    hash_tree::label(hash_tree::Label::from_bytes(name), inner)
}

fn leaf(bytes: impl Into<Vec<u8>>) -> HashTree {
    hash_tree::leaf(bytes.into())
}

fn to_cbor(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn bytes(bytes: impl Into<Vec<u8>>) -> Value {
    Value::Bytes(bytes.into())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn certificate(tree: &HashTree, signer: &PrivateKey, delegation: Option<Value>) -> Vec<u8> {
    let message = [b"\x0Dic-state-root".as_slice(), &tree.digest()].concat();
    let mut entries = vec![
        (text("tree"), Value::serialized(tree).unwrap()),
        (text("signature"), bytes(signer.sign(&message).serialize())),
    ];
    entries.extend(delegation.map(|delegation| (text("delegation"), delegation)));
    to_cbor(&Value::Tag(55_799, Box::new(Value::Map(entries))))
}

fn delegation(
    root: &PrivateKey,
    subnet: &PrivateKey,
    first: &[u8],
    last: &[u8],
    nested: Option<Value>,
) -> Value {
    let ranges = to_cbor(&Value::Array(vec![Value::Array(vec![
        bytes(first),
        bytes(last),
    ])]));
    let tree = hash_tree::fork(
        label(
            b"subnet",
            label(
                SUBNET,
                hash_tree::fork(
                    label(b"canister_ranges", leaf(ranges)),
                    label(b"public_key", leaf(der(subnet))),
                ),
            ),
        ),
        label(b"time", leaf(vec![1])),
    );
    Value::Map(vec![
        (text("subnet_id"), bytes(SUBNET)),
        (text("certificate"), bytes(certificate(&tree, root, nested))),
    ])
}

fn state(data: &[u8]) -> HashTree {
    let mut time = Vec::new();
    leb128::write::unsigned(&mut time, 1_700_000_000_000_000_000).unwrap();
    hash_tree::fork(
        label(
            b"canister",
            label(canister().as_slice(), label(b"certified_data", leaf(data))),
        ),
        label(b"time", leaf(time)),
    )
}

fn request() -> JobRequest {
    JobRequest {
        model: ModelRef::Name("tiny".to_owned()),
        task: Task::question("why?"),
        parameters: Parameters::new(8, Sampling::GREEDY),
        seed: Some(1),
        assurance: Assurance::Checked { checkers: 1 },
    }
}

fn receipt() -> Receipt {
    let lease = |id: u64, role, paid| ReceiptLease {
        lease: LeaseId(id),
        round: 1,
        role,
        worker: Principal::from_slice(&[id as u8]),
        provider: Principal::from_slice(&[id as u8, 2]),
        state: LeaseState::Revealed,
        root: Some(Hash32([5; 32])),
        paid: Cycles(paid),
        forfeited: Cycles::ZERO,
        bonus: Cycles::ZERO,
    };
    Receipt {
        canister: canister(),
        job: JobId(7),
        request_hash: request().salted_hash(&Hash32([9; 32])),
        model: ModelId(Hash32([1; 32])),
        model_root: Hash32([2; 32]),
        class: Hash32([3; 32]),
        seed: Some(1),
        assurance: Assurance::Checked { checkers: 1 },
        state: JobState::Settled,
        verdict: Some(Verdict::Verified),
        result: Some(ReceiptResult {
            root: Hash32([5; 32]),
            answer_sha256: Hash32([6; 32]),
            trace_root: Hash32([7; 32]),
            finish: Finish::Stop,
            usage: Usage {
                input_tokens: 3,
                output_tokens: 4,
            },
        }),
        leases: vec![lease(1, Role::Generator, 50), lease(2, Role::Checker, 20)],
        escrow: Cycles(100),
        fee: Cycles(5),
        royalty: Cycles(3),
        subsidy: Cycles::ZERO,
        refund: Cycles(22),
        submitted_at: Timestamp(10),
        ended_at: Timestamp(20),
    }
}

fn witness(receipt: &Receipt) -> HashTree {
    hash_tree::fork(
        label(
            RECEIPTS_LABEL,
            label(
                &receipt.job.0.to_be_bytes(),
                leaf(receipt.hash().0.to_vec()),
            ),
        ),
        hash_tree::pruned([8; 32]),
    )
}

fn certify(receipt: Receipt) -> CertifiedReceipt {
    let witness = witness(&receipt);
    let delegation = delegation(
        &key(1),
        &key(2),
        &[0; 10],
        &[0, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 1, 1],
        None,
    );
    CertifiedReceipt {
        certificate: certificate(&state(&witness.digest()), &key(2), Some(delegation)),
        witness: to_cbor(&witness),
        receipt,
        request: Some(SaltedRequest {
            request: request(),
            salt: Hash32([9; 32]),
        }),
    }
}

fn check(certified: &CertifiedReceipt) -> Result<Proof, VerifyError> {
    verify(certified, &der(&key(1)))
}

#[test]
fn an_honest_receipt_is_proven_with_and_without_its_request() {
    let mut certified = certify(receipt());
    let proof = check(&certified).unwrap();
    assert_eq!(
        proof,
        Proof {
            signed_at: 1_700_000_000_000_000_000,
            hash: receipt().hash(),
            request: true
        }
    );
    certified.request = None;
    assert!(!check(&certified).unwrap().request);
    // A canister of the root subnet is certified without a delegation.
    certified.certificate = certificate(&state(&witness(&receipt()).digest()), &key(1), None);
    check(&certified).unwrap();
}

/// A page of these receipts, under one certificate.
fn page_of(receipts: &[Receipt]) -> ReceiptsPage {
    let leaves = receipts.iter().map(|receipt| {
        label(
            &receipt.job.0.to_be_bytes(),
            leaf(receipt.hash().0.to_vec()),
        )
    });
    let tree = leaves
        .reduce(hash_tree::fork)
        .unwrap_or_else(|| hash_tree::pruned([8; 32]));
    let witness = label(RECEIPTS_LABEL, tree);
    ReceiptsPage {
        receipts: receipts
            .iter()
            .map(|receipt| HashedReceipt {
                hash: receipt.hash(),
                receipt: receipt.clone(),
            })
            .collect(),
        next: None,
        certificate: certificate(&state(&witness.digest()), &key(1), None),
        witness: to_cbor(&witness),
    }
}

#[test]
fn a_page_is_proven_whole_and_any_change_of_it_is_refused() {
    let root_key = der(&key(1));
    let check = |page: &ReceiptsPage| verify_page(page, &canister(), &root_key);
    let mut second = receipt();
    second.job = JobId(8);
    let page = page_of(&[receipt(), second]);
    check(&page).unwrap();
    check(&page_of(&[])).unwrap();

    let changed = |change: fn(&mut ReceiptsPage)| {
        let mut page = page.clone();
        change(&mut page);
        check(&page).unwrap_err()
    };
    let told = changed(|page| page.receipts[1].receipt.refund.0 += 1);
    assert!(matches!(told, VerifyError::Changed { .. }), "{told}");
    let told = changed(|page| page.receipts[0].hash.0[0] ^= 1);
    assert!(matches!(told, VerifyError::Changed { .. }), "{told}");
    let told = changed(|page| page.receipts[0].receipt.job = JobId(9));
    assert_eq!(told, VerifyError::OtherJob { job: 9 });
    let told = changed(|page| page.receipts[0].receipt.canister = Principal::anonymous());
    assert!(matches!(told, VerifyError::OtherCanister { .. }), "{told}");
    let told = changed(|page| page.witness = page_of(&[receipt()]).witness);
    assert_eq!(told, VerifyError::OtherData);

    let mut unequal = receipt();
    unequal.refund.0 += 1;
    let told = check(&page_of(&[unequal])).unwrap_err();
    assert!(matches!(told, VerifyError::Amounts { .. }), "{told}");
    let other = Principal::from_slice(&[9]);
    assert!(verify_page(&page, &other, &root_key).is_err());
    assert!(verify_page(&page, &canister(), &der(&key(2))).is_err());
}

#[test]
fn every_changed_field_of_the_receipt_is_refused() {
    let changes: Vec<(&str, Change)> = vec![
        ("request_hash", |r| r.request_hash.0[0] ^= 1),
        ("model", |r| r.model.0.0[0] ^= 1),
        ("model_root", |r| r.model_root.0[0] ^= 1),
        ("class", |r| r.class.0[0] ^= 1),
        ("seed", |r| r.seed = None),
        ("assurance", |r| {
            r.assurance = Assurance::Checked { checkers: 2 }
        }),
        ("state", |r| r.state = JobState::Failed),
        ("verdict", |r| r.verdict = Some(Verdict::Unverified)),
        ("result", |r| r.result = None),
        ("result.root", |r| r.result.as_mut().unwrap().root.0[0] ^= 1),
        ("result.answer_sha256", |r| {
            r.result.as_mut().unwrap().answer_sha256.0[0] ^= 1
        }),
        ("result.trace_root", |r| {
            r.result.as_mut().unwrap().trace_root.0[0] ^= 1
        }),
        ("result.finish", |r| {
            r.result.as_mut().unwrap().finish = Finish::Length
        }),
        ("result.usage.input", |r| {
            r.result.as_mut().unwrap().usage.input_tokens += 1
        }),
        ("result.usage.output", |r| {
            r.result.as_mut().unwrap().usage.output_tokens += 1
        }),
        ("leases", |r| r.leases.truncate(1)),
        ("lease.id", |r| r.leases[0].lease.0 += 1),
        ("lease.round", |r| r.leases[0].round += 1),
        ("lease.role", |r| r.leases[0].role = Role::Replica),
        ("lease.worker", |r| {
            r.leases[0].worker = Principal::from_slice(&[42])
        }),
        ("lease.provider", |r| {
            r.leases[0].provider = Principal::from_slice(&[42])
        }),
        ("lease.state", |r| r.leases[0].state = LeaseState::Silent),
        ("lease.root", |r| r.leases[0].root = None),
        ("lease.paid", |r| r.leases[0].paid.0 += 1),
        ("lease.forfeited", |r| r.leases[0].forfeited.0 += 1),
        ("lease.bonus", |r| r.leases[0].bonus.0 += 1),
        ("escrow", |r| r.escrow.0 += 1),
        ("fee", |r| r.fee.0 += 1),
        ("royalty", |r| r.royalty.0 += 1),
        ("refund", |r| r.refund.0 += 1),
        ("subsidy", |r| r.subsidy.0 += 1),
        ("submitted_at", |r| r.submitted_at.0 += 1),
        ("ended_at", |r| r.ended_at.0 += 1),
    ];
    for (field, change) in changes {
        let mut certified = certify(receipt());
        change(&mut certified.receipt);
        assert!(
            matches!(check(&certified), Err(VerifyError::Changed { .. })),
            "{field}"
        );
    }
    let mut certified = certify(receipt());
    certified.receipt.job.0 += 1;
    assert_eq!(check(&certified), Err(VerifyError::OtherJob { job: 8 }));
    certified = certify(receipt());
    certified.receipt.canister = Principal::from_slice(&[0, 0, 0, 0, 0, 0x10, 0, 6, 1, 1]);
    assert!(matches!(
        check(&certified),
        Err(VerifyError::Certificate(CertificateError::Missing { .. }))
    ));
}

#[test]
fn a_changed_request_or_salt_is_refused() {
    let mut certified = certify(receipt());
    certified.request.as_mut().unwrap().request.task = Task::question("why not?");
    assert!(matches!(
        check(&certified),
        Err(VerifyError::OtherRequest { .. })
    ));
    certified = certify(receipt());
    certified.request.as_mut().unwrap().salt.0[0] ^= 1;
    assert!(matches!(
        check(&certified),
        Err(VerifyError::OtherRequest { .. })
    ));
}

#[test]
fn every_flipped_byte_of_certificate_and_witness_is_refused() {
    let honest = certify(receipt());
    for at in (0..honest.certificate.len()).step_by(3) {
        let mut certified = honest.clone();
        certified.certificate[at] ^= 0x20;
        assert!(check(&certified).is_err(), "certificate, byte {at}");
    }
    for at in 0..honest.witness.len() {
        let mut certified = honest.clone();
        certified.witness[at] ^= 0x20;
        assert!(check(&certified).is_err(), "witness, byte {at}");
    }
    for cut in (0..honest.certificate.len()).step_by(11) {
        let mut certified = honest.clone();
        certified.certificate.truncate(cut);
        assert!(check(&certified).is_err(), "certificate cut at {cut}");
    }
}

#[test]
fn another_root_key_subnet_or_canister_range_is_refused() {
    let honest = certify(receipt());
    assert_eq!(
        verify(&honest, &der(&key(3))),
        Err(VerifyError::Certificate(CertificateError::Signature {
            signer: "network's root key"
        }))
    );
    assert_eq!(
        verify(&honest, b"short"),
        Err(VerifyError::Certificate(CertificateError::RootKey))
    );

    let data = witness(&receipt()).digest();
    let with = |certificate| CertifiedReceipt {
        certificate,
        ..honest.clone()
    };
    let last = [0, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 1, 1];
    // Signed by a subnet that the root key does not know.
    let forged = with(certificate(
        &state(&data),
        &key(4),
        Some(delegation(&key(4), &key(4), &[0; 10], &last, None)),
    ));
    assert_eq!(
        check(&forged),
        Err(VerifyError::Certificate(CertificateError::Signature {
            signer: "network's root key"
        }))
    );
    // Delegated to one subnet, signed by another.
    let forged = with(certificate(
        &state(&data),
        &key(4),
        Some(delegation(&key(1), &key(2), &[0; 10], &last, None)),
    ));
    assert_eq!(
        check(&forged),
        Err(VerifyError::Certificate(CertificateError::Signature {
            signer: "subnet"
        }))
    );
    // A real subnet that does not host this canister.
    for (first, last) in [
        ([0; 10], [0, 0, 0, 0, 0, 0x10, 0, 4, 1, 1]),
        ([0, 0, 0, 0, 0, 0x10, 0, 6, 1, 1], last),
    ] {
        let foreign = with(certificate(
            &state(&data),
            &key(2),
            Some(delegation(&key(1), &key(2), &first, &last, None)),
        ));
        assert_eq!(
            check(&foreign),
            Err(VerifyError::Certificate(
                CertificateError::ForeignCanister {
                    canister: canister()
                }
            ))
        );
    }
    // A chain of delegations.
    let inner = delegation(&key(1), &key(2), &[0; 10], &last, None);
    let nested = with(certificate(
        &state(&data),
        &key(2),
        Some(delegation(&key(1), &key(2), &[0; 10], &last, Some(inner))),
    ));
    assert_eq!(
        check(&nested),
        Err(VerifyError::Certificate(CertificateError::NestedDelegation))
    );
}

#[test]
fn a_witness_of_other_data_or_other_jobs_is_refused() {
    let mut certified = certify(receipt());
    let mut other = receipt();
    other.fee.0 += 1;
    certified.witness = to_cbor(&witness(&other));
    assert_eq!(check(&certified), Err(VerifyError::OtherData));
}

#[test]
fn amounts_that_do_not_add_up_are_refused_even_when_certified() {
    let mut wrong = receipt();
    wrong.refund.0 += 1;
    assert_eq!(
        check(&certify(wrong)),
        Err(VerifyError::Amounts {
            held: Cycles(100),
            spent: Cycles(101)
        })
    );
    let mut audited = receipt();
    audited.refund.0 += 5;
    audited.subsidy = Cycles(5);
    assert!(
        check(&certify(audited)).is_ok(),
        "the treasury adds to the escrow"
    );
    let mut huge = receipt();
    huge.refund = Cycles(u128::MAX);
    assert!(matches!(
        check(&certify(huge)),
        Err(VerifyError::Amounts { .. })
    ));
}

#[test]
fn hostile_encodings_are_refused_without_running_out_of_anything() {
    let mut certified = certify(receipt());
    certified.witness = [0x83, 0x01].repeat(10_000);
    assert!(matches!(
        check(&certified),
        Err(VerifyError::Witness(CertificateError::Malformed(_)))
    ));
    certified.witness = vec![0; CBOR_BYTES_MAX + 1];
    assert_eq!(
        check(&certified),
        Err(VerifyError::Witness(CertificateError::TooLong {
            bytes: CBOR_BYTES_MAX + 1
        }))
    );
    // An array that claims to be enormous.
    certified.witness = vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert!(check(&certified).is_err());
    certified.witness = [to_cbor(&witness(&receipt())), vec![0]].concat();
    assert!(matches!(
        check(&certified),
        Err(VerifyError::Witness(CertificateError::Malformed(_)))
    ));
}

#[test]
fn receipt_files_come_back_whole_and_damaged_ones_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("receipt.json");
    let file = ReceiptFile {
        network: "http://localhost:1".to_owned(),
        root_key: der(&key(1)),
        certified: certify(receipt()),
    };
    file.save(&path).unwrap();
    assert_eq!(ReceiptFile::load(&path).unwrap(), file);
    let text = std::fs::read_to_string(&path).unwrap();
    let damaged = |text: &str| {
        std::fs::write(&path, text).unwrap();
        ReceiptFile::load(&path).unwrap_err()
    };
    for cut in [0, 1, text.len() / 2, text.len() - 3] {
        assert!(
            matches!(damaged(&text[..cut]), FileError::Malformed { .. }),
            "cut at {cut}"
        );
    }
    assert!(
        damaged(&text.replace("assay-receipt-1", "assay-receipt-2"))
            .to_string()
            .contains("this release reads")
    );
    assert!(
        damaged(&text.replace("\"format\"", "\"shape\""))
            .to_string()
            .contains("shape")
    );
    assert!(
        damaged(&text.replace("\"root_key\": \"3081", "\"root_key\": \"30zz"))
            .to_string()
            .contains("root_key")
    );
    std::fs::write(
        &path,
        vec![b' '; usize::try_from(FILE_BYTES_MAX).unwrap() + 1],
    )
    .unwrap();
    assert!(matches!(
        ReceiptFile::load(&path),
        Err(FileError::TooLong { .. })
    ));
    assert!(matches!(
        ReceiptFile::load(&dir.path().join("none")),
        Err(FileError::Io { .. })
    ));
}
