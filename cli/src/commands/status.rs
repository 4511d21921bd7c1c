//! The running network at a glance.

use assay_protocol::{
    job::JobsArgs,
    limits::PAGE_MAX,
    registry::{Worker, WorkersArgs},
};
use assay_worker::doctor::explain;

use super::tell;
use crate::{
    Failure,
    args::Status,
    exit,
    home::{Home, Running},
    show::{out, plain, short},
};

/// Jobs shown.
const JOBS_SHOWN: u32 = 5;

pub(super) async fn run(args: Status) -> Result<u8, Failure> {
    let running = Home::find().running().await?;
    let stats = running.jobs.stats().await?;
    let balance = running.jobs.balance(None).await?;
    let workers = workers(&running).await?;
    let recent = running
        .jobs
        .jobs(&JobsArgs {
            requester: None,
            before: None,
            limit: JOBS_SHOWN,
        })
        .await?;
    if args.json {
        let workers: Vec<_> = workers
            .iter()
            .map(|(worker, state, earned)| {
                serde_json::json!({
                    "operator": worker.operator.to_text(),
                    "provider": worker.provider.to_text(),
                    "state": state,
                    "earned": earned.to_string(),
                })
            })
            .collect();
        let value = serde_json::json!({
            "url": running.up.url,
            "registry": running.registry.id.to_text(),
            "jobs": running.jobs.id.to_text(),
            "requester": running.key.principal.to_text(),
            "balance": balance.0.to_string(),
            "queued": stats.queued,
            "running": stats.running,
            "revealing": stats.revealing,
            "verified": stats.verified,
            "workers": workers,
            "workers_total": stats.workers,
        });
        out(format_args!("{value:#}"));
        return Ok(exit::OK);
    }
    out(format_args!(
        "network     {}, root key {}",
        running.up.url,
        tell::key_name(&running.root_key)
    ));
    out(format_args!("registry    {}", running.registry.id));
    out(format_args!("jobs        {}", running.jobs.id));
    out(format_args!("model       {}", plain(&running.up.model)));
    out(format_args!(
        "balance     {balance} cycles of {}",
        running.key.principal
    ));
    out(format_args!(
        "queue       {} queued, {} running, {} revealing; {} verified, {} unverified, {} inconclusive",
        stats.queued,
        stats.running,
        stats.revealing,
        stats.verified,
        stats.unverified,
        stats.inconclusive
    ));
    out("workers");
    for (worker, state, earned) in &workers {
        out(format_args!(
            "  {} of {}: {state}; its provider has earned {earned} cycles",
            short(&worker.operator),
            short(&worker.provider)
        ));
    }
    let rest = stats.workers.saturating_sub(workers.len() as u64);
    if rest > 0 {
        out(format_args!("  and {rest} more"));
    }
    if !recent.is_empty() {
        out("latest jobs");
        for job in &recent {
            out(format_args!(
                "  {:<6} {}",
                job.id.to_string(),
                tell::verdict(job.state, job.verdict)
            ));
        }
    }
    Ok(exit::OK)
}

/// The first workers, why each has or has not work, and what its provider has earned.
async fn workers(
    running: &Running,
) -> Result<Vec<(Worker, String, assay_protocol::Cycles)>, Failure> {
    let mut found = Vec::new();
    for worker in running
        .registry
        .workers(&WorkersArgs {
            provider: None,
            after: None,
            limit: PAGE_MAX,
        })
        .await?
    {
        let idle = running.jobs.explain(worker.operator).await?;
        let earned = running.jobs.earnings(worker.provider).await?.paid;
        found.push((worker, explain(&idle), earned));
    }
    Ok(found)
}
