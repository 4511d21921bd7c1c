//! Payments in ICP, and what becomes of them.

use candid::{Nat, Principal};
use serde::{Deserialize, Serialize};

use super::{
    Cmc, Failure, Ledgers, create, cycles_for,
    payments::{Received, burn, memo_of, refund},
    selection,
    types::{
        NotifyCreateCanisterArg, NotifyError, NotifyMintCyclesArg, NotifyMintCyclesSuccess,
        NotifyTopUpArg,
    },
};
use crate::{
    limits,
    system::{
        CYCLES_LEDGER, CYCLES_MINTING,
        account::Account,
        call::{Answer, Call, Stop, World, one},
        cycles_ledger::{self, CreationArgs, CyclesLedger},
        icp_ledger::{self, IcpLedger, Operation},
        icrc::MEMO_BYTES_MAX,
    },
};

/// What memos say that a payment is for.
const MEMO_TOP_UP: u64 = 0x5055_5054;
const MEMO_CREATE: u64 = 0x4145_5243;
const MEMO_MINT: u64 = 0x544e_494d;
/// What is kept of a payment that comes back, in e8s.
const TOP_UP_REFUND_FEE: u128 = 2 * icp_ledger::FEE;
const CREATE_REFUND_FEE: u128 = 4 * icp_ledger::FEE;
const MINT_REFUND_FEE: u128 = 2 * icp_ledger::FEE;
/// Published error codes.
const BAD_SUBNET_SELECTION: u64 = 4;
const UNAUTHORISED: u64 = 5;
const DEPOSIT_MEMO_TOO_LONG: u64 = 6;

type TopUp = Result<Nat, NotifyError>;
type Created = Result<Principal, NotifyError>;
type Minted = Result<NotifyMintCyclesSuccess, NotifyError>;

/// What a payment has led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Notified {
    TopUp(TopUp),
    Create(Created),
    Mint(Minted),
    /// It was for nothing that there is, and came back in this block.
    Returned(Option<u64>),
}

impl Cmc {
    pub(super) fn notify_top_up(
        &mut self,
        call: &Call<'_>,
        ledgers: Ledgers<'_>,
        world: &mut dyn World,
    ) -> Answer {
        let NotifyTopUpArg {
            block_index,
            canister_id,
        } = call.one()?;
        one(self.top_up(block_index, &canister_id, call, ledgers, world))
    }

    fn top_up(
        &mut self,
        block: u64,
        canister: &Principal,
        call: &Call<'_>,
        ledgers: Ledgers<'_>,
        world: &mut dyn World,
    ) -> TopUp {
        let received = self.fetch(block, canister, MEMO_TOP_UP, ledgers.icp, call.now)?;
        match self.known(block)? {
            None => {}
            Some(Notified::TopUp(result)) => return result.clone(),
            Some(other) => return Err(other.taken()),
        }
        let cycles = cycles_for(received.e8s);
        world.mint(cycles);
        let result = match world.deposit(canister, cycles) {
            Ok(()) => {
                burn(&received, ledgers.icp, call.now);
                Ok(cycles.into())
            }
            Err(reject) => {
                world.burn(cycles);
                Err(refund(
                    &received,
                    TOP_UP_REFUND_FEE,
                    reject.message,
                    ledgers.icp,
                    call.now,
                ))
            }
        };
        self.note(block, Notified::TopUp(result.clone()));
        result
    }

    pub(super) fn notify_create_canister(
        &mut self,
        call: &Call<'_>,
        ledgers: Ledgers<'_>,
        world: &mut dyn World,
    ) -> Answer {
        one(self.create_paid(call.one()?, call, ledgers, world))
    }

