//! The trees and certificates made here, read by the client library's own code.

mod subnets;

use std::collections::BTreeMap;

use ic_certification::{Certificate, HashTree, LookupResult, SubtreeLookupResult};
use ic_verify_bls_signature::verify_bls_signature;
use proptest::{collection, prelude::*};
use sha2::Digest;

use super::*;
use crate::{
    network::{MetadataSection, RunState},
    types::{ErrorCode, Reject, RejectCode},
};

type Flat = BTreeMap<Vec<Vec<u8>>, Vec<u8>>;

/// Short labels over few bytes, so that some are prefixes of others and many are asked for in vain.
fn label() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(
        prop_oneof![Just(0), Just(1), Just(0x80), Just(0xff), any::<u8>()],
        0..4,
    )
}

fn path() -> impl Strategy<Value = Vec<Vec<u8>>> {
    collection::vec(label(), 1..4)
}

fn slices(path: &[Vec<u8>]) -> Vec<&[u8]> {
    path.iter().map(Vec::as_slice).collect()
}

/// Leaves that stand in no other leaf's way, and their tree.
fn build(leaves: &[(Vec<Vec<u8>>, Vec<u8>)]) -> (Flat, LabelTree) {
    let (mut flat, mut tree) = (Flat::new(), LabelTree::new());
    for (path, value) in leaves {
        let clear = flat
            .keys()
            .all(|other| other == path || !other.starts_with(path) && !path.starts_with(other));
        if clear {
            flat.insert(path.clone(), value.clone());
            tree.set(&slices(path), value.as_slice());
        }
    }
    (flat, tree)
}

fn decode(witness: &Witness) -> HashTree {
    let mut out = Writer::new();
    witness.write(&mut out);
    serde_cbor::from_slice(&out.finish()).unwrap()
}

