//! Cycles that leave.

use super::*;
use crate::system::{
    cycles_ledger::types::{
        CreateCanisterArgs, CreateCanisterError, CreateCanisterFromArgs, CreateCanisterFromError,
        CreateCanisterSuccess, RejectionCode, WithdrawArgs, WithdrawError, WithdrawFromArgs,
        WithdrawFromError,
    },
    testing::{application, closed},
};
use ic_management_canister_types::CanisterSettings;

type Withdrawn = Result<Nat, WithdrawError>;
type WithdrawnFrom = Result<Nat, WithdrawFromError>;
type Created = Result<CreateCanisterSuccess, CreateCanisterError>;
type CreatedFrom = Result<CreateCanisterSuccess, CreateCanisterFromError>;

fn withdraw(to: Principal, amount: u128) -> WithdrawArgs {
    WithdrawArgs {
        amount: amount.into(),
        from_subaccount: None,
        to,
        created_at_time: None,
    }
}

fn withdraw_from(to: Principal, amount: u128) -> WithdrawFromArgs {
    WithdrawFromArgs {
        spender_subaccount: None,
        from: wire(1),
        to,
        amount: amount.into(),
        created_at_time: None,
    }
}

fn create(amount: u128, creation_args: Option<CreationArgs>) -> CreateCanisterArgs {
    CreateCanisterArgs {
        from_subaccount: None,
        created_at_time: Some(NOW),
        amount: amount.into(),
        creation_args,
    }
}

fn on(subnet: Principal) -> Option<CreationArgs> {
    Some(CreationArgs {
        settings: None,
        subnet_selection: Some(SubnetSelection::Subnet { subnet }),
    })
}

#[test]
fn a_withdrawal_goes_to_a_canister() {
    let mut bank = Bank::funded(T);
    bank.world.others.insert(canister(5), 3);
    let result: Withdrawn = bank
        .update(user(1), "withdraw", withdraw(canister(5), T - FEE))
        .unwrap();
    assert_eq!(result, Ok(block(1)));
    assert_eq!(bank.world.others[&canister(5)], 3 + T - FEE);
    assert_eq!(bank.balance(&wire(1)), 0);
    assert_eq!(bank.world.own, 0);
}

#[test]
fn a_withdrawal_that_cannot_arrive_comes_back_less_two_fees() {
    let mut bank = Bank::funded(T);
    let result: Withdrawn = bank
        .update(user(1), "withdraw", withdraw(canister(5), T / 2))
        .unwrap();
    assert_eq!(
        result,
        Err(WithdrawError::FailedToWithdraw {
            fee_block: Some(block(2)),
            rejection_code: RejectionCode::DestinationInvalid,
            rejection_reason: format!("Canister {} not found", canister(5)),
        })
    );
    assert_eq!(bank.balance(&wire(1)), T - 2 * FEE);
}