    fn create_paid(
        &mut self,
        args: NotifyCreateCanisterArg,
        call: &Call<'_>,
        ledgers: Ledgers<'_>,
        world: &mut dyn World,
    ) -> Created {
        let NotifyCreateCanisterArg {
            block_index: block,
            controller,
            subnet_type,
            subnet_selection,
            settings,
        } = args;
        if call.caller != controller {
            return Err(NotifyError::Other {
                error_code: UNAUTHORISED,
                error_message: format!(
                    "{} is not authorized to call notify_create_canister on behalf of {controller}. \
                     (Do not retry, because the same result will occur.)",
                    call.caller
                ),
            });
        }
        let subnet_selection =
            selection(subnet_type, subnet_selection).map_err(|error_message| {
                NotifyError::Other {
                    error_code: BAD_SUBNET_SELECTION,
                    error_message,
                }
            })?;
        let received = self.fetch(block, &controller, MEMO_CREATE, ledgers.icp, call.now)?;
        match self.known(block)? {
            None => {}
            Some(Notified::Create(result)) => return result.clone(),
            Some(other) => return Err(other.taken()),
        }
        let cycles = cycles_for(received.e8s);
        let args = CreationArgs {
            settings,
            subnet_selection,
        };
        world.mint(cycles);
        let result = match create(world, &controller, args, cycles) {
            Ok(canister) => {
                burn(&received, ledgers.icp, call.now);
                Ok(canister)
            }
            Err(Failure { error, .. }) => {
                world.burn(cycles);
                Err(refund(
                    &received,
                    CREATE_REFUND_FEE,
                    error,
                    ledgers.icp,
                    call.now,
                ))
            }
        };
        self.note(block, Notified::Create(result.clone()));
        result
    }

    pub(super) fn notify_mint_cycles(
        &mut self,
        call: &Call<'_>,
        ledgers: Ledgers<'_>,
        world: &mut dyn World,
    ) -> Answer {
        let NotifyMintCyclesArg {
            block_index,
            to_subaccount,
            deposit_memo,
        } = call.one()?;
        let to = Account::with(call.caller, to_subaccount)?;
        one(self.mint(block_index, to, deposit_memo, call, ledgers, world))
    }

    fn mint(
        &mut self,
        block: u64,
        to: Account,
        memo: Option<serde_bytes::ByteBuf>,
        call: &Call<'_>,
        ledgers: Ledgers<'_>,
        world: &mut dyn World,
    ) -> Minted {
        if let Some(len) = memo
            .as_ref()
            .map(|memo| memo.len())
            .filter(|len| *len > MEMO_BYTES_MAX)
        {
            return Err(NotifyError::Other {
                error_code: DEPOSIT_MEMO_TOO_LONG,
                error_message: format!(
                    "Memo length {len} exceeds the maximum length of {MEMO_BYTES_MAX}"
                ),
            });
        }
        let received = self.fetch(block, &call.caller, MEMO_MINT, ledgers.icp, call.now)?;
        match self.known(block)? {
            None => {}
            Some(Notified::Mint(result)) => return result.clone(),
            Some(other) => return Err(other.taken()),
        }
        let cycles = cycles_for(received.e8s);
        let result = match deposit(cycles, to, memo, call.now, ledgers.cycles, world) {
            Ok(deposited) => {
                burn(&received, ledgers.icp, call.now);
                Ok(NotifyMintCyclesSuccess {
                    block_index: deposited.into(),
                    minted: cycles.into(),
                    balance: ledgers.cycles.balance(&to).into(),
                })
            }
            Err(reason) => Err(refund(
                &received,
                MINT_REFUND_FEE,
                reason,
                ledgers.icp,
                call.now,
            )),
        };
        self.note(block, Notified::Mint(result.clone()));
        result
    }