proptest! {
    #[test]
    fn every_path_is_found_or_proved_absent(
        leaves in collection::vec((path(), collection::vec(any::<u8>(), 0..5)), 0..40),
        mut asked in collection::vec(path(), 0..12),
    ) {
        let (flat, tree) = build(&leaves);
        asked.extend(flat.keys().step_by(3).cloned());
        let witness = tree.witness(&Wanted::paths(&asked), &|_| false);
        prop_assert_eq!(witness.root_hash(), tree.root_hash());
        let seen = decode(&witness);
        prop_assert_eq!(seen.digest(), tree.root_hash());

        for path in &asked {
            if let Some(value) = flat.get(path) {
                prop_assert_eq!(seen.lookup_path(path), LookupResult::Found(value));
                continue;
            }
            let below: Vec<_> = flat.iter().filter(|(other, _)| other.starts_with(path)).collect();
            if below.is_empty() {
                prop_assert_eq!(seen.lookup_path(path), LookupResult::Absent);
                prop_assert_eq!(seen.lookup_subtree(path), SubtreeLookupResult::Absent);
            }
            for (other, value) in below {
                prop_assert_eq!(seen.lookup_path(other), LookupResult::Found(value));
            }
        }
        // Nothing else is shown, except a value below which something was asked for.
        for shown in seen.list_paths() {
            let shown: Vec<Vec<u8>> = shown.iter().map(|label| label.as_bytes().to_vec()).collect();
            prop_assert!(asked.iter().any(|path| shown.starts_with(path) || path.starts_with(&shown)));
        }
    }

    #[test]
    fn the_order_of_changes_leaves_no_trace(
        leaves in collection::vec((path(), collection::vec(any::<u8>(), 0..5)), 0..40),
        removed in collection::vec(path(), 0..10),
    ) {
        let (flat, tree) = build(&leaves);
        let backwards: Vec<_> = flat.iter().rev().map(|(path, value)| (path.clone(), value.clone())).collect();
        let (_, other) = build(&backwards);
        prop_assert_eq!(tree.root_hash(), other.root_hash());

        let (mut kept, mut cut) = (flat, tree.clone());
        for path in &removed {
            cut.unset(&slices(path));
            kept.retain(|other, _| !other.starts_with(path));
        }
        let (_, fresh) = build(&kept.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(cut.root_hash(), fresh.root_hash());
        prop_assert_eq!(tree.root_hash(), other.root_hash(), "the tree that was copied has changed");
    }
}

#[test]
fn the_tree_of_the_specification_hashes_as_published() {
    // "Certification", "Example": built from values, with the published shape written out.
    let leaf = |value: &str| Witness::Leaf(value.as_bytes().into());
    let label = |name: &str, below| Witness::Labelled(name.as_bytes().into(), Box::new(below));
    let fork = |left, right| Witness::Fork(Box::new((left, right)));
    let tree = fork(
        fork(
            label(
                "a",
                fork(
                    fork(label("x", leaf("hello")), Witness::Empty),
                    label("y", leaf("world")),
                ),
            ),
            label("b", leaf("good")),
        ),
        fork(label("c", Witness::Empty), label("d", leaf("morning"))),
    );
    assert_eq!(
        hex::encode(tree.root_hash()),
        "eb5c5b2195e62d996b84c9bcc8259d19a83786a2f59e0878cec84c811f669aa0"
    );
    let mut out = Writer::new();
    tree.write(&mut out);
    assert_eq!(
        hex::encode(out.finish()),
        "8301830183024161830183018302417882034568656c6c6f810083024179820345776f726c6483024162820344676f6f648301830241\
         638100830241648203476d6f726e696e67"
    );
}

#[test]
fn hidden_paths_stay_hidden_and_hash_the_same() {
    let mut tree = LabelTree::new();
    tree.set(&[b"a", b"open"], *b"1");
    tree.set(&[b"a", b"secret"], *b"2");
    let hidden = |path: &[&[u8]]| path == [b"a".as_slice(), b"secret"];
    for wanted in [
        Wanted::All,
        Wanted::paths([[b"a"]]),
        Wanted::paths([[b"a".as_slice(), b"secret"]]),
    ] {
        let seen = decode(&tree.witness(&wanted, &hidden));
        assert_eq!(seen.digest(), tree.root_hash());
        assert_eq!(seen.lookup_path(["a", "secret"]), LookupResult::Unknown);
    }
    let seen = decode(&tree.witness(&Wanted::paths([[b"a"]]), &hidden));
    assert_eq!(seen.lookup_path(["a", "open"]), LookupResult::Found(b"1"));
}

#[test]
fn forks_stay_shallow() {
    let mut tree = LabelTree::new();
    for number in 0..20_000u64 {
        tree.set(&[&RequestId(hash_of(number)).0], number.to_be_bytes());
    }
    let witness = tree.witness(&Wanted::paths([[hash_of(7)]]), &|_| false);
    // Readers of CBOR give up somewhere beyond a hundred levels.
    assert!(depth(&witness) < 50, "{} levels", depth(&witness));
}

fn hash_of(number: u64) -> Hash {
    hash::separated("test")
        .chain_update(number.to_be_bytes())
        .finalize()
        .into()
}

fn depth(witness: &Witness) -> usize {
    match witness {
        Witness::Fork(sides) => 1 + depth(&sides.0).max(depth(&sides.1)),
        Witness::Labelled(_, below) => 1 + depth(below),
        Witness::Empty | Witness::Leaf(_) | Witness::Pruned(_) => 1,
    }
}

// Certificates.

fn certification() -> Certification {
    Certification::new(
        Arc::new(Topology::new(&[3; 32])),
        Time(1_700_000_000_000_000_000),
    )
}

fn parse(bytes: &[u8]) -> Certificate {
    assert_eq!(
        &bytes[..3],
        [0xd9, 0xd9, 0xf7],
        "certificates begin with the self-describe tag"
    );
    serde_cbor::from_slice(bytes).unwrap()
}

fn verify(certificate: &Certificate, der: &[u8]) {
    let message = [STATE_ROOT_DOMAIN, &certificate.tree.digest()].concat();
    verify_bls_signature(&certificate.signature, &message, &der[37..]).unwrap();
}

/// Follows the delegation as a client does, and returns the delegation's tree.
fn verify_delegated(certificate: &Certificate, root_key: &[u8], subnet: &Principal) -> HashTree {
    let delegation = certificate
        .delegation
        .as_ref()
        .expect("an application subnet has a delegation");
    assert_eq!(delegation.subnet_id, subnet.as_slice());
    let inner = parse(&delegation.certificate);
    assert!(inner.delegation.is_none());
    verify(&inner, root_key);
    let LookupResult::Found(key) =
        inner
            .tree
            .lookup_path([b"subnet".as_slice(), subnet.as_slice(), b"public_key"])
    else {
        panic!("the delegation has no key")
    };
    verify(certificate, key);
    assert!(matches!(
        inner.tree.lookup_path(["time"]),
        LookupResult::Found(_)
    ));
    inner.tree
}

#[test]
fn delegations_list_ranges_in_the_form_of_the_endpoint() {
    let mut certification = certification();
    let topology = certification.topology.clone();
    let subnet = topology.default_subnet().id;
    let range = topology.default_subnet().ranges[0];
    let flat = [b"subnet".as_slice(), subnet.as_slice(), b"canister_ranges"];
    let first = range.first_id();
    let sharded = [
        b"canister_ranges".as_slice(),
        subnet.as_slice(),
        first.as_slice(),
    ];

    for (form, shown, other) in [
        (RangeForm::Flat, flat, sharded),
        (RangeForm::Sharded, sharded, flat),
    ] {
        let certificate = parse(&certification.certificate(&subnet, &Wanted::nothing(), form));
        let delegation = verify_delegated(&certificate, topology.root_key(), &subnet);
        let LookupResult::Found(ranges) = delegation.lookup_path(shown) else {
            panic!("no ranges for {form:?}")
        };
        let ranges: Vec<(Principal, Principal)> = serde_cbor::from_slice(ranges).unwrap();
        assert_eq!(ranges, [(range.first_id(), range.last_id())]);
        assert_eq!(delegation.lookup_path(other), LookupResult::Unknown);
    }
}

#[test]
fn the_root_subnet_signs_without_delegation_and_shows_its_ranges() {
    let mut certification = certification();
    let topology = certification.topology.clone();
    let root = topology.root().id;
    let certificate =
        parse(&certification.certificate(&root, &Wanted::paths([[b"subnet"]]), RangeForm::Sharded));
    assert!(certificate.delegation.is_none());
    verify(&certificate, topology.root_key());
    let ranges = |id: &Principal| {
        certificate
            .tree
            .lookup_path([b"subnet".as_slice(), id.as_slice(), b"canister_ranges"])
    };
    assert!(matches!(ranges(&root), LookupResult::Found(_)));
    assert_eq!(ranges(&topology.default_subnet().id), LookupResult::Unknown);
    let node = topology.default_subnet().nodes[0].id;
    let path = [
        b"subnet".as_slice(),
        topology.default_subnet().id.as_slice(),
        b"node",
        node.as_slice(),
        b"public_key",
    ];
    assert_eq!(
        certificate.tree.lookup_path(path),
        LookupResult::Absent,
        "nodes are shown by their own subnet"
    );
}

#[test]
fn canisters_and_messages_are_shown_and_their_absence_proved() {
    let mut certification = certification();
    let topology = certification.topology.clone();
    let subnet = topology.default_subnet().id;
    let id = topology.default_effective_canister();
    let other = topology.default_subnet().ranges[0].last_id();
    let controllers = [Principal::anonymous()];
    let metadata = [MetadataSection {
        name: "candid:service".into(),
        public: true,
        content: b"service {}".to_vec(),
    }];
    certification.put_canister(
        &subnet,
        &CanisterView {
            id,
            subnet,
            module_hash: Some([9; 32]),
            controllers: &controllers,
            certified_data: b"root",
            metadata: &metadata,
            state: RunState::Running,
            created: Time(1),
            installed: Some(Time(2)),
        },
    );
    let reject = Reject {
        code: RejectCode::CanisterError,
        error: Some(ErrorCode::CanisterCalledTrap),
        message: "no".into(),
    };
    certification.put_request(
        &subnet,
        RequestId([1; 32]),
        &IngressStatus::Replied(b"yes".to_vec()),
    );
    certification.put_request(
        &subnet,
        RequestId([2; 32]),
        &IngressStatus::Rejected(reject),
    );

    let wanted = Wanted::paths([
        vec![b"canister".as_slice(), id.as_slice(), b"module_hash"],
        vec![b"canister", id.as_slice(), b"controllers"],
        vec![b"canister", id.as_slice(), b"metadata", b"candid:service"],
        vec![b"canister", id.as_slice(), b"metadata", b"candid:args"],
        vec![b"canister", other.as_slice(), b"module_hash"],
        vec![b"request_status", &[1; 32]],
        vec![b"request_status", &[2; 32]],
        vec![b"request_status", &[3; 32]],
    ]);
    let certificate = parse(&certification.certificate(&subnet, &wanted, RangeForm::Sharded));
    verify_delegated(&certificate, topology.root_key(), &subnet);
    let find = |path: &[&[u8]]| certificate.tree.lookup_path(path);
    assert_eq!(
        find(&[b"canister", id.as_slice(), b"module_hash"]),
        LookupResult::Found(&[9; 32])
    );
    let LookupResult::Found(shown) = find(&[b"canister", id.as_slice(), b"controllers"]) else {
        panic!("no controllers")
    };
    assert_eq!(
        serde_cbor::from_slice::<Vec<Principal>>(shown).unwrap(),
        controllers
    );
    assert_eq!(
        find(&[b"canister", id.as_slice(), b"metadata", b"candid:service"]),
        LookupResult::Found(b"service {}")
    );
    assert_eq!(
        find(&[b"canister", id.as_slice(), b"metadata", b"candid:args"]),
        LookupResult::Absent
    );
    assert_eq!(
        find(&[b"canister", other.as_slice(), b"module_hash"]),
        LookupResult::Absent
    );
    assert_eq!(
        find(&[b"canister", id.as_slice(), b"certified_data"]),
        LookupResult::Unknown
    );
    assert_eq!(
        find(&[b"request_status", &[1; 32], b"status"]),
        LookupResult::Found(b"replied")
    );
    assert_eq!(
        find(&[b"request_status", &[1; 32], b"reply"]),
        LookupResult::Found(b"yes")
    );
    assert_eq!(
        find(&[b"request_status", &[2; 32], b"status"]),
        LookupResult::Found(b"rejected")
    );
    assert_eq!(
        find(&[b"request_status", &[2; 32], b"reject_code"]),
        LookupResult::Found(&[5])
    );
    assert_eq!(
        find(&[b"request_status", &[2; 32], b"error_code"]),
        LookupResult::Found(b"IC0503")
    );
    assert_eq!(
        find(&[b"request_status", &[3; 32], b"status"]),
        LookupResult::Absent
    );

    let data = parse(&certification.data_certificate(&subnet, &id, RangeForm::Flat));
    verify_delegated(&data, topology.root_key(), &subnet);
    let path = [b"canister".as_slice(), id.as_slice(), b"certified_data"];
    assert_eq!(data.tree.lookup_path(path), LookupResult::Found(b"root"));
    assert!(matches!(
        data.tree.lookup_path(["time"]),
        LookupResult::Found(_)
    ));
}

#[test]
fn one_state_is_signed_once() {
    let mut certification = certification();
    let subnet = certification.topology.default_subnet().id;
    certification.certificate(&subnet, &Wanted::nothing(), RangeForm::Sharded);
    let signed = certification.subnets[&subnet].signed.unwrap();
    certification.certificate(&subnet, &Wanted::paths([[b"subnet"]]), RangeForm::Sharded);
    assert_eq!(certification.subnets[&subnet].signed.unwrap(), signed);
    let time = certification.time();
    certification.set_time(time.plus_nanos(1));
    certification.certificate(&subnet, &Wanted::nothing(), RangeForm::Sharded);
    assert_ne!(certification.subnets[&subnet].signed.unwrap(), signed);
}

#[test]
fn delegations_are_renewed() {
    let mut certification = certification();
    let subnet = certification.topology.default_subnet().id;
    let start = certification.time();
    certification.certificate(&subnet, &Wanted::nothing(), RangeForm::Flat);
    let signed_at = |certification: &Certification| {
        certification.subnets[&subnet].delegations[&RangeForm::Flat].0
    };
    for (nanos, renewed) in [
        (DELEGATION_NANOS_MAX, false),
        (DELEGATION_NANOS_MAX + 1, true),
    ] {
        certification.set_time(start.plus_nanos(nanos));
        certification.certificate(&subnet, &Wanted::nothing(), RangeForm::Flat);
        assert_eq!(signed_at(&certification) > start, renewed);
    }
}

#[test]
fn answers_are_signed_by_the_node() {
    let topology = Topology::new(&[3; 32]);
    let node = &topology.default_subnet().nodes[0];
    let public = ic_ed25519::PublicKey::deserialize_rfc8410_der(node.key.public_der()).unwrap();
    let answers = [
        Ok(b"DIDL\0\0".to_vec()),
        Err(Reject {
            code: RejectCode::CanisterReject,
            error: None,
            message: "not today".into(),
        }),
        Err(Reject::new(
            RejectCode::CanisterError,
            ErrorCode::CanisterTrapped,
            "trapped",
        )),
    ];
    for answer in answers {
        let bytes = sign_answer(node, &RequestId([5; 32]), Time(77), &answer);
        let response: ic_transport_types::QueryResponse = serde_cbor::from_slice(&bytes).unwrap();
        let [signature] = response.signatures() else {
            panic!("one signature")
        };
        assert_eq!((signature.timestamp, signature.identity), (77, node.id));
        let signable = response.signable(ic_transport_types::RequestId::new(&[5; 32]), 77);
        public
            .verify_signature(&signable, &signature.signature)
            .unwrap();
    }
}

#[test]
fn refusals_are_what_clients_decode() {
    let reject = Reject::new(
        RejectCode::SysTransient,
        ErrorCode::CanisterQueueFull,
        "full",
    );
    let bytes = encode_refusal(&reject, true);
    let response: ic_transport_types::TransportCallResponse =
        serde_cbor::from_slice(&bytes).unwrap();
    let ic_transport_types::TransportCallResponse::NonReplicatedRejection(decoded) = response
    else {
        panic!("{response:?}")
    };
    assert_eq!(
        (decoded.reject_code as u8, decoded.reject_message.as_str()),
        (2, "full")
    );
    assert_eq!(decoded.error_code.as_deref(), Some("IC0201"));
    let bytes = encode_refusal(&reject, false);
    assert!(serde_cbor::from_slice::<ic_transport_types::RejectResponse>(&bytes).is_ok());
}

#[test]
fn changes_are_what_differs() {
    let shown = BTreeMap::from([(1, 'a'), (2, 'b'), (4, 'd'), (6, 'f'), (7, 'g')]);
    let present = [(0, 'z'), (2, 'b'), (3, 'c'), (4, 'x'), (7, 'g'), (9, 'y')];
    let changes = state::changes(&shown, present.into_iter(), |shown, there| shown == there);
    let expected = [
        (0, Some('z')),
        (1, None),
        (3, Some('c')),
        (4, Some('x')),
        (6, None),
        (9, Some('y')),
    ];
    assert_eq!(changes, expected);
}
