//! Certificates of the Internet Computer: a signed hash tree, decoded and checked without the network.
//!
//! It refuses to know what is certified. Invariant: a [`Certified`] value only comes out of a certificate whose chain
//! of signatures ends at the given root key and whose subnet is allowed to speak for the canister.

use candid::Principal;
use ciborium::Value;
use ic_certification::{
    HashTree, LookupResult,
    hash_tree::{self, SubtreeLookupResult},
};

/// Bytes of the longest certificate or witness that is read.
pub(crate) const CBOR_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of a tree.
const DEPTH_MAX: usize = 128;
/// What stands before the 96 bytes of a BLS key in DER.
const DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05,
    0x03, 0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x02, 0x01, 0x03, 0x61, 0x00,
];
const STATE_ROOT_DOMAIN: &[u8] = b"\x0Dic-state-root";
/// The tag that CBOR data may carry in front to say that it is CBOR.
const SELF_DESCRIBED: u64 = 55_799;

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Too long.
    #[error("has {bytes} bytes, at most {CBOR_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not CBOR, or not of the shape that the interface defines.
    #[error("cannot be decoded: {0}")]
    Malformed(&'static str),
    /// The root key is no BLS key.
    #[error("the root key is not a BLS12-381 key in DER")]
    RootKey,
    /// The subnet's key in the delegation is no BLS key.
    #[error("the subnet's key is not a BLS12-381 key in DER")]
    SubnetKey,
    /// A signature does not fit.
    #[error("the {signer} did not sign it")]
    Signature {
        /// Whose signature was expected.
        signer: &'static str,
    },
    /// A delegation of a delegation.
    #[error("its delegation carries a delegation, which is not allowed")]
    NestedDelegation,
    /// The subnet may not speak for this canister.
    #[error("the subnet that signed it does not host canister {canister}")]
    ForeignCanister {
        /// Which canister.
        canister: Principal,
    },
    /// Something is not in the tree.
    #[error("it says nothing about {what}")]
    Missing {
        /// What was looked for.
        what: &'static str,
    },
}

/// What a valid certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certified {
    /// The canister's certified data.
    pub(crate) data: Vec<u8>,
    /// The network's time when it was signed, nanoseconds since the Unix epoch.
    pub(crate) time: u64,
}

struct Certificate {
    tree: HashTree,
    signature: Vec<u8>,
    delegation: Option<Delegation>,
}

/// The first and the last of neighbouring canister ids.
type Range = (Vec<u8>, Vec<u8>);

struct Delegation {
    subnet: Vec<u8>,
    certificate: Vec<u8>,
}

/// Checks a certificate down to the root key, and reads a canister's certified data from it.
pub(crate) fn certified(
    bytes: &[u8],
    canister: &Principal,
    root_key: &[u8],
) -> Result<Certified, CertificateError> {
    let root_key = root_key
        .strip_prefix(&DER_PREFIX[..])
        .filter(|key| key.len() == 96)
        .ok_or(CertificateError::RootKey)?;
    let certificate = Certificate::decode(bytes)?;
    match &certificate.delegation {
        None => certificate.check_signature(root_key, "network's root key")?,
        Some(delegation) => {
            let key = delegation.subnet_key(canister, root_key)?;
            certificate.check_signature(&key, "subnet")?;
        }
    }
    let data = lookup(
        &certificate.tree,
        &[b"canister", canister.as_slice(), b"certified_data"],
        "the canister's certified data",
    )?;
    let mut time = lookup(&certificate.tree, &[b"time"], "the time")?;
    let time = leb128::read::unsigned(&mut time)
        .map_err(|_| CertificateError::Malformed("the time is not a number"))?;
    Ok(Certified {
        data: data.to_vec(),
        time,
    })
}

/// Decodes a hash tree.
pub(crate) fn tree(bytes: &[u8]) -> Result<HashTree, CertificateError> {
    to_tree(cbor(bytes)?, 0)
}

/// A value in a tree; `None` if the tree proves that there is none or says nothing.
pub(crate) fn find<'t>(tree: &'t HashTree, path: &[&[u8]]) -> Option<&'t [u8]> {
    match tree.lookup_path(path) {
        LookupResult::Found(value) => Some(value),
        _ => None,
    }
}

fn lookup<'t>(
    tree: &'t HashTree,
    path: &[&[u8]],
    what: &'static str,
) -> Result<&'t [u8], CertificateError> {
    find(tree, path).ok_or(CertificateError::Missing { what })
}

impl Certificate {
    fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        let Value::Map(entries) = cbor(bytes)? else {
            return Err(CertificateError::Malformed("a certificate is a map"));
        };
        let (mut tree, mut signature, mut delegation) = (None, None, None);
        for (key, value) in entries {
            match key.as_text() {
                Some("tree") => tree = Some(to_tree(value, 0)?),
                Some("signature") => signature = Some(to_bytes(value)?),
                Some("delegation") => delegation = Some(Delegation::decode(value)?),
                _ => {}
            }
        }
        let missing = CertificateError::Malformed("a certificate has a tree and a signature");
        match (tree, signature) {
            (Some(tree), Some(signature)) => Ok(Self {
                tree,
                signature,
                delegation,
            }),
            _ => Err(missing),
        }
    }

    fn check_signature(&self, key: &[u8], signer: &'static str) -> Result<(), CertificateError> {
        let message = [STATE_ROOT_DOMAIN, &self.tree.digest()].concat();
        ic_verify_bls_signature::verify_bls_signature(&self.signature, &message, key)
            .map_err(|()| CertificateError::Signature { signer })
    }
}

