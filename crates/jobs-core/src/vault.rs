//! The vault: money that comes from a ledger, and money that leaves.
//!
//! A transfer is written down before its call is made, with everything that the call says: its id is the memo, the
//! time at which it was begun its creation time, so a ledger knows a repeated call for the same. What leaves is taken
//! out of the balance at once; what comes in is credited when it is certain.
//!
//! Invariants: a transfer ends only on a certain outcome, or by a controller's word once no ledger can execute it any
//! more; what a try's refusal says of earlier tries is nothing, so a refusal ends only what was tried once; a call with
//! cycles attached is made once; the market sends nothing from a place (its account on the ledger, its own cycles)
//! that has less there than is on its way out.

mod calls;
mod views;

use assay_protocol::{
    Cycles, Moment, Timestamp, TransferId, limits,
    money::{
        DepositFromArgs, Destination, LedgerAccount, MoneyError, TransferKind, TransferState,
        TransferView, WithdrawArgs,
    },
    store::Table,
};
use candid::Principal;

pub use self::calls::{DueTransfers, Move, Outcome, TransferCall};
use self::views::view;
use crate::{event::Event, market::Jobs, record::Transfer, store::Backend};

impl<B: Backend> Jobs<B> {
    /// Begins to move cycles from the caller's account on the ledger into its balance.
    pub fn begin_deposit(
        &mut self,
        at: &Moment,
        args: &DepositFromArgs,
    ) -> Result<TransferCall, MoneyError> {
        let DepositFromArgs {
            amount,
            from_subaccount,
        } = args;
        let from = LedgerAccount {
            owner: at.caller,
            subaccount: from_subaccount.clone(),
        };
        check_caller(at.caller)?;
        check_amount(*amount, Cycles::ZERO)?;
        check_subaccount(&from)?;
        self.config().ledger.ok_or(MoneyError::LedgerNotSet)?;
        // All transfers together add far less than the other half of what can be counted.
        let most = Cycles((u128::MAX / 2).saturating_sub(self.meta().deposited.0));
        if *amount > most {
            return Err(MoneyError::TooLarge {
                amount: *amount,
                most,
            });
        }
        self.check_transfers(at.caller)?;
        Ok(self.begin(at, TransferKind::Deposit { from }, *amount, Cycles::ZERO))
    }

    /// Begins to move cycles out of the caller's balance.
    pub fn begin_withdrawal(
        &mut self,
        at: &Moment,
        args: &WithdrawArgs,
    ) -> Result<TransferCall, MoneyError> {
        let WithdrawArgs { amount, to } = args;
        check_caller(at.caller)?;
        self.check_destination(to)?;
        let fee = match to {
            Destination::Ledger(_) => self.ledger_fee()?,
            Destination::Canister(_) => Cycles::ZERO,
        };
        check_amount(*amount, fee)?;
        let needed = Cycles(amount.0 + fee.0);
        self.check_funds(at.caller, needed)?;
        let meta = self.meta();
        match to {
            Destination::Ledger(_) => {
                let there = Cycles(meta.on_ledger.0 - meta.leaving_ledger.0);
                if there < needed {
                    return Err(MoneyError::LedgerShort { needed, there });
                }
            }
            Destination::Canister(_) => {
                let leaving = meta.withdrawing.0 - meta.leaving_ledger.0;
                let there = Cycles(meta.on_canister().0 - leaving);
                if there < needed {
                    return Err(MoneyError::CyclesShort { needed, there });
                }
            }
        }
        self.check_transfers(at.caller)?;
        Ok(self.begin(
            at,
            TransferKind::Withdrawal { to: to.clone() },
            *amount,
            fee,
        ))
    }

    /// Takes the outcome of a call, and gives where its transfer stands now. A transfer that has ended stays as it is.
    pub fn settle_transfer(
        &mut self,
        now: Timestamp,
        id: TransferId,
        outcome: Outcome,
    ) -> TransferView {
        let transfer = self.stored_transfer(id);
        if let Outcome::BadFee { expected } = outcome {
            self.set_ledger_fee(now, expected);
        }
        if transfer.state.is_open() {
            let ended = match outcome {
                Outcome::Done { block } | Outcome::Duplicate { block } => {
                    Some(Event::TransferDone {
                        transfer: id,
                        block,
                    })
                }
                // An earlier try may have moved it, or may yet.
                Outcome::Refused(_) | Outcome::BadFee { .. } if transfer.tries > 1 => None,
                Outcome::Refused(why) => Some(failed(id, &why)),
                Outcome::BadFee { expected } => Some(failed(
                    id,
                    &format!("the ledger takes a fee of {expected} cycles now; try again"),
                )),
                Outcome::Unknown(_) => (transfer.is_to_canister()
                    && transfer.state == TransferState::Pending)
                    .then_some(Event::TransferQuarantined { transfer: id }),
            };
            if let Some(event) = ended {
                self.record(now, event);
            }
        }
        view(self.stored_transfer(id))
    }

