//! Users for whose keys a canister signs, and what it says about them.

use std::sync::Arc;

use ic_certification::{
    HashTree,
    hash_tree::{label, leaf},
};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::cert::Certification;

/// A canister of the network, which signs for some seed.
struct Signer {
    canister: Principal,
    seed: &'static [u8],
    /// What its subnet certifies instead of the tree that has the message.
    instead: Option<[u8; 32]>,
}

impl Signer {
    fn new() -> Self {
        Self {
            canister: TOPOLOGY.default_effective_canister(),
            seed: b"seed",
            instead: None,
        }
    }

    fn der(&self) -> Vec<u8> {
        let id = self.canister.as_slice();
        let bits = [&[0, id.len() as u8], id, self.seed].concat();
        let oid = [0x2b, 6, 1, 4, 1, 0x83, 0xb8, 0x43, 1, 2];
        let algorithm = [&[0x30, 12, 0x06, 10], &oid[..]].concat();
        let info = [&algorithm[..], &[0x03, bits.len() as u8], &bits].concat();
        [&[0x30, info.len() as u8], &info[..]].concat()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let message = Sha256::digest(message).to_vec();
        let seed = Sha256::digest(self.seed).to_vec();
        let tree: HashTree = label("sig", label(seed, label(message, leaf(Vec::new()))));
        let data = self.instead.unwrap_or_else(|| tree.digest());
        let subnet = TOPOLOGY
            .subnet_of(&self.canister)
            .unwrap_or_else(|| TOPOLOGY.default_subnet());
        let mut certification = Certification::new(Arc::new(TOPOLOGY.clone()), NOW);
        let view = CanisterView {
            id: self.canister,
            subnet: subnet.id,
            module_hash: None,
            controllers: &[],
            certified_data: &data,
            metadata: &[],
            state: RunState::Running,
            created: NOW,
            installed: None,
        };
        certification.put_canister(&subnet.id, &view);
        let form = RangeForm::Flat;
        let certificate = certification.data_certificate(&subnet.id, &self.canister, form);
        encoded(&certificate, &tree)
    }

    /// A call with this in it that the canister has signed.
    fn call(&self, more: Pairs) -> Pairs {
        let mut content = call(&User::Anonymous);
        set(
            &mut content,
            "sender",
            blob(Principal::self_authenticating(self.der())),
        );
        for (field, value) in more {
            set(&mut content, field, value);
        }
        let message = [b"\x0Aic-request".as_slice(), &hash(&content)].concat();
        vec![
            ("content", map(&content)),
            ("sender_pubkey", blob(self.der())),
            ("sender_sig", blob(self.sign(&message))),
        ]
    }

    fn says(&self, data: &[u8]) -> Pairs {
        let message = [b"\x0Eic-sender-info", data].concat();
        vec![
            ("info", blob(data)),
            ("signer", blob(self.canister)),
            ("sig", blob(self.sign(&message))),
        ]
    }
}

fn encoded(certificate: &[u8], tree: &HashTree) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Signature<'a> {
        certificate: &'a serde_bytes::Bytes,
        tree: &'a HashTree,
    }
    let signature = Signature {
        certificate: serde_bytes::Bytes::new(certificate),
        tree,
    };
    let mut bytes = vec![0xd9, 0xd9, 0xf7];
    ciborium::into_writer(&signature, &mut bytes).unwrap();
    bytes
}

fn why(envelope: &Pairs) -> CanisterSignatureError {
    match open_as(envelope, Kind::Call) {
        Err(EnvelopeError::Signature {
            error: SignatureError::Canister(error),
            ..
        }) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn canisters_sign_for_users() {
    let signer = Signer::new();
    let opened = open_as(&signer.call(vec![]), Kind::Call).unwrap();
    assert_eq!(opened.sender, Principal::self_authenticating(signer.der()));
    assert_eq!(opened.info, None);

    let other = Signer {
        seed: b"another",
        ..Signer::new()
    };
    let mut envelope = signer.call(vec![]);
    let message = [b"\x0Aic-request".as_slice(), b"something else"].concat();
    let canister = signer.canister;
    for signature in [signer.sign(&message), other.sign(&message)] {
        set(&mut envelope, "sender_sig", blob(signature));
        let error = CanisterSignatureError::NotSigned { signer: canister };
        assert_eq!(why(&envelope), error);
    }
    let uncertified = Signer {
        instead: Some([1; 32]),
        ..Signer::new()
    };
    assert_eq!(
        why(&uncertified.call(vec![])),
        CanisterSignatureError::NotCertified { signer: canister }
    );
    for signature in [vec![], vec![0xa0], vec![0; 64], b"\xd9\xd9\xf7".to_vec()] {
        set(&mut envelope, "sender_sig", blob(signature));
        assert_eq!(why(&envelope), CanisterSignatureError::Malformed);
    }
}

#[test]
fn only_a_canisters_own_subnet_certifies_for_it() {
    let elsewhere = Signer {
        canister: Principal::from_slice(&[0xff; 10]),
        ..Signer::new()
    };
    assert_eq!(
        why(&elsewhere.call(vec![])),
        CanisterSignatureError::Subnet {
            signer: elsewhere.canister
        }
    );
    // A certificate of another network, which has other keys.
    let signer = Signer::new();
    let strange = Topology::new(&[6; 32]);
    let bytes = bytes_of(&map(&signer.call(vec![])));
    let result = super::super::open(&bytes, Kind::Call, NOW, &strange);
    assert!(
        matches!(
            result,
            Err(EnvelopeError::Signature {
                error: SignatureError::Canister(_),
                ..
            })
        ),
        "{result:?}"
    );
}

#[test]
fn canisters_say_more_about_users_that_they_sign_for() {
    let signer = Signer::new();
    let envelope = signer.call(vec![("sender_info", map(&signer.says(b"a friend")))]);
    let info = open_as(&envelope, Kind::Call).unwrap().info.unwrap();
    assert_eq!(info.data, b"a friend");
    assert_eq!(info.signer, signer.canister);
    let mut lie = signer.says(b"a friend");
    set(&mut lie, "info", blob(b"the owner"));
    let result = open_as(&signer.call(vec![("sender_info", map(&lie))]), Kind::Call);
    assert_eq!(
        result,
        Err(EnvelopeError::SenderInfoSignature {
            error: SignatureError::Canister(CanisterSignatureError::NotSigned {
                signer: signer.canister
            })
        })
    );
    let mut other = signer.says(b"a friend");
    set(&mut other, "signer", blob(canister_id(7)));
    let result = open_as(&signer.call(vec![("sender_info", map(&other))]), Kind::Call);
    assert_eq!(
        result,
        Err(EnvelopeError::SenderInfoSigner {
            expected: signer.canister,
            found: canister_id(7)
        })
    );
    refused(
        open_as(
            &signer.call(vec![("sender_info", map(&vec![]))]),
            Kind::Call,
        ),
        |error| matches!(error, EnvelopeError::Missing { field: "signer" }),
    );
    let mut content = call(&User::Anonymous);
    set(&mut content, "sender_info", map(&signer.says(b"nobody")));
    assert_eq!(
        open_call(&content, &User::Anonymous),
        Err(EnvelopeError::AnonymousWith {
            field: "sender_info"
        })
    );
}
