//! The cycles ledger: cycles as a token, by ICRC-1 and ICRC-2.
//!
//! Cycles come in by `deposit` and leave by `withdraw` or into a new canister (see `spending`); fees are destroyed.
//! What the real ledger does in several messages is one step here, so nobody ever sees cycles that are under way.
//!
//! Invariant: the cycles of the canister are at least the sum of all balances; more only where somebody gave it cycles
//! without `deposit`.

mod block;
mod errors;
mod queries;
mod spending;
#[cfg(test)]
mod tests;
mod types;

use candid::{Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub(super) use self::types::{CreationArgs, SubnetSelection};
use self::{
    block::{Log, Operation, Transaction},
    types::{DepositArgs, DepositResult},
};
use super::{
    account::Account,
    book::{Allowance, Book, Refusal, Spending},
    call::{Answer, Call, Stop, Trap, World, one, settle},
    icrc::{
        self, ApproveArgs, ApproveError, TransferArgs, TransferError, TransferFromArgs,
        TransferFromError,
    },
    window::Window,
};

/// What every transaction costs, in cycles.
pub(super) const FEE: u128 = 100_000_000;
const NAME: &str = "Trillion Cycles";
const SYMBOL: &str = "TCYCLES";
const DECIMALS: u8 = 12;

/// The ledger's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CyclesLedger {
    book: Book<Account>,
    log: Log,
    window: Window,
}

/// A transfer, whoever makes it.
struct Transfer {
    from: Account,
    to: Account,
    spender: Option<Account>,
    amount: Nat,
    fee: Option<Nat>,
    memo: Option<ByteBuf>,
    created_at_time: Option<u64>,
}

impl CyclesLedger {
    pub(super) fn new() -> Self {
        Self {
            book: Book::new(u128::MAX),
            log: Log::default(),
            window: Window::default(),
        }
    }

    /// Executes an update method; none where there is no such method.
    pub(super) fn update(
        &mut self,
        method: &str,
        call: &Call<'_>,
        world: &mut dyn World,
    ) -> Option<Answer> {
        Some(match method {
            "icrc1_transfer" => self.icrc1_transfer(call, world),
            "icrc2_transfer_from" => self.icrc2_transfer_from(call, world),
            "icrc2_approve" => self.icrc2_approve(call, world),
            "deposit" => self.deposit(call, world),
            "withdraw" => self.withdraw(call, world),
            "withdraw_from" => self.withdraw_from(call, world),
            "create_canister" => self.create_canister(call, world),
            "create_canister_from" => self.create_canister_from(call, world),
            _ => return None,
        })
    }

    /// Whether an account can be credited.
    pub(super) fn check_mint(
        &self,
        to: &Account,
        amount: u128,
        memo: Option<&ByteBuf>,
    ) -> Result<(), Stop> {
        icrc::check_memo(memo)?;
        Ok(self.book.check_mint(to, amount)?)
    }

    /// Credits cycles that the canister holds already, after [`Self::check_mint`].
    pub(super) fn mint(
        &mut self,
        to: Account,
        amount: u128,
        memo: Option<ByteBuf>,
        fee: u128,
        now: u64,
    ) -> u64 {
        self.book.give(to, amount);
        let transaction = Transaction {
            operation: Operation::Mint { to, amount, fee },
            created_at_time: None,
            memo,
        };
        self.record(transaction, now)
    }

    /// What an account holds.
    pub(super) fn balance(&self, account: &Account) -> u128 {
        self.book.balance(account)
    }

    fn icrc1_transfer(&mut self, call: &Call<'_>, world: &mut dyn World) -> Answer {
        let TransferArgs {
            from_subaccount,
            to,
            amount,
            fee,
            memo,
            created_at_time,
        } = call.one()?;
        let transfer = Transfer {
            from: Account::with(call.caller, from_subaccount)?,
            to: to.read()?,
            spender: None,
            amount,
            fee,
            memo,
            created_at_time,
        };
        let result = self.transfer(transfer, call.now, world).map(Nat::from);
        one(settle::<_, TransferError>(result)?)
    }

    fn icrc2_transfer_from(&mut self, call: &Call<'_>, world: &mut dyn World) -> Answer {
        let TransferFromArgs {
            spender_subaccount,
            from,
            to,
            amount,
            fee,
            memo,
            created_at_time,
        } = call.one()?;
        let transfer = Transfer {
            from: from.read()?,
            to: to.read()?,
            spender: Some(Account::with(call.caller, spender_subaccount)?),
            amount,
            fee,
            memo,
            created_at_time,
        };
        let result = self.transfer(transfer, call.now, world).map(Nat::from);
        one(settle::<_, TransferFromError>(result)?)
    }

    fn transfer(
        &mut self,
        transfer: Transfer,
        now: u64,
        world: &mut dyn World,
    ) -> Result<u64, Stop> {
        let Transfer {
            from,
            to,
            spender,
            amount,
            fee,
            memo,
            created_at_time,
        } = transfer;
        let Some(amount) = icrc::amount(&amount) else {
            let balance = self.book.balance(&from);
            return Err(Refusal::InsufficientFunds { balance }.into());
        };
        let bad_fee = Refusal::BadFee { expected: FEE };
        let named = named_fee(fee.as_ref()).ok_or(bad_fee)?;
        let transaction = Transaction {
            operation: Operation::Transfer {
                from,
                to,
                spender,
                amount,
                fee: named,
            },
            created_at_time,
            memo,
        };
        self.window.check_new(&transaction.hash())?;
        for account in [Some(from), Some(to), spender].into_iter().flatten() {
            icrc::check_owner(&account)?;
        }
        icrc::check_fee(fee.as_ref(), FEE)?;
        let spending = Spending {
            from,
            spender,
            amount,
            fee: FEE,
        };
        self.book.check_spending(&spending, now)?;
        self.book.check_room(&to)?;
        icrc::check_memo(transaction.memo.as_ref())?;
        self.window.check_time(created_at_time, now)?;
        self.book.spend(&spending);
        self.book.give(to, amount);
        world.burn(FEE);
        Ok(self.record(transaction, now))
    }

