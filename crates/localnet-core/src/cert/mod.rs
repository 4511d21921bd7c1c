//! Certification: the state tree of every subnet, and signed certificates over parts of it.
//!
//! What a client is told about the network's state it can check with nothing but the root key: the certificate shows
//! the asked paths of the state tree (or proves that they are absent), a subnet's key signs the tree's hash, and a
//! delegation signed by the root key names that key and the canister ids it may speak for.
//!
//! It knows the shape of the state tree, and not who may see what: the ingress module decides that before.

mod answer;
pub mod cbor;
mod hash;
mod state;
#[cfg(test)]
mod tests;
mod tree;
mod witness;

use std::{collections::BTreeMap, sync::Arc};

use candid::Principal;

pub use self::{
    answer::{encode_refusal, sign_answer},
    hash::Hash,
    tree::{Content, LabelTree, Path},
    witness::{Wanted, Witness},
};
use self::{
    cbor::Writer,
    state::{News, SubnetState},
};
use crate::{
    network::{CanisterView, Network},
    topology::{SubnetKey, Topology},
    types::{IngressStatus, RequestId, Time},
};

/// Nanoseconds for which a certificate's time may lag behind the clock where nothing else has changed, so that busy
/// readers share one signature.
const STALE_NANOS_MAX: u64 = 100_000_000;

/// Nanoseconds after which a delegation is signed anew; clients accept them for weeks.
const DELEGATION_NANOS_MAX: u64 = 3_600_000_000_000;

pub(crate) const STATE_ROOT_DOMAIN: &[u8] = b"\x0Dic-state-root";

/// How a certificate's delegation lists the canister ids of its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RangeForm {
    /// At `/subnet/<id>/canister_ranges`, as the older endpoints do.
    Flat,
    /// At `/canister_ranges/<id>/<first>`.
    Sharded,
}

/// The certified state of a whole network.
#[derive(Debug)]
pub struct Certification {
    topology: Arc<Topology>,
    time: Time,
    /// How many of the network's changes are shown.
    seen: u64,
    /// One per subnet, by its id.
    subnets: BTreeMap<Principal, CertifiedSubnet>,
}

#[derive(Debug)]
struct CertifiedSubnet {
    state: SubnetState,
    /// The last signature, and the root hash that it signs.
    signed: Option<(Hash, [u8; 48])>,
    /// By form, with the time of signing; the root subnet has none.
    delegations: BTreeMap<RangeForm, (Time, Vec<u8>)>,
}

impl Certification {
    /// A network without canisters.
    pub fn new(topology: Arc<Topology>, time: Time) -> Self {
        let subnets = topology
            .subnets()
            .iter()
            .map(|subnet| {
                let state = SubnetState::new(&topology, subnet, time);
                (
                    subnet.id,
                    CertifiedSubnet {
                        state,
                        signed: None,
                        delegations: BTreeMap::new(),
                    },
                )
            })
            .collect();
        Self {
            topology,
            time,
            seen: 0,
            subnets,
        }
    }

    /// The subnets.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The time in the certificates made now.
    pub fn time(&self) -> Time {
        self.time
    }

    /// Takes over what has changed in a network of these subnets, and its clock.
    pub fn refresh(&mut self, network: &Network) {
        let requests = network.requests_changed_since(self.seen);
        self.seen = network.request_changes();
        let mut canisters: BTreeMap<Principal, Vec<CanisterView<'_>>> = BTreeMap::new();
        for canister in network.canisters() {
            canisters.entry(canister.subnet).or_default().push(canister);
        }
        let mut changed = false;
        for (subnet, metrics) in self.topology.subnets().iter().zip(network.metrics()) {
            let news = News {
                subnet: subnet.id,
                canisters: canisters.remove(&subnet.id).unwrap_or_default(),
                requests: requests.as_ref(),
                metrics,
            };
            if let Some(shown) = self.subnets.get_mut(&subnet.id) {
                changed |= shown.state.sync(news, network);
            }
        }
        if changed {
            self.set_time(network.time());
        } else {
            self.advance(network.time());
        }
    }

    /// Moves the time where nothing else has changed. It may stay up to a tenth of a second behind, so that
    /// certificates can share a signature.
    pub fn advance(&mut self, time: Time) {
        if time >= self.time.plus_nanos(STALE_NANOS_MAX) {
            self.set_time(time);
        }
    }

    /// Sets the time of all subnets.
    pub fn set_time(&mut self, time: Time) {
        self.time = time;
        for subnet in self.subnets.values_mut() {
            subnet.state.set_time(time);
        }
    }

    /// Shows a canister, new or changed.
    pub fn put_canister(&mut self, subnet: &Principal, canister: &CanisterView<'_>) {
        self.subnet(subnet).state.put_canister(canister);
    }

