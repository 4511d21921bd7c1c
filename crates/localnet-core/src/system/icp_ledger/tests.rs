//! What callers of the ICP ledger see.

use candid::{CandidType, Nat};
use serde::de::DeserializeOwned;

use super::{
    types::{AccountBalanceArgs, GetBlocksArgs, QueryBlocks, Tokens, TransferArgs, TransferError},
    *,
};
use crate::system::{
    account::WireAccount,
    icrc::{
        ApproveArgs, ApproveError, TransferArgs as IcrcTransferArgs,
        TransferError as IcrcTransferError, TransferFromArgs, TransferFromError,
    },
    testing::{NOW, SECOND, call, encode, read, user},
    window::WINDOW_NANOS,
};

const ICP: u64 = 100_000_000;

type Transferred = Result<u64, TransferError>;
type IcrcTransferred = Result<Nat, IcrcTransferError>;

fn id(number: u8) -> AccountId {
    Account::of(user(number)).id()
}

fn wire(number: u8) -> WireAccount {
    Account::of(user(number)).wire()
}

fn update<T: CandidType + DeserializeOwned>(
    ledger: &mut IcpLedger,
    caller: Principal,
    method: &str,
    arg: impl CandidType,
) -> Result<T, String> {
    let arg = encode(arg);
    let answer = ledger.update(method, &call(caller, NOW, &arg));
    ledger.book.audit();
    read(answer)
}

fn query<T: CandidType + DeserializeOwned>(
    ledger: &IcpLedger,
    method: &str,
    arg: impl CandidType,
) -> T {
    let arg = encode(arg);
    read(ledger.query(method, &call(user(9), NOW, &arg))).unwrap()
}

fn payment(from: AccountId, to: AccountId, e8s: u64) -> Payment {
    Payment {
        from,
        to,
        spender: None,
        amount: e8s.into(),
        fee: None,
        memo: 0,
        icrc1_memo: None,
        created_at_time: None,
    }
}

/// With ICP in the first user's account.
fn funded(e8s: u64) -> IcpLedger {
    let mut ledger = IcpLedger::new();
    let minter = IcpLedger::minting_account().id();
    ledger.pay(payment(minter, id(1), e8s), NOW).unwrap();
    ledger
}

fn transfer(to: AccountId, e8s: u64) -> TransferArgs {
    TransferArgs {
        memo: 7,
        amount: Tokens { e8s },
        fee: tokens(FEE),
        from_subaccount: None,
        to: ByteBuf::from(to.0.to_vec()),
        created_at_time: None,
    }
}

fn icrc_transfer(to: &WireAccount, e8s: u64) -> IcrcTransferArgs {
    IcrcTransferArgs {
        from_subaccount: None,
        to: to.clone(),
        amount: e8s.into(),
        fee: None,
        memo: None,
        created_at_time: None,
    }
}

fn balance(ledger: &IcpLedger, number: u8) -> u64 {
    let args = AccountBalanceArgs {
        account: ByteBuf::from(id(number).0.to_vec()),
    };
    let own: Tokens = query(ledger, "account_balance", args);
    let icrc: Nat = query(ledger, "icrc1_balance_of", wire(number));
    assert_eq!(icrc, Nat::from(own.e8s), "both interfaces say the same");
    own.e8s
}

#[test]
fn both_interfaces_move_the_same_tokens() {
    let mut ledger = funded(ICP);
    let sent: Transferred = update(&mut ledger, user(1), "transfer", transfer(id(2), 50)).unwrap();
    assert_eq!(sent, Ok(1));
    let args = icrc_transfer(&wire(2), 50);
    let sent: IcrcTransferred = update(&mut ledger, user(1), "icrc1_transfer", args).unwrap();
    assert_eq!(sent, Ok(Nat::from(2_u8)));
    assert_eq!(balance(&ledger, 2), 100);
    assert_eq!(balance(&ledger, 1), ICP - 100 - 2 * 10_000);
    let supply: Nat = query(&ledger, "icrc1_total_supply", ());
    assert_eq!(supply, Nat::from(ICP - 2 * 10_000));
}

#[test]
fn the_errors_of_a_transfer_are_the_ledgers_own() {
    let mut ledger = funded(ICP);
    let before = ledger.clone();
    let at = |time| TransferArgs {
        created_at_time: Some(TimeStamp {
            timestamp_nanos: time,
        }),
        ..transfer(id(2), 1)
    };
    let fee = |e8s| TransferArgs {
        fee: Tokens { e8s },
        ..transfer(id(2), 1)
    };
    let cases = [
        (
            transfer(id(2), ICP - 9_999),
            TransferError::InsufficientFunds {
                balance: Tokens { e8s: ICP },
            },
        ),
        (
            fee(9_999),
            TransferError::BadFee {
                expected_fee: Tokens { e8s: 10_000 },
            },
        ),
        (
            at(NOW - WINDOW_NANOS - 60 * SECOND - 1),
            TransferError::TxTooOld {
                allowed_window_nanos: WINDOW_NANOS,
            },
        ),
        (at(NOW + 60 * SECOND + 1), TransferError::TxCreatedInFuture),
    ];
    for (args, error) in cases {
        let sent: Transferred = update(&mut ledger, user(1), "transfer", args).unwrap();
        assert_eq!(sent, Err(error));
    }
    assert_eq!(ledger, before);
    let sent: Transferred = update(&mut ledger, user(1), "transfer", at(NOW)).unwrap();
    assert_eq!(sent, Ok(1));
    let sent: Transferred = update(&mut ledger, user(1), "transfer", at(NOW)).unwrap();
    assert_eq!(sent, Err(TransferError::TxDuplicate { duplicate_of: 1 }));
    let all: Transferred = update(
        &mut ledger,
        user(1),
        "transfer",
        transfer(id(2), ICP - 20_001),
    )
    .unwrap();
    assert_eq!(all, Ok(2), "all but the fee");
}

