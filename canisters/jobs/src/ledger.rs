//! Calls that move money: a ledger's ICRC-1 and ICRC-2, and the management canister's `deposit_cycles`.
//!
//! It makes one call and says what its answer proves, no more. A ledger's call carries no cycles and waits for a
//! bounded time, so that no ledger can keep the canister from being upgraded; a call with cycles waits until its answer
//! comes, so that they are never lost on the way.

use assay_jobs_core::{Move, Outcome};
use assay_protocol::{Cycles, limits, money::LedgerAccount};
use candid::{CandidType, Nat, Principal};
use ic_cdk::call::{Call, CallErrorExt, CallFailed, RejectCode, Response};
use serde::Deserialize;
use serde_bytes::ByteBuf;

/// The argument of `icrc1_transfer`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
struct TransferArg {
    from_subaccount: Option<ByteBuf>,
    to: LedgerAccount,
    amount: Nat,
    fee: Option<Nat>,
    memo: Option<ByteBuf>,
    created_at_time: Option<u64>,
}

/// The argument of `icrc2_transfer_from`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
struct TransferFromArgs {
    spender_subaccount: Option<ByteBuf>,
    from: LedgerAccount,
    to: LedgerAccount,
    amount: Nat,
    fee: Option<Nat>,
    memo: Option<ByteBuf>,
    created_at_time: Option<u64>,
}

/// The argument of `deposit_cycles`.
#[derive(Clone, Copy, Debug, CandidType)]
struct DepositCyclesArgs {
    canister_id: Principal,
}

/// Why a ledger moved nothing; the refusals of both methods.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
enum Refusal {
    BadFee { expected_fee: Nat },
    BadBurn { min_burn_amount: Nat },
    InsufficientFunds { balance: Nat },
    InsufficientAllowance { allowance: Nat },
    TooOld,
    CreatedInFuture { ledger_time: u64 },
    TemporarilyUnavailable,
    Duplicate { duplicate_of: Nat },
    GenericError { error_code: Nat, message: String },
}

/// Makes a call and waits for what its answer proves.
pub(crate) async fn make(call: &Move) -> Outcome {
    match call {
        Move::Collect {
            ledger,
            from,
            to,
            amount,
            memo,
            created_at,
        } => {
            let arg = TransferFromArgs {
                spender_subaccount: None,
                from: from.clone(),
                to: to.clone(),
                amount: amount.0.into(),
                fee: None,
                memo: Some(ByteBuf::from(*memo)),
                created_at_time: Some(created_at.0),
            };
            ask(*ledger, "icrc2_transfer_from", arg).await
        }
        Move::Send {
            ledger,
            to,
            amount,
            fee,
            memo,
            created_at,
        } => {
            let arg = TransferArg {
                from_subaccount: None,
                to: to.clone(),
                amount: amount.0.into(),
                fee: Some(fee.0.into()),
                memo: Some(ByteBuf::from(*memo)),
                created_at_time: Some(created_at.0),
            };
            ask(*ledger, "icrc1_transfer", arg).await
        }
        Move::Attach { canister, amount } => {
            let arg = DepositCyclesArgs {
                canister_id: *canister,
            };
            let answer = Call::unbounded_wait(Principal::management_canister(), "deposit_cycles")
                .with_arg(arg)
                .with_cycles(amount.0)
                .await;
            match answer {
                Ok(_) => Outcome::Done { block: None },
                Err(error) => given_back(&error),
            }
        }
    }
}

/// What the ledger takes for a transfer.
pub(crate) async fn fee(ledger: Principal) -> Option<Cycles> {
    let answer = Call::bounded_wait(ledger, "icrc1_fee")
        .change_timeout(limits::LEDGER_WAIT_SECONDS)
        .await
        .ok()?;
    cycles(&answer.candid().ok()?)
}

async fn ask(ledger: Principal, method: &str, arg: impl CandidType) -> Outcome {
    let answer = Call::bounded_wait(ledger, method)
        .with_arg(arg)
        .change_timeout(limits::LEDGER_WAIT_SECONDS)
        .await;
    match answer {
        Ok(answer) => read(&answer),
        Err(error) => unanswered(&error),
    }
}

