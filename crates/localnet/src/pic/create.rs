//! Making an instance as a client describes it, and ending it.

use std::{sync::Arc, time::Duration};

use assay_localnet_core::{system::SystemPlan, topology::Topology, types::Time};
use axum::{
    extract::{Path, State},
    http::StatusCode,
};

use super::{
    answer::{Answer, ApiError, Body, Outcome, parse},
    instances::{self, Instance},
    live, plan,
    router::Shared,
    shapes::{CreateInstance, IcpFeatures, InitialTime, InstanceConfig, SubnetConfigSet},
};
use crate::{
    actor::{Pace, StartError},
    state::{Plan, StateError, StateFolder},
};

/// The clock of an instance that is not told the time: 6 May 2021, 19:17:10 UTC, when the network's genesis was.
pub(super) const FIRST_TIME: Time = Time(1_620_328_630_000_000_000);

/// The same where cycles are minted: just after the first price that the minting canister knows.
const FIRST_TIME_WITH_MINTING: Time = Time(1_620_633_601_000_000_000);

/// Makes an instance.
pub(super) async fn create(State(server): State<Shared>, body: Body) -> Answer {
    let made = match parse(body) {
        Ok(config) => make(&server, config).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(created) => Answer::with(StatusCode::CREATED, &created),
        Err(ApiError(status, message)) => Answer::with(status, &CreateInstance::Error { message }),
    }
}

async fn make(server: &Shared, config: InstanceConfig) -> Result<CreateInstance, ApiError> {
    let InstanceConfig {
        mut subnet_config_set,
        http_gateway_config,
        state_dir,
        bitcoind_addr,
        dogecoind_addr,
        icp_features,
        initial_time,
        mainnet_nns_subnet_id,
        disable_ingress_validation,
    } = config;
    for (asked, what) in [
        (
            bitcoind_addr.is_some_and(|addresses| !addresses.is_empty()),
            "bitcoind_addr: there is no Bitcoin integration",
        ),
        (
            dogecoind_addr.is_some_and(|addresses| !addresses.is_empty()),
            "dogecoind_addr: there is no Dogecoin integration",
        ),
        (
            mainnet_nns_subnet_id == Some(true),
            "mainnet_nns_subnet_id: the root key follows from a seed of this network",
        ),
        (
            disable_ingress_validation == Some(true),
            "disable_ingress_validation: signatures are always checked",
        ),
    ] {
        if asked {
            return Err(absent(what));
        }
    }
    let system = system(icp_features.unwrap_or_default(), &mut subnet_config_set)?;
    let known = match &state_dir {
        Some(folder) => StateFolder::plan(folder).map_err(no_state)?,
        None => None,
    };
    let plan = match known {
        // Who opens a state need not say again what is in it.
        Some(known) if subnet_config_set == SubnetConfigSet::default() => known,
        _ => {
            let subnets = plan::plan(&subnet_config_set).map_err(ApiError::bad)?;
            Plan::new(instances::seed(), subnets, &system)
        }
    };
    let first = match system.cycles_minting {
        true => FIRST_TIME_WITH_MINTING,
        false => FIRST_TIME,
    };
    let pace = pace(initial_time, first)?;

    let room = server.instances.reserve()?;
    let module_cache = server.module_cache.clone();
    let outcalls = server.outcalls;
    // Keys take a moment to derive.
    let started = tokio::task::spawn_blocking(move || {
        let topology = Topology::plan(&plan.seed, &plan.subnets)
            .map_err(|error| ApiError::bad(error.to_string()))?;
        let seed = plan.seed;
        let state = state_dir.map(|folder| (folder, plan));
        let topology = Arc::new(topology);
        Instance::start(topology, seed, system, pace, module_cache, state, outcalls).map_err(
            |error| match error {
                StartError::Thread(error) => no_thread(&error.to_string()),
                StartError::State(error) => no_state(error),
            },
        )
    });
    let instance = started
        .await
        .map_err(|error| no_thread(&error.to_string()))??;
    let instance = Arc::new(instance);
    if matches!(pace, Pace::Live(_)) {
        live::certify(&instance).await?;
    }
    let instance_id = room.put(instance.clone());
    let http_gateway_info = match http_gateway_config {
        Some(gateway) => match server.gateways.open(instance_id, &instance, gateway).await {
            Ok(info) => Some(info),
            Err(error) => {
                if let Ok((_, instance)) = server.instances.remove(&instance_id.to_string()) {
                    instances::end(instance).await;
                }
                return Err(error);
            }
        },
        None => None,
    };
    tracing::debug!(instance_id, "instance made");
    Ok(CreateInstance::Created {
        instance_id,
        topology: plan::describe(&instance.topology()),
        http_gateway_info,
    })
}

