//! One execution: what canister code is given, and the effects that it leaves.
//!
//! The functions here are the System API without Wasm: values in, values out.

use std::{collections::BTreeMap, sync::Arc};

use candid::Principal;

use super::{Fault, Mode, OutgoingCall, api::Api, modes::GROWING};
use crate::{
    canister::Settings,
    cycles::Prices,
    help, limits,
    mem::StableSession,
    types::{SenderInfo, Time},
};

/// What stays the same while a message is executed.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The canister that is executing.
    pub(crate) canister: Principal,
    /// Its controllers, variables and limits.
    pub(crate) settings: Arc<Settings>,
    /// 1 running, 2 stopping, 3 stopped.
    pub(crate) status: u32,
    /// Its version before this message.
    pub(crate) version: u64,
    /// The time of this round.
    pub(crate) time: Time,
    /// Cycles that calls may not touch.
    pub(crate) frozen: u128,
    /// Bytes that it holds.
    pub(crate) held: u64,
    /// Cycles that are set aside for memory already.
    pub(crate) reserved: u128,
    /// Its open calls, by callee.
    pub(crate) open_calls: BTreeMap<Principal, usize>,
    /// Whether its memory is 64 bits wide.
    pub(crate) wide: bool,
    /// What all canisters of its subnet see alike.
    pub(crate) subnet: Arc<SubnetFacts>,
}

/// What all canisters of a subnet see alike.
#[derive(Clone, Debug)]
pub(crate) struct SubnetFacts {
    /// The subnet's place in the topology.
    pub(crate) index: usize,
    /// The subnet's id.
    pub(crate) id: Principal,
    /// The root key, DER.
    pub(crate) root_key: Vec<u8>,
    /// What things cost.
    pub(crate) prices: Prices,
    /// How long messages may run.
    pub(crate) instructions: limits::Instructions,
}

impl SubnetFacts {
    /// Set aside when a call is made, for the longest answer and its callback; what is not used comes back.
    pub(crate) fn callback_prepaid(&self, wide: bool) -> u128 {
        self.prices.execution(self.instructions.update, wide)
            + self.prices.answer(limits::REPLY_BYTES_MAX as u64)
    }

    /// All that a call of so many bytes takes from the balance when it is made.
    pub(crate) fn call_with_prepaid(&self, bytes: u64, wide: bool) -> u128 {
        self.prices.call(bytes) + self.callback_prepaid(wide)
    }
}

/// A canister's answer to its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// By `msg_reply`.
    Reply(Vec<u8>),
    /// By `msg_reject`.
    Reject(String),
}

/// One execution.
#[derive(Debug)]
pub(crate) struct Message {
    /// Why the code is running.
    pub(crate) mode: Mode,
    /// What stays the same meanwhile; `None` only before the first message.
    pub(crate) facts: Option<Facts>,
    /// Who called.
    pub(crate) caller: Principal,
    /// What a canister has signed about the caller.
    pub(crate) caller_info: Option<Arc<SenderInfo>>,
    /// The argument, or the reply that has come back.
    pub(crate) arg: Vec<u8>,
    /// The method's name, for `canister_inspect_message`.
    pub(crate) method: String,
    /// Code and text of the reject that has come back.
    pub(crate) rejection: Option<(u32, String)>,
    /// When the caller stops waiting.
    pub(crate) deadline: Option<Time>,
    /// The certificate that came with a query.
    pub(crate) certificate: Option<Vec<u8>>,
    /// Instructions that this message may use.
    pub(crate) limit: u64,
    /// Instructions used in this call context by earlier messages.
    pub(crate) used_before: u64,
    /// Whether the caller still waits for an answer.
    pub(crate) may_answer: bool,
    /// Cycles that came with the call and were not accepted yet.
    pub(crate) available: u128,
    /// Cycles that came back with an answer.
    pub(crate) refunded: u128,
    /// When the global timer was to fire, before this message; 0 for never.
    pub(crate) timer_before: u64,
    /// The canister's cycles.
    pub(crate) balance: u128,
    /// Stable memory.
    pub(crate) stable: StableSession,

