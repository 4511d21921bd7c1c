//! Installing, reinstalling and upgrading code, each as one transaction.
//!
//! Everything happens on copies that share their pages with the canister; they become the canister only when the
//! last entry point has succeeded.

use std::sync::Arc;

use candid::Principal;

use super::{Entry, Execution, Keep};
use crate::{
    canister::{Canister, CanisterId, Code},
    help, limits,
    mem::Stable,
    network::Network,
    sysapi::{Fault, Message, Mode},
    types::{ErrorCode, Reject, Time},
    wasm::{self, Compiled, START_EXPORT},
};

/// Metadata by which a module says that it keeps its heap over upgrades.
const KEEPS_HEAP: &str = "enhanced-orthogonal-persistence";

/// How code meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstallMode {
    /// Into an empty canister.
    Install,
    /// Over what is there, which is lost.
    Reinstall,
    /// Over what is there, of which stable memory stays.
    Upgrade {
        /// Leave out `canister_pre_upgrade`.
        skip_pre_upgrade: bool,
        /// Keep the heap as well; `None` where the caller does not say.
        keep_heap: Option<bool>,
    },
}

/// An order to install code.
#[derive(Clone, Debug)]
pub(crate) struct Installation<'a> {
    /// Into which canister.
    pub(crate) canister: CanisterId,
    /// How.
    pub(crate) mode: InstallMode,
    /// The module as it was sent.
    pub(crate) module: &'a [u8],
    /// For `canister_init` or `canister_post_upgrade`.
    pub(crate) arg: Vec<u8>,
    /// On whose order.
    pub(crate) caller: Principal,
}

/// The canister as it would be.
struct Trial {
    code: Code,
    stable: Stable,
    certified_data: Vec<u8>,
    timer: Option<Time>,
    balance: u128,
    spent: u128,
    instructions: u64,
    log: Vec<Vec<u8>>,
}

impl Network {
    /// Carries out an order, wholly or not at all; instructions are paid for either way.
    pub(crate) fn install(&mut self, order: Installation<'_>) -> Result<(), Reject> {
        let id = order.canister;
        let canister = self
            .canisters
            .get_mut(&id)
            .ok_or_else(|| super::refusals::not_found(&id))?;
        match (order.mode, &canister.code) {
            (InstallMode::Install, Some(_)) => {
                return Err(help::CANISTER_NOT_EMPTY.reject(
                    ErrorCode::CanisterNonEmpty,
                    format!(
                        "Canister {id} cannot be installed because the canister is not empty. \
                         Try installing with mode='reinstall' instead."
                    ),
                ));
            }
            (InstallMode::Upgrade { .. }, None) => return Err(super::refusals::no_module(&id)),
            _ => {}
        }
        let home = Arc::clone(&canister.home);
        let wide = canister.wide();
        let prepaid = home.prices.execution(home.instructions.install, wide);
        super::refusals::affordable(canister, prepaid, &order.caller).map_err(|reject| {
            help::INSTALLATION_UNPAID.reject(
                ErrorCode::CanisterOutOfCycles,
                format!("Canister installation failed with `{}`.", reject.message),
            )
        })?;
        canister.balance -= prepaid;
        let limit = home.instructions.install;
        let (trial, mut result, instructions) = match self.compiler.compile(order.module) {
            Ok(module) => {
                let known = self.homes[home.index].compiled.contains(&module.hash);
                let compiling = wasm::compiling(module.info.operators, known).min(limit);
                let (trial, result) = self.try_install(&order, module, compiling);
                let used = trial.as_ref().map_or(compiling, |trial| trial.instructions);
                (trial, result, used)
            }
            Err(error) => {
                let refusing = wasm::refusing(order.module).min(limit);
                (None, Err(error.reject(&id).into()), refusing)
            }
        };
        let used = home.prices.execution(instructions, wide);
        self.homes[home.index].instructions += instructions;
        self.spend(used);
        let time = self.time;
        let canister = self
            .canisters
            .get_mut(&id)
            .ok_or_else(|| super::refusals::not_found(&id))?;
        if let (Some(trial), Ok(())) = (&trial, &result) {
            result = affordable(canister, trial, prepaid - used, &order.caller);
        }
        if let Some(mut trial) = trial {
            canister.log.extend(time, std::mem::take(&mut trial.log));
            if result.is_ok() {
                canister.balance = trial.balance;
                canister.code = Some(trial.code);
                canister.stable = trial.stable;
                canister.certified_data = trial.certified_data;
                canister.timer = trial.timer;
                canister.installed = Some(time);
                canister.version += 1;
                if let Some(code) = &canister.code {
                    self.homes[home.index].compiled.insert(code.module.hash);
                }
                self.executor.forget(&id);
                // Installing can burn cycles, and not send any.
                canister.consumed.burned += trial.spent;
                self.totals.spent += trial.spent;
            }
        }
        canister.balance += prepaid - used;
        canister.consumed.instructions += used;
        if canister.watch_memory() {
            self.ready.insert(id);
        }
        result.map_err(|fault| match fault {
            InstallFault::Fault(fault) => fault.reject(&id),
            InstallFault::Reject(reject) => reject,
        })
    }