pub(super) fn pace(initial_time: Option<InitialTime>, first: Time) -> Result<Pace, ApiError> {
    match initial_time {
        None => Ok(Pace::OnRequest(first)),
        Some(InitialTime::Timestamp(time)) => {
            let time = Time(time.nanos_since_epoch);
            if time < first {
                return Err(ApiError::bad(format!(
                    "the initial timestamp (unix timestamp in nanoseconds) must be no earlier than {}, and {} is",
                    first.0, time.0
                )));
            }
            Ok(Pace::OnRequest(time))
        }
        Some(InitialTime::AutoProgress(progress)) => Ok(Pace::Live(live::interval(&progress))),
    }
}

/// The system canisters that a client asks for; their subnets come along.
pub(super) fn system(
    features: IcpFeatures,
    set: &mut SubnetConfigSet,
) -> Result<SystemPlan, ApiError> {
    let seeded = SystemPlan::seeded();
    let mut system = SystemPlan::none();
    let mut others = Vec::new();
    for name in features
        .into_iter()
        .filter_map(|(name, value)| value.map(|_| name))
    {
        match name.as_str() {
            "cycles_minting" => system.cycles_minting = true,
            "icp_token" => {
                system.icp_ledger = true;
                system.icp.clone_from(&seeded.icp);
            }
            "cycles_token" => {
                system.cycles_ledger = true;
                system.cycles.clone_from(&seeded.cycles);
            }
            _ => others.push(name),
        }
    }
    if !others.is_empty() {
        return Err(absent(&format!(
            "icp_features: there are cycles_minting, icp_token and cycles_token, but none of the system canisters of {}",
            others.join(", ")
        )));
    }
    if system.cycles_minting || system.icp_ledger {
        set.nns.get_or_insert_default();
    }
    if system.cycles_ledger {
        set.ii.get_or_insert_default();
    }
    Ok(system)
}

fn absent(what: &str) -> ApiError {
    ApiError::bad(format!("not available on this network: {what}"))
}

fn no_state(error: StateError) -> ApiError {
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        message.push_str(&format!(": {source}"));
    }
    ApiError::bad(message)
}

fn no_thread(error: &str) -> ApiError {
    ApiError(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("the instance's thread could not be started: {error}"),
    )
}

/// Ends an instance.
pub(super) async fn delete(State(server): State<Shared>, Path(id): Path<String>) -> Outcome {
    let (number, instance) = server.instances.remove(&id)?;
    server.gateways.close_of(number);
    // What it still computes is finished first. Nobody has to wait for that, but who opens its state again.
    let kept = instance.kept;
    let ending = tokio::spawn(instances::end(instance));
    if kept {
        // A thread that panicked has said so on its own.
        let _ = ending.await;
    }
    tracing::debug!(instance_id = number, "instance deleted");
    Ok(Answer::null())
}

/// What became of every instance.
pub(super) async fn list(State(server): State<Shared>) -> Answer {
    Answer::of(&server.instances.states())
}

/// So that the shortest pause is in one place.
pub(super) const NO_DELAY: Duration = Duration::ZERO;
