//! HTTP gateways: ports of their own, each in front of one instance.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use tokio::{net::TcpListener, sync::oneshot};

use super::{
    answer::{Answer, ApiError, Body, Outcome, parse},
    instances::Instance,
    limits,
    router::Shared,
    server::{Activity, watched},
    shapes::{CreateGateway, ForwardTo, GatewayConfig, GatewayDetails, GatewayInfo},
};
use crate::gateway::{self, Domains, Upstream};

/// The gateways of a server.
#[derive(Debug)]
pub(super) struct Gateways {
    kept: Mutex<Kept>,
    activity: Arc<Activity>,
}

#[derive(Debug, Default)]
struct Kept {
    next: usize,
    gateways: BTreeMap<usize, Gateway>,
}

#[derive(Debug)]
struct Gateway {
    instance: usize,
    port: u16,
    domains: Option<Vec<String>>,
    /// Ends it when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl Gateways {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self {
            kept: Mutex::default(),
            activity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept
            .lock()
            .expect("BUG: nothing panics with the gateways")
    }

    /// Opens a gateway in front of an instance.
    pub(super) async fn open(
        &self,
        number: usize,
        instance: &Instance,
        config: GatewayConfig,
    ) -> Result<GatewayInfo, ApiError> {
        let GatewayConfig {
            ip_addr,
            port,
            forward_to: _,
            domains,
            https_config,
            domain_custom_provider_local_file,
        } = config;
        if https_config.is_some() {
            return Err(ApiError::bad(
                "not available on this network: https_config; gateways speak plain HTTP on this machine",
            ));
        }
        if domain_custom_provider_local_file.is_some() {
            return Err(ApiError::bad(
                "not available on this network: domain_custom_provider_local_file; canisters are reached by their ids",
            ));
        }
        let ip: IpAddr = match ip_addr {
            Some(text) => text
                .parse()
                .map_err(|_| ApiError::bad(format!("`{text}` is not an IP address")))?,
            None => Ipv4Addr::LOCALHOST.into(),
        };
        let served = match &domains {
            Some(names) => Domains::new(names).map_err(|error| ApiError::bad(error.to_string()))?,
            None => Domains::default(),
        };
        let port = port.unwrap_or_default();
        let listener = TcpListener::bind((ip, port)).await.map_err(|error| {
            ApiError::bad(format!("cannot listen on {ip} port {port}: {error}"))
        })?;
        let port = listener
            .local_addr()
            .map_err(|error| ApiError::bad(format!("cannot listen on {ip}: {error}")))?
            .port();

        let (stop, stopped) = oneshot::channel::<()>();
        let id = {
            let mut kept = self.lock();
            if kept.gateways.len() >= limits::GATEWAYS_MAX {
                return Err(ApiError(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!(
                        "there are {} gateways already; stop some first",
                        limits::GATEWAYS_MAX
                    ),
                ));
            }
            let id = kept.next;
            kept.next += 1;
            kept.gateways.insert(
                id,
                Gateway {
                    instance: number,
                    port,
                    domains,
                    _stop: stop,
                },
            );
            id
        };
        let network = instance.network.clone();
        let upstream = Upstream::new(
            instance.interface.clone(),
            instance.topology().root_key(),
            Arc::new(move || network.now()),
        );
        let router = watched(gateway::router(upstream, served), self.activity.clone());
        tokio::spawn(async move {
            let server = axum::serve(listener, router);
            tokio::select! {
                result = server => {
                    if let Err(error) = result {
                        tracing::error!(%error, "a gateway ended");
                    }
                }
                // It was dropped: nobody sends anything.
                _ = stopped => {}
            }
        });
        tracing::debug!(id, port, instance = number, "gateway opened");
        Ok(GatewayInfo {
            instance_id: id,
            port,
        })
    }

    /// Closes the gateways in front of an instance.
    pub(super) fn close_of(&self, instance: usize) {
        self.lock()
            .gateways
            .retain(|_, gateway| gateway.instance != instance);
    }
}

/// Opens a gateway.
pub(super) async fn create(State(server): State<Shared>, body: Body) -> Answer {
    let opened = match parse(body) {
        Ok(config) => open(&server, config).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(info) => Answer::with(StatusCode::CREATED, &CreateGateway::Created(info)),
        Err(ApiError(status, message)) => Answer::with(status, &CreateGateway::Error { message }),
    }
}

async fn open(server: &Shared, config: GatewayConfig) -> Result<GatewayInfo, ApiError> {
    match config.forward_to {
        Some(ForwardTo::PocketIcInstance(number)) => {
            let instance = server.instances.get(&number.to_string())?;
            server.gateways.open(number, &instance, config).await
        }
        Some(ForwardTo::Replica(_)) => Err(ApiError::bad(
            "not available on this network: forwarding to a replica; name one of this server's instances",
        )),
        None => Err(ApiError::bad(
            "forward_to is missing; name an instance, as in {\"PocketIcInstance\": 0}",
        )),
    }
}

/// All open gateways.
pub(super) async fn list(State(server): State<Shared>) -> Answer {
    let kept = server.gateways.lock();
    let details: Vec<GatewayDetails> = kept
        .gateways
        .iter()
        .map(|(id, gateway)| GatewayDetails {
            instance_id: *id,
            port: gateway.port,
            forward_to: ForwardTo::PocketIcInstance(gateway.instance),
            domains: gateway.domains.clone(),
            https_config: None,
        })
        .collect();
    Answer::of(&details)
}

/// Closes a gateway.
pub(super) async fn stop(State(server): State<Shared>, Path(id): Path<String>) -> Outcome {
    let gateway = id
        .parse()
        .ok()
        .and_then(|id: usize| server.gateways.lock().gateways.remove(&id));
    match gateway {
        Some(_) => Ok(Answer::null()),
        None => Err(ApiError::missing(
            "there is no such gateway; it may have been stopped",
        )),
    }
}
