//! What the controllers of a canister have decided.

use std::collections::BTreeMap;

use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterSettings, DefiniteCanisterSettings, EnvironmentVariable, LogVisibility,
    SnapshotVisibility, StatusVisibility,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits;

/// Seconds of storage that a canister keeps cycles for.
const FREEZING_THRESHOLD_DEFAULT: u64 = 2_592_000;
/// Cycles that storage may reserve.
const RESERVED_CYCLES_LIMIT_DEFAULT: u128 = 5_000_000_000_000;
/// Bytes of heap, where the controllers say nothing.
const WASM_MEMORY_LIMIT_DEFAULT: u64 = 3 << 30;
/// Percent.
const COMPUTE_ALLOCATION_MAX: u64 = 100;
/// Bytes.
const WASM_MEMORY_MAX: u64 = 1 << 48;

/// What the controllers of a canister have decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Sorted, without repetition.
    pub(crate) controllers: Vec<Principal>,
    /// Percent of a core; costs cycles, without effect on one thread.
    pub(crate) compute_allocation: u64,
    /// Bytes that are paid for even where they are not used.
    pub(crate) memory_allocation: u64,
    /// Seconds of storage that the canister keeps cycles for.
    pub(crate) freezing_threshold: u64,
    /// Stored; this network has room for all, so that nothing is ever reserved.
    pub(crate) reserved_cycles_limit: u128,
    /// Cycles that calls from other canisters must bring.
    pub(crate) minimum_call_cycles: u128,
    /// Bytes of heap; 0 for no limit but Wasm's.
    pub(crate) wasm_memory_limit: u64,
    /// Bytes of heap left below which the canister's hook is due.
    pub(crate) wasm_memory_threshold: u64,
    /// Who may read the log.
    pub(crate) log_visibility: LogVisibility,
    /// Bytes of log that are kept.
    pub(crate) log_bytes_max: usize,
    /// Who may read the status.
    pub(crate) status_visibility: StatusVisibility,
    /// Who may read snapshots.
    pub(crate) snapshot_visibility: SnapshotVisibility,
    /// Variables that the canister's code can read.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Why settings are refused; the texts are those that clients know.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum SettingsError {
    /// Too many controllers, or viewers of something.
    #[error(
        "{field} lists {found} principals: The number of elements exceeds maximum allowed {max}"
    )]
    Principals {
        /// Which setting.
        field: &'static str,
        /// How many.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// A number out of range.
    #[error("{field} expected to be in the range [0..{max}], got {found}")]
    Number {
        /// Which setting.
        field: &'static str,
        /// What it was to be.
        found: Nat,
        /// The most allowed.
        max: u128,
    },
    /// A log of an odd size.
    #[error(
        "log_memory_limit expected to be 0 or in the range [{}..{}], got {found}",
        limits::LOG_BYTES_MAX,
        limits::LOG_BYTES_LIMIT_MAX
    )]
    LogBytes {
        /// What it was to be.
        found: Nat,
    },
    /// Too many variables.
    #[error(
        "Too many environment variables: {found} (max: {})",
        limits::ENVIRONMENT_VARIABLES_MAX
    )]
    Variables {
        /// How many.
        found: usize,
    },
    /// A name is too long.
    #[error(
        "Environment variable name \"{name}\" exceeds the maximum allowed length of {}.",
        limits::ENVIRONMENT_VARIABLE_BYTES_MAX
    )]
    VariableName {
        /// The name.
        name: String,
    },
    /// A value is too long.
    #[error(
        "Environment variable value \"{value}\" exceeds the maximum allowed length of {}.",
        limits::ENVIRONMENT_VARIABLE_BYTES_MAX
    )]
    VariableValue {
        /// The value.
        value: String,
    },
    /// One name twice.
    #[error("Duplicate environment variables are not allowed: {name}")]
    VariableTwice {
        /// The variable's name.
        name: String,
    },
}

impl Settings {
    /// Defaults, with these controllers.
    pub(crate) fn new(controllers: Vec<Principal>) -> Self {
        Self {
            controllers,
            compute_allocation: 0,
            memory_allocation: 0,
            freezing_threshold: FREEZING_THRESHOLD_DEFAULT,
            reserved_cycles_limit: RESERVED_CYCLES_LIMIT_DEFAULT,
            minimum_call_cycles: 0,
            wasm_memory_limit: WASM_MEMORY_LIMIT_DEFAULT,
            wasm_memory_threshold: 0,
            log_visibility: LogVisibility::default(),
            log_bytes_max: limits::LOG_BYTES_MAX,
            status_visibility: StatusVisibility::default(),
            snapshot_visibility: SnapshotVisibility::default(),
            environment: BTreeMap::new(),
        }
    }

