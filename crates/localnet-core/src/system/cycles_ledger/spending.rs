//! Cycles that leave the ledger: to a canister, or into a new one.
//!
//! Where they cannot arrive they come back, less a fee for each block that was written on the way.

use candid::{Nat, Principal};
use serde_bytes::ByteBuf;

use super::{
    CyclesLedger, FEE,
    block::{Operation, Transaction},
    is_of_a_key, only_fee,
    types::{
        CreateCanisterArgs, CreateCanisterError, CreateCanisterFromArgs, CreateCanisterFromError,
        CreateCanisterSuccess, CreationArgs, RejectionCode, WithdrawArgs, WithdrawError,
        WithdrawFromArgs, WithdrawFromError,
    },
};
use crate::system::{
    account::Account,
    book::{Allowance, Refusal, Spending},
    call::{Answer, Call, Stop, Trap, World, one, settle},
    cmc, icrc,
};

/// Memos of blocks that the ledger writes of its own accord.
const REFUND_OF_WITHDRAWAL: [u8; 32] = [0xFF; 32];
const CREATION: [u8; 32] = [0xFE; 32];
const REFUND_OF_CREATION: [u8; 32] = [0xFD; 32];

/// Cycles that are to leave.
struct Leaving {
    from: Account,
    spender: Option<Account>,
    amount: Nat,
    created_at_time: Option<u64>,
    memo: Vec<u8>,
}

/// Cycles that have left an account.
struct Left {
    block: u64,
    amount: u128,
    hash: [u8; 32],
    from: Account,
    /// Who has spent an allowance, and until when it was good.
    spender: Option<(Account, Option<u64>)>,
}

/// What is written when cycles come back.
struct Refund {
    block: Option<Nat>,
    approval: Option<Nat>,
}

impl CyclesLedger {
    pub(super) fn withdraw(&mut self, call: &Call<'_>, world: &mut dyn World) -> Answer {
        let WithdrawArgs {
            amount,
            from_subaccount,
            to,
            created_at_time,
        } = call.one()?;
        let from = Account::with(call.caller, from_subaccount)?;
        let leaving = Leaving {
            from,
            spender: None,
            amount,
            created_at_time,
            memo: withdrawal_memo(&to),
        };
        let result = self.withdraw_to(leaving, to, call.now, world)?;
        one(result.map_err(WithdrawError::from))
    }

    pub(super) fn withdraw_from(&mut self, call: &Call<'_>, world: &mut dyn World) -> Answer {
        let WithdrawFromArgs {
            spender_subaccount,
            from,
            to,
            amount,
            created_at_time,
        } = call.one()?;
        let leaving = Leaving {
            from: from.read()?,
            spender: Some(Account::with(call.caller, spender_subaccount)?),
            amount,
            created_at_time,
            memo: withdrawal_memo(&to),
        };
        one(self.withdraw_to(leaving, to, call.now, world)?)
    }

    pub(super) fn create_canister(&mut self, call: &Call<'_>, world: &mut dyn World) -> Answer {
        let CreateCanisterArgs {
            from_subaccount,
            created_at_time,
            amount,
            creation_args,
        } = call.one()?;
        let leaving = Leaving {
            from: Account::with(call.caller, from_subaccount)?,
            spender: None,
            amount,
            created_at_time,
            memo: CREATION.to_vec(),
        };
        let result = self.create(leaving, creation_args, call, world)?;
        one(result.map_err(CreateCanisterError::from))
    }

    pub(super) fn create_canister_from(
        &mut self,
        call: &Call<'_>,
        world: &mut dyn World,
    ) -> Answer {
        let CreateCanisterFromArgs {
            from,
            spender_subaccount,
            created_at_time,
            amount,
            creation_args,
        } = call.one()?;
        let leaving = Leaving {
            from: from.read()?,
            spender: Some(Account::with(call.caller, spender_subaccount)?),
            amount,
            created_at_time,
            memo: CREATION.to_vec(),
        };
        one(self.create(leaving, creation_args, call, world)?)
    }

    fn withdraw_to(
        &mut self,
        leaving: Leaving,
        to: Principal,
        now: u64,
        world: &mut dyn World,
    ) -> Result<Result<Nat, WithdrawFromError>, Trap> {
        let checked = if is_of_a_key(&to) {
            Err(Refusal::InvalidReceiver(to))
        } else if leaving.amount == 0_u8 {
            Err(Refusal::Nothing)
        } else {
            Ok(())
        };
        let left = match checked
            .map_err(Stop::from)
            .and_then(|()| self.take_out(leaving, now, world))
        {
            Ok(left) => left,
            Err(stop) => return settle(Err(stop)),
        };
        let Err(reject) = world.deposit(&to, left.amount) else {
            return Ok(Ok(left.block.into()));
        };
        let Refund { block, approval } =
            self.give_back(&left, left.amount, &REFUND_OF_WITHDRAWAL, now, world)?;
        Ok(Err(WithdrawFromError::FailedToWithdrawFrom {
            withdraw_from_block: Some(left.block.into()),
            refund_block: block,
            approval_refund_block: approval,
            rejection_code: reject.code.into(),
            rejection_reason: reject.message,
        }))
    }

