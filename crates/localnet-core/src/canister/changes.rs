//! What was done to a canister by its controllers: the newest changes, and how many there ever were.

use std::collections::VecDeque;

use candid::Principal;
use ic_management_canister_types::{Change, ChangeDetails, ChangeOrigin};
use serde::{Deserialize, Serialize};

use crate::{limits, types::Time};

/// The history of a canister.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    total: u64,
    recent: VecDeque<Change>,
}

impl Changes {
    /// Adds a change, and forgets the oldest beyond [`limits::CHANGES_MAX`].
    pub(crate) fn record(
        &mut self,
        time: Time,
        version: u64,
        origin: ChangeOrigin,
        details: ChangeDetails,
    ) {
        self.total += 1;
        self.recent.push_back(Change {
            timestamp_nanos: time.0,
            canister_version: version,
            origin,
            details: Some(details),
        });
        if self.recent.len() > limits::CHANGES_MAX {
            self.recent.pop_front();
        }
    }

    /// Drops the changes, and keeps their number.
    pub(crate) fn forget(&mut self) {
        self.recent.clear();
    }

    /// Changes since the canister was created.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The last so many changes, oldest first.
    pub(crate) fn last(&self, count: u64) -> Vec<Change> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let skip = self.recent.len().saturating_sub(count);
        self.recent.iter().skip(skip).cloned().collect()
    }

    /// Bytes that the history takes: each change has a fixed part, and what its details name.
    pub(crate) fn bytes(&self) -> usize {
        self.recent.iter().map(bytes).sum()
    }
}

fn bytes(change: &Change) -> usize {
    let principals = |count: usize| count * size_of::<Principal>();
    let details = match &change.details {
        None | Some(ChangeDetails::CodeUninstall) => 0,
        Some(ChangeDetails::Creation(creation)) => {
            principals(creation.controllers.len())
                + creation
                    .environment_variables_hash
                    .as_ref()
                    .map_or(0, Vec::len)
        }
        Some(ChangeDetails::CodeDeployment(deployment)) => deployment.module_hash.len(),
        Some(ChangeDetails::LoadSnapshot(load)) => load.snapshot_id.len() + principals(1),
        Some(ChangeDetails::ControllersChange(change)) => principals(change.controllers.len()),
        Some(ChangeDetails::RenameCanister(_)) => principals(3),
    };
    // Time and version, and who did it.
    2 * size_of::<u64>() + principals(1) + details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_changes_are_kept_and_all_are_counted() {
        let mut changes = Changes::default();
        let origin = ChangeOrigin::FromUser(ic_management_canister_types::FromUserRecord {
            user_id: Principal::anonymous(),
        });
        for number in 0..=limits::CHANGES_MAX as u64 {
            let details = ChangeDetails::CodeUninstall;
            changes.record(Time(number), number, origin.clone(), details);
        }
        assert_eq!(changes.total(), 21);
        let versions = |count| -> Vec<u64> {
            changes
                .last(count)
                .iter()
                .map(|change| change.canister_version)
                .collect()
        };
        assert!(versions(0).is_empty());
        assert_eq!(versions(2), [19, 20]);
        assert_eq!(versions(u64::MAX), (1..=20).collect::<Vec<_>>());
        assert_eq!(changes.bytes() % limits::CHANGES_MAX, 0);
    }
}
