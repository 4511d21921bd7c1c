//! Transfers, followed by the events alone.

use std::collections::BTreeMap;

use assay_protocol::{
    Cycles, Timestamp, TransferId, limits,
    money::{Destination, TransferKind, TransferState},
};

use crate::event::Event;

/// Every transfer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Transfers(BTreeMap<TransferId, Audited>);

#[derive(Clone, Debug)]
struct Audited {
    begun_at: Timestamp,
    to_canister: bool,
    tries: u32,
    state: TransferState,
}

impl Transfers {
    /// Reads an event; gives a name to count it by, if it is about a transfer's fate.
    pub(super) fn read(
        &mut self,
        at: Timestamp,
        event: &Event,
    ) -> Result<Option<&'static str>, String> {
        let name = match event {
            Event::LedgerFeeTold { fee } => {
                ensure!(
                    fee.0 <= limits::LEDGER_FEE_CYCLES_MAX,
                    "no ledger takes so much"
                );
                "ledger fee told"
            }
            Event::TransferBegun {
                transfer,
                account: _,
                kind,
                amount,
                fee,
                next_try,
            } => {
                ensure!(
                    transfer.0 == self.0.len() as u64 + 1,
                    "transfer numbers have a gap"
                );
                ensure!(*next_try > at, "its next try is over");
                let deposit = matches!(kind, TransferKind::Deposit { .. });
                let to = |canister| match kind {
                    TransferKind::Withdrawal { to } => {
                        matches!(to, Destination::Canister(_)) == canister
                    }
                    TransferKind::Deposit { .. } => false,
                };
                ensure!(
                    amount > fee && (to(false) || *fee == Cycles::ZERO),
                    "a fee of {fee} on {amount}"
                );
                self.0.insert(
                    *transfer,
                    Audited {
                        begun_at: at,
                        to_canister: to(true),
                        tries: 1,
                        state: TransferState::Pending,
                    },
                );
                match deposit {
                    true => "deposit begun",
                    false => "withdrawal begun",
                }
            }
            Event::TransferTried { transfer, next_try } => {
                let found = self.open(*transfer)?;
                let window = found.begun_at.plus_seconds(limits::TRANSFER_WINDOW_SECONDS);
                ensure!(
                    found.state == TransferState::Pending && !found.to_canister,
                    "tried again while it may not be"
                );
                ensure!(
                    at < window && *next_try > at && *next_try <= window,
                    "tried outside of its window"
                );
                found.tries += 1;
                "transfer tried again"
            }
            Event::TransferDone { transfer, block } => {
                let found = self.open(*transfer)?;
                let late = found.state == TransferState::Quarantined;
                found.state = TransferState::Done { block: *block };
                match late {
                    true => "transfer done late",
                    false => "transfer done",
                }
            }
            Event::TransferFailed { transfer, why } => {
                let found = self.open(*transfer)?;
                ensure!(
                    found.tries == 1,
                    "a refusal ends what was tried {} times",
                    found.tries
                );
                ensure!(why.len() <= limits::REASON_BYTES_MAX, "a long reason");
                found.state = TransferState::Failed(why.clone());
                "transfer failed"
            }
            Event::TransferQuarantined { transfer } => {
                let found = self.open(*transfer)?;
                ensure!(found.state == TransferState::Pending, "quarantined twice");
                found.state = TransferState::Quarantined;
                "transfer quarantined"
            }
            Event::TransferResolved { transfer, happened } => {
                let found = self.open(*transfer)?;
                ensure!(
                    found.state == TransferState::Quarantined,
                    "resolved without need"
                );
                let settled = found
                    .begun_at
                    .plus_seconds(limits::TRANSFER_SETTLED_SECONDS);
                ensure!(
                    *happened || at > settled,
                    "given back while it could still happen"
                );
                found.state = match happened {
                    true => TransferState::Done { block: None },
                    false => TransferState::Failed(String::new()),
                };
                "transfer resolved"
            }
            _ => return Ok(None),
        };
        Ok(Some(name))
    }

    fn open(&mut self, id: TransferId) -> Result<&mut Audited, String> {
        let found = self.0.get_mut(&id).ok_or("no such transfer")?;
        ensure!(found.state.is_open(), "transfer {id} has ended");
        Ok(found)
    }
}
