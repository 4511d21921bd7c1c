//! What came of a job, in words.

use assay_protocol::{
    Cycles,
    job::{JobState, JobView, LeaseView, Verdict},
    lease::{LeaseState, Role},
    receipt::{Receipt, ReceiptLease},
    request::{Chat, Task},
    tool_calls::{self, Reply},
};
use candid::Principal;

use crate::{
    exit,
    receipt::Proof,
    show::{out, plain, reason, short, since},
};

/// A worker's name for people.
pub(super) type NameOf<'a> = &'a dyn Fn(&Principal) -> Option<String>;

/// `verified`, or why not.
pub(super) fn verdict(state: JobState, verdict: Option<Verdict>) -> &'static str {
    match (state, verdict) {
        (_, Some(Verdict::Verified)) => "verified",
        (_, Some(Verdict::Unverified)) => "unverified: one worker answered, and nobody compared",
        (_, Some(Verdict::Inconclusive)) => "inconclusive: the workers disagreed",
        (JobState::Cancelled, None) => "cancelled",
        (JobState::Expired, None) => "expired: its deadline passed",
        (JobState::Failed, None) => "failed",
        (_, None) => "not ended",
    }
}

/// The exit code that a job's end deserves.
pub(super) fn code(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Verified) => exit::OK,
        // What was asked for without comparison was given.
        Some(Verdict::Unverified) => exit::OK,
        _ => exit::NOT_VERIFIED,
    }
}

/// What was asked.
pub(super) fn task(task: &Task, line: &dyn Fn(String)) {
    let say = |who: &str, what: &str| line(format!("{who:<12}{}", plain(what)));
    match task {
        Task::Chat(Chat { messages, tools }) => {
            for tool in tools.iter().flatten() {
                say("tool", &tool.name);
            }
            for message in messages {
                say(message.role.name(), &message.content);
                for call in message.calls() {
                    say("calls", &format!("{} {}", call.name, call.arguments));
                }
            }
        }
        Task::Completion { prompt } => say("prompt", prompt),
        Task::Embedding { text } => say("text", text),
        Task::Training { checkpoint_root } => say("training", &checkpoint_root.to_string()),
    }
}

/// The tools that an answer calls, where it was offered any.
pub(super) fn calls(task: &Task, answer: &str, line: &dyn Fn(String)) {
    let Some(tools) = task.chat().and_then(|chat| chat.tools.as_deref()) else {
        return;
    };
    match tool_calls::read(answer, tools) {
        Ok(Reply { calls, .. }) if calls.is_empty() => line("calls       no tool".to_owned()),
        Ok(Reply { calls, .. }) => {
            for call in calls {
                line(format!(
                    "calls       {} {}",
                    plain(&call.name),
                    plain(&call.arguments)
                ));
            }
        }
        Err(error) => line(format!(
            "calls       cannot be read: {}",
            plain(&error.to_string())
        )),
    }
}

/// What a receipt says: verdict, roots, payouts and refund. `line` prints one line.
pub(super) fn receipt(receipt: &Receipt, name_of: NameOf<'_>, line: &dyn Fn(String)) {
    line(format!(
        "verdict     {}",
        verdict(receipt.state, receipt.verdict)
    ));
    let mut round = 0;
    for lease in &receipt.leases {
        if lease.round != round {
            round = lease.round;
            let rounds = receipt
                .leases
                .iter()
                .map(|lease| lease.round)
                .max()
                .unwrap_or(1);
            if rounds > 1 {
                line(format!("generation {round}"));
            }
        }
        line(format!("  {}", lease_line(lease, name_of)));
        line(format!(
            "  {:<10}{}",
            "",
            lease.root.map_or_else(
                || "no root revealed".to_owned(),
                |root| format!("root {root}")
            )
        ));
    }
    if let Some(result) = &receipt.result {
        line(format!("result root {}", result.root));
        line(format!(
            "usage       {} tokens read, {} generated",
            result.usage.input_tokens, result.usage.output_tokens
        ));
    }
    let paid = receipt.leases.iter().fold(Cycles::ZERO, |sum, lease| {
        sum.checked_add(lease.paid).unwrap_or(sum)
    });
    let price = [receipt.fee, receipt.royalty]
        .iter()
        .fold(paid, |sum, part| sum.checked_add(*part).unwrap_or(sum));
    line(format!(
        "price       {price} cycles: {paid} to workers, {} fee, {} royalty",
        receipt.fee, receipt.royalty
    ));
    if receipt.subsidy > Cycles::ZERO {
        line(format!(
            "audit       {} of them from the market's treasury",
            receipt.subsidy
        ));
    }
    for lease in receipt
        .leases
        .iter()
        .filter(|lease| lease.paid > Cycles::ZERO)
    {
        let work = match lease.role {
            Role::Checker => "checking",
            Role::Generator | Role::Replica => "generating",
        };
        line(format!(
            "  payout    {} cycles to {} for {work}",
            lease.paid,
            named(&lease.provider, name_of)
        ));
    }
    line(format!(
        "refund      {} of {} cycles held",
        receipt.refund, receipt.escrow
    ));
}