#[test]
fn a_withdrawal_of_no_more_than_the_fee_is_lost_if_it_cannot_arrive() {
    let mut bank = Bank::funded(T);
    let result: Withdrawn = bank
        .update(user(1), "withdraw", withdraw(canister(5), FEE))
        .unwrap();
    let Err(WithdrawError::FailedToWithdraw { fee_block, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(fee_block, None);
    assert_eq!(bank.balance(&wire(1)), T - 2 * FEE);
}

#[test]
fn keys_nothing_and_too_much_are_no_withdrawals() {
    let mut bank = Bank::funded(T);
    let before = bank.clone();
    let result: Withdrawn = bank
        .update(user(1), "withdraw", withdraw(user(2), 1))
        .unwrap();
    let receiver = user(2);
    assert_eq!(result, Err(WithdrawError::InvalidReceiver { receiver }));
    let result: Withdrawn = bank
        .update(user(1), "withdraw", withdraw(canister(5), 0))
        .unwrap();
    assert!(
        matches!(result, Err(WithdrawError::GenericError { .. })),
        "{result:?}"
    );
    let result: Withdrawn = bank
        .update(user(1), "withdraw", withdraw(canister(5), T - FEE + 1))
        .unwrap();
    let balance = T.into();
    assert_eq!(result, Err(WithdrawError::InsufficientFunds { balance }));
    assert_eq!(bank, before);
}

#[test]
fn a_spender_whose_withdrawal_fails_gets_most_of_its_allowance_back() {
    let mut bank = Bank::funded(T);
    let refused: WithdrawnFrom = bank
        .update(
            user(2),
            "withdraw_from",
            withdraw_from(canister(5), 10 * FEE),
        )
        .unwrap();
    assert_eq!(
        refused,
        Err(WithdrawFromError::InsufficientAllowance {
            allowance: 0_u8.into()
        })
    );
    let _: Approved = bank
        .update(user(1), "icrc2_approve", approve(&wire(2), 20 * FEE))
        .unwrap();
    let failed: WithdrawnFrom = bank
        .update(
            user(2),
            "withdraw_from",
            withdraw_from(canister(5), 10 * FEE),
        )
        .unwrap();
    assert_eq!(
        failed,
        Err(WithdrawFromError::FailedToWithdrawFrom {
            withdraw_from_block: Some(block(2)),
            refund_block: Some(block(3)),
            approval_refund_block: Some(block(4)),
            rejection_code: RejectionCode::DestinationInvalid,
            rejection_reason: format!("Canister {} not found", canister(5)),
        })
    );
    let args = AllowanceArgs {
        account: wire(1),
        spender: wire(2),
    };
    let left: WireAllowance = bank.query("icrc2_allowance", args).unwrap();
    assert_eq!(left.allowance, Nat::from(17 * FEE), "9 left, 8 back");
    // An approval, the withdrawal, the refund and the new approval.
    assert_eq!(bank.balance(&wire(1)), T - 4 * FEE);
}

#[test]
fn a_canister_is_created_with_settings_on_the_chosen_subnet() {
    let mut bank = Bank::funded(3 * T);
    let args = CreationArgs {
        settings: Some(CanisterSettings {
            controllers: Some(vec![user(7)]),
            ..CanisterSettings::default()
        }),
        ..on(closed()).unwrap()
    };
    let created: Created = bank
        .update(user(1), "create_canister", create(T, Some(args)))
        .unwrap();
    let success = created.unwrap();
    assert_eq!(success.block_id, block(1));
    let (id, subnet, controllers) = bank.world.created[0].clone();
    assert_eq!(
        (id, subnet, controllers),
        (success.canister_id, closed(), vec![user(7)])
    );
    assert_eq!(bank.balance(&wire(1)), 2 * T - FEE);
    let created: Created = bank
        .update(user(1), "create_canister", create(T / 2, None))
        .unwrap();
    assert!(created.is_ok());
    let (_, subnet, controllers) = bank.world.created[1].clone();
    assert_eq!((subnet, controllers), (application(), vec![user(1)]));
}

#[test]
fn a_repeated_creation_names_the_canister() {
    let mut bank = Bank::funded(3 * T);
    let send = |bank: &mut Bank| -> Created {
        bank.update(user(1), "create_canister", create(T, None))
            .unwrap()
    };
    let id = send(&mut bank).unwrap().canister_id;
    assert_eq!(
        send(&mut bank),
        Err(CreateCanisterError::Duplicate {
            duplicate_of: block(1),
            canister_id: Some(id)
        })
    );
    assert_eq!(bank.world.created.len(), 1);
}

#[test]
fn a_creation_that_fails_comes_back_less_fees_and_the_penalty() {
    let mut bank = Bank::funded(3 * T);
    let nowhere = user(99);
    let created: Created = bank
        .update(user(1), "create_canister", create(T, on(nowhere)))
        .unwrap();
    assert_eq!(
        created,
        Err(CreateCanisterError::FailedToCreate {
            fee_block: Some(block(1)),
            refund_block: Some(block(2)),
            error: format!(
                "Subnet {nowhere} does not exist or {} is not authorized to deploy to that subnet.",
                user(1)
            ),
        })
    );
    assert_eq!(bank.balance(&wire(1)), 3 * T - 3 * FEE);
    let created: Created = bank
        .update(user(1), "create_canister", create(T / 20, None))
        .unwrap();
    let Err(CreateCanisterError::FailedToCreate { error, .. }) = created else {
        panic!("{created:?}")
    };
    assert_eq!(error, "Insufficient cycles attached.");
    assert_eq!(bank.balance(&wire(1)), 3 * T - 5 * FEE, "no penalty");
}

#[test]
fn a_spender_creates_a_canister_that_it_controls() {
    let mut bank = Bank::funded(3 * T);
    let _: Approved = bank
        .update(user(1), "icrc2_approve", approve(&wire(2), T + FEE))
        .unwrap();
    let args = CreateCanisterFromArgs {
        from: wire(1),
        spender_subaccount: None,
        created_at_time: None,
        amount: T.into(),
        creation_args: None,
    };
    let created: CreatedFrom = bank
        .update(user(2), "create_canister_from", args.clone())
        .unwrap();
    assert!(created.is_ok());
    assert_eq!(bank.world.created[0].2, [user(2)]);
    let again: CreatedFrom = bank.update(user(2), "create_canister_from", args).unwrap();
    assert_eq!(
        again,
        Err(CreateCanisterFromError::InsufficientAllowance {
            allowance: 0_u8.into()
        })
    );
}
