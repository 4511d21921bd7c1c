//! The state tree of one subnet (interface specification, "The system state tree").
//!
//! Every subnet shows all subnets' keys and ranges, and its own nodes, canisters and messages.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use candid::Principal;

use super::{
    cbor::Writer,
    tree::{Content, LabelTree},
};
use crate::{
    network::{CanisterView, Network, SubnetMetrics},
    topology::{CanisterRange, Subnet, Topology},
    types::{IngressStatus, RequestId, Time},
};

/// A state tree, and what it was last made from.
#[derive(Debug)]
pub(super) struct SubnetState {
    tree: LabelTree,
    canisters: BTreeMap<Principal, ShownCanister>,
    requests: BTreeMap<RequestId, ShownStatus>,
    metrics: SubnetMetrics,
}

/// What a network shows now of one subnet.
pub(super) struct News<'a> {
    /// Which.
    pub(super) subnet: Principal,
    /// Its canisters, by id.
    pub(super) canisters: Vec<CanisterView<'a>>,
    /// The messages of which something has changed, on any subnet; `None` where all must be looked at.
    pub(super) requests: Option<&'a BTreeSet<RequestId>>,
    /// What it says of itself.
    pub(super) metrics: SubnetMetrics,
}

/// What tells whether a canister has changed; a module's metadata changes with its installation only.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ShownCanister {
    module_hash: Option<[u8; 32]>,
    installed: Option<Time>,
    controllers: Vec<Principal>,
    certified_data: Vec<u8>,
}

/// Which status is shown. Messages go forward through these and an answer never changes, so the name is enough.
type ShownStatus = &'static str;

impl SubnetState {
    pub(super) fn new(topology: &Topology, own: &Subnet, time: Time) -> Self {
        let mut tree = LabelTree::new();
        for subnet in topology.subnets() {
            let id = subnet.id.as_slice();
            let ranges = encode_ranges(&subnet.ranges);
            // One shard for all: clients look for the shard by its first id.
            let first = subnet.ranges.first().map(|range| range.first_id());
            if let Some(first) = first {
                tree.set(
                    &[b"canister_ranges", id, first.as_slice()],
                    ranges.as_slice(),
                );
            }
            tree.set(&[b"subnet", id, b"canister_ranges"], ranges);
            tree.set(&[b"subnet", id, b"public_key"], subnet.key.public_der());
            tree.set(&[b"subnet", id, b"type"], subnet.kind.as_text().as_bytes());
        }
        for node in &own.nodes {
            let path = [
                b"subnet",
                own.id.as_slice(),
                b"node",
                node.id.as_slice(),
                b"public_key",
            ];
            tree.set(&path, node.key.public_der());
        }
        let mut state = Self {
            tree,
            canisters: BTreeMap::new(),
            requests: BTreeMap::new(),
            metrics: SubnetMetrics::default(),
        };
        state.put_metrics(&own.id, SubnetMetrics::default());
        state.set_time(time);
        state
    }

    pub(super) fn tree(&self) -> &LabelTree {
        &self.tree
    }

    pub(super) fn set_time(&mut self, time: Time) {
        self.tree.set(&[b"time"], leb128(time.0));
    }

    /// Shows what the subnet says of itself.
    pub(super) fn put_metrics(&mut self, own: &Principal, metrics: SubnetMetrics) {
        let path = [b"subnet".as_slice(), own.as_slice(), b"metrics"];
        self.tree.set(&path, encode_metrics(&metrics));
        self.metrics = metrics;
    }

    pub(super) fn put_canister(&mut self, canister: &CanisterView<'_>) {
        let mut below = LabelTree::new();
        below.set(&[b"controllers"], encode_principals(canister.controllers));
        below.set(
            &[b"canister_creation_timestamp"],
            leb128(canister.created.0),
        );
        // What belongs to a module is not there without one; but system canisters certify without one, too.
        if canister.module_hash.is_some() || !canister.certified_data.is_empty() {
            below.set(&[b"certified_data"], canister.certified_data);
        }
        if let Some(hash) = canister.module_hash {
            below.set(&[b"module_hash"], hash.as_slice());
            if let Some(installed) = canister.installed {
                below.set(&[b"last_install_timestamp"], leb128(installed.0));
            }
        }
        for section in canister.metadata {
            below.set(
                &[b"metadata", section.name.as_bytes()],
                section.content.as_slice(),
            );
        }
        self.put(b"canister", canister.id.as_slice(), below);
        self.canisters
            .insert(canister.id, ShownCanister::of(canister));
    }

    pub(super) fn put_request(&mut self, id: RequestId, status: &IngressStatus) {
        let name = status_name(status);
        let mut below = LabelTree::new();
        below.set(&[b"status"], name.as_bytes());
        match status {
            IngressStatus::Replied(reply) => below.set(&[b"reply"], reply.as_slice()),
            IngressStatus::Rejected(reject) => {
                below.set(&[b"reject_code"], leb128(reject.code as u64));
                below.set(&[b"reject_message"], reject.message.as_bytes());
                if let Some(error) = reject.error {
                    below.set(&[b"error_code"], error.to_string().as_bytes());
                }
            }
            IngressStatus::Received | IngressStatus::Processing | IngressStatus::Done => {}
        }
        self.put(b"request_status", &id.0, below);
        self.requests.insert(id, name);
    }

