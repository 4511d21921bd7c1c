//! Effective canister ids and paths of the state tree.

use super::*;

#[test]
fn calls_go_where_their_canister_lives() {
    #[derive(candid::CandidType)]
    struct Named {
        canister_id: Principal,
        wasm_module: Vec<u8>,
    }
    #[derive(candid::CandidType)]
    struct Target {
        target_canister: Principal,
    }
    let (here, there) = (canister_id(1), canister_id(2));
    let management = |method: &str, arg: Vec<u8>| Call {
        canister: Principal::management_canister(),
        method: method.to_owned(),
        arg,
    };
    let named = candid::encode_one(Named {
        canister_id: here,
        wasm_module: vec![7; 1_900_000],
    })
    .unwrap();
    let target = candid::encode_one(Target {
        target_canister: here,
    })
    .unwrap();
    let mismatch = |named| {
        Err(EffectiveError::Mismatch {
            named,
            effective: there,
        })
    };

    let direct = Call {
        canister: here,
        method: "m".into(),
        arg: Vec::new(),
    };
    for kind in [Kind::Call, Kind::Query] {
        assert_eq!(check_effective(&direct, kind, &here), Ok(()));
        assert_eq!(check_effective(&direct, kind, &there), mismatch(here));
    }
    let install = management("install_code", named.clone());
    assert_eq!(check_effective(&install, Kind::Call, &here), Ok(()));
    assert_eq!(
        check_effective(&install, Kind::Call, &there),
        mismatch(here)
    );
    let chunked = management("install_chunked_code", target);
    assert_eq!(check_effective(&chunked, Kind::Call, &here), Ok(()));
    assert_eq!(
        check_effective(&chunked, Kind::Call, &there),
        mismatch(here)
    );
    let create = management(
        "provisional_create_canister_with_cycles",
        b"anything".to_vec(),
    );
    assert_eq!(check_effective(&create, Kind::Call, &there), Ok(()));
    for (method, arg, kind) in [
        ("raw_rand", b"DIDL\0\0".to_vec(), Kind::Call),
        ("canister_status", b"not candid".to_vec(), Kind::Call),
        ("install_chunked_code", named, Kind::Call),
        (
            "provisional_create_canister_with_cycles",
            b"DIDL\0\0".to_vec(),
            Kind::Query,
        ),
    ] {
        let refused = check_effective(&management(method, arg), kind, &here);
        assert_eq!(
            refused,
            Err(EffectiveError::NoCanister {
                method: method.into()
            })
        );
    }
}

struct World {
    sent: Sent,
    controllers: Vec<Principal>,
    metadata: Vec<MetadataSection>,
}

impl Facts for World {
    fn request(&self, id: &RequestId) -> Option<Sent> {
        (id.0 == [1; 32]).then_some(self.sent)
    }

    fn canister(&self, id: &Principal) -> Option<CanisterView<'_>> {
        (*id == self.sent.effective).then_some(CanisterView {
            id: *id,
            subnet: Principal::anonymous(),
            module_hash: None,
            controllers: &self.controllers,
            certified_data: b"",
            metadata: &self.metadata,
            state: RunState::Running,
            created: NOW,
            installed: None,
        })
    }
}