    /// Shows what became of a message.
    pub fn put_request(&mut self, subnet: &Principal, id: RequestId, status: &IngressStatus) {
        self.subnet(subnet).state.put_request(id, status);
    }

    /// The hash of a subnet's state tree: what its certificates sign.
    pub fn root_hash(&self, subnet: &Principal) -> Option<Hash> {
        Some(self.subnets.get(subnet)?.state.tree().root_hash())
    }

    /// The state tree of a subnet, as it is now; cheap.
    pub fn tree(&self, subnet: &Principal) -> Option<LabelTree> {
        Some(self.subnets.get(subnet)?.state.tree().clone())
    }

    /// A certificate by a subnet over the wanted paths and `/time`, CBOR. Ranges of canister ids below `/subnet` are
    /// shown as the form says (those of the root subnet always).
    ///
    /// # Panics
    /// Where there is no such subnet.
    pub fn certificate(&mut self, subnet: &Principal, wanted: &Wanted, form: RangeForm) -> Vec<u8> {
        let topology = self.topology.clone();
        let delegation = (*subnet != topology.root().id).then(|| self.delegation(subnet, form));
        let key = &topology
            .subnet(subnet)
            .expect("BUG: asked for a certificate of an unknown subnet")
            .key;
        self.subnet(subnet).certificate(
            key,
            &topology,
            wanted,
            form,
            delegation.as_deref().map(|bytes| (subnet, bytes)),
        )
    }

    /// The certificate that a canister sees while it answers a query: over its certified data.
    pub fn data_certificate(
        &mut self,
        subnet: &Principal,
        canister: &Principal,
        form: RangeForm,
    ) -> Vec<u8> {
        let wanted = Wanted::paths([[
            b"canister".as_slice(),
            canister.as_slice(),
            b"certified_data",
        ]]);
        self.certificate(subnet, &wanted, form)
    }

    /// The certificate over what became of a message.
    pub fn request_certificate(
        &mut self,
        subnet: &Principal,
        id: &RequestId,
        form: RangeForm,
    ) -> Vec<u8> {
        let wanted = Wanted::paths([[b"request_status".as_slice(), &id.0]]);
        self.certificate(subnet, &wanted, form)
    }

    /// The root subnet's certificate over a subnet's key and ranges, cached.
    fn delegation(&mut self, subnet: &Principal, form: RangeForm) -> Vec<u8> {
        let time = self.time;
        if let Some((signed, bytes)) = self.subnet(subnet).delegations.get(&form)
            && time <= signed.plus_nanos(DELEGATION_NANOS_MAX)
        {
            return bytes.clone();
        }
        let mut wanted = Wanted::paths([
            [b"subnet".as_slice(), subnet.as_slice(), b"public_key"],
            [b"subnet", subnet.as_slice(), b"type"],
        ]);
        match form {
            RangeForm::Flat => {
                wanted.add([b"subnet".as_slice(), subnet.as_slice(), b"canister_ranges"])
            }
            RangeForm::Sharded => wanted.add([b"canister_ranges".as_slice(), subnet.as_slice()]),
        }
        let root = self.topology.root().id;
        let bytes = self.certificate(&root, &wanted, form);
        self.subnet(subnet)
            .delegations
            .insert(form, (time, bytes.clone()));
        bytes
    }

    fn subnet(&mut self, id: &Principal) -> &mut CertifiedSubnet {
        self.subnets
            .get_mut(id)
            .expect("BUG: a certificate was asked of an unknown subnet")
    }
}

impl CertifiedSubnet {
    fn certificate(
        &mut self,
        key: &SubnetKey,
        topology: &Topology,
        wanted: &Wanted,
        form: RangeForm,
        delegation: Option<(&Principal, &[u8])>,
    ) -> Vec<u8> {
        let mut wanted = wanted.clone();
        wanted.add([b"time"]);
        let root = topology.root().id;
        let hidden = |path: &[&[u8]]| match path {
            [b"subnet", id, b"canister_ranges"] => {
                form == RangeForm::Sharded && *id != root.as_slice()
            }
            _ => false,
        };
        let tree = self.state.tree();
        let witness = tree.witness(&wanted, &hidden);
        let root_hash = tree.root_hash();
        let signature = match self.signed {
            Some((hash, signature)) if hash == root_hash => signature,
            _ => {
                let signature = key.sign(&[STATE_ROOT_DOMAIN, &root_hash].concat());
                self.signed = Some((root_hash, signature));
                signature
            }
        };

        let mut out = Writer::self_described();
        out.map(2 + usize::from(delegation.is_some())).text("tree");
        witness.write(&mut out);
        out.text("signature").bytes(&signature);
        if let Some((subnet, certificate)) = delegation {
            out.text("delegation").map(2);
            out.text("subnet_id")
                .bytes(subnet.as_slice())
                .text("certificate")
                .bytes(certificate);
        }
        out.finish()
    }
}