    /// Bytes of memory that the canister holds in addition by now.
    pub(crate) grown: u64,
    /// The answer, once given.
    pub(crate) answer: Option<Answer>,
    /// Cycles that go back with the answer.
    pub(crate) refund: u128,
    /// Cycles spent on calls and burned.
    pub(crate) spent: u128,
    /// Those of them that were burned.
    pub(crate) burned: u128,
    /// Calls made.
    pub(crate) calls: Vec<OutgoingCall>,
    /// The call between `call_new` and `call_perform`.
    pub(crate) building: Option<OutgoingCall>,
    /// Newly certified data.
    pub(crate) certified: Option<Vec<u8>>,
    /// The timer's new time; 0 for never.
    pub(crate) timer: Option<u64>,
    /// Whether `accept_message` was called.
    pub(crate) accepted: bool,
    /// What was printed; kept even after a trap.
    pub(crate) log: Vec<Vec<u8>>,
    /// Bytes in `log`.
    pub(crate) log_bytes: usize,
    /// The reply so far.
    pub(crate) reply_data: Vec<u8>,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            facts: None,
            caller: Principal::management_canister(),
            caller_info: None,
            arg: Vec::new(),
            method: String::new(),
            rejection: None,
            deadline: None,
            certificate: None,
            limit: 0,
            used_before: 0,
            may_answer: false,
            available: 0,
            refunded: 0,
            timer_before: 0,
            balance: 0,
            stable: StableSession::default(),
            grown: 0,
            answer: None,
            refund: 0,
            spent: 0,
            burned: 0,
            calls: Vec::new(),
            building: None,
            certified: None,
            timer: None,
            accepted: false,
            log: Vec::new(),
            log_bytes: 0,
            reply_data: Vec::new(),
        }
    }
}

impl Message {
    /// Refuses functions that may not be called in this mode.
    pub(super) fn allow(&self, api: &Api) -> Result<(), Fault> {
        if api.modes.contains(self.mode) {
            Ok(())
        } else {
            Err(self.refuse(api.name))
        }
    }

    /// The facts of the message that is being executed.
    pub(super) fn facts(&self) -> &Facts {
        self.facts
            .as_ref()
            .expect("BUG: canister code runs only within a message")
    }

    /// The code of the reject that has come back; 0 for a reply.
    pub(super) fn reject_code(&self) -> u32 {
        self.rejection.as_ref().map_or(0, |(code, _)| *code)
    }

    /// The text of the reject that has come back.
    pub(super) fn reject_message(&self) -> &[u8] {
        self.rejection
            .as_ref()
            .map_or(b"", |(_, text)| text.as_bytes())
    }

    /// The certificate that came with the query.
    pub(super) fn certificate(&self) -> Result<&[u8], Fault> {
        self.certificate
            .as_deref()
            .ok_or_else(|| self.refuse("data_certificate_size"))
    }

    fn refuse(&self, name: &str) -> Fault {
        Fault::Misuse {
            text: format!("\"ic0_{name}\" cannot be executed in {} mode", self.mode),
            help: &help::WRONG_MODE,
        }
    }

    /// `msg_reply_data_append`.
    pub(super) fn append_reply(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if !self.unanswered() {
            return Err(Fault::Contract(
                "ic0.msg_reply_data_append: the call is already replied.".into(),
            ));
        }
        let max = if self.mode.replicated() {
            limits::REPLY_BYTES_MAX
        } else {
            limits::QUERY_REPLY_BYTES_MAX
        };
        let len = self.reply_data.len() + bytes.len();
        if len > max {
            return Err(Fault::Misuse {
                text: format!(
                    "ic0.msg_reply_data_append: application payload size ({len}) cannot be larger than {max}."
                ),
                help: &help::REPLY_TOO_LARGE,
            });
        }
        self.reply_data.extend_from_slice(bytes);
        Ok(())
    }

    /// `msg_reply`.
    pub(super) fn reply(&mut self) -> Result<(), Fault> {
        self.check_unanswered("msg_reply")?;
        let reply = std::mem::take(&mut self.reply_data);
        self.settle(Answer::Reply(reply));
        Ok(())
    }

    /// `msg_reject`.
    pub(super) fn reject(&mut self, text: Vec<u8>) -> Result<(), Fault> {
        self.check_unanswered("msg_reject")?;
        let max = limits::REPLY_BYTES_MAX;
        if text.len() > max {
            let len = text.len();
            return Err(Fault::Misuse {
                text: format!(
                    "ic0.msg_reject: application payload size ({len}) cannot be larger than {max}."
                ),
                help: &help::REJECT_TOO_LARGE,
            });
        }
        let text = String::from_utf8(text)
            .map_err(|_| Fault::Contract("ic0.msg_reject: invalid UTF-8 string provided".into()))?;
        self.settle(Answer::Reject(text));
        Ok(())
    }

    fn settle(&mut self, answer: Answer) {
        self.answer = Some(answer);
        self.refund = std::mem::take(&mut self.available);
    }

    fn unanswered(&self) -> bool {
        self.may_answer && self.answer.is_none()
    }

    fn check_unanswered(&self, name: &str) -> Result<(), Fault> {
        if self.unanswered() {
            Ok(())
        } else {
            Err(Fault::Contract(format!(
                "ic0.{name}: the call is already replied"
            )))
        }
    }