/// What a ledger's answer says. One that cannot be read leaves everything open.
fn read(answer: &Response) -> Outcome {
    match answer.candid::<Result<Nat, Refusal>>() {
        Ok(Ok(block)) => Outcome::Done {
            block: number(&block),
        },
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

fn refused(refusal: &Refusal) -> Outcome {
    let why = match refusal {
        Refusal::Duplicate { duplicate_of } => {
            return Outcome::Duplicate {
                block: number(duplicate_of),
            };
        }
        Refusal::BadFee { expected_fee } => {
            return match cycles(expected_fee) {
                Some(expected) => Outcome::BadFee { expected },
                None => Outcome::Refused(format!("the ledger takes a fee of {expected_fee}")),
            };
        }
        Refusal::BadBurn { min_burn_amount } => {
            format!("the ledger burns no less than {min_burn_amount} cycles; name another account")
        }
        Refusal::InsufficientFunds { balance } => {
            format!("the account on the ledger holds {balance} cycles, too few for amount and fee")
        }
        Refusal::InsufficientAllowance { allowance } => format!(
            "the market may take {allowance} cycles from the account, too few for amount and fee; call icrc2_approve"
        ),
        Refusal::TooOld => "the ledger finds the transfer too old; try again".to_owned(),
        Refusal::CreatedInFuture { ledger_time } => {
            format!("the ledger's clock is at {ledger_time}, behind the market's; try again later")
        }
        Refusal::TemporarilyUnavailable => {
            "the ledger is unavailable for now; try again later".to_owned()
        }
        Refusal::GenericError {
            error_code,
            message,
        } => format!("the ledger refuses: {message} ({error_code})"),
    };
    Outcome::Refused(why)
}

/// What it means that a ledger gave no answer: nothing happened only where the system says so. A ledger that trapped
/// or rejected may have written something before.
fn unanswered(error: &CallFailed) -> Outcome {
    let why = format!("no answer from the ledger: {error}");
    if error.is_clean_reject() {
        Outcome::Refused(why)
    } else {
        Outcome::Unknown(why)
    }
}

/// What it means that a call with cycles was rejected: they came back, unless nobody knows.
fn given_back(error: &CallFailed) -> Outcome {
    let why = format!("the cycles came back: {error}");
    match error {
        CallFailed::CallRejected(rejected)
            if matches!(rejected.reject_code(), Ok(RejectCode::SysUnknown) | Err(_)) =>
        {
            Outcome::Unknown(error.to_string())
        }
        _ => Outcome::Refused(why),
    }
}

fn number(nat: &Nat) -> Option<u64> {
    nat.0.clone().try_into().ok()
}

fn cycles(nat: &Nat) -> Option<Cycles> {
    nat.0.clone().try_into().ok().map(Cycles)
}

#[cfg(test)]
mod tests {
    use candid::{decode_one, encode_one};
    use ic_cdk::call::{CallPerformFailed, CallRejected, InsufficientLiquidCycleBalance};

    use super::*;

    fn rejected(code: RejectCode) -> CallFailed {
        CallRejected::with_rejection(code as u32, "no".to_owned()).into()
    }

    #[test]
    fn a_ledger_that_gave_no_answer_may_have_moved_something() {
        for code in [
            RejectCode::CanisterReject,
            RejectCode::CanisterError,
            RejectCode::SysUnknown,
        ] {
            let told = unanswered(&rejected(code));
            assert!(matches!(told, Outcome::Unknown(_)), "{code}: {told:?}");
        }
        let none = [
            rejected(RejectCode::SysFatal),
            rejected(RejectCode::SysTransient),
            rejected(RejectCode::DestinationInvalid),
            CallPerformFailed.into(),
            InsufficientLiquidCycleBalance {
                available: 0,
                required: 1,
            }
            .into(),
        ];
        for error in none {
            let told = unanswered(&error);
            assert!(matches!(told, Outcome::Refused(_)), "{error}: {told:?}");
        }
    }

    #[test]
    fn rejected_cycles_come_back_unless_nobody_knows() {
        for code in [
            RejectCode::SysFatal,
            RejectCode::SysTransient,
            RejectCode::DestinationInvalid,
            RejectCode::CanisterReject,
            RejectCode::CanisterError,
        ] {
            let told = given_back(&rejected(code));
            assert!(matches!(told, Outcome::Refused(_)), "{code}: {told:?}");
        }
        let newer = CallFailed::from(CallRejected::with_rejection(99, "no".to_owned()));
        for error in [rejected(RejectCode::SysUnknown), newer] {
            let told = given_back(&error);
            assert!(matches!(told, Outcome::Unknown(_)), "{error}: {told:?}");
        }
    }

    #[test]
    fn a_ledgers_refusals_say_what_they_prove() {
        assert_eq!(
            refused(&Refusal::Duplicate {
                duplicate_of: Nat::from(7u8)
            }),
            Outcome::Duplicate { block: Some(7) }
        );
        let huge = Nat::from(u128::MAX) + Nat::from(1u8);
        assert_eq!(
            refused(&Refusal::Duplicate {
                duplicate_of: huge.clone()
            }),
            Outcome::Duplicate { block: None }
        );
        let told = refused(&Refusal::BadFee {
            expected_fee: Nat::from(5u8),
        });
        let expected = Cycles(5);
        assert_eq!(told, Outcome::BadFee { expected });
        let told = refused(&Refusal::BadFee { expected_fee: huge });
        assert!(matches!(told, Outcome::Refused(_)), "{told:?}");
        let told = refused(&Refusal::TooOld);
        assert!(matches!(told, Outcome::Refused(_)), "{told:?}");
    }

    /// A ledger's refusals have fewer variants in one method than in the other; both must be read.
    #[test]
    fn both_methods_refusals_are_read() {
        #[derive(CandidType)]
        enum TransferError {
            TooOld,
        }
        let answer = encode_one(Err::<Nat, TransferError>(TransferError::TooOld)).unwrap();
        let read: Result<Nat, Refusal> = decode_one(&answer).unwrap();
        assert_eq!(read, Err(Refusal::TooOld));
    }
}
