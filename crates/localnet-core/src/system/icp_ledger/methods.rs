//! The ICP ledger's methods.

use candid::Nat;
use serde_bytes::ByteBuf;

use super::{
    Approval, FEE, IcpLedger, Payment,
    types::{
        AccountBalanceArgs, Archives, Decimals, GetBlocksArgs, Name, QueryBlocks, Symbol,
        TransferArgs as OwnTransferArgs, TransferError as OwnTransferError, TransferFee, tokens,
    },
};
use crate::{
    limits,
    system::{
        account::{Account, AccountId, WireAccount},
        book::{Allowance, Refusal},
        call::{Answer, Call, Stop, Trap, one, settle},
        icrc::{
            self, AllowanceArgs, ApproveArgs, ApproveError, TransferArgs, TransferError,
            TransferFromArgs, TransferFromError, WireAllowance,
        },
    },
};

const NAME: &str = "Internet Computer";
const SYMBOL: &str = "ICP";
const DECIMALS: u8 = 8;

impl IcpLedger {
    /// Executes an update method; none where there is no such method.
    pub(in crate::system) fn update(&mut self, method: &str, call: &Call<'_>) -> Option<Answer> {
        Some(match method {
            "transfer" => self.transfer(call),
            "icrc1_transfer" => self.icrc1_transfer(call),
            "icrc2_transfer_from" => self.icrc2_transfer_from(call),
            "icrc2_approve" => self.icrc2_approve(call),
            _ => return None,
        })
    }

    /// Answers a query method; none where there is no such method.
    pub(in crate::system) fn query(&self, method: &str, call: &Call<'_>) -> Option<Answer> {
        Some(match method {
            "account_balance" => self.account_balance(call),
            "account_identifier" => account_identifier(call),
            "transfer_fee" => one(TransferFee {
                transfer_fee: tokens(FEE),
            }),
            "query_blocks" => self.query_blocks(call),
            "symbol" => one(Symbol {
                symbol: SYMBOL.to_owned(),
            }),
            "name" => one(Name {
                name: NAME.to_owned(),
            }),
            "decimals" => one(Decimals {
                decimals: DECIMALS.into(),
            }),
            "archives" => one(Archives { archives: vec![] }),
            "is_ledger_ready" => one(true),
            "icrc1_name" => one(NAME),
            "icrc1_symbol" => one(SYMBOL),
            "icrc1_decimals" => one(DECIMALS),
            "icrc1_fee" => one(Nat::from(FEE)),
            "icrc1_metadata" => one(icrc::metadata(NAME, SYMBOL, DECIMALS, FEE)),
            "icrc1_total_supply" => one(Nat::from(self.book.supply())),
            "icrc1_minting_account" => one(Some(Self::minting_account().wire())),
            "icrc1_supported_standards" | "icrc10_supported_standards" => {
                one(icrc::standards(&[1, 2, 10]))
            }
            "icrc1_balance_of" => self.icrc1_balance_of(call),
            "icrc2_allowance" => self.icrc2_allowance(call),
            _ => return None,
        })
    }

    fn account_balance(&self, call: &Call<'_>) -> Answer {
        let AccountBalanceArgs { account } = call.one()?;
        // Nobody can hold tokens at an identifier with a wrong checksum.
        let balance = AccountId::parse(&account).map_or(0, |id| self.book.balance(&id));
        one(tokens(balance))
    }

    fn icrc1_balance_of(&self, call: &Call<'_>) -> Answer {
        let account = call.one::<WireAccount>()?.read()?;
        one(Nat::from(self.book.balance(&account.id())))
    }

    fn icrc2_allowance(&self, call: &Call<'_>) -> Answer {
        let AllowanceArgs { account, spender } = call.one()?;
        let owner = account.read()?.id();
        let spender = spender.read()?.id();
        one(WireAllowance::from(
            self.book.allowance(&owner, &spender, call.now),
        ))
    }

    fn query_blocks(&self, call: &Call<'_>) -> Answer {
        let GetBlocksArgs { start, length } = call.one()?;
        let first = start.max(self.first).min(self.len());
        let wanted = start.saturating_add(length);
        let end = wanted
            .min(self.len())
            .min(first.saturating_add(limits::LEDGER_BLOCKS_PER_ANSWER_MAX as u64));
        one(QueryBlocks {
            chain_length: self.len(),
            certificate: None,
            blocks: (first..end)
                .filter_map(|index| self.block(index).cloned())
                .collect(),
            first_block_index: first,
            archived_blocks: Vec::new(),
        })
    }

