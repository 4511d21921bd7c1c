//! The page for people, the metrics for machines and the log lines.

use assay_canister_kit::{HttpRequest, HttpResponse, Metrics, Pages};
use assay_protocol::{Cycles, job::Stats, store::Table};

use crate::{
    chat, guard, logs, matching,
    memory::{settings, with_jobs},
    meter::{self, Cost},
};

pub(crate) fn answer(request: &HttpRequest) -> HttpResponse {
    let pages = Pages {
        page,
        metrics,
        logs: logs::text,
    };
    HttpResponse::route(request, pages)
}

fn page() -> String {
    let stats = with_jobs(|jobs| jobs.stats());
    let settings = settings();
    let registry = settings
        .registry
        .map_or_else(|| "none".to_owned(), |id| id.to_text());
    format!(
        "Assay jobs\n\n\
         {} jobs wait, {} run, {} were verified\n\
         {} workers of {} providers, {} models\n\
         registry: {registry}\nfee: {} basis points\n{}\n\
         Numbers for machines: /metrics. Log lines since the last upgrade: /logs. How to call it: get_api_doc.\n",
        stats.queued,
        stats.running + stats.revealing + stats.extended,
        stats.verified,
        stats.workers,
        stats.providers,
        stats.models,
        settings.fee_bps,
        closed(),
    )
}

/// A line that says why no new jobs are let in, or none.
fn closed() -> String {
    match (with_jobs(|jobs| jobs.pause()), guard::intake()) {
        (Some(reason), _) => format!("closed to new jobs: {reason}\n"),
        (None, Err(_)) => "closed to new jobs: low on cycles\n".into(),
        (None, Ok(())) => String::new(),
    }
}

fn metrics() -> String {
    let low = u128::from(guard::intake().is_err());
    let paused = u128::from(with_jobs(|jobs| jobs.pause()).is_some());
    let stable_bytes = u128::from(ic_cdk::api::stable_size()) * 65_536;
    let (match_runs, match_failures) = matching::runs();
    let receipts = with_jobs(|jobs| jobs.store().receipts.len());
    // Destructured so that a new number cannot be forgotten.
    let Stats {
        queued,
        running,
        revealing,
        extended,
        unverified,
        verified,
        inconclusive,
        cancelled,
        expired,
        failed,
        leases,
        models,
        providers,
        workers,
        deposited: Cycles(deposited),
        free: Cycles(free),
        held: Cycles(held),
        treasury: Cycles(treasury),
        reserved: Cycles(reserved),
        sponsor: Cycles(sponsor),
        staked: Cycles(staked),
        withdrawn: Cycles(withdrawn),
        withdrawing: Cycles(withdrawing),
        on_ledger: Cycles(on_ledger),
        transfers,
        open_transfers,
        quarantined,
        events,
    } = with_jobs(|jobs| jobs.stats());
    let open = [
        ("queued", queued),
        ("running", running),
        ("revealing", revealing),
        ("extended", extended),
    ];
    let ended = [
        ("unverified", unverified),
        ("verified", verified),
        ("inconclusive", inconclusive),
        ("cancelled", cancelled),
        ("expired", expired),
        ("failed", failed),
    ];
    let costs = meter::costs();
    let each = |of: fn(&Cost) -> u64| {
        let values = costs.iter().map(|(work, cost)| (*work, of(cost).into()));
        values.collect::<Vec<(&str, u128)>>()
    };
    let wide = |(kind, count): &(&'static str, u64)| (*kind, u128::from(*count));
    let mut metrics = Metrics::new("jobs");
    metrics
        .gauges(
            "open",
            "state",
            &open.iter().map(wide).collect::<Vec<_>>(),
            "Jobs that have not ended.",
        )
        .gauges(
            "ended",
            "outcome",
            &ended.iter().map(wide).collect::<Vec<_>>(),
            "Jobs that have ended.",
        )
        .counter("leases_total", leases.into(), "Leases ever granted.")
        .gauge("models", models.into(), "Models known.")
        .gauge("providers", providers.into(), "Providers known.")
        .gauge("workers", workers.into(), "Workers known.")
        .counter(
            "deposited_cycles_total",
            deposited,
            "Cycles that ever came in.",
        )
        .gauge("free_cycles", free, "Sum of all balances.")
        .gauge("held_cycles", held, "Sum of all escrow.")
        .gauge(
            "treasury_cycles",
            treasury,
            "Fees kept and given, less what audits cost.",
        )
        .gauge(
            "reserved_cycles",
            reserved,
            "Set aside for audits under way.",
        )
        .gauge("sponsor_cycles", sponsor, "What the sponsor pool holds.")
        .gauge("staked_cycles", staked, "Sum of all stake.")
        .counter(
            "withdrawn_cycles_total",
            withdrawn,
            "Cycles that left for good, ledger fees included.",
        )
        .gauge(
            "withdrawing_cycles",
            withdrawing,
            "Sum of all withdrawals without an end.",
        )
        .gauge("ledger_cycles", on_ledger, "Cycles on the ledger.")
        .counter(
            "transfers_total",
            transfers.into(),
            "Deposits from a ledger and withdrawals ever begun.",
        )
        .gauge(
            "open_transfers",
            open_transfers.into(),
            "Transfers without an end.",
        )
        .gauge(
            "quarantined_transfers",
            quarantined.into(),
            "Transfers that a controller must decide on.",
        )
        .gauge("paused", paused, "1 while controllers let no new jobs in.")
        .gauge(
            "chats",
            chat::waiting() as u128,
            "Calls that wait for an answer.",
        )
        .counter("events_total", events.into(), "Entries of the event log.")
        .gauge(
            "certified_receipts",
            receipts.into(),
            "Receipts in certified data.",
        )
        .counter(
            "match_runs_total",
            match_runs.into(),
            "Matches since install or upgrade.",
        )
        .counter(
            "match_failures_total",
            match_failures.into(),
            "Matches that got no randomness.",
        )
        .counters(
            "method_calls_total",
            "method",
            &each(|cost| cost.calls),
            "Runs of each method, timer and matching since install or upgrade.",
        )
        .gauges(
            "method_last_instructions",
            "method",
            &each(|cost| cost.last),
            "Instructions of its last run.",
        )
        .gauges(
            "method_highest_instructions",
            "method",
            &each(|cost| cost.highest),
            "Instructions of its dearest run.",
        )
        .gauge("stable_memory_bytes", stable_bytes, "Stable memory in use.")
        .gauge(
            "cycles_low",
            low,
            "1 when the canister needs cycles and takes no new jobs.",
        );
    metrics.finish()
}
