//! Chains of keys.

use super::*;

#[test]
fn delegations_pass_authority_on() {
    let (owner, middle, last) = (
        User::new(1),
        User::P256(ic_secp256r1::PrivateKey::generate_insecure_key_for_testing(
            2,
        )),
        User::new(3),
    );
    let chain = vec![
        delegation(&owner, &middle, Vec::new()),
        delegation(&middle, &last, Vec::new()),
    ];
    let envelope = open_as(
        &signed(&call(&owner), &owner, &last, chain.clone()),
        Kind::Call,
    )
    .unwrap();
    assert_eq!(envelope.sender, owner.principal());

    refused(
        open_as(
            &signed(&call(&owner), &owner, &owner, chain.clone()),
            Kind::Call,
        ),
        |error| {
            matches!(
                error,
                EnvelopeError::Signature {
                    error: SignatureError::Invalid,
                    ..
                }
            )
        },
    );
    let reversed = chain.into_iter().rev().collect();
    refused(
        open_as(&signed(&call(&owner), &owner, &last, reversed), Kind::Call),
        |error| matches!(error, EnvelopeError::DelegationSignature { index: 0, .. }),
    );
    let forged = vec![delegation(&last, &last, Vec::new())];
    refused(
        open_as(&signed(&call(&owner), &owner, &last, forged), Kind::Call),
        |error| {
            matches!(
                error,
                EnvelopeError::DelegationSignature {
                    index: 0,
                    error: SignatureError::Invalid
                }
            )
        },
    );
}

#[test]
fn delegations_expire() {
    let (owner, other) = (User::new(1), User::new(2));
    let with = |expiration: u64| {
        let chain = vec![delegation(
            &owner,
            &other,
            vec![("expiration", expiration.into())],
        )];
        open_as(&signed(&call(&owner), &owner, &other, chain), Kind::Call)
    };
    assert!(with(NOW.0).is_ok());
    refused(with(NOW.0 - 1), |error| {
        matches!(error, EnvelopeError::DelegationExpired { index: 0, .. })
    });
}

#[test]
fn delegation_circles_are_refused() {
    let (owner, other) = (User::new(1), User::new(2));
    let to_itself = vec![delegation(&owner, &owner, Vec::new())];
    assert_eq!(
        open_as(
            &signed(&call(&owner), &owner, &owner, to_itself),
            Kind::Call
        ),
        Err(EnvelopeError::DelegationCycle { index: 0 })
    );
    let back = vec![
        delegation(&owner, &other, Vec::new()),
        delegation(&other, &owner, Vec::new()),
    ];
    assert_eq!(
        open_as(&signed(&call(&owner), &owner, &owner, back), Kind::Call),
        Err(EnvelopeError::DelegationCycle { index: 1 })
    );
}

#[test]
fn the_number_of_delegations_is_limited() {
    let owner = User::new(0);
    let with = |count: u8| {
        let users: Vec<_> = (0..=count).map(User::new).collect();
        let chain = users
            .windows(2)
            .map(|pair| delegation(&pair[0], &pair[1], Vec::new()))
            .collect();
        open_as(
            &signed(&call(&owner), &owner, &users[usize::from(count)], chain),
            Kind::Call,
        )
    };
    assert!(with(20).is_ok());
    refused(with(21), |error| {
        matches!(
            error,
            EnvelopeError::TooLong {
                field: "sender_delegation",
                length: 21,
                ..
            }
        )
    });
}

#[test]
fn targets_limit_where_a_delegation_holds() {
    let (owner, middle, last) = (User::new(1), User::new(2), User::new(3));
    let targets = |ids: &[u64]| {
        vec![(
            "targets",
            Cbor::Array(ids.iter().map(|id| blob(canister_id(*id))).collect()),
        )]
    };
    let with = |first: &[u64], second: &[u64]| {
        let chain = vec![
            delegation(&owner, &middle, targets(first)),
            delegation(&middle, &last, targets(second)),
        ];
        open_as(&signed(&call(&owner), &owner, &last, chain), Kind::Call)
    };
    assert_eq!(
        with(&[6, 7], &[7, 8]).unwrap().targets,
        Some(BTreeSet::from([canister_id(7)]))
    );
    for (first, second) in [(&[6][..], &[7][..]), (&[7], &[6]), (&[], &[7])] {
        assert_eq!(
            with(first, second),
            Err(EnvelopeError::NotATarget {
                canister: canister_id(7)
            })
        );
    }
    let many: Vec<u64> = (1..=TARGETS_MAX as u64).collect();
    assert!(with(&many, &[7]).is_ok());
    let more: Vec<u64> = (0..=TARGETS_MAX as u64).collect();
    refused(with(&more, &[7]), |error| {
        matches!(
            error,
            EnvelopeError::TooLong {
                field: "targets",
                ..
            }
        )
    });
}

#[test]
fn delegations_for_queries_carry_no_calls() {
    let (owner, other) = (User::new(1), User::new(2));
    let with = |permissions: &str, kind: Kind| {
        let mut content = call(&owner);
        set(&mut content, "request_type", kind.as_text().into());
        let chain = vec![delegation(
            &owner,
            &other,
            vec![("permissions", permissions.into())],
        )];
        open_as(&signed(&content, &owner, &other, chain), kind)
    };
    assert!(with("queries", Kind::Query).is_ok());
    assert!(with("all", Kind::Call).is_ok());
    assert_eq!(
        with("queries", Kind::Call),
        Err(EnvelopeError::QueriesOnly { index: 0 })
    );
    refused(with("some", Kind::Query), |error| {
        matches!(
            error,
            EnvelopeError::WrongType {
                field: "permissions",
                ..
            }
        )
    });
}