    /// The payment in a block, if it is one to this principal's account and for this purpose.
    fn fetch(
        &mut self,
        block: u64,
        of: &Principal,
        memo: u64,
        icp: &mut IcpLedger,
        now: u64,
    ) -> Result<Received, NotifyError> {
        let invalid = NotifyError::InvalidTransaction;
        let transaction = &icp
            .block(block)
            .ok_or_else(|| invalid(format!("Block {block} not found")))?
            .transaction;
        let Some(Operation::Transfer {
            from, to, amount, ..
        }) = &transaction.operation
        else {
            return Err(invalid(
                "Notification transaction must be of type Transfer".to_owned(),
            ));
        };
        let at = Account::for_principal(CYCLES_MINTING, of);
        if *to != at.id() {
            return Err(invalid(format!(
                "Destination account in the block ({}) different than in the notification ({})",
                hex::encode(to.0),
                hex::encode(at.id().0)
            )));
        }
        let received = Received {
            at,
            from: *from,
            e8s: amount.e8s,
        };
        let observed = memo_of(transaction);
        if ![MEMO_TOP_UP, MEMO_CREATE, MEMO_MINT].contains(&observed) {
            return Err(self.send_back(block, &received, observed, icp, now));
        }
        if observed == memo {
            Ok(received)
        } else {
            Err(invalid(format!(
                "The memo ({observed}) in the transaction does not match the expected memo ({memo}) for the operation."
            )))
        }
    }

    /// Returns a payment that is for nothing that there is.
    fn send_back(
        &mut self,
        block: u64,
        received: &Received,
        memo: u64,
        icp: &mut IcpLedger,
        now: u64,
    ) -> NotifyError {
        let reason = format!(
            "Memo ({memo:#08X}) in the incoming ICP transfer does not correspond to any of the operations that the \
             Cycles Minting canister offers."
        );
        match self.known(block) {
            Err(error) => error,
            Ok(Some(Notified::Returned(block_index))) => NotifyError::Refunded {
                reason,
                block_index: *block_index,
            },
            Ok(Some(other)) => other.taken(),
            Ok(None) => {
                let error = refund(received, 0, reason, icp, now);
                if let NotifyError::Refunded { block_index, .. } = &error {
                    self.note(block, Notified::Returned(*block_index));
                }
                error
            }
        }
    }

    fn known(&self, block: u64) -> Result<Option<&Notified>, NotifyError> {
        if block < self.first_block {
            return Err(NotifyError::TransactionTooOld(self.first_block));
        }
        Ok(self.notified.get(&block))
    }

    fn note(&mut self, block: u64, outcome: Notified) {
        self.notified.insert(block, outcome);
        if self.notified.len() > limits::CMC_NOTIFICATIONS_KEPT
            && let Some((oldest, _)) = self.notified.pop_first()
        {
            self.first_block = oldest + 1;
        }
    }
}

impl Notified {
    /// The payment has gone into something else.
    fn taken(&self) -> NotifyError {
        let what = match self {
            Self::TopUp(_) => "a top up request",
            Self::Create(_) => "a create canister request",
            Self::Mint(_) => "a mint request",
            Self::Returned(_) => "an automatic refund",
        };
        NotifyError::InvalidTransaction(format!("The same payment is already processed as {what}."))
    }
}

/// Brings new cycles to an account of the cycles ledger.
fn deposit(
    cycles: u128,
    to: Account,
    memo: Option<serde_bytes::ByteBuf>,
    now: u64,
    ledger: &mut CyclesLedger,
    world: &mut dyn World,
) -> Result<u64, String> {
    let fee = cycles_ledger::FEE;
    let amount = match cycles.checked_sub(fee) {
        Some(amount) if amount > 0 => amount,
        _ => {
            return Err(format!(
                "the payment is worth {cycles} cycles, not more than the cycles ledger fee of {fee}"
            ));
        }
    };
    ledger
        .check_mint(&to, amount, memo.as_ref())
        .map_err(|stop| match stop {
            Stop::Trapped(trap) => trap.0,
            Stop::Refused(_) => "the cycles ledger is full".to_owned(),
        })?;
    world.mint(cycles);
    world.burn(fee);
    if let Err(reject) = world.deposit(&CYCLES_LEDGER, amount) {
        world.burn(amount);
        return Err(reject.message);
    }
    Ok(ledger.mint(to, amount, memo, fee, now))
}
