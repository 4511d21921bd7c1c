//! Cycles that go from one account of the market to another: the guest of a browser gives what it has to whoever signed in, a team
//! shares one deposit.

use assay_protocol::{
    Cycles, Moment,
    limits::TRANSFER_CYCLES_MIN,
    money::{GiveArgs, Holdings, MoneyError},
};
use candid::Principal;

use crate::{event::Event, market::Jobs, store::Backend};

impl<B: Backend> Jobs<B> {
    /// Moves cycles from the caller's balance into another's: all of them, or at least [`TRANSFER_CYCLES_MIN`]. Gives
    /// what the caller still holds.
    pub fn give(&mut self, at: &Moment, args: &GiveArgs) -> Result<Holdings, MoneyError> {
        let &GiveArgs { to, amount } = args;
        let account = at.caller;
        self.check_funds(account, amount)?;
        let problem = if to == Principal::anonymous() {
            Some("is anonymous: everybody could take what is there")
        } else if to == account {
            Some("is yourself")
        } else {
            self.cannot_hold(to)
        };
        if let Some(problem) = problem {
            return Err(MoneyError::BadDestination {
                to,
                problem: problem.to_owned(),
            });
        }
        let least = Cycles(TRANSFER_CYCLES_MIN);
        if amount < least && amount < self.balance(account) {
            return Err(MoneyError::TooSmall { amount, least });
        }
        self.touch(at.now);
        self.record(
            at.now,
            Event::Given {
                account,
                to,
                amount,
            },
        );
        Ok(self.holdings(account, at.now))
    }

    /// Why this principal could never use a balance, if it could not.
    pub(crate) fn cannot_hold(&self, owner: Principal) -> Option<&'static str> {
        let config = self.config();
        if owner == Principal::management_canister() {
            Some("is the management canister, which keeps nothing for anybody")
        } else if owner == config.canister {
            Some("is this market, which owns no balance in itself")
        } else if config.ledger == Some(owner) {
            Some("is the ledger, which never asks for it back")
        } else {
            None
        }
    }
}
