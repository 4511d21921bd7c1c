//! What the cycles ledger tells without changing.

use candid::Nat;

use super::{
    CyclesLedger, DECIMALS, FEE, NAME, SYMBOL,
    types::{
        BlockRange, BlockType, BlockWithId, Blocks, GetAllowancesArgs, GetAllowancesError,
        ListedAllowance,
    },
};
use crate::{
    limits,
    system::{
        account::{Account, WireAccount},
        call::{Answer, Call, one},
        icrc::{self, AllowanceArgs, WireAllowance},
    },
};

impl CyclesLedger {
    /// Answers a query method; none where there is no such method.
    pub(in crate::system) fn query(&self, method: &str, call: &Call<'_>) -> Option<Answer> {
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
