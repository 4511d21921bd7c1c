use ic_verify_bls_signature::verify_bls_signature;

use super::*;

#[test]
fn the_first_canister_has_the_id_that_local_networks_begin_with() {
    let topology = Topology::new(&[7; 32]);
    assert_eq!(
        topology.default_effective_canister().to_text(),
        "lxzze-o7777-77777-aaaaa-cai"
    );
    assert_eq!(
        topology
            .subnet_of(&topology.default_effective_canister())
            .unwrap()
            .id,
        topology.application().id
    );
}

#[test]
fn ranges_end_where_they_say() {
    let topology = Topology::new(&[7; 32]);
    let range = topology.application().ranges[0];
    assert!(topology.application().hosts(&range.last_id()));
    assert!(topology.subnet_of(&canister_id(range.first - 1)).is_none());
    assert!(topology.subnet_of(&canister_id(range.last + 1)).is_none());
    assert_eq!(
        topology.subnet_of(&canister_id(0xF_FFFF)).unwrap().kind,
        SubnetKind::Root
    );
    assert!(topology.subnet_of(&canister_id(0x10_0000)).is_none());
    assert!(
        topology
            .subnet_of(&Principal::management_canister())
            .is_none()
    );
}

#[test]
fn subnet_ids_and_node_ids_authenticate_their_keys() {
    let topology = Topology::new(&[7; 32]);
    assert_eq!(
        topology.root().id,
        Principal::self_authenticating(topology.root_key())
    );
    assert_eq!(topology.root_key().len(), 133);
    for subnet in topology.subnets() {
        assert_eq!(topology.subnet(&subnet.id).unwrap().id, subnet.id);
        assert!(
            subnet
                .nodes
                .iter()
                .all(|node| node.id == Principal::self_authenticating(node.key.public_der()))
        );
    }
}

#[test]
fn keys_follow_from_the_seed_and_sign() {
    let (one, same, other) = (
        Topology::new(&[1; 32]),
        Topology::new(&[1; 32]),
        Topology::new(&[2; 32]),
    );
    assert_eq!(one.root_key(), same.root_key());
    assert_ne!(one.root_key(), other.root_key());
    assert_ne!(one.root_key(), one.application().key.public_der());

    let signature = one.root().key.sign(b"state");
    let public = &one.root_key()[37..];
    assert_eq!(verify_bls_signature(&signature, b"state", public), Ok(()));
    assert!(verify_bls_signature(&signature, b"other", public).is_err());

    let node = &one.application().nodes[0];
    let public = ic_ed25519::PublicKey::deserialize_rfc8410_der(node.key.public_der()).unwrap();
    assert!(
        public
            .verify_signature(b"answer", &node.key.sign(b"answer"))
            .is_ok()
    );
}
