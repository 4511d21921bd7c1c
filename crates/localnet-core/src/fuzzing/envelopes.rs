//! Envelopes, and the paths in them.

use candid::Principal;

use crate::{
    cert::{RangeForm, cbor::Writer},
    ingress::{
        Content, Facts, Kind, Place, Sent, Value, authorise, check_effective, hash_of_map, open,
    },
    network::{CanisterView, MetadataSection, RunState},
    topology::{Topology, canister_id},
    types::{RequestId, Time},
};

/// The time at which envelopes are opened.
pub const NOW: Time = Time(1_700_000_000_000_000_000);

const KINDS: [Kind; 3] = [Kind::Call, Kind::Query, Kind::ReadState];

/// A message that is known.
const KNOWN: RequestId = RequestId([7; 32]);

/// Opens an envelope as every kind, and asks for what it asks for. Whether it is one of any kind.
///
/// # Panics
/// Where it is one of two kinds at once, or says of itself what is not so.
pub fn envelope(bytes: &[u8]) -> bool {
    let topology = Topology::new(&[7; 32]);
    let mut opened = 0;
    for kind in KINDS {
        let envelope = match open(bytes, kind, NOW, &topology) {
            Ok(envelope) => envelope,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        opened += 1;
        assert!(envelope.expiry >= NOW, "an expired envelope is opened");
        let here = canister_id(7);
        match &envelope.content {
            Content::Call(call) | Content::Query(call) => {
                let targets = envelope.targets.as_ref();
                assert!(targets.is_none_or(|targets| targets.contains(&call.canister)));
                if let Err(error) = check_effective(call, kind, &here) {
                    assert!(!error.to_string().is_empty());
                }
            }
            Content::ReadState(_) => {
                let facts = Known {
                    sender: envelope.sender,
                    metadata: sections(),
                };
                for place in [Place::Canister(here), Place::Subnet(root())] {
                    for form in [RangeForm::Flat, RangeForm::Sharded] {
                        if let Err(error) = authorise(&envelope, place, form, &root(), &facts) {
                            assert!(!error.to_string().is_empty());
                        }
                    }
                }
            }
        }
    }
    assert!(opened <= 1, "an envelope is of one kind");
    opened == 1
}

fn root() -> Principal {
    Principal::self_authenticating([9])
}

fn sections() -> Vec<MetadataSection> {
    [("shown", true), ("hidden", false)]
        .map(|(name, public)| MetadataSection {
            name: name.to_owned(),
            public,
            content: Vec::new(),
        })
        .to_vec()
}

/// A subnet with one canister and one message.
struct Known {
    sender: Principal,
    metadata: Vec<MetadataSection>,
}

impl Facts for Known {
    fn request(&self, id: &RequestId) -> Option<Sent> {
        (*id == KNOWN).then(|| Sent {
            sender: self.sender,
            canister: canister_id(7),
            effective: canister_id(7),
        })
    }

    fn canister(&self, id: &Principal) -> Option<CanisterView<'_>> {
        (*id == canister_id(7)).then_some(CanisterView {
            id: *id,
            subnet: root(),
            module_hash: None,
            controllers: &[],
            certified_data: &[],
            metadata: &self.metadata,
            state: RunState::Running,
            created: NOW,
            installed: None,
        })
    }
}

/// Envelopes to begin with, all of them good: a name, and the bytes.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let anonymous = Principal::anonymous();
    let owner = ic_ed25519::PrivateKey::generate_from_seed(b"owner");
    let session = ic_ed25519::PrivateKey::generate_from_seed(b"session");
    let key = |key: &ic_ed25519::PrivateKey| key.public_key().serialize_rfc8410_der();
    let user = Principal::self_authenticating(key(&owner));
    let mut seeds = Vec::new();
    for kind in KINDS {
        let name = kind.as_text();
        let content = content(kind, anonymous);
        let bytes = Sealed::of(&content).finish();
        seeds.push((format!("{name}-anonymous"), bytes));

        let content = self::content(kind, user);
        let mut sealed = Sealed::of(&content);
        sealed.sign(&key(&owner), &owner);
        seeds.push((format!("{name}-signed"), sealed.finish()));

        let mut sealed = Sealed::of(&content);
        sealed.delegate(&owner, &key(&session));
        sealed.sign(&key(&owner), &session);
        seeds.push((format!("{name}-delegated"), sealed.finish()));
    }
    seeds
}

