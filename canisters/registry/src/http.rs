//! The page for people, the metrics for machines and the log lines.

use assay_canister_kit::{HttpRequest, HttpResponse, Metrics, Pages};
use assay_protocol::store::{Log, Table};
use assay_registry_core::store::Store;

use crate::{logs, memory::with_registry};

/// Below this balance the canister counts as low on cycles.
const CYCLES_LOW: u128 = 1_000_000_000_000;

pub(crate) fn answer(request: &HttpRequest) -> HttpResponse {
    let pages = Pages {
        page,
        metrics,
        logs: logs::text,
    };
    HttpResponse::route(request, pages)
}

fn page() -> String {
    with_registry(|registry| {
        let store = registry.store();
        format!(
            "Assay registry\n\n{} providers, {} workers, {} models, {} jobs canisters\n\n\
             Numbers for machines: /metrics. Log lines since the last upgrade: /logs. How to call it: get_api_doc.\n",
            store.providers.len(),
            store.workers.len(),
            store.models.len(),
            store.shards.len(),
        )
    })
}

fn metrics() -> String {
    let low = u128::from(ic_cdk::api::canister_cycle_balance() < CYCLES_LOW);
    let stable_bytes = u128::from(ic_cdk::api::stable_size()) * 65_536;
    with_registry(|registry| {
        // Destructured so that a new table cannot be forgotten; the others are indices of these.
        let Store {
            providers,
            workers,
            models,
            names: _,
            owned: _,
            feed: _,
            places: _,
            shards,
            speeds,
            events,
        } = registry.store();
        let mut metrics = Metrics::new("registry");
        metrics
            .gauge("providers", providers.len().into(), "Registered providers.")
            .gauge(
                "workers",
                workers.len().into(),
                "Registered workers, retired ones included.",
            )
            .gauge("models", models.len().into(), "Registered model versions.")
            .gauge("shards", shards.len().into(), "Jobs canisters in the list.")
            .gauge(
                "speeds",
                speeds.len().into(),
                "Speeds that workers report of themselves.",
            )
            .counter(
                "events_total",
                events.len().into(),
                "Changes since the registry began.",
            )
            .gauge("stable_memory_bytes", stable_bytes, "Stable memory in use.")
            .gauge("cycles_low", low, "1 when the canister needs cycles.");
        metrics.finish()
    })
}