    /// The calls of pending transfers to make again now, looking at no more than `budget`; puts aside those whose
    /// ledger may not know a repeated call for the same much longer. To be called once a minute or so.
    pub fn due_transfers(&mut self, now: Timestamp, budget: usize) -> DueTransfers {
        let due: Vec<TransferId> = self
            .store
            .transfers_due
            .keys(..=(now, TransferId(u64::MAX)))
            .map(|(_, id)| id)
            .take(budget)
            .collect();
        let mut found = DueTransfers::default();
        for id in due {
            let transfer = self.stored_transfer(id);
            if transfer.state != TransferState::Pending {
                continue;
            }
            if now >= last_try(transfer.begun_at) {
                self.record(now, Event::TransferQuarantined { transfer: id });
                found.quarantined.push(id);
                continue;
            }
            let next_try = next_try(&transfer, now);
            self.record(
                now,
                Event::TransferTried {
                    transfer: id,
                    next_try,
                },
            );
            found.calls.push(self.call_of(&transfer));
        }
        found
    }

    /// Ends a quarantined transfer by the word of a controller, who has looked whether it happened.
    pub fn resolve_transfer(
        &mut self,
        now: Timestamp,
        id: TransferId,
        happened: bool,
    ) -> Result<TransferView, MoneyError> {
        let transfer = self.store.transfers.get(&id);
        let transfer = transfer.ok_or(MoneyError::UnknownTransfer(id))?;
        if transfer.state != TransferState::Quarantined {
            return Err(MoneyError::NotQuarantined(id));
        }
        let until = transfer
            .begun_at
            .plus_seconds(limits::TRANSFER_SETTLED_SECONDS);
        if !happened && now <= until {
            return Err(MoneyError::NotSettled { until });
        }
        self.record(
            now,
            Event::TransferResolved {
                transfer: id,
                happened,
            },
        );
        Ok(view(self.stored_transfer(id)))
    }

    /// Takes what the ledger says that a transfer costs. A fee that no ledger would take changes nothing.
    pub fn set_ledger_fee(&mut self, now: Timestamp, fee: Cycles) {
        if fee.0 <= limits::LEDGER_FEE_CYCLES_MAX && self.meta().ledger_fee != Some(fee) {
            self.record(now, Event::LedgerFeeTold { fee });
        }
    }

    /// What a transfer on the ledger costs.
    pub fn ledger_fee(&self) -> Result<Cycles, MoneyError> {
        self.config().ledger.ok_or(MoneyError::LedgerNotSet)?;
        self.meta().ledger_fee.ok_or(MoneyError::LedgerFeeUnknown)
    }

    fn begin(
        &mut self,
        at: &Moment,
        kind: TransferKind,
        amount: Cycles,
        fee: Cycles,
    ) -> TransferCall {
        self.touch(at.now);
        let transfer = Transfer {
            id: TransferId(self.meta().last_transfer + 1),
            account: at.caller,
            kind,
            amount,
            fee,
            state: TransferState::Pending,
            tries: 0,
            begun_at: at.now,
            next_try: at.now,
            ended_at: None,
        };
        self.record(
            at.now,
            Event::TransferBegun {
                transfer: transfer.id,
                account: at.caller,
                kind: transfer.kind.clone(),
                amount,
                fee,
                next_try: next_try(&transfer, at.now),
            },
        );
        self.call_of(&transfer)
    }

    fn call_of(&self, transfer: &Transfer) -> TransferCall {
        let config = self.config();
        let ledger = || {
            config
                .ledger
                .expect("BUG: a ledger stays once there is one")
        };
        let (memo, created_at) = (transfer.id.0.to_be_bytes(), transfer.begun_at);
        let amount = transfer.amount;
        let call = match &transfer.kind {
            TransferKind::Deposit { from } => Move::Collect {
                ledger: ledger(),
                from: from.clone(),
                to: config.canister.into(),
                amount,
                memo,
                created_at,
            },
            TransferKind::Withdrawal {
                to: Destination::Ledger(to),
            } => Move::Send {
                ledger: ledger(),
                to: to.clone(),
                amount,
                fee: transfer.fee,
                memo,
                created_at,
            },
            TransferKind::Withdrawal {
                to: Destination::Canister(canister),
            } => Move::Attach {
                canister: *canister,
                amount,
            },
        };
        TransferCall {
            transfer: transfer.id,
            call,
        }
    }

