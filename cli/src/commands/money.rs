//! Balance, stake and transfers of the caller.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_protocol::{
    Cycles, Timestamp, TransferId,
    limits::{TRANSFER_CYCLES_MAX, TRANSFER_CYCLES_MIN, TRANSFER_SETTLED_SECONDS},
    money::{
        DepositFromArgs, Destination, GiveArgs, Holdings, LedgerAccount, LedgerView, MoneyError,
        TransferKind, TransferState, TransferView, TransfersArgs, WithdrawArgs,
    },
};
use candid::Principal;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::{
    Failure,
    args::{Money, MoneyCommand},
    exit,
    home::{Home, Running},
    ledger::Ledger,
    show::{out, plain, talk},
};

pub(super) async fn run(args: Money) -> Result<u8, Failure> {
    let Money {
        identity,
        json,
        command,
    } = args;
    let running = Home::find().running_as(identity.as_deref()).await?;
    let (me, jobs) = (running.key.principal, &running.jobs);
    match command {
        MoneyCommand::Holdings { of } => {
            let account = of.unwrap_or(me);
            let holdings = jobs.holdings(Some(account)).await?;
            let ledger = match jobs.ledger().await? {
                Some(view) => {
                    let ledger = Ledger::new(jobs.network(), view.id);
                    Some((view, ledger.balance(&account.into()).await?))
                }
                None => None,
            };
            if json {
                let mut value = holdings_json(account, &holdings);
                value["ledger"] = ledger.map_or(Value::Null, |(view, balance)| {
                    json!({
                        "id": view.id.to_text(),
                        "fee": view.fee.map(|fee| fee.0.to_string()),
                        "balance": balance.0.to_string(),
                    })
                });
                out(format_args!("{value:#}"));
                return Ok(exit::OK);
            }
            show_holdings(account, &holdings);
            match ledger {
                Some((view, balance)) => out(format_args!(
                    "ledger      {balance} cycles in the first account on {}",
                    view.id
                )),
                None => out("ledger      this market has none"),
            }
            Ok(exit::OK)
        }
        MoneyCommand::Deposit { amount, subaccount } => {
            let transfer = deposit(&running, amount, subaccount).await?;
            tell_transfer(&transfer, json)
        }
        MoneyCommand::Withdraw {
            amount,
            to,
            subaccount,
            canister,
        } => {
            let to = match canister {
                Some(canister) => Destination::Canister(canister),
                None => Destination::Ledger(LedgerAccount {
                    owner: to.unwrap_or(me),
                    subaccount,
                }),
            };
            let transfer = jobs.withdraw(&WithdrawArgs { amount, to }).await?;
            tell_transfer(&transfer, json)
        }
        MoneyCommand::Transfers {
            of,
            all,
            open,
            before,
            limit,
        } => {
            let args = TransfersArgs {
                account: (!all).then_some(of.unwrap_or(me)),
                open,
                before: before.map(TransferId),
                limit,
            };
            let transfers = jobs.transfers(&args).await?;
            if json {
                let all: Vec<Value> = transfers.iter().map(transfer_json).collect();
                out(format_args!("{:#}", Value::Array(all)));
            } else if transfers.is_empty() {
                talk("no transfers");
            } else {
                transfers.iter().for_each(show_transfer);
            }
            Ok(exit::OK)
        }
        MoneyCommand::Give { amount, to } => {
            let args = GiveArgs { to, amount };
            tell_holdings(me, &jobs.give(&args).await?, json)
        }
        MoneyCommand::Stake { amount } => tell_holdings(me, &jobs.stake(amount).await?, json),
        MoneyCommand::Unstake { amount } => tell_holdings(me, &jobs.unstake(amount).await?, json),
        MoneyCommand::Release => tell_holdings(me, &jobs.release_stake().await?, json),
        MoneyCommand::FundSponsor { amount } => {
            let pool = jobs.fund_sponsor(amount).await?;
            Ok(tell_fund("sponsor", pool, json))
        }
        MoneyCommand::FundTreasury { amount } => {
            let treasury = jobs.fund_treasury(amount).await?;
            Ok(tell_fund("treasury", treasury, json))
        }
    }
}

/// What one of the market's own funds holds now.
fn tell_fund(name: &str, holds: Cycles, json: bool) -> u8 {
    if json {
        out(format_args!("{:#}", json!({ name: holds.0.to_string() })));
    } else {
        out(format_args!("{name:<11} {holds} cycles"));
    }
    exit::OK
}

/// Lets the market take the amount from the caller's account on the ledger, then asks it to.
async fn deposit(
    running: &Running,
    amount: Cycles,
    subaccount: Option<ByteBuf>,
) -> Result<TransferView, Failure> {
    let jobs = &running.jobs;
    let refused = |error| Err(Failure::Money(error));
    let LedgerView { id, fee } = match jobs.ledger().await? {
        Some(ledger) => ledger,
        None => return refused(MoneyError::LedgerNotSet),
    };
    let Some(fee) = fee else {
        return refused(MoneyError::LedgerFeeUnknown);
    };
    // What the market would refuse must not cost an approval before.
    let least = Cycles(TRANSFER_CYCLES_MIN.max(fee.0 + 1));
    let most = Cycles(TRANSFER_CYCLES_MAX);
    if amount < least {
        return refused(MoneyError::TooSmall { amount, least });
    }
    if amount > most {
        return refused(MoneyError::TooLarge { amount, most });
    }
    // The market may have to ask again for a day.
    let until = now().plus_seconds(TRANSFER_SETTLED_SECONDS);
    let allowance = Cycles(amount.0 + fee.0);
    Ledger::new(jobs.network(), id)
        .approve(subaccount.clone(), jobs.id, allowance, until)
        .await?;
    talk(format_args!(
        "approved {allowance} cycles on the ledger, until {until}"
    ));
    let args = DepositFromArgs {
        amount,
        from_subaccount: subaccount,
    };
    Ok(jobs.deposit_from(&args).await?)
}

