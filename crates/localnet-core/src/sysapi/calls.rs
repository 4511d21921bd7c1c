//! Calls that a message makes.
//!
//! They leave the canister only when its message has succeeded; their cycles leave the balance at once.

use candid::Principal;
use serde::{Deserialize, Serialize};

use super::{Facts, Fault, Message, Mode};
use crate::{help, limits};

/// What `call_perform` answers where the call cannot be made now.
const SYS_TRANSIENT: u32 = 2;

/// A function in the table, and the pointer to call it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableCall {
    /// Its place in the table.
    pub(crate) index: u64,
    /// What it is given.
    pub(crate) env: u64,
}

/// A call that is being put together, or was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutgoingCall {
    /// Who is called; the empty principal is the management canister.
    pub(crate) callee: Principal,
    /// The method's name.
    pub(crate) method: String,
    /// The argument.
    pub(crate) arg: Vec<u8>,
    /// Cycles that go with it.
    pub(crate) cycles: u128,
    /// Seconds to wait for the answer, where that is bounded.
    pub(crate) timeout: Option<u32>,
    /// What runs when a reply comes.
    pub(crate) reply: TableCall,
    /// What runs when a reject comes.
    pub(crate) reject: TableCall,
    /// What runs when either of them traps.
    pub(crate) cleanup: Option<TableCall>,
    /// Cycles set aside for the answer and its callback.
    pub(crate) prepaid: u128,
}

impl Message {
    /// `call_new`.
    pub(super) fn new_call(
        &mut self,
        callee: &[u8],
        method: &[u8],
        reply: TableCall,
        reject: TableCall,
    ) -> Result<(), Fault> {
        self.abandon_call();
        let callee = Principal::try_from(callee).map_err(|_| Fault::Principal)?;
        let method = String::from_utf8_lossy(method).into_owned();
        self.building = Some(OutgoingCall {
            callee,
            method,
            arg: Vec::new(),
            cycles: 0,
            timeout: None,
            reply,
            reject,
            cleanup: None,
            prepaid: 0,
        });
        Ok(())
    }

    /// `call_data_append`.
    pub(super) fn append_call(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.building("ic0.call_data_append")?
            .arg
            .extend_from_slice(bytes);
        Ok(())
    }

    /// Refuses to append so many bytes where the call would become too large.
    pub(super) fn check_call_room(&mut self, more: u64) -> Result<(), Fault> {
        let call = self.building("ic0.call_data_append")?;
        let bytes = ((call.method.len() + call.arg.len()) as u64).saturating_add(more);
        let max = limits::CALL_BYTES_MAX;
        if bytes <= max as u64 {
            return Ok(());
        }
        Err(Fault::Misuse {
            text: format!(
                "Request to {}:{} has a payload size of {bytes}, which exceeds the allowed limit of {max}.",
                call.callee, call.method
            ),
            help: &help::PAYLOAD_TOO_LARGE,
        })
    }

    /// `call_on_cleanup`.
    pub(super) fn set_cleanup(&mut self, cleanup: TableCall) -> Result<(), Fault> {
        let call = self.building("ic0.call_on_cleanup")?;
        if call.cleanup.replace(cleanup).is_some() {
            return Err(Fault::Contract(
                "ic0.call_on_cleanup can be called at most once between `ic0.call_new` and `ic0.call_perform`"
                    .into(),
            ));
        }
        Ok(())
    }

    /// `call_with_best_effort_response`.
    pub(super) fn set_timeout(&mut self, seconds: u32) -> Result<(), Fault> {
        let call = self.building("ic0.call_with_best_effort_response")?;
        if call
            .timeout
            .replace(seconds.min(limits::BEST_EFFORT_SECONDS_MAX))
            .is_some()
        {
            return Err(Fault::Contract(
                "ic0_call_with_best_effort_response failed because a timeout is already set."
                    .into(),
            ));
        }
        Ok(())
    }

    /// `call_cycles_add`, by either name.
    pub(super) fn add_call_cycles(&mut self, name: &str, amount: u128) -> Result<(), Fault> {
        let available = self.liquid();
        let canister = self.facts().canister;
        let call = self.building(name)?;
        if amount > available {
            return Err(Fault::Cycles { canister });
        }
        call.cycles += amount;
        self.balance -= amount;
        Ok(())
    }

    /// `call_perform`: 0 where the call will be made.
    pub(super) fn perform_call(&mut self) -> Result<u32, Fault> {
        self.building("ic0.call_perform")?;
        let Some(mut call) = self.building.take() else {
            return Ok(SYS_TRANSIENT);
        };
        let open = self
            .facts()
            .open_calls
            .get(&call.callee)
            .copied()
            .unwrap_or(0)
            + self
                .calls
                .iter()
                .filter(|made| made.callee == call.callee)
                .count();
        let bytes = (call.method.len() + call.arg.len()) as u64;
        let free = matches!(
            self.mode,
            Mode::CompositeQuery | Mode::CompositeReply | Mode::CompositeReject
        );
        let cost = if free {
            0
        } else {
            self.facts()
                .subnet
                .call_with_prepaid(bytes, self.facts().wide)
        };
        if open >= limits::CALLS_PER_PAIR_MAX || cost > self.liquid() {
            self.balance += call.cycles;
            return Ok(SYS_TRANSIENT);
        }
        self.balance -= cost;
        if !free {
            let Facts { subnet, wide, .. } = self.facts();
            let (sending, prepaid) = (subnet.prices.call(bytes), subnet.callback_prepaid(*wide));
            self.spent += sending;
            call.prepaid = prepaid;
        }
        self.calls.push(call);
        Ok(0)
    }

    /// Forgets a call that was begun and not made; its cycles come back.
    pub(crate) fn abandon_call(&mut self) {
        if let Some(call) = self.building.take() {
            self.balance += call.cycles;
        }
    }

    fn building(&mut self, name: &str) -> Result<&mut OutgoingCall, Fault> {
        self.building.as_mut().ok_or_else(|| {
            Fault::Contract(format!("{name} called when no call is under construction."))
        })
    }
}

/// Refuses names of methods that are longer than any canister's.
pub(super) fn check_method_name(bytes: u64) -> Result<(), Fault> {
    let max = limits::MODULE_METHOD_NAMES_BYTES_MAX;
    if bytes <= max as u64 {
        return Ok(());
    }
    Err(Fault::Misuse {
        text: format!("Size of method_name {bytes} exceeds the allowed limit of {max}."),
        help: &help::METHOD_NAME_TOO_LARGE,
    })
}