    fn stored_transfer(&self, id: TransferId) -> Transfer {
        self.store
            .transfers
            .get(&id)
            .expect("BUG: every transfer that is referred to exists")
    }

    fn check_transfers(&self, account: Principal) -> Result<(), MoneyError> {
        let open = self
            .store
            .accounts
            .get(&account)
            .map_or(0, |account| account.open_transfers);
        if open >= limits::OPEN_TRANSFERS_PER_ACCOUNT_MAX {
            return Err(MoneyError::TooManyTransfers {
                open,
                max: limits::OPEN_TRANSFERS_PER_ACCOUNT_MAX,
            });
        }
        if self.store.transfers_due.len() >= limits::OPEN_TRANSFERS_MAX {
            return Err(MoneyError::TransfersFull);
        }
        Ok(())
    }

    fn check_destination(&self, to: &Destination) -> Result<(), MoneyError> {
        let config = self.config();
        let principal = match to {
            Destination::Ledger(account) => account.owner,
            Destination::Canister(canister) => *canister,
        };
        let problem = if principal == Principal::anonymous() {
            "is anonymous: everybody could take what is there"
        } else if principal == Principal::management_canister() {
            "is the management canister, which keeps nothing for anybody"
        } else if principal == config.canister {
            "is this market: the cycles are here already"
        } else if config.ledger == Some(principal) {
            "is the ledger itself, from where nothing comes back"
        } else if matches!(to, Destination::Canister(_)) && is_of_a_key(principal) {
            "is the principal of a key and no canister"
        } else {
            return match to {
                Destination::Ledger(account) => check_subaccount(account),
                Destination::Canister(_) => Ok(()),
            };
        };
        Err(MoneyError::BadDestination {
            to: principal,
            problem: problem.to_owned(),
        })
    }
}

fn failed(transfer: TransferId, why: &str) -> Event {
    let end = why.floor_char_boundary(limits::REASON_BYTES_MAX);
    Event::TransferFailed {
        transfer,
        why: why[..end].to_owned(),
    }
}

/// From when on a transfer is not tried any more.
fn last_try(begun: Timestamp) -> Timestamp {
    begun.plus_seconds(limits::TRANSFER_WINDOW_SECONDS)
}

/// When a transfer that is tried now is looked at next.
fn next_try(transfer: &Transfer, now: Timestamp) -> Timestamp {
    let last = last_try(transfer.begun_at);
    if transfer.is_to_canister() {
        return last;
    }
    let wait = 1u64
        .checked_shl(transfer.tries)
        .and_then(|times| limits::TRANSFER_RETRY_SECONDS.checked_mul(times))
        .unwrap_or(u64::MAX)
        .min(limits::TRANSFER_RETRY_SECONDS_MAX);
    now.plus_seconds(wait).min(last)
}

fn check_caller(caller: Principal) -> Result<(), MoneyError> {
    if caller == Principal::anonymous() {
        return Err(MoneyError::Anonymous);
    }
    Ok(())
}

fn check_amount(amount: Cycles, fee: Cycles) -> Result<(), MoneyError> {
    let least = Cycles(limits::TRANSFER_CYCLES_MIN.max(fee.0 + 1));
    if amount < least {
        return Err(MoneyError::TooSmall { amount, least });
    }
    let most = Cycles(limits::TRANSFER_CYCLES_MAX);
    if amount > most {
        return Err(MoneyError::TooLarge { amount, most });
    }
    Ok(())
}

fn check_subaccount(account: &LedgerAccount) -> Result<(), MoneyError> {
    match &account.subaccount {
        Some(bytes) if bytes.len() != limits::SUBACCOUNT_BYTES => Err(MoneyError::Subaccount {
            bytes: bytes.len() as u64,
        }),
        _ => Ok(()),
    }
}

/// Whether this is the principal of a key, which no canister can have.
fn is_of_a_key(principal: Principal) -> bool {
    let bytes = principal.as_slice();
    bytes.len() == Principal::MAX_LENGTH_IN_BYTES && bytes.last() == Some(&2)
}