impl Delegation {
    fn decode(value: Value) -> Result<Self, CertificateError> {
        let Value::Map(entries) = value else {
            return Err(CertificateError::Malformed("a delegation is a map"));
        };
        let (mut subnet, mut certificate) = (None, None);
        for (key, value) in entries {
            match key.as_text() {
                Some("subnet_id") => subnet = Some(to_bytes(value)?),
                Some("certificate") => certificate = Some(to_bytes(value)?),
                _ => {}
            }
        }
        match (subnet, certificate) {
            (Some(subnet), Some(certificate)) => Ok(Self {
                subnet,
                certificate,
            }),
            _ => Err(CertificateError::Malformed(
                "a delegation has a subnet_id and a certificate",
            )),
        }
    }

    /// The key of the delegated subnet, if the root key vouches for it and the subnet hosts the canister.
    fn subnet_key(
        &self,
        canister: &Principal,
        root_key: &[u8],
    ) -> Result<Vec<u8>, CertificateError> {
        let certificate = Certificate::decode(&self.certificate)?;
        if certificate.delegation.is_some() {
            return Err(CertificateError::NestedDelegation);
        }
        certificate.check_signature(root_key, "network's root key")?;
        let ranges = self.ranges(&certificate.tree, canister)?;
        if !ranges.iter().any(|(first, last)| {
            first.as_slice() <= canister.as_slice() && canister.as_slice() <= last.as_slice()
        }) {
            return Err(CertificateError::ForeignCanister {
                canister: *canister,
            });
        }
        let key = lookup(
            &certificate.tree,
            &[b"subnet", &self.subnet, b"public_key"],
            "the subnet's key",
        )?;
        key.strip_prefix(&DER_PREFIX[..])
            .filter(|key| key.len() == 96)
            .map(<[u8]>::to_vec)
            .ok_or(CertificateError::SubnetKey)
    }

    /// The canister ids that the subnet hosts; of several lists, the one in which this canister would be.
    fn ranges(
        &self,
        tree: &HashTree,
        canister: &Principal,
    ) -> Result<Vec<Range>, CertificateError> {
        let missing = CertificateError::Missing {
            what: "the subnet's canister ids",
        };
        let bytes = match tree.lookup_subtree([b"canister_ranges".as_slice(), &self.subnet]) {
            SubtreeLookupResult::Found(lists) => {
                let mut starts: Vec<Vec<u8>> = lists
                    .list_paths()
                    .into_iter()
                    .filter_map(|mut path| path.pop().map(|label| label.as_bytes().to_vec()))
                    .collect();
                starts.sort_unstable();
                let below = starts.partition_point(|start| start.as_slice() <= canister.as_slice());
                let start = below.checked_sub(1).and_then(|i| starts.get(i)).ok_or(
                    CertificateError::ForeignCanister {
                        canister: *canister,
                    },
                )?;
                find(&lists, &[start]).ok_or(missing)?.to_vec()
            }
            _ => find(tree, &[b"subnet", &self.subnet, b"canister_ranges"])
                .ok_or(missing)?
                .to_vec(),
        };
        let malformed = CertificateError::Malformed("canister ids are a list of pairs");
        let Value::Array(pairs) = cbor(&bytes)? else {
            return Err(malformed);
        };
        pairs
            .into_iter()
            .map(|pair| match pair {
                Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
                    Ok([first, last]) => Ok((to_bytes(first)?, to_bytes(last)?)),
                    Err(_) => Err(malformed.clone()),
                },
                _ => Err(malformed.clone()),
            })
            .collect()
    }
}

fn cbor(bytes: &[u8]) -> Result<Value, CertificateError> {
    if bytes.len() > CBOR_BYTES_MAX {
        return Err(CertificateError::TooLong { bytes: bytes.len() });
    }
    let mut rest = bytes;
    // Two levels of CBOR arrays stand for one of the tree at most; a little room for what surrounds it.
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX + 8).map_err(
        |_: ciborium::de::Error<std::io::Error>| {
            CertificateError::Malformed("not CBOR, or nested too deeply")
        },
    )?;
    if !rest.is_empty() {
        return Err(CertificateError::Malformed(
            "something follows after its end",
        ));
    }
    Ok(match value {
        Value::Tag(SELF_DESCRIBED, inner) => *inner,
        other => other,
    })
}

fn to_tree(value: Value, depth: usize) -> Result<HashTree, CertificateError> {
    let malformed = || CertificateError::Malformed("not a hash tree");
    if depth > DEPTH_MAX {
        return Err(CertificateError::Malformed(
            "a hash tree that is nested too deeply",
        ));
    }
    let Value::Array(parts) = value else {
        return Err(malformed());
    };
    let mut parts = parts.into_iter();
    let kind = parts
        .next()
        .and_then(|kind| kind.as_integer())
        .and_then(|kind| u8::try_from(kind).ok());
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    match (kind, first, second, third) {
        (Some(0), None, None, None) => Ok(hash_tree::empty()),
        (Some(1), Some(left), Some(right), None) => Ok(hash_tree::fork(
            to_tree(left, depth + 1)?,
            to_tree(right, depth + 1)?,
        )),
        (Some(2), Some(label), Some(node), None) => Ok(hash_tree::label(
            hash_tree::Label::from_bytes(&to_bytes(label)?),
            to_tree(node, depth + 1)?,
        )),
        (Some(3), Some(leaf), None, None) => Ok(hash_tree::leaf(to_bytes(leaf)?)),
        (Some(4), Some(hash), None, None) => {
            let hash: [u8; 32] = to_bytes(hash)?.try_into().map_err(|_| malformed())?;
            Ok(hash_tree::pruned(hash))
        }
        _ => Err(malformed()),
    }
}

fn to_bytes(value: Value) -> Result<Vec<u8>, CertificateError> {
    value
        .into_bytes()
        .map_err(|_| CertificateError::Malformed("bytes were expected"))
}