    fn transfer(&mut self, call: &Call<'_>) -> Answer {
        let OwnTransferArgs {
            memo,
            amount,
            fee,
            from_subaccount,
            to,
            created_at_time,
        } = call.one()?;
        let to = AccountId::parse(&to).ok_or_else(|| {
            Trap(format!(
                "Invalid account identifier: {} is not a checksum and a hash, 32 bytes together",
                hex::encode(&to)
            ))
        })?;
        let payment = Payment {
            from: Account::with(call.caller, from_subaccount)?.id(),
            to,
            spender: None,
            amount: amount.e8s.into(),
            fee: Some(fee.e8s.into()),
            memo,
            icrc1_memo: None,
            created_at_time: created_at_time.map(|time| time.timestamp_nanos),
        };
        match self.pay(payment, call.now) {
            Ok(block) => one(Ok::<_, OwnTransferError>(block)),
            Err(Stop::Trapped(trap)) => Err(trap),
            Err(Stop::Refused(refusal)) => match OwnTransferError::of(&refusal) {
                Some(error) => one(Err::<u64, _>(error)),
                None => Err(Trap(match refusal {
                    Refusal::BadBurn { min } => {
                        format!("Burns lower than {min} e8s are not allowed")
                    }
                    _ => "the ledger holds as many accounts or tokens as it can".to_owned(),
                })),
            },
        }
    }

    fn icrc1_transfer(&mut self, call: &Call<'_>) -> Answer {
        let TransferArgs {
            from_subaccount,
            to,
            amount,
            fee,
            memo,
            created_at_time,
        } = call.one()?;
        let from = Account::with(call.caller, from_subaccount)?;
        let parties = (from, None, to.read()?);
        let result = self.icrc_pay(parties, &amount, fee.as_ref(), memo, created_at_time, call);
        one(settle::<_, TransferError>(result)?)
    }

    fn icrc2_transfer_from(&mut self, call: &Call<'_>) -> Answer {
        let TransferFromArgs {
            spender_subaccount,
            from,
            to,
            amount,
            fee,
            memo,
            created_at_time,
        } = call.one()?;
        let spender = Account::with(call.caller, spender_subaccount)?;
        let parties = (from.read()?, Some(spender), to.read()?);
        let result = self.icrc_pay(parties, &amount, fee.as_ref(), memo, created_at_time, call);
        one(settle::<_, TransferFromError>(result)?)
    }

    fn icrc_pay(
        &mut self,
        (from, spender, to): (Account, Option<Account>, Account),
        amount: &Nat,
        fee: Option<&Nat>,
        memo: Option<ByteBuf>,
        created_at_time: Option<u64>,
        call: &Call<'_>,
    ) -> Result<Nat, Stop> {
        let Some(amount) = icrc::amount(amount) else {
            let balance = self.book.balance(&from.id());
            return Err(Refusal::InsufficientFunds { balance }.into());
        };
        let payment = Payment {
            from: from.id(),
            to: to.id(),
            spender: spender.map(|spender| spender.id()),
            amount,
            fee: fee.map(|fee| icrc::amount(fee).unwrap_or(u128::MAX)),
            memo: 0,
            icrc1_memo: memo,
            created_at_time,
        };
        self.pay(payment, call.now).map(Nat::from)
    }

    fn icrc2_approve(&mut self, call: &Call<'_>) -> Answer {
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
        if from.owner == spender.owner {
            return Err(Trap("self approval is not allowed".to_owned()));
        }
        // No allowance is as large as a number that does not fit, so such an expectation is wrong.
        let fits = |number: Nat| icrc::amount(&number).unwrap_or(u128::MAX);
        let approval = Approval {
            from: from.id(),
            spender: spender.id(),
            allowance: Allowance {
                amount: fits(amount).min(u64::MAX.into()),
                expires: expires_at,
            },
            expected: expected_allowance.map(fits),
            memo,
            created_at_time,
        };
        let result = self
            .approve(approval, fee.map(fits), call.now)
            .map(Nat::from);
        one(settle::<_, ApproveError>(result)?)
    }
}

fn account_identifier(call: &Call<'_>) -> Answer {
    let account = call.one::<WireAccount>()?.read()?;
    one(account.id())
}
