//! A worker's prices, which must stand in each jobs canister as it named them last.

use std::time::Duration;

use assay_protocol::{
    Hash32,
    lease::{Offer, WorkerError, offers_hash},
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Offered;
use crate::client::{Jobs, Outcome};

/// Least pause between two calls that name the same prices; a hint may be older than the last of them.
const PRICES_PAUSE: Duration = Duration::from_secs(30);
/// The same after a refusal.
const PRICES_LATER: Duration = Duration::from_secs(600);

/// What this worker asks, and before when a canister is not told again.
pub(super) struct Prices {
    pub(super) offers: Vec<Offer>,
    hash: Hash32,
    again: Instant,
}

impl Prices {
    pub(super) fn new(models: &[Offered]) -> Self {
        let offers: Vec<Offer> = models.iter().map(|offered| offered.offer).collect();
        Self {
            hash: offers_hash(&offers),
            offers,
            again: Instant::now() + PRICES_PAUSE,
        }
    }

    /// Names them again where others stand: those of an older call that came late, or fewer because somebody took a
    /// place while this worker was silent.
    pub(super) async fn keep(
        &mut self,
        jobs: &Jobs,
        standing: Hash32,
    ) -> Result<(), Outcome<WorkerError>> {
        if standing == self.hash || Instant::now() < self.again {
            return Ok(());
        }
        let mut offers = self.offers.clone();
        loop {
            match jobs.set_offers(&offers).await {
                Ok(()) => break,
                // The others need not wait for a place there.
                Err(Outcome::Refused(WorkerError::TooManyOffers { model, .. }))
                    if offers.iter().any(|offer| offer.model == model) =>
                {
                    offers.retain(|offer| offer.model != model);
                }
                Err(Outcome::Refused(error)) => {
                    self.again = Instant::now() + PRICES_LATER;
                    warn!(jobs = %jobs.id, %error, "other prices of this worker stand there");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let missing = self.offers.len() - offers.len();
        if missing == 0 {
            self.again = Instant::now() + PRICES_PAUSE;
            info!(jobs = %jobs.id, "other prices of this worker stood there; its own stand again");
        } else {
            self.again = Instant::now() + PRICES_LATER;
            warn!(jobs = %jobs.id, missing, "not all prices of this worker stand there: too many others offer those models");
        }
        Ok(())
    }
}