    fn try_install(
        &mut self,
        order: &Installation<'_>,
        module: Arc<Compiled>,
        compiling: u64,
    ) -> (Option<Trial>, Result<(), InstallFault>) {
        let fresh = match self.executor.fresh(&module) {
            Ok(code) => code,
            Err(fault) => return (None, Err(fault.into())),
        };
        let Some(canister) = self.canisters.get(&order.canister) else {
            return (
                None,
                Err(super::refusals::not_found(&order.canister).into()),
            );
        };
        let mut trial = Trial {
            code: fresh,
            stable: Stable::default(),
            certified_data: Vec::new(),
            timer: None,
            balance: canister.balance,
            spent: 0,
            instructions: compiling,
            log: Vec::new(),
        };
        let old = canister.code.clone();
        let result = match (order.mode, old) {
            (
                InstallMode::Upgrade {
                    skip_pre_upgrade,
                    keep_heap,
                },
                Some(old),
            ) => {
                trial.stable = canister.stable.clone();
                trial.certified_data = canister.certified_data.clone();
                trial.timer = canister.timer;
                let new = std::mem::replace(&mut trial.code, old);
                self.try_upgrade(order, &mut trial, new, skip_pre_upgrade, keep_heap)
            }
            _ => self.begin(order, &mut trial, "canister_init"),
        };
        (Some(trial), result)
    }

    fn try_upgrade(
        &mut self,
        order: &Installation<'_>,
        trial: &mut Trial,
        mut new: Code,
        skip_pre_upgrade: bool,
        keep_heap: Option<bool>,
    ) -> Result<(), InstallFault> {
        let asks_to_keep = |code: &Code| {
            code.module
                .info
                .metadata
                .iter()
                .any(|section| section.name == KEEPS_HEAP)
        };
        if keep_heap.is_none() && asks_to_keep(&trial.code) {
            return Err(option(
                "Missing upgrade option: Enhanced orthogonal persistence requires the `wasm_memory_persistence` \
                 upgrade option.",
            ));
        }
        let keep_heap = keep_heap == Some(true);
        if keep_heap && !asks_to_keep(&new) {
            return Err(option(
                "Invalid upgrade option: The `wasm_memory_persistence: opt Keep` upgrade option requires that the new \
                 canister module supports enhanced orthogonal persistence.",
            ));
        }
        if trial.code.module.info.exports.pre_upgrade && !skip_pre_upgrade {
            self.try_run(order, trial, Mode::PreUpgrade, "canister_pre_upgrade")?;
        }
        if keep_heap {
            let least = new.heap.pages();
            new.heap = trial.code.heap.clone();
            new.heap.grow_to(least);
        }
        trial.code = new;
        // Timers belong to the code that set them.
        trial.timer = None;
        self.begin(order, trial, "canister_post_upgrade")
    }