#[test]
fn paths_are_read_by_those_who_may() {
    let (alice, bob) = (User::new(1).principal(), User::new(2).principal());
    let (here, there) = (canister_id(1), canister_id(2));
    let (root, subnet) = (Principal::from_slice(&[8]), Principal::from_slice(&[9]));
    let section = |name: &str, public| MetadataSection {
        name: name.into(),
        public,
        content: Vec::new(),
    };
    let world = World {
        sent: Sent {
            sender: alice,
            canister: here,
            effective: here,
        },
        controllers: vec![alice],
        metadata: vec![section("open", true), section("closed", false)],
    };
    let ask = |sender: Principal, targets: Option<Principal>, place, form, paths: &[&[&[u8]]]| {
        let paths = paths
            .iter()
            .map(|path| path.iter().map(|label| label.to_vec()).collect())
            .collect();
        let envelope = Envelope {
            id: RequestId([0; 32]),
            sender,
            expiry: NOW,
            targets: targets.map(|target| BTreeSet::from([target])),
            info: None,
            content: Content::ReadState(paths),
            bytes: 0,
        };
        authorise(&envelope, place, form, &root, &world)
    };
    let (at_here, at_there, at_subnet) = (
        Place::Canister(here),
        Place::Canister(there),
        Place::Subnet(subnet),
    );
    let new = RangeForm::Sharded;
    let mine: &[&[u8]] = &[b"request_status", &[1; 32]];
    let module: &[&[u8]] = &[b"canister", here.as_slice(), b"module_hash"];
    let closed: &[&[u8]] = &[b"canister", here.as_slice(), b"metadata", b"closed"];
    let open: &[&[u8]] = &[b"canister", here.as_slice(), b"metadata", b"open"];
    let absent: &[&[u8]] = &[b"canister", here.as_slice(), b"metadata", b"absent"];
    let node: &[&[u8]] = &[b"subnet", subnet.as_slice(), b"node", b"n", b"public_key"];
    let metrics: &[&[u8]] = &[b"subnet", subnet.as_slice(), b"metrics"];
    let flat: &[&[u8]] = &[b"subnet", subnet.as_slice(), b"canister_ranges"];
    let flat_root: &[&[u8]] = &[b"subnet", root.as_slice(), b"canister_ranges"];
    let ranges: &[&[u8]] = &[b"canister_ranges", subnet.as_slice()];
    let other_ranges: &[&[u8]] = &[b"canister_ranges", root.as_slice()];

    // Everybody, everywhere.
    for place in [at_here, at_there, at_subnet] {
        let public: &[&[&[u8]]] = &[
            &[b"time"],
            &[b"subnet"],
            node,
            flat_root,
            &[b"request_status", &[2; 32], b"reply"],
        ];
        assert_eq!(ask(bob, None, place, new, public), Ok(()));
    }
    // One's own messages, where they went.
    assert_eq!(
        ask(
            alice,
            None,
            at_here,
            new,
            &[mine, &[b"request_status", &[1; 32], b"status"]]
        ),
        Ok(())
    );
    let not_yours = Err(PathError::NotYours {
        id: RequestId([1; 32]),
    });
    assert_eq!(ask(bob, None, at_here, new, &[mine]), not_yours);
    assert_eq!(ask(alice, None, at_there, new, &[mine]), not_yours);
    assert_eq!(ask(alice, None, at_subnet, new, &[mine]), not_yours);
    assert_eq!(ask(alice, Some(here), at_here, new, &[mine]), Ok(()));
    assert_eq!(
        ask(alice, Some(there), at_here, new, &[mine]),
        Err(PathError::NotATarget { canister: here })
    );
    let two = ask(
        alice,
        None,
        at_here,
        new,
        &[mine, &[b"request_status", &[2; 32]]],
    );
    assert_eq!(two, Err(PathError::SeveralRequests));
    // A canister's facts, at the canister.
    assert_eq!(
        ask(bob, None, at_here, new, &[module, open, absent]),
        Ok(())
    );
    assert_eq!(
        ask(bob, None, at_there, new, &[module]),
        Err(PathError::OtherCanister { effective: there })
    );
    assert_eq!(
        ask(bob, None, at_subnet, new, &[module]),
        Err(PathError::OtherCanister { effective: subnet })
    );
    assert_eq!(ask(alice, None, at_here, new, &[closed]), Ok(()));
    assert_eq!(
        ask(bob, None, at_here, new, &[closed]),
        Err(PathError::Private {
            name: "closed".into()
        })
    );
    // Ranges and metrics, by endpoint.
    assert_eq!(ask(bob, None, at_here, RangeForm::Flat, &[flat]), Ok(()));
    assert_eq!(ask(bob, None, at_subnet, new, &[ranges, metrics]), Ok(()));
    assert_eq!(
        ask(bob, None, at_subnet, new, &[ranges, other_ranges]),
        Err(PathError::SeveralSubnets)
    );
    // What nobody gets.
    let data: &[&[u8]] = &[b"canister", here.as_slice(), b"certified_data"];
    let whole: &[&[u8]] = &[b"canister", here.as_slice()];
    let not_utf8: &[&[u8]] = &[b"canister", here.as_slice(), b"metadata", b"\xff"];
    let short_id: &[&[u8]] = &[b"request_status", &[1; 31]];
    for path in [
        data,
        whole,
        not_utf8,
        short_id,
        flat,
        ranges,
        metrics,
        &[],
        &[b"nonsense"],
        &[b"time", b"x"],
    ] {
        let refused = ask(alice, None, at_here, new, &[path]);
        assert!(
            matches!(refused, Err(PathError::Invalid { .. })),
            "{path:?}: {refused:?}"
        );
    }
}
