//! The cycles ledger: cycles as a token, by ICRC-1 and ICRC-2.
//!
//! Cycles come in by `deposit` and leave by `withdraw` or into a new canister (see `spending`); fees are destroyed.
//! What the real ledger does in several messages is one step here, so nobody ever sees cycles that are under way.
//!
//! Invariant: the cycles of the canister are at least the sum of all balances; more only where somebody gave it cycles
//! without `deposit`.

mod block;
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
    types::{
        BlockRange, BlockType, BlockWithId, Blocks, DepositArgs, DepositResult, GetAllowancesArgs,
        GetAllowancesError, ListedAllowance,
    },
};
use super::{
    account::{Account, WireAccount},
    book::{Allowance, Book, Refusal, Spending},
    call::{Answer, Call, Stop, Trap, World, one, settle},
    icrc::{
        self, AllowanceArgs, ApproveArgs, ApproveError, TransferArgs, TransferError,
        TransferFromArgs, TransferFromError, WireAllowance,
    },
    window::Window,
};
use crate::limits;

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

    /// Answers a query method; none where there is no such method.
    pub(super) fn query(&self, method: &str, call: &Call<'_>) -> Option<Answer> {
        Some(match method {
            "icrc1_name" => one(NAME),
            "icrc1_symbol" => one(SYMBOL),
            "icrc1_decimals" => one(DECIMALS),
            "icrc1_fee" => one(Nat::from(FEE)),
            "icrc1_total_supply" => one(Nat::from(self.book.supply())),
            "icrc1_minting_account" => one(None::<WireAccount>),
            "icrc1_metadata" => one(icrc::metadata(NAME, SYMBOL, DECIMALS, FEE)),
            "icrc1_supported_standards" | "icrc10_supported_standards" => {
                one(icrc::standards(&[1, 2, 3, 10, 103]))
            }
            "icrc1_balance_of" => self.icrc1_balance_of(call),
            "icrc2_allowance" => self.icrc2_allowance(call),
            "icrc3_get_blocks" => self.icrc3_get_blocks(call),
            "icrc3_supported_block_types" => one(block_types()),
            "icrc103_get_allowances" => self.icrc103_get_allowances(call),
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

    fn icrc1_balance_of(&self, call: &Call<'_>) -> Answer {
        let account = call.one::<WireAccount>()?.read()?;
        one(Nat::from(self.book.balance(&account)))
    }

    fn icrc2_allowance(&self, call: &Call<'_>) -> Answer {
        let AllowanceArgs { account, spender } = call.one()?;
        let allowance = self
            .book
            .allowance(&account.read()?, &spender.read()?, call.now);
        one(WireAllowance::from(allowance))
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

    fn icrc3_get_blocks(&self, call: &Call<'_>) -> Answer {
        let ranges: Vec<BlockRange> = call.one()?;
        let mut blocks = Vec::new();
        for BlockRange { start, length } in ranges {
            let (Ok(start), Ok(length)) = (u64::try_from(&start.0), u64::try_from(&length.0))
            else {
                continue;
            };
            let room = limits::LEDGER_BLOCKS_PER_ANSWER_MAX.saturating_sub(blocks.len()) as u64;
            let end = self.log.len().min(start.saturating_add(length.min(room)));
            for id in start..end {
                blocks.extend(self.log.get(id).map(|block| BlockWithId {
                    id: id.into(),
                    block: block.value(),
                }));
            }
        }
        one(Blocks {
            log_length: self.log.len().into(),
            blocks,
            archived_blocks: Vec::new(),
        })
    }

    fn icrc103_get_allowances(&self, call: &Call<'_>) -> Answer {
        let GetAllowancesArgs {
            from_account,
            prev_spender,
            take,
        } = call.one()?;
        let from = match from_account {
            Some(account) => account.read()?,
            None => Account::of(call.caller),
        };
        let after = prev_spender.map(WireAccount::read).transpose()?;
        let take = take
            .and_then(|take| usize::try_from(&take.0).ok())
            .unwrap_or(usize::MAX)
            .min(limits::LEDGER_ALLOWANCES_PER_ANSWER_MAX);
        let list: Vec<ListedAllowance> = self
            .book
            .allowances_from(from, after, call.now)
            .take_while(|(owner, _, _)| owner.owner == from.owner)
            .take(take)
            .map(|(owner, spender, allowance)| ListedAllowance {
                from_account: owner.wire(),
                to_spender: spender.wire(),
                allowance: allowance.amount.into(),
                expires_at: allowance.expires,
            })
            .collect();
        one(Ok::<_, GetAllowancesError>(list))
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

fn block_types() -> Vec<BlockType> {
    let standard = |number: u8| {
        format!("https://github.com/dfinity/ICRC-1/blob/main/standards/ICRC-{number}/README.md")
    };
    [("1burn", 1), ("1mint", 1), ("2xfer", 2), ("2approve", 2)]
        .into_iter()
        .map(|(block_type, number)| BlockType {
            block_type: block_type.to_owned(),
            url: standard(number),
        })
        .collect()
}

/// Whether this is a key's principal, which no canister can have.
fn is_of_a_key(principal: &Principal) -> bool {
    matches!(principal.as_slice(), [.., 2] if principal.as_slice().len() == Principal::MAX_LENGTH_IN_BYTES)
}