    /// Takes over what a network shows now of a subnet, and says whether that changed anything.
    pub(super) fn sync(&mut self, news: News<'_>, network: &Network) -> bool {
        let News {
            subnet: own,
            canisters,
            requests: changed,
            metrics,
        } = news;
        let canisters = changes(
            &self.canisters,
            canisters.into_iter().map(|view| (view.id, view)),
            |shown, view| shown.same(view),
        );
        let requests = match changed {
            None => changes(
                &self.requests,
                network
                    .statuses()
                    .filter(|(_, record)| record.subnet == own)
                    .map(|(id, record)| (*id, record)),
                |shown, record| *shown == status_name(&record.status),
            ),
            Some(changed) => changed
                .iter()
                .map(|id| (*id, network.status(id)))
                .filter(|(id, record)| match record {
                    Some(record) => {
                        record.subnet == own
                            && self.requests.get(id) != Some(&status_name(&record.status))
                    }
                    None => self.requests.contains_key(id),
                })
                .collect(),
        };
        let changed = !canisters.is_empty() || !requests.is_empty() || metrics != self.metrics;
        for (id, view) in canisters {
            match view {
                Some(view) => self.put_canister(&view),
                None => {
                    self.canisters.remove(&id);
                    self.tree.unset(&[b"canister", id.as_slice()]);
                }
            }
        }
        for (id, record) in requests {
            match record {
                Some(record) => self.put_request(id, &record.status),
                None => {
                    self.requests.remove(&id);
                    self.tree.unset(&[b"request_status", &id.0]);
                }
            }
        }
        if metrics != self.metrics {
            self.put_metrics(&own, metrics);
        }
        changed
    }

    /// Puts a level two labels deep.
    fn put(&mut self, kind: &[u8], label: &[u8], below: LabelTree) {
        let mut level = match self.tree.get(kind) {
            Some(Content::Tree(tree)) => tree.clone(),
            Some(Content::Leaf(_)) | None => LabelTree::new(),
        };
        level.insert(label, Content::Tree(below));
        self.tree.insert(kind, Content::Tree(level));
    }
}

impl ShownCanister {
    fn of(view: &CanisterView<'_>) -> Self {
        Self {
            module_hash: view.module_hash,
            installed: view.installed,
            controllers: view.controllers.to_vec(),
            certified_data: view.certified_data.to_vec(),
        }
    }

    fn same(&self, view: &CanisterView<'_>) -> bool {
        let Self {
            module_hash,
            installed,
            controllers,
            certified_data,
        } = self;
        *module_hash == view.module_hash
            && *installed == view.installed
            && controllers == view.controllers
            && certified_data == view.certified_data
    }
}

/// What differs between what is shown and what is there, both in order of their keys: new or changed things, and `None`
/// for those that are gone.
pub(super) fn changes<K: Ord + Copy, S, T>(
    shown: &BTreeMap<K, S>,
    present: impl Iterator<Item = (K, T)>,
    same: impl Fn(&S, &T) -> bool,
) -> Vec<(K, Option<T>)> {
    let mut changes = Vec::new();
    let mut shown = shown.iter().peekable();
    let mut last = None;
    for (key, thing) in present {
        assert!(
            last.replace(key) < Some(key),
            "BUG: the network lists things out of order"
        );
        loop {
            match shown.peek().map(|(shown, _)| (*shown).cmp(&key)) {
                Some(Ordering::Less) => changes.extend(shown.next().map(|(gone, _)| (*gone, None))),
                Some(Ordering::Equal) => {
                    if shown.next().is_some_and(|(_, shown)| !same(shown, &thing)) {
                        changes.push((key, Some(thing)));
                    }
                    break;
                }
                Some(Ordering::Greater) | None => {
                    changes.push((key, Some(thing)));
                    break;
                }
            }
        }
    }
    changes.extend(shown.map(|(gone, _)| (*gone, None)));
    changes
}

fn status_name(status: &IngressStatus) -> ShownStatus {
    match status {
        IngressStatus::Received => "received",
        IngressStatus::Processing => "processing",
        IngressStatus::Replied(_) => "replied",
        IngressStatus::Rejected(_) => "rejected",
        IngressStatus::Done => "done",
    }
}

fn encode_ranges(ranges: &[CanisterRange]) -> Vec<u8> {
    let mut out = Writer::self_described();
    out.array(ranges.len());
    for range in ranges {
        out.array(2)
            .bytes(range.first_id().as_slice())
            .bytes(range.last_id().as_slice());
    }
    out.finish()
}

/// Clients read these as numbers, and the sum of cycles as its lower and its upper half.
fn encode_metrics(metrics: &SubnetMetrics) -> Vec<u8> {
    let SubnetMetrics {
        canisters,
        state_bytes,
        spent,
        transactions,
    } = *metrics;
    let mut out = Writer::self_described();
    out.map(4).text("num_canisters").nat(canisters);
    out.text("canister_state_bytes").nat(state_bytes);
    out.text("consumed_cycles_total").map(2);
    out.nat(0).nat(spent as u64);
    out.nat(1).nat((spent >> 64) as u64);
    out.text("update_transactions_total").nat(transactions);
    out.finish()
}

fn encode_principals(principals: &[Principal]) -> Vec<u8> {
    let mut out = Writer::self_described();
    out.array(principals.len());
    for principal in principals {
        out.bytes(principal.as_slice());
    }
    out.finish()
}

fn leb128(value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    leb128::write::unsigned(&mut bytes, value).expect("BUG: writing to memory cannot fail");
    bytes
}
