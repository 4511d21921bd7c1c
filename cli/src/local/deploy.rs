//! Creating canisters and installing their modules through the management canister.

use assay_localnet::CYCLES_LEDGER;
use assay_protocol::{
    Cycles,
    job::{ControlError, DepositError},
};
use assay_worker::client::{CallError, Network};
use candid::{CandidType, Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, CanisterSettings, ChunkHash, ClearChunkStoreArgs,
    EnvironmentVariable, InstallChunkedCodeArgs, InstallCodeArgs,
    ProvisionalCreateCanisterWithCyclesArgs, UpdateSettingsArgs, UploadChunkArgs,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Modules;
use crate::Failure;

/// Cycles that a canister is created with.
const CANISTER_CYCLES: u128 = 100_000_000_000_000;
/// Cycles of the purse.
const PURSE_CYCLES: u128 = 10_000_000_000_000_000;
/// Longest module that fits into one message with room to spare.
const MESSAGE_BYTES: usize = 1_900_000;
/// Bytes of one chunk of a longer module.
const CHUNK_BYTES: usize = 1_000_000;

/// The canisters of a market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canisters {
    /// Providers, workers and models.
    pub registry: Principal,
    /// Requests, leases, verdicts and receipts.
    pub jobs: Principal,
    /// Cycles for those whose calls can carry none.
    pub purse: Principal,
}

#[derive(CandidType)]
struct RegistryArgs {
    shards: Option<Vec<Principal>>,
}

#[derive(CandidType)]
struct JobsArgs {
    registry: Option<Principal>,
    fee_bps: Option<u16>,
    ledger: Option<Principal>,
}

/// What controllers of a jobs canister set.
#[derive(CandidType, Deserialize)]
struct Rules {
    trusted_after: u32,
    audit_ppm_min: u32,
    stake_factor: u32,
    reveal_bond: Cycles,
    sponsor_caller_daily: Cycles,
    sponsor_daily: Cycles,
    canary_ppm: u32,
}

/// Lets the market's sponsor pool pay so much in a day, for each caller and for all.
pub(super) async fn sponsor(
    network: &Network,
    jobs: Principal,
    caller_daily: Cycles,
    daily: Cycles,
) -> Result<(), Failure> {
    let rules: Rules = network.query(jobs, "rules", ()).await?;
    let rules = Rules {
        sponsor_caller_daily: caller_daily,
        sponsor_daily: daily,
        ..rules
    };
    let told: Result<(), ControlError> = network.update(jobs, "set_rules", (rules,)).await?;
    told.map_err(Failure::Control)
}

/// Creates and installs all canisters.
pub(super) async fn deploy(
    network: &Network,
    effective: Principal,
    modules: &Modules,
) -> Result<Canisters, Failure> {
    let canisters = Canisters {
        registry: create(network, effective, CANISTER_CYCLES).await?,
        jobs: create(network, effective, CANISTER_CYCLES).await?,
        purse: create(network, effective, PURSE_CYCLES).await?,
    };
    install(
        network,
        canisters.registry,
        &modules.registry,
        &RegistryArgs {
            shards: Some(vec![canisters.jobs]),
        },
    )
    .await?;
    install_jobs(network, canisters.jobs, canisters.registry, modules).await?;
    install_with(
        network,
        canisters.purse,
        &modules.purse,
        candid::encode_args(()).expect("BUG: nothing encodes"),
    )
    .await?;
    Ok(canisters)
}

/// Creates and installs another jobs canister that follows the registry.
pub(super) async fn shard(
    network: &Network,
    canisters: &Canisters,
    modules: &Modules,
) -> Result<Principal, Failure> {
    let jobs = create(network, canisters.jobs, CANISTER_CYCLES).await?;
    install_jobs(network, jobs, canisters.registry, modules).await?;
    Ok(jobs)
}

/// Creates and installs a frontend canister that tells pages where the market is.
pub(super) async fn page(
    network: &Network,
    canisters: &Canisters,
    module: &[u8],
    identity_provider: Option<&str>,
) -> Result<Principal, CallError> {
    let page = create(network, canisters.jobs, CANISTER_CYCLES).await?;
    let variable = |name: &str, id: Principal| EnvironmentVariable {
        name: format!("PUBLIC_CANISTER_ID:{name}"),
        value: id.to_text(),
    };
    let provider = identity_provider.map(|url| EnvironmentVariable {
        name: "PUBLIC_IDENTITY_PROVIDER".to_owned(),
        value: url.to_owned(),
    });
    let variables = [
        variable("registry", canisters.registry),
        variable("jobs", canisters.jobs),
        variable("frontend", page),
    ];
    let args = UpdateSettingsArgs {
        canister_id: page,
        settings: CanisterSettings {
            environment_variables: Some(variables.into_iter().chain(provider).collect()),
            ..CanisterSettings::default()
        },
        sender_canister_version: None,
    };
    let () = network.manage(page, "update_settings", (args,)).await?;
    let nothing = candid::encode_args(()).expect("BUG: nothing encodes");
    install_with(network, page, module, nothing).await?;
    Ok(page)
}

