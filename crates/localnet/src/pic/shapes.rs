//! The JSON of the interface, as the clients define it.
//!
//! Everything optional may be missing, and unknown fields are passed over: clients of several versions come here.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use candid::Principal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes, as base64 text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Blob(pub(super) Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes as base64 text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
                BASE64_STANDARD.decode(text).map(Blob).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A principal, as base64 text of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(pub(super) Principal);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(self.0.as_slice()))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Blob::deserialize(deserializer)?;
        Principal::try_from_slice(&bytes.0)
            .map(Self)
            .map_err(de::Error::custom)
    }
}

/// A principal in an object of its own, or bare as some clients send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PrincipalId(pub(super) Principal);

impl Serialize for PrincipalId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Object {
            principal_id: Id,
        }
        Object {
            principal_id: Id(self.0),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PrincipalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Bare(Id),
            Object { principal_id: Id },
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Bare(id) | Either::Object { principal_id: id } => Self(id.0),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct CanisterId {
    pub(super) canister_id: Id,
}

impl From<Principal> for CanisterId {
    fn from(id: Principal) -> Self {
        Self {
            canister_id: Id(id),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SubnetId {
    pub(super) subnet_id: Id,
}

/// A time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RawTime {
    pub(super) nanos_since_epoch: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct RawCycles {
    pub(super) cycles: u128,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct AddCycles {
    pub(super) canister_id: Id,
    pub(super) amount: u128,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SetStableMemory {
    pub(super) canister_id: Id,
    pub(super) blob_id: Blob,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct StableMemory {
    pub(super) blob: Blob,
}

/// Where a call is routed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum EffectivePrincipal {
    /// Wherever the call itself says.
    #[default]
    None,
    SubnetId(Id),
    CanisterId(Id),
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CanisterCall {
    pub(super) sender: Id,
    pub(super) canister_id: Id,
    #[serde(default)]
    pub(super) effective_principal: EffectivePrincipal,
    pub(super) method: String,
    pub(super) payload: Blob,
    #[serde(default)]
    pub(super) sender_info: Option<CallInfo>,
}

/// What a canister says of a user that it signs for. Nobody asks for its signature here, as nobody asks for the user's.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CallInfo {
    pub(super) info: Blob,
    pub(super) signer: Id,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MessageId {
    #[serde(default)]
    pub(super) effective_principal: EffectivePrincipal,
    pub(super) message_id: Blob,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct IngressStatusArgs {
    pub(super) raw_message_id: MessageId,
    #[serde(default)]
    pub(super) raw_caller: Option<PrincipalId>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct TickArgs {
    #[serde(default)]
    pub(super) blockmakers: Option<Vec<Blockmakers>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SnapshotId {
    pub(super) snapshot_id: Blob,
}

/// A snapshot that is to be written to disk.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SnapshotDownload {
    pub(super) sender: PrincipalId,
    pub(super) canister_id: CanisterId,
    pub(super) snapshot_id: Blob,
    pub(super) snapshot_dir: PathBuf,
}

/// A snapshot that is to be read from disk.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SnapshotUpload {
    pub(super) sender: PrincipalId,
    pub(super) canister_id: CanisterId,
    #[serde(default)]
    pub(super) replace_snapshot: Option<SnapshotId>,
    pub(super) snapshot_dir: PathBuf,
}

/// Who makes a subnet's next block.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Blockmakers {
    pub(super) subnet: SubnetId,
    pub(super) blockmaker: NodeId,
    #[serde(default)]
    pub(super) failed_blockmakers: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct NodeId {
    pub(super) node_id: Id,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct VerifySignature {
    pub(super) msg: Blob,
    pub(super) sig: Blob,
    pub(super) pubkey: Blob,
    pub(super) root_pubkey: Blob,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct AutoProgress {
    #[serde(default)]
    pub(super) artificial_delay_ms: Option<u64>,
}

/// What an instance is to be.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct InstanceConfig {
    #[serde(default)]
    pub(super) subnet_config_set: SubnetConfigSet,
    #[serde(default)]
    pub(super) http_gateway_config: Option<GatewayConfig>,
    #[serde(default)]
    pub(super) state_dir: Option<PathBuf>,
    #[serde(default)]
    pub(super) bitcoind_addr: Option<Vec<String>>,
    #[serde(default)]
    pub(super) dogecoind_addr: Option<Vec<String>>,
    #[serde(default)]
    pub(super) icp_features: Option<IcpFeatures>,
    #[serde(default)]
    pub(super) initial_time: Option<InitialTime>,
    #[serde(default)]
    pub(super) mainnet_nns_subnet_id: Option<bool>,
    #[serde(default)]
    pub(super) disable_ingress_validation: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct SubnetConfigSet {
    #[serde(default)]
    pub(super) nns: Option<SubnetSpec>,
    #[serde(default)]
    pub(super) sns: Option<SubnetSpec>,
    #[serde(default)]
    pub(super) ii: Option<SubnetSpec>,
    #[serde(default)]
    pub(super) fiduciary: Option<SubnetSpec>,
    #[serde(default)]
    pub(super) bitcoin: Option<SubnetSpec>,
    #[serde(default)]
    pub(super) test_threshold_keys: Option<SubnetSpec>,
    #[serde(default)]
    pub(super) system: Vec<SubnetSpec>,
    #[serde(default)]
    pub(super) application: Vec<SubnetSpec>,
    #[serde(default)]
    pub(super) cloud_engine: Vec<SubnetSpec>,
    #[serde(default)]
    pub(super) verified_application: Vec<SubnetSpec>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct SubnetSpec {
    #[serde(default)]
    pub(super) state_config: StateConfig,
    #[serde(default)]
    pub(super) instruction_config: InstructionConfig,
    #[serde(default)]
    pub(super) subnet_admins: Option<Vec<PrincipalId>>,
    #[serde(default)]
    pub(super) cost_schedule: CostSchedule,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum StateConfig {
    #[default]
    New,
    FromPath(PathBuf),
    FromBlobStore(Blob),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum InstructionConfig {
    #[default]
    Production,
    Benchmarking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CostSchedule {
    #[default]
    Normal,
    Free,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum InitialTime {
    Timestamp(RawTime),
    AutoProgress(AutoProgress),
}

/// Features by name; any value but `null` asks for one.
pub(super) type IcpFeatures = BTreeMap<String, Option<de::IgnoredAny>>;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Topology {
    /// By the text of the subnet's id.
    pub(super) subnet_configs: BTreeMap<String, SubnetConfig>,
    pub(super) default_effective_canister_id: CanisterId,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct SubnetConfig {
    pub(super) subnet_kind: &'static str,
    pub(super) subnet_admins: Option<Vec<PrincipalId>>,
    pub(super) cost_schedule: CostSchedule,
    pub(super) subnet_seed: [u8; 32],
    pub(super) instruction_config: InstructionConfig,
    pub(super) canister_ranges: Vec<CanisterRange>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct CanisterRange {
    pub(super) start: CanisterId,
    pub(super) end: CanisterId,
}

#[derive(Clone, Debug, Serialize)]
pub(super) enum CreateInstance {
    Created {
        instance_id: usize,
        topology: Topology,
        http_gateway_info: Option<GatewayInfo>,
    },
    Error {
        message: String,
    },
}

/// A gateway that is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct GatewayConfig {
    #[serde(default)]
    pub(super) ip_addr: Option<String>,
    #[serde(default)]
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) forward_to: Option<ForwardTo>,
    #[serde(default)]
    pub(super) domains: Option<Vec<String>>,
    #[serde(default)]
    pub(super) https_config: Option<HttpsConfig>,
    #[serde(default)]
    pub(super) domain_custom_provider_local_file: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ForwardTo {
    Replica(String),
    PocketIcInstance(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HttpsConfig {
    pub(super) cert_path: String,
    pub(super) key_path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct GatewayInfo {
    /// The gateway's own number.
    pub(super) instance_id: usize,
    pub(super) port: u16,
}

#[derive(Clone, Debug, Serialize)]
pub(super) enum CreateGateway {
    Created(GatewayInfo),
    Error { message: String },
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct GatewayDetails {
    pub(super) instance_id: usize,
    pub(super) port: u16,
    pub(super) forward_to: ForwardTo,
    pub(super) domains: Option<Vec<String>>,
    pub(super) https_config: Option<HttpsConfig>,
}

/// Where the outcome of an operation will be read.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Started {
    pub(super) state_label: String,
    pub(super) op_id: String,
}