fn tell_transfer(transfer: &TransferView, json: bool) -> Result<u8, Failure> {
    if json {
        out(format_args!("{:#}", transfer_json(transfer)));
    } else {
        show_transfer(transfer);
    }
    Failure::of_transfer(transfer).map_or(Ok(exit::OK), Err)
}

fn tell_holdings(account: Principal, holdings: &Holdings, json: bool) -> Result<u8, Failure> {
    if json {
        out(format_args!("{:#}", holdings_json(account, holdings)));
    } else {
        show_holdings(account, holdings);
    }
    Ok(exit::OK)
}

fn show_holdings(account: Principal, holdings: &Holdings) {
    let Holdings {
        free,
        stake,
        locked,
        unbonding,
        unbonding_until,
        sponsored,
    } = holdings;
    out(format_args!("account     {account}"));
    out(format_args!("balance     {free} cycles"));
    out(format_args!(
        "stake       {stake} cycles, {locked} of them behind leases"
    ));
    if let Some(until) = unbonding_until {
        out(format_args!(
            "unbonding   {unbonding} cycles; after {until}: assay money release"
        ));
    }
    if *sponsored > Cycles::ZERO {
        out(format_args!(
            "sponsored   up to {sponsored} cycles today, where your balance lacks them"
        ));
    }
}

fn holdings_json(account: Principal, holdings: &Holdings) -> Value {
    let Holdings {
        free,
        stake,
        locked,
        unbonding,
        unbonding_until,
        sponsored,
    } = holdings;
    json!({
        "account": account.to_text(),
        "balance": free.0.to_string(),
        "stake": stake.0.to_string(),
        "locked": locked.0.to_string(),
        "unbonding": unbonding.0.to_string(),
        "unbonding_until": unbonding_until.map(|until| until.0),
        "sponsored": sponsored.0.to_string(),
    })
}

fn show_transfer(transfer: &TransferView) {
    let TransferView {
        id,
        account: _,
        kind,
        amount,
        fee,
        state,
        tries,
        begun_at,
        ended_at: _,
    } = transfer;
    let way = match kind {
        TransferKind::Deposit { from } => format!("from {}", place(from)),
        TransferKind::Withdrawal {
            to: Destination::Ledger(to),
        } => format!("to {}", place(to)),
        TransferKind::Withdrawal {
            to: Destination::Canister(canister),
        } => format!("to canister {canister}"),
    };
    let fee = match fee {
        Cycles(0) => String::new(),
        fee => format!(" and a fee of {fee}"),
    };
    let stands = match state {
        TransferState::Pending => format!("pending after {tries} tries"),
        TransferState::Done { block: None } => "done".to_owned(),
        TransferState::Done { block: Some(block) } => format!("done in block {block}"),
        TransferState::Failed(why) => format!("failed: {}", plain(why)),
        TransferState::Quarantined => "quarantined: a controller decides".to_owned(),
    };
    out(format_args!(
        "{:<6} {begun_at}  {amount} cycles{fee} {way}: {stands}",
        id.to_string()
    ));
}

fn transfer_json(transfer: &TransferView) -> Value {
    let TransferView {
        id,
        account,
        kind,
        amount,
        fee,
        state,
        tries,
        begun_at,
        ended_at,
    } = transfer;
    let ledger = |account: &LedgerAccount| {
        json!({
            "owner": account.owner.to_text(),
            "subaccount": account.subaccount.as_ref().map(hex::encode),
        })
    };
    let kind = match kind {
        TransferKind::Deposit { from } => json!({ "deposit": { "from": ledger(from) } }),
        TransferKind::Withdrawal {
            to: Destination::Ledger(to),
        } => json!({ "withdrawal": { "to": ledger(to) } }),
        TransferKind::Withdrawal {
            to: Destination::Canister(canister),
        } => json!({ "withdrawal": { "to": { "canister": canister.to_text() } } }),
    };
    let (state, block, why) = match state {
        TransferState::Pending => ("pending", None, None),
        TransferState::Done { block } => ("done", *block, None),
        TransferState::Failed(why) => ("failed", None, Some(why)),
        TransferState::Quarantined => ("quarantined", None, None),
    };
    json!({
        "transfer": id.0,
        "account": account.to_text(),
        "kind": kind,
        "amount": amount.0.to_string(),
        "fee": fee.0.to_string(),
        "state": state,
        "block": block,
        "why": why,
        "tries": tries,
        "begun_at": begun_at.0,
        "ended_at": ended_at.map(|at| at.0),
    })
}

/// An account on the ledger, for people.
fn place(account: &LedgerAccount) -> String {
    match &account.subaccount {
        None => account.owner.to_text(),
        Some(bytes) => format!("{} subaccount {}", account.owner, hex::encode(bytes)),
    }
}

/// This machine's clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.as_ref().map_or(0, Duration::as_nanos);
    Timestamp(u64::try_from(nanos).unwrap_or(u64::MAX))
}