    fn icrc2_approve(&mut self, call: &Call<'_>, world: &mut dyn World) -> Answer {
        let result = self.approve(call, world).map(Nat::from);
        one(settle::<_, ApproveError>(result)?)
    }

    fn approve(&mut self, call: &Call<'_>, world: &mut dyn World) -> Result<u64, Stop> {
        let ApproveArgs {
            from_subaccount,
            spender,
            amount,
            expected_allowance,
            expires_at,
            fee,
            memo,
            created_at_time,
        } = call.one()?;
        let from = Account::with(call.caller, from_subaccount)?;
        let spender = spender.read()?;
        let current = self.book.allowance(&from, &spender, call.now).amount;
        let changed = Refusal::AllowanceChanged { current };
        let expected = match expected_allowance {
            Some(expected) => Some(icrc::amount(&expected).ok_or(changed)?),
            None => None,
        };
        let bad_fee = Refusal::BadFee { expected: FEE };
        let named = named_fee(fee.as_ref()).ok_or(bad_fee)?;
        let allowance = Allowance {
            amount: icrc::amount(&amount).unwrap_or(u128::MAX),
            expires: expires_at,
        };
        let transaction = Transaction {
            operation: Operation::Approve {
                from,
                spender,
                amount: allowance.amount,
                expected_allowance: expected,
                expires_at,
                fee: named,
            },
            created_at_time,
            memo,
        };
        self.window.check_new(&transaction.hash())?;
        if from.owner == spender.owner {
            return Err(Trap("self approval is not allowed".to_owned()).into());
        }
        icrc::check_owner(&from)?;
        icrc::check_owner(&spender)?;
        self.book
            .check_approval(&from, &spender, &allowance, expected, call.now)?;
        icrc::check_fee(fee.as_ref(), FEE)?;
        let spending = only_fee(from);
        self.book.check_spending(&spending, call.now)?;
        icrc::check_memo(transaction.memo.as_ref())?;
        self.window.check_time(created_at_time, call.now)?;
        self.book.set_allowance(from, spender, allowance);
        self.book.spend(&spending);
        world.burn(FEE);
        Ok(self.record(transaction, call.now))
    }

    fn deposit(&mut self, call: &Call<'_>, world: &mut dyn World) -> Answer {
        let DepositArgs { to, memo } = call.one()?;
        let to = to.read()?;
        let cycles = world.available();
        let amount = match cycles.checked_sub(FEE) {
            None => {
                return Err(Trap(format!(
                    "The requested amount {cycles} to be deposited is less than the cycles ledger fee: {FEE}"
                )));
            }
            Some(0) => {
                return Err(Trap(format!(
                    "Cannot deposit 0 cycles (amount: {cycles}, cycles ledger fee: {FEE})"
                )));
            }
            Some(amount) => amount,
        };
        match self.check_mint(&to, amount, memo.as_ref()) {
            Ok(()) => {}
            Err(Stop::Trapped(trap)) => return Err(trap),
            Err(Stop::Refused(_)) => {
                return Err(Trap(
                    "the ledger holds as many accounts or cycles as it can; deposit to an account that exists"
                        .to_owned(),
                ));
            }
        }
        world.accept(cycles);
        world.burn(FEE);
        let block = self.mint(to, amount, memo, FEE, call.now);
        one(DepositResult {
            balance: self.book.balance(&to).into(),
            block_index: block.into(),
        })
    }

    /// Writes a transaction down, after it was made.
    fn record(&mut self, transaction: Transaction, now: u64) -> u64 {
        let effective_fee = match &transaction.operation {
            Operation::Mint { .. } => Some(0),
            Operation::Burn { .. } => Some(FEE),
            Operation::Transfer { fee, .. } | Operation::Approve { fee, .. } => {
                fee.is_none().then_some(FEE)
            }
        };
        let (hash, created) = (transaction.hash(), transaction.created_at_time);
        let block = self.log.append(transaction, now, effective_fee);
        self.window.remember(created, hash, block, now);
        self.book.prune(now);
        block
    }
}

/// The fee that a caller names: none, or one that could be a fee.
fn named_fee(fee: Option<&Nat>) -> Option<Option<u128>> {
    match fee {
        Some(fee) => icrc::amount(fee).map(Some),
        None => Some(None),
    }
}

fn only_fee(from: Account) -> Spending<Account> {
    Spending {
        from,
        spender: None,
        amount: 0,
        fee: FEE,
    }
}

/// Whether this is a key's principal, which no canister can have.
fn is_of_a_key(principal: &Principal) -> bool {
    matches!(principal.as_slice(), [.., 2] if principal.as_slice().len() == Principal::MAX_LENGTH_IN_BYTES)
}