    fn create(
        &mut self,
        leaving: Leaving,
        args: Option<CreationArgs>,
        call: &Call<'_>,
        world: &mut dyn World,
    ) -> Result<Result<CreateCanisterSuccess, CreateCanisterFromError>, Trap> {
        let left = match self.take_out(leaving, call.now, world) {
            Ok(left) => left,
            Err(stop) => return settle(Err(stop)),
        };
        let failure = match cmc::create(world, &call.caller, args.unwrap_or_default(), left.amount)
        {
            Ok(canister_id) => {
                self.window.note_canister(&left.hash, canister_id);
                return Ok(Ok(CreateCanisterSuccess {
                    block_id: left.block.into(),
                    canister_id,
                }));
            }
            Err(failure) => failure,
        };
        let Refund { block, approval } =
            self.give_back(&left, failure.refund, &REFUND_OF_CREATION, call.now, world)?;
        Ok(Err(CreateCanisterFromError::FailedToCreateFrom {
            create_from_block: Some(left.block.into()),
            refund_block: block,
            approval_refund_block: approval,
            rejection_code: RejectionCode::CanisterError,
            rejection_reason: failure.error,
        }))
    }

    /// Takes cycles and the fee out of an account. The cycles stay with the canister until they are passed on.
    fn take_out(
        &mut self,
        leaving: Leaving,
        now: u64,
        world: &mut dyn World,
    ) -> Result<Left, Stop> {
        let Leaving {
            from,
            spender,
            amount,
            created_at_time,
            memo,
        } = leaving;
        let Some(amount) = icrc::amount(&amount) else {
            let balance = self.balance(&from);
            return Err(Refusal::InsufficientFunds { balance }.into());
        };
        let transaction = Transaction {
            operation: Operation::Burn {
                from,
                spender,
                amount,
            },
            created_at_time,
            memo: Some(ByteBuf::from(memo)),
        };
        let hash = transaction.hash();
        self.window.check_new(&hash)?;
        let spending = Spending {
            from,
            spender,
            amount,
            fee: FEE,
        };
        self.book.check_spending(&spending, now)?;
        icrc::check_memo(transaction.memo.as_ref())?;
        self.window.check_time(created_at_time, now)?;
        let spender = spender
            .filter(|spender| *spender != from)
            .map(|spender| (spender, self.book.allowance(&from, &spender, now).expires));
        self.book.spend(&spending);
        world.burn(FEE);
        Ok(Left {
            block: self.record(transaction, now),
            amount,
            hash,
            from,
            spender,
        })
    }

    /// Gives back what is left of cycles that could not be passed on; the rest is destroyed.
    fn give_back(
        &mut self,
        left: &Left,
        returned: u128,
        memo: &[u8; 32],
        now: u64,
        world: &mut dyn World,
    ) -> Result<Refund, Trap> {
        let mut refund = Refund {
            block: None,
            approval: None,
        };
        let amount = returned.saturating_sub(FEE);
        // Before the call the account held more than comes back, so there is room for it.
        world.burn(left.amount - amount);
        if amount == 0 {
            return Ok(refund);
        }
        let memo = ByteBuf::from(memo.to_vec());
        self.book.give(left.from, amount);
        let operation = Operation::Mint {
            to: left.from,
            amount,
            fee: 0,
        };
        let transaction = Transaction {
            operation,
            created_at_time: None,
            memo: Some(memo),
        };
        refund.block = Some(self.record(transaction, now).into());
        let Some((spender, expires)) = left.spender else {
            return Ok(refund);
        };
        if amount <= FEE || expires.is_some_and(|expires| expires <= now) {
            return Ok(refund);
        }
        let current = self.book.allowance(&left.from, &spender, now);
        let allowance = Allowance {
            amount: (amount - FEE).saturating_add(current.amount),
            expires: current.expires.or(expires),
        };
        self.book.set_allowance(left.from, spender, allowance);
        self.book.spend(&only_fee(left.from));
        world.burn(FEE);
        let operation = Operation::Approve {
            from: left.from,
            spender,
            amount: allowance.amount,
            expected_allowance: None,
            expires_at: allowance.expires,
            fee: None,
        };
        let transaction = Transaction {
            operation,
            created_at_time: None,
            memo: Some(ByteBuf::from(REFUND_OF_WITHDRAWAL.to_vec())),
        };
        refund.approval = Some(self.record(transaction, now).into());
        Ok(refund)
    }
}

/// A CBOR array with the receiver's bytes.
fn withdrawal_memo(receiver: &Principal) -> Vec<u8> {
    let bytes = receiver.as_slice();
    let mut memo = vec![0x81];
    match u8::try_from(bytes.len()).expect("BUG: principals have at most 29 bytes") {
        short @ 0..24 => memo.push(0x40 | short),
        long => memo.extend([0x58, long]),
    }
    memo.extend_from_slice(bytes);
    memo
}