/// The content of a request.
type Fields = Vec<(&'static str, Owned)>;

#[derive(Clone)]
enum Owned {
    Nat(u64),
    Text(&'static str),
    Bytes(Vec<u8>),
    Array(Vec<Self>),
}

impl Owned {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Nat(value) => out.nat(*value),
            Self::Text(text) => out.text(text),
            Self::Bytes(bytes) => out.bytes(bytes),
            Self::Array(items) => {
                out.array(items.len());
                for item in items {
                    item.write(out);
                }
                out
            }
        };
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Nat(value) => Value::Nat((*value).into()),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Array(items) => Value::Array(items.iter().map(Self::value).collect()),
        }
    }
}

fn write(fields: &Fields, out: &mut Writer) {
    out.map(fields.len());
    for (name, value) in fields {
        out.text(name);
        value.write(out);
    }
}

fn hash(fields: &Fields) -> [u8; 32] {
    let pairs: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.value()))
        .collect();
    hash_of_map(&pairs)
}

fn content(kind: Kind, sender: Principal) -> Fields {
    let bytes = |bytes: &[u8]| Owned::Bytes(bytes.to_vec());
    let mut fields = vec![
        ("request_type", Owned::Text(kind.as_text())),
        ("sender", bytes(sender.as_slice())),
        ("ingress_expiry", Owned::Nat(NOW.plus_nanos(60).0)),
        ("nonce", bytes(&[1, 2, 3])),
    ];
    match kind {
        Kind::Call | Kind::Query => fields.extend([
            ("canister_id", bytes(canister_id(7).as_slice())),
            ("method_name", Owned::Text("hello")),
            ("arg", bytes(b"DIDL\0\0")),
        ]),
        Kind::ReadState => {
            let canister = canister_id(7);
            let paths: [&[&[u8]]; 6] = [
                &[b"time"],
                &[b"subnet"],
                &[b"request_status", &KNOWN.0, b"reply"],
                &[b"canister", canister.as_slice(), b"controllers"],
                &[b"canister", canister.as_slice(), b"metadata", b"shown"],
                &[b"canister", canister.as_slice(), b"metadata", b"hidden"],
            ];
            let paths =
                paths.map(|path| Owned::Array(path.iter().map(|label| bytes(label)).collect()));
            fields.push(("paths", Owned::Array(paths.to_vec())));
        }
    }
    fields
}

/// An envelope that is being made.
struct Sealed<'a> {
    content: &'a Fields,
    delegations: Vec<(Fields, Vec<u8>)>,
    signed: Option<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Sealed<'a> {
    const fn of(content: &'a Fields) -> Self {
        Self {
            content,
            delegations: Vec::new(),
            signed: None,
        }
    }

    /// Lets another key sign, for one canister.
    fn delegate(&mut self, from: &ic_ed25519::PrivateKey, to: &[u8]) {
        let target = Owned::Bytes(canister_id(7).as_slice().to_vec());
        let fields = vec![
            ("pubkey", Owned::Bytes(to.to_vec())),
            ("expiration", Owned::Nat(NOW.plus_nanos(1000).0)),
            ("targets", Owned::Array(vec![target])),
            ("permissions", Owned::Text("all")),
        ];
        let message = [b"\x1Aic-request-auth-delegation".as_slice(), &hash(&fields)].concat();
        self.delegations
            .push((fields, from.sign_message(&message).to_vec()));
    }

    fn sign(&mut self, owner: &[u8], signer: &ic_ed25519::PrivateKey) {
        let message = [b"\x0Aic-request".as_slice(), &hash(self.content)].concat();
        let signature = signer.sign_message(&message).to_vec();
        self.signed = Some((owner.to_vec(), signature));
    }

    fn finish(self) -> Vec<u8> {
        let mut out = Writer::self_described();
        let fields =
            1 + 2 * usize::from(self.signed.is_some()) + usize::from(!self.delegations.is_empty());
        out.map(fields).text("content");
        write(self.content, &mut out);
        if let Some((key, signature)) = self.signed {
            out.text("sender_pubkey").bytes(&key);
            out.text("sender_sig").bytes(&signature);
        }
        if !self.delegations.is_empty() {
            out.text("sender_delegation").array(self.delegations.len());
            for (fields, signature) in &self.delegations {
                out.map(2).text("delegation");
                write(fields, &mut out);
                out.text("signature").bytes(signature);
            }
        }
        out.finish()
    }
}