    /// These settings with changes; all of them or none.
    pub(crate) fn with(&self, changes: CanisterSettings) -> Result<Self, SettingsError> {
        let CanisterSettings {
            controllers,
            compute_allocation,
            memory_allocation,
            freezing_threshold,
            reserved_cycles_limit,
            minimum_incoming_canister_call_cycles,
            log_visibility,
            log_memory_limit,
            snapshot_visibility,
            status_visibility,
            wasm_memory_limit,
            wasm_memory_threshold,
            environment_variables,
        } = changes;
        let mut new = self.clone();
        if let Some(mut controllers) = controllers {
            check_principals("controllers", &controllers, limits::CONTROLLERS_MAX)?;
            controllers.sort_unstable();
            controllers.dedup();
            new.controllers = controllers;
        }
        number(
            "ComputeAllocation",
            compute_allocation,
            COMPUTE_ALLOCATION_MAX,
            &mut new.compute_allocation,
        )?;
        number(
            "MemoryAllocation",
            memory_allocation,
            u64::MAX,
            &mut new.memory_allocation,
        )?;
        number(
            "freezing_threshold",
            freezing_threshold,
            u64::MAX,
            &mut new.freezing_threshold,
        )?;
        number(
            "wasm_memory_limit",
            wasm_memory_limit,
            WASM_MEMORY_MAX,
            &mut new.wasm_memory_limit,
        )?;
        number(
            "wasm_memory_threshold",
            wasm_memory_threshold,
            WASM_MEMORY_MAX,
            &mut new.wasm_memory_threshold,
        )?;
        amount(
            "reserved_cycles_limit",
            reserved_cycles_limit,
            &mut new.reserved_cycles_limit,
        )?;
        amount(
            "minimum_incoming_canister_call_cycles",
            minimum_incoming_canister_call_cycles,
            &mut new.minimum_call_cycles,
        )?;
        if let Some(LogVisibility::AllowedViewers(viewers)) = &log_visibility {
            check_principals("log_visibility", viewers, limits::VIEWERS_MAX)?;
        }
        if let Some(SnapshotVisibility::AllowedViewers(viewers)) = &snapshot_visibility {
            check_principals("snapshot_visibility", viewers, limits::VIEWERS_MAX)?;
        }
        if let Some(StatusVisibility::AllowedViewers(viewers)) = &status_visibility {
            check_principals("status_visibility", viewers, limits::VIEWERS_MAX)?;
        }
        if let Some(found) = log_memory_limit {
            new.log_bytes_max = log_bytes(found)?;
        }
        set(log_visibility, &mut new.log_visibility);
        set(snapshot_visibility, &mut new.snapshot_visibility);
        set(status_visibility, &mut new.status_visibility);
        if let Some(variables) = environment_variables {
            new.environment = environment(variables)?;
        }
        Ok(new)
    }