    /// Runs a new module's `(start)` and then its entry point, where it has them.
    fn begin(
        &mut self,
        order: &Installation<'_>,
        trial: &mut Trial,
        entry: &str,
    ) -> Result<(), InstallFault> {
        if trial.code.module.info.start {
            self.try_run(order, trial, Mode::Start, START_EXPORT)?;
        }
        let exports = &trial.code.module.info.exports;
        let exported = if entry == "canister_init" {
            exports.init
        } else {
            exports.post_upgrade
        };
        if exported {
            self.try_run(order, trial, Mode::Init, entry)
        } else {
            Ok(())
        }
    }

    fn try_run(
        &mut self,
        order: &Installation<'_>,
        trial: &mut Trial,
        mode: Mode,
        entry: &str,
    ) -> Result<(), InstallFault> {
        let canister = self
            .canisters
            .get(&order.canister)
            .ok_or_else(|| super::refusals::not_found(&order.canister))?;
        let mut facts = canister.facts(self.time);
        if mode != Mode::PreUpgrade {
            // The new code is told the version that it will have.
            facts.version += 1;
        }
        let message = Message {
            mode,
            facts: Some(facts),
            caller: order.caller,
            arg: if mode == Mode::Init {
                order.arg.clone()
            } else {
                Vec::new()
            },
            limit: canister.home.instructions.install - trial.instructions,
            timer_before: trial.timer.map_or(0, |time| time.0),
            balance: trial.balance,
            stable: trial.stable.session(limits::STABLE_PAGES_PER_INSTALL_MAX),
            ..Message::default()
        };
        let Execution {
            result,
            instructions,
            mut message,
        } = self.executor.run(
            None,
            &mut trial.code,
            &Entry::Export(entry.into()),
            Keep::Changes,
            message,
        );
        trial.instructions += instructions;
        trial.log.append(&mut message.log);
        // The limit that is named is that of the whole installation.
        let whole = canister.home.instructions.install;
        result.map_err(|fault| match fault {
            Fault::Instructions { .. } => Fault::Instructions { limit: whole },
            fault => fault,
        })?;
        message.stable.commit_to(&mut trial.stable);
        if let Some(data) = message.certified {
            trial.certified_data = data;
        }
        if let Some(timer) = message.timer {
            trial.timer = (timer > 0).then_some(Time(timer));
        }
        trial.balance = message.balance;
        trial.spent += message.spent;
        Ok(())
    }
}

/// Why an installation came to nothing.
enum InstallFault {
    Fault(Fault),
    Reject(Reject),
}

impl From<Fault> for InstallFault {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Reject> for InstallFault {
    fn from(reject: Reject) -> Self {
        Self::Reject(reject)
    }
}

/// Checks that a canister which has grown can pay for its memory until its freezing threshold ends.
fn affordable(
    canister: &Canister,
    trial: &Trial,
    left: u128,
    caller: &Principal,
) -> Result<(), InstallFault> {
    let bytes = |code: Option<&Code>, stable: &Stable| {
        let code = code.map_or(0, |code| code.heap.len() + code.module.info.len);
        code as u64 + stable.wasm_pages() * limits::WASM_PAGE_BYTES as u64
    };
    let before = bytes(canister.code.as_ref(), &canister.stable);
    let after = bytes(Some(&trial.code), &trial.stable);
    let grown = after.saturating_sub(before);
    let frozen = canister.frozen_holding(canister.memory_bytes() + grown);
    let balance = trial.balance + left;
    if grown > 0 && frozen > balance {
        let asks = canister.settings.controllers.contains(caller);
        return Err(InstallFault::Fault(Fault::GrowthUnpaid {
            bytes: grown,
            missing: asks.then_some(frozen - balance),
        }));
    }
    Ok(())
}

/// Options that do not go with the modules.
fn option(text: &str) -> InstallFault {
    InstallFault::Reject(Reject::of(ErrorCode::CanisterContractViolation, text))
}
