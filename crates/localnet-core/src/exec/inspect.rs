//! Whether an ingress message may come in.

use super::{Entry, Execution, Keep};
use crate::{
    canister::Canister,
    limits,
    network::Network,
    sysapi::{Message, Mode},
    types::{ErrorCode, Ingress, Reject},
};

impl Network {
    /// Checks that the callee exists, runs, has code, can pay, and accepts the message.
    pub(crate) fn inspect(&mut self, ingress: &Ingress) -> Result<(), Reject> {
        let id = ingress.canister;
        if self.is_native(&id) {
            return Ok(());
        }
        let canister = self
            .canisters
            .get_mut(&id)
            .ok_or_else(|| super::refusals::not_found(&id))?;
        super::refusals::running(canister)?;
        let facts = canister.facts(self.time);
        super::refusals::affordable(canister, ingress_fee(canister, ingress), &ingress.sender)?;
        let message = Message {
            mode: Mode::Inspect,
            facts: Some(facts),
            caller: ingress.sender,
            caller_info: ingress.info.clone(),
            arg: ingress.arg.clone(),
            method: ingress.method.clone(),
            limit: canister.home.instructions.inspect,
            timer_before: canister.timer.map_or(0, |time| time.0),
            balance: canister.balance,
            stable: canister.stable.session(limits::STABLE_PAGES_PER_QUERY_MAX),
            ..Message::default()
        };
        let code = canister
            .code
            .as_mut()
            .ok_or_else(|| super::refusals::no_module(&id))?;
        if !code.module.info.exports.inspect {
            return Ok(());
        }
        let entry = Entry::Export("canister_inspect_message".into());
        let Execution {
            result, message, ..
        } = self
            .executor
            .run(Some(id), code, &entry, Keep::Nothing, message);
        result.map_err(|fault| fault.reject(&id))?;
        if message.accepted {
            Ok(())
        } else {
            Err(Reject::of(
                ErrorCode::CanisterRejectedMessage,
                format!("Error from Canister {id}: Canister rejected the message"),
            ))
        }
    }
}

/// What a canister pays for a message from a user.
pub(crate) fn ingress_fee(canister: &Canister, ingress: &Ingress) -> u128 {
    canister.home.prices.ingress(ingress.bytes)
}
