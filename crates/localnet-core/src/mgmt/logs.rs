//! Reading what a canister has printed.

use candid::Principal;
use ic_management_canister_types::{
    CanisterLogFilter, CanisterLogRecord, FetchCanisterLogsArgs, FetchCanisterLogsResult,
};

use super::{decode, existing, queries::shows, reply};
use crate::{
    canister::LogLine,
    limits,
    network::Network,
    types::{ErrorCode, Reject},
};

pub(super) fn fetch(
    network: &mut Network,
    caller: &Principal,
    arg: &[u8],
) -> Result<Vec<u8>, Reject> {
    let FetchCanisterLogsArgs {
        canister_id,
        filter,
    } = decode(arg)?;
    let canister = existing(network, &canister_id)?;
    if !canister.is_controlled_by(caller) && !shows(&canister.settings.log_visibility, caller) {
        return Err(Reject::of(
            ErrorCode::CanisterRejectedMessage,
            format!("Caller {caller} is not allowed to access canister logs"),
        ));
    }
    // The newest lines that fit into a reply; then in the order in which they were printed.
    let mut room = limits::REPLY_BYTES_MAX;
    let mut lines: Vec<_> = canister
        .log
        .lines()
        .rev()
        .filter(|line| selects(filter.as_ref(), line))
        .take_while(|line| {
            let bytes = line.content.len() + 2 * limits::LOG_LINE_BYTES;
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        })
        .map(|line| CanisterLogRecord {
            idx: line.index,
            timestamp_nanos: line.time.0,
            content: line.content.clone(),
        })
        .collect();
    lines.reverse();
    Ok(reply(&FetchCanisterLogsResult {
        canister_log_records: lines,
    }))
}

/// Ranges include their start and not their end.
fn selects(filter: Option<&CanisterLogFilter>, line: &LogLine) -> bool {
    match filter {
        None => true,
        Some(CanisterLogFilter::ByIdx { start, end }) => (*start..*end).contains(&line.index),
        Some(CanisterLogFilter::ByTimestampNanos { start, end }) => {
            (*start..*end).contains(&line.time.0)
        }
    }
}