#[test]
fn an_account_identifier_with_a_wrong_checksum_traps() {
    let mut ledger = funded(ICP);
    let mut to = id(2);
    to.0[0] ^= 1;
    let sent: Result<Transferred, _> = update(&mut ledger, user(1), "transfer", transfer(to, 1));
    assert!(
        sent.unwrap_err()
            .starts_with("Invalid account identifier: ")
    );
}

#[test]
fn tokens_sent_to_the_minting_account_are_burned_without_a_fee() {
    let mut ledger = funded(ICP);
    let minter = IcpLedger::minting_account().wire();
    let burn = |ledger: &mut IcpLedger, e8s| -> IcrcTransferred {
        let args = icrc_transfer(&minter, e8s);
        update(ledger, user(1), "icrc1_transfer", args).unwrap()
    };
    assert_eq!(
        burn(&mut ledger, 9_999),
        Err(IcrcTransferError::BadBurn {
            min_burn_amount: 10_000_u32.into()
        })
    );
    assert!(burn(&mut ledger, ICP).is_ok());
    assert_eq!(balance(&ledger, 1), 0);
    let supply: Nat = query(&ledger, "icrc1_total_supply", ());
    assert_eq!(supply, Nat::from(0_u8));
}

#[test]
fn a_spender_takes_what_was_allowed() {
    let mut ledger = funded(ICP);
    let approve = ApproveArgs {
        from_subaccount: None,
        spender: wire(2),
        amount: (u128::from(u64::MAX) + 5).into(),
        expected_allowance: Some(0_u8.into()),
        expires_at: None,
        fee: Some(10_000_u32.into()),
        memo: None,
        created_at_time: None,
    };
    let approved: Result<Nat, ApproveError> =
        update(&mut ledger, user(1), "icrc2_approve", approve).unwrap();
    assert!(approved.is_ok());
    let take = |ledger: &mut IcpLedger, caller, e8s: u64| -> Result<Nat, TransferFromError> {
        let args = TransferFromArgs {
            spender_subaccount: None,
            from: wire(1),
            to: wire(3),
            amount: e8s.into(),
            fee: None,
            memo: None,
            created_at_time: None,
        };
        update(ledger, user(caller), "icrc2_transfer_from", args).unwrap()
    };
    assert!(take(&mut ledger, 2, 5).is_ok());
    assert_eq!(balance(&ledger, 3), 5);
    assert_eq!(
        take(&mut ledger, 4, 5),
        Err(TransferFromError::InsufficientAllowance {
            allowance: 0_u8.into()
        })
    );
}

#[test]
fn blocks_show_what_happened() {
    let mut ledger = funded(ICP);
    let _: Transferred = update(&mut ledger, user(1), "transfer", transfer(id(2), 50)).unwrap();
    let args = GetBlocksArgs {
        start: 1,
        length: 10,
    };
    let shown: QueryBlocks = query(&ledger, "query_blocks", args);
    assert_eq!((shown.chain_length, shown.first_block_index), (2, 1));
    let [block] = &shown.blocks[..] else {
        panic!("{shown:?}")
    };
    assert!(block.parent_hash.is_some());
    assert_eq!(
        block.transaction,
        Transaction {
            memo: 7,
            icrc1_memo: None,
            operation: Some(Operation::Transfer {
                from: id(1),
                to: id(2),
                amount: Tokens { e8s: 50 },
                fee: Tokens { e8s: 10_000 },
                spender: None,
            }),
            created_at_time: TimeStamp {
                timestamp_nanos: NOW
            },
        }
    );
    for (start, length) in [(2, 1), (u64::MAX, u64::MAX)] {
        let args = GetBlocksArgs { start, length };
        let shown: QueryBlocks = query(&ledger, "query_blocks", args);
        assert_eq!(shown.blocks, []);
    }
}

#[test]
fn there_are_never_more_tokens_than_fit() {
    let mut ledger = funded(u64::MAX);
    let minter = IcpLedger::minting_account().id();
    let more = ledger.pay(payment(minter, id(2), 1), NOW);
    assert_eq!(more, Err(Stop::Refused(Refusal::Full)));
}