    /// `msg_cycles_accept`: takes at most so many of the cycles that came with the call.
    pub(super) fn accept_cycles(&mut self, max: u128) -> u128 {
        let taken = max.min(self.available);
        self.available -= taken;
        self.balance += taken;
        taken
    }

    /// Cycles above those that are set aside for the future.
    pub(super) fn liquid(&self) -> u128 {
        self.balance.saturating_sub(self.frozen(self.grown))
    }

    /// Cycles that are set aside when the canister holds so many bytes more than before this message.
    fn frozen(&self, grown: u64) -> u128 {
        let facts = self.facts();
        if grown == 0 {
            return facts.frozen;
        }
        let settings = &facts.settings;
        facts
            .subnet
            .prices
            .freezing(
                facts
                    .held
                    .saturating_add(grown)
                    .max(settings.memory_allocation),
                settings.compute_allocation,
                settings.freezing_threshold,
            )
            .saturating_sub(facts.reserved)
    }

    /// The canister wants to hold so many bytes more.
    ///
    /// Whoever could not pay for them until the freezing threshold ends does not get them, where that still
    /// helps: queries keep nothing, answers must be taken in, and installations are looked at as a whole.
    pub(super) fn hold_more(&mut self, bytes: u64) -> Result<(), Fault> {
        if self.facts.is_none() {
            return Ok(());
        }
        let grown = self.grown.saturating_add(bytes);
        let frozen = self.frozen(grown);
        if GROWING.contains(self.mode) && frozen > self.balance {
            let asks = self.facts().settings.controllers.contains(&self.caller);
            return Err(Fault::GrowthUnpaid {
                bytes,
                missing: asks.then_some(frozen - self.balance),
            });
        }
        self.grown = grown;
        Ok(())
    }

    /// `stable_grow`: the old size in pages, or nothing where it would become too large.
    pub(super) fn grow_stable(&mut self, pages: u64, max: u64) -> Result<Option<u64>, Fault> {
        let before = self.stable.wasm_pages();
        let fits = before
            .checked_add(pages)
            .is_some_and(|new| new <= max.min(limits::STABLE_PAGES_MAX));
        if !fits {
            return Ok(None);
        }
        self.hold_more(pages * limits::WASM_PAGE_BYTES as u64)?;
        Ok(self.stable.grow(pages, max))
    }

    /// `cycles_burn`: destroys at most so many.
    pub(super) fn burn_cycles(&mut self, max: u128) -> u128 {
        let burned = max.min(self.liquid());
        self.balance -= burned;
        self.spent += burned;
        self.burned += burned;
        burned
    }

    /// `certified_data_set`.
    pub(super) fn certify(&mut self, data: Vec<u8>) -> Result<(), Fault> {
        if data.len() > limits::CERTIFIED_DATA_BYTES_MAX {
            return Err(Fault::Misuse {
                text: format!(
                    "ic0_certified_data_set failed because the passed data must be no larger than {} bytes. \
                     Found {} bytes.",
                    limits::CERTIFIED_DATA_BYTES_MAX,
                    data.len()
                ),
                help: &help::CERTIFIED_DATA_TOO_LARGE,
            });
        }
        self.certified = Some(data);
        Ok(())
    }

    /// `global_timer_set`: gives the time that was set before.
    pub(super) fn set_timer(&mut self, at: u64) -> u64 {
        let before = self.timer.unwrap_or(self.timer_before);
        self.timer = Some(at);
        before
    }

    /// An environment variable's name, by its place in the alphabet.
    pub(super) fn variable_name(&self, index: u64) -> Result<&str, Fault> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.facts().settings.environment.keys().nth(index))
            .map(String::as_str)
            .ok_or_else(|| Fault::VariableIndex {
                index,
                count: self.facts().settings.environment.len(),
            })
    }

    /// An environment variable's value.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let variables = &self.facts().settings.environment;
        variables.get(name).map(String::as_str)
    }

    /// `debug_print`, and what ended a message.
    pub(crate) fn print(&mut self, mut text: Vec<u8>) {
        text.truncate(limits::LOG_BYTES_MAX);
        tracing::debug!(
            target: "canister",
            canister = %self.facts().canister,
            "{}",
            String::from_utf8_lossy(&text)
        );
        self.log_bytes += text.len();
        self.log.push(text);
        // What the ring cannot hold is not worth keeping either.
        while self.log_bytes > limits::LOG_BYTES_MAX && self.log.len() > 1 {
            self.log_bytes -= self.log.remove(0).len();
        }
    }

    /// Instructions that printing so many bytes costs.
    pub(super) fn print_cost(&self, bytes: u64) -> u64 {
        let capacity = limits::LOG_BYTES_MAX as u64;
        let left = capacity.saturating_sub(self.log_bytes as u64);
        2 * bytes.min(capacity) + super::api::PAYLOAD_BYTE * bytes.min(left)
    }
}
