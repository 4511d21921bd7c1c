//! One job.

use assay_protocol::JobId;

use super::tell;
use crate::{
    Failure,
    args::Job,
    exit,
    home::Home,
    show::{out, reason},
};

pub(super) async fn run(args: Job) -> Result<u8, Failure> {
    let running = Home::find().running().await?;
    let view = running.jobs.job(JobId(args.id)).await?;
    if !args.json {
        tell::timeline(&view);
        return Ok(exit::OK);
    }
    let leases: Vec<_> = view
        .leases
        .iter()
        .map(|lease| {
            serde_json::json!({
                "lease": lease.id.0,
                "round": lease.round,
                "role": tell::role(lease.role),
                "worker": lease.worker.to_text(),
                "provider": lease.provider.to_text(),
                "state": tell::lease_state(lease.state),
                "reason": lease.reason.as_ref().map(reason),
                "root": lease.root.map(|root| root.to_string()),
                "paid": lease.paid.0.to_string(),
            })
        })
        .collect();
    let history: Vec<_> = view
        .history
        .iter()
        .map(|change| {
            serde_json::json!({
                "at": change.at.0,
                "state": tell::job_state(change.state),
                "lease": change.lease.map(|lease| lease.0),
                "reason": reason(&change.reason),
            })
        })
        .collect();
    let value = serde_json::json!({
        "job": view.id.0,
        "state": tell::job_state(view.state),
        "verdict": tell::verdict(view.state, view.verdict),
        "requester": view.requester.to_text(),
        "model": view.model.to_string(),
        "result_root": view.result_root.map(|root| root.to_string()),
        "answer": view.answer.as_ref().map(|answer| &answer.text),
        "escrow": view.escrow.0.to_string(),
        "paid": view.paid.0.to_string(),
        "fee": view.fee.0.to_string(),
        "refund": view.refund.0.to_string(),
        "leases": leases,
        "history": history,
    });
    out(format_args!("{value:#}"));
    Ok(exit::OK)
}