async fn install_jobs(
    network: &Network,
    jobs: Principal,
    registry: Principal,
    modules: &Modules,
) -> Result<(), CallError> {
    let args = JobsArgs {
        registry: Some(registry),
        fee_bps: None,
        ledger: Some(CYCLES_LEDGER),
    };
    install(network, jobs, &modules.jobs, &args).await
}

async fn create(
    network: &Network,
    effective: Principal,
    cycles: u128,
) -> Result<Principal, CallError> {
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(Nat::from(cycles)),
        settings: None,
        specified_id: None,
        sender_canister_version: None,
    };
    let created: CanisterIdRecord = network
        .manage(
            effective,
            "provisional_create_canister_with_cycles",
            (args,),
        )
        .await?;
    Ok(created.canister_id)
}

async fn install(
    network: &Network,
    canister: Principal,
    module: &[u8],
    arg: &impl CandidType,
) -> Result<(), CallError> {
    let arg =
        candid::encode_args((Some(arg),)).expect("BUG: install arguments are plain Candid data");
    install_with(network, canister, module, arg).await
}

/// Stops a canister, gives it another module without changing its settings, and starts it again.
pub(super) async fn upgrade(
    network: &Network,
    canister: Principal,
    module: &[u8],
) -> Result<(), CallError> {
    let id = CanisterIdRecord {
        canister_id: canister,
    };
    let () = network.manage(canister, "stop_canister", (&id,)).await?;
    // Both canisters take an optional record, and keep what it does not name.
    let arg = candid::encode_args((None::<RegistryArgs>,)).expect("BUG: nothing encodes");
    let upgraded = install_as(
        network,
        canister,
        module,
        arg,
        CanisterInstallMode::Upgrade(None),
    )
    .await;
    // A module that was refused must not leave the canister standing still.
    let () = network.manage(canister, "start_canister", (&id,)).await?;
    upgraded
}

async fn install_with(
    network: &Network,
    canister: Principal,
    module: &[u8],
    arg: Vec<u8>,
) -> Result<(), CallError> {
    install_as(network, canister, module, arg, CanisterInstallMode::Install).await
}

async fn install_as(
    network: &Network,
    canister: Principal,
    module: &[u8],
    arg: Vec<u8>,
    mode: CanisterInstallMode,
) -> Result<(), CallError> {
    if module.len() <= MESSAGE_BYTES {
        let args = InstallCodeArgs {
            mode,
            canister_id: canister,
            wasm_module: module.to_vec(),
            arg,
            sender_canister_version: None,
        };
        return network.manage(canister, "install_code", (args,)).await;
    }
    let mut chunk_hashes_list: Vec<ChunkHash> = Vec::new();
    for chunk in module.chunks(CHUNK_BYTES) {
        let args = UploadChunkArgs {
            canister_id: canister,
            chunk: chunk.to_vec(),
        };
        chunk_hashes_list.push(network.manage(canister, "upload_chunk", (args,)).await?);
    }
    let args = InstallChunkedCodeArgs {
        mode,
        target_canister: canister,
        store_canister: None,
        chunk_hashes_list,
        wasm_module_hash: Sha256::digest(module).to_vec(),
        arg,
        sender_canister_version: None,
    };
    let () = network
        .manage(canister, "install_chunked_code", (args,))
        .await?;
    network
        .manage(
            canister,
            "clear_chunk_store",
            (ClearChunkStoreArgs {
                canister_id: canister,
            },),
        )
        .await
}

#[derive(CandidType)]
struct FundArgs {
    jobs: Principal,
    beneficiary: Principal,
    amount: Cycles,
}

/// Why the purse did not pay.
#[derive(Debug, CandidType, Deserialize)]
enum FundError {
    NotAController { caller: Principal },
    Amount { amount: Cycles, max: Cycles },
    InsufficientFunds { amount: Cycles, available: Cycles },
    Refused(DepositError),
    Unreachable(String),
    OutcomeUnknown(String),
    Other(String),
}

/// Lets the purse deposit cycles for somebody in a jobs canister.
pub(super) async fn fund(
    network: &Network,
    purse: Principal,
    jobs: Principal,
    beneficiary: Principal,
    amount: Cycles,
) -> Result<(), Failure> {
    let args = FundArgs {
        jobs,
        beneficiary,
        amount,
    };
    let answer: Result<Cycles, FundError> = network.update(purse, "fund", (args,)).await?;
    answer.map(|_| ()).map_err(|error| {
        Failure::Purse(match error {
            FundError::NotAController { caller } => format!("{caller} does not control it"),
            FundError::Amount { amount, max } => {
                format!("{amount} cycles are not between 1 and {max}")
            }
            FundError::InsufficientFunds { amount, available } => {
                format!("{amount} cycles are more than the {available} that it can spend")
            }
            FundError::Refused(error) => error.to_string(),
            FundError::Unreachable(text)
            | FundError::OutcomeUnknown(text)
            | FundError::Other(text) => text,
        })
    })
}
