//! The methods that there are, and who may call them.

use super::{ChunkedTarget, Target, absent, decode};
use crate::{canister::CanisterId, types::Reject};

/// Who may call a method, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Users and canisters that control the canister in the argument.
    Controllers,
    /// The same, and those who administer its subnet.
    ControllersOrAdmins,
    /// The same, and that canister itself.
    ControllersOrSelf,
    /// Whoever may see the status of the canister in the argument, or administers its subnet.
    StatusViewers,
    /// Whoever may see the snapshots of the canister in the argument.
    SnapshotViewers,
    /// Any user or canister; only test networks have these methods.
    Anybody,
    /// Canisters only.
    Canisters,
    /// Canisters, and users who administer the subnet that they call.
    CanistersOrAdmins,
    /// Users and composite queries, by queries only; the method looks at the caller itself.
    Queries,
}

macro_rules! methods {
    ($($variant:ident $name:literal $access:ident;)*) => {
        /// The methods that there are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Method { $($variant),* }

        impl Method {
            pub(super) fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub(super) fn access(self) -> Access {
                match self { $(Self::$variant => Access::$access),* }
            }
        }
    };
}

methods! {
    ProvisionalCreate "provisional_create_canister_with_cycles" Anybody;
    ProvisionalTopUp "provisional_top_up_canister" Anybody;
    Create "create_canister" CanistersOrAdmins;
    InstallCode "install_code" Controllers;
    InstallChunkedCode "install_chunked_code" Controllers;
    UninstallCode "uninstall_code" ControllersOrAdmins;
    UpdateSettings "update_settings" Controllers;
    Start "start_canister" ControllersOrAdmins;
    Stop "stop_canister" ControllersOrAdmins;
    Status "canister_status" StatusViewers;
    Metrics "canister_metrics" ControllersOrAdmins;
    Info "canister_info" Canisters;
    Metadata "canister_metadata" Canisters;
    Delete "delete_canister" ControllersOrAdmins;
    DepositCycles "deposit_cycles" Canisters;
    RawRand "raw_rand" Canisters;
    UploadChunk "upload_chunk" ControllersOrSelf;
    StoredChunks "stored_chunks" ControllersOrSelf;
    ClearChunkStore "clear_chunk_store" ControllersOrSelf;
    TakeSnapshot "take_canister_snapshot" Controllers;
    LoadSnapshot "load_canister_snapshot" Controllers;
    ListSnapshots "list_canister_snapshots" SnapshotViewers;
    DeleteSnapshot "delete_canister_snapshot" Controllers;
    ReadSnapshotMetadata "read_canister_snapshot_metadata" SnapshotViewers;
    ReadSnapshotData "read_canister_snapshot_data" SnapshotViewers;
    UploadSnapshotMetadata "upload_canister_snapshot_metadata" Controllers;
    UploadSnapshotData "upload_canister_snapshot_data" Controllers;
    HttpRequest "http_request" Canisters;
    FlexibleHttpRequest "flexible_http_request" Canisters;
    SubnetInfo "subnet_info" Canisters;
    SubnetMetrics "subnet_metrics" Canisters;
    NodeMetricsHistory "node_metrics_history" Canisters;
    FetchLogs "fetch_canister_logs" Queries;
    ListCanisters "list_canisters" Queries;
}

impl Method {
    /// The method with this name; where there is none, why.
    pub(super) fn find(name: &str, arg: &[u8]) -> Result<Self, Reject> {
        Self::parse(name).ok_or_else(|| absent::reject(name, arg))
    }

    /// The canister that a call is about, where access depends on one.
    pub(super) fn target(self, arg: &[u8]) -> Result<Option<CanisterId>, Reject> {
        match self.access() {
            Access::Anybody | Access::Canisters | Access::CanistersOrAdmins | Access::Queries => {
                Ok(None)
            }
            _ => self.named(arg).map(Some),
        }
    }

    /// The canister that the argument names.
    pub(super) fn named(self, arg: &[u8]) -> Result<CanisterId, Reject> {
        if self == Self::InstallChunkedCode {
            decode(arg).map(|ChunkedTarget { target_canister }| target_canister)
        } else {
            decode(arg).map(|Target { canister_id }| canister_id)
        }
    }
}