    /// As `canister_status` shows them.
    pub(crate) fn definite(&self) -> DefiniteCanisterSettings {
        DefiniteCanisterSettings {
            controllers: self.controllers.clone(),
            compute_allocation: self.compute_allocation.into(),
            memory_allocation: self.memory_allocation.into(),
            freezing_threshold: self.freezing_threshold.into(),
            reserved_cycles_limit: self.reserved_cycles_limit.into(),
            minimum_incoming_canister_call_cycles: self.minimum_call_cycles.into(),
            log_visibility: self.log_visibility.clone(),
            log_memory_limit: (self.log_bytes_max as u64).into(),
            snapshot_visibility: self.snapshot_visibility.clone(),
            status_visibility: self.status_visibility.clone(),
            wasm_memory_limit: self.wasm_memory_limit.into(),
            wasm_memory_threshold: self.wasm_memory_threshold.into(),
            environment_variables: self
                .environment
                .iter()
                .map(|(name, value)| EnvironmentVariable {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
        }
    }
}

fn check_principals(
    field: &'static str,
    principals: &[Principal],
    max: usize,
) -> Result<(), SettingsError> {
    let found = principals.len();
    if found > max {
        return Err(SettingsError::Principals { field, found, max });
    }
    Ok(())
}

fn log_bytes(found: Nat) -> Result<usize, SettingsError> {
    match usize::try_from(&found.0) {
        Ok(bytes)
            if bytes == 0
                || (limits::LOG_BYTES_MAX..=limits::LOG_BYTES_LIMIT_MAX).contains(&bytes) =>
        {
            Ok(bytes)
        }
        _ => Err(SettingsError::LogBytes { found }),
    }
}

fn set<T>(new: Option<T>, field: &mut T) {
    if let Some(new) = new {
        *field = new;
    }
}

fn number(
    name: &'static str,
    new: Option<Nat>,
    max: u64,
    field: &mut u64,
) -> Result<(), SettingsError> {
    let Some(found) = new else { return Ok(()) };
    match u64::try_from(&found.0) {
        Ok(value) if value <= max => {
            *field = value;
            Ok(())
        }
        _ => Err(SettingsError::Number {
            field: name,
            found,
            max: max.into(),
        }),
    }
}

fn amount(name: &'static str, new: Option<Nat>, field: &mut u128) -> Result<(), SettingsError> {
    let Some(found) = new else { return Ok(()) };
    *field = u128::try_from(&found.0).map_err(|_| SettingsError::Number {
        field: name,
        found,
        max: u128::MAX,
    })?;
    Ok(())
}

fn environment(
    variables: Vec<EnvironmentVariable>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    if variables.len() > limits::ENVIRONMENT_VARIABLES_MAX {
        return Err(SettingsError::Variables {
            found: variables.len(),
        });
    }
    let mut all = BTreeMap::new();
    for EnvironmentVariable { name, value } in variables {
        if name.len() > limits::ENVIRONMENT_VARIABLE_BYTES_MAX {
            return Err(SettingsError::VariableName { name });
        }
        if value.len() > limits::ENVIRONMENT_VARIABLE_BYTES_MAX {
            return Err(SettingsError::VariableValue { value });
        }
        if all.contains_key(&name) {
            return Err(SettingsError::VariableTwice { name });
        }
        all.insert(name, value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(byte: u8) -> Principal {
        Principal::from_slice(&[byte])
    }

    #[test]
    fn ten_controllers_are_allowed_and_eleven_are_not() {
        let settings = Settings::new(Vec::new());
        let with = |count: u8| {
            settings.with(CanisterSettings {
                controllers: Some((0..count).rev().map(principal).collect()),
                ..CanisterSettings::default()
            })
        };
        assert_eq!(
            with(10).unwrap().controllers,
            (0..10).map(principal).collect::<Vec<_>>()
        );
        assert_eq!(
            with(11).unwrap_err().to_string(),
            "controllers lists 11 principals: The number of elements exceeds maximum allowed 10"
        );
    }

    #[test]
    fn ten_viewers_are_allowed_and_eleven_are_not() {
        let settings = Settings::new(Vec::new());
        let with = |count: u8| {
            let viewers = (0..count).map(principal).collect();
            settings.with(CanisterSettings {
                status_visibility: Some(StatusVisibility::AllowedViewers(viewers)),
                ..CanisterSettings::default()
            })
        };
        assert!(with(10).is_ok());
        assert!(with(11).is_err());
    }

    #[test]
    fn variables_are_limited_in_number_and_length() {
        let settings = Settings::new(Vec::new());
        let with = |variables: Vec<(String, String)>| {
            settings.with(CanisterSettings {
                environment_variables: Some(
                    variables
                        .into_iter()
                        .map(|(name, value)| EnvironmentVariable { name, value })
                        .collect(),
                ),
                ..CanisterSettings::default()
            })
        };
        let many = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(with(many(20)).unwrap().environment.len(), 20);
        assert_eq!(with(many(21)), Err(SettingsError::Variables { found: 21 }));
        assert!(with(vec![("a".repeat(128), "b".repeat(128))]).is_ok());
        let error = |name: &str, value: &str| {
            with(vec![(name.into(), value.into())])
                .unwrap_err()
                .to_string()
        };
        assert!(error(&"a".repeat(129), "b").contains("variable name"));
        assert!(error("a", &"b".repeat(129)).contains("variable value"));
        assert!(
            with(vec![
                ("a".into(), String::new()),
                ("a".into(), String::new())
            ])
            .is_err()
        );
    }

    #[test]
    fn numbers_out_of_range_change_nothing() {
        let settings = Settings::new(Vec::new());
        let with = |percent: u64| {
            settings.with(CanisterSettings {
                compute_allocation: Some(percent.into()),
                ..CanisterSettings::default()
            })
        };
        assert_eq!(with(100).unwrap().compute_allocation, 100);
        assert!(with(101).is_err());
    }

    #[test]
    fn a_log_is_kept_in_full_pages_or_not_at_all() {
        let settings = Settings::new(Vec::new());
        let with = |bytes: u64| {
            let changes = CanisterSettings {
                log_memory_limit: Some(bytes.into()),
                ..CanisterSettings::default()
            };
            settings.with(changes).map(|new| new.log_bytes_max)
        };
        for (bytes, allowed) in [
            (0, true),
            (1, false),
            (4_095, false),
            (4_096, true),
            (2_097_152, true),
            (2_097_153, false),
        ] {
            assert_eq!(with(bytes).is_ok(), allowed, "{bytes}");
        }
    }
}