/// What the proof rests on.
pub(super) fn proof(proof: &Proof, root_key: &[u8], line: &dyn Fn(String)) {
    line(format!("receipt     proven: {}", proof.hash));
    line(format!("  root key    {}", key_name(root_key)));
    line("  certificate signed by the subnet, whose key the root key vouches for".to_owned());
    line("  canister    among those that the subnet hosts".to_owned());
    line("  witness     leads from the certified data to this receipt".to_owned());
    line("  fields      all covered by the certified hash; the amounts add up".to_owned());
    if proof.request {
        line("  request     is the one whose salted hash the receipt holds".to_owned());
    }
}

/// The end of a root key, by which people tell it.
pub(super) fn key_name(root_key: &[u8]) -> String {
    let hex = hex::encode(root_key);
    format!("…{}", &hex[hex.len().saturating_sub(16)..])
}

fn lease_line(lease: &ReceiptLease, name_of: NameOf<'_>) -> String {
    let outcome = match (lease.state, lease.paid) {
        (LeaseState::Revealed, Cycles::ZERO) => "revealed, not paid".to_owned(),
        (LeaseState::Revealed, paid) => format!("revealed, paid {paid} cycles"),
        (state, paid) if paid > Cycles::ZERO => {
            format!("{}, paid {paid} cycles", lease_state(state))
        }
        (state, _) => format!("{}, not paid", lease_state(state)),
    };
    format!(
        "{:<10}{}: {outcome}",
        role(lease.role),
        named(&lease.provider, name_of)
    )
}

fn named(provider: &Principal, name_of: NameOf<'_>) -> String {
    name_of(provider).unwrap_or_else(|| short(provider))
}

/// A role in words.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Generator => "generator",
        Role::Checker => "checker",
        Role::Replica => "replica",
    }
}

/// A lease's state in words.
pub(super) fn lease_state(state: LeaseState) -> &'static str {
    match state {
        LeaseState::Leased => "at work",
        LeaseState::Committed => "committed",
        LeaseState::Revealed => "revealed",
        LeaseState::Late => "too late",
        LeaseState::Abandoned => "gave it back",
        LeaseState::Lost => "lost",
        LeaseState::Silent => "never revealed",
        LeaseState::Released => "released",
    }
}

/// A job's state in words.
pub(super) fn job_state(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Running => "running",
        JobState::Revealing => "revealing",
        JobState::Extended => "extended",
        JobState::Settled => "settled",
        JobState::Cancelled => "cancelled",
        JobState::Expired => "expired",
        JobState::Failed => "failed",
    }
}

/// The timeline of a job and its workers.
pub(super) fn timeline(view: &JobView) {
    out(format_args!(
        "job {}      {}",
        view.id,
        verdict(view.state, view.verdict)
    ));
    out(format_args!("requester   {}", view.requester));
    out(format_args!("model       {}", view.model));
    out("timeline");
    for change in &view.history {
        let lease = change
            .lease
            .map(|lease| format!(" (lease {lease})"))
            .unwrap_or_default();
        out(format_args!(
            "  {:>9}  {:<10} {}{lease}",
            since(view.submitted_at, change.at),
            job_state(change.state),
            reason(&change.reason)
        ));
    }
    out("workers");
    for lease in &view.leases {
        worker(view, lease);
    }
    if let Some(root) = view.result_root {
        out(format_args!("result root {root}"));
    }
    out(format_args!(
        "cycles      {} escrow, {} paid, {} fee and royalty, {} refunded",
        view.escrow, view.paid, view.fee, view.refund
    ));
    if let Some(answer) = &view.answer {
        out("answer");
        match &answer.embedding {
            Some(vector) => out(format_args!("  a vector of {} numbers", vector.len() / 4)),
            None => {
                for text in plain(&answer.text).lines() {
                    out(format_args!("  {text}"));
                }
            }
        }
    }
}

fn worker(view: &JobView, lease: &LeaseView) {
    let why = lease
        .reason
        .as_ref()
        .map(|why| format!(", {}", reason(why)))
        .unwrap_or_default();
    out(format_args!(
        "  {:>9}  lease {} generation {} {:<9} {} of {}: {}{why}; paid {} cycles",
        since(view.submitted_at, lease.granted_at),
        lease.id,
        lease.round,
        role(lease.role),
        short(&lease.worker),
        short(&lease.provider),
        lease_state(lease.state),
        lease.paid
    ));
    if let Some(root) = lease.root {
        out(format_args!("             root {root}"));
    }
}
