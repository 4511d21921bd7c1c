//! Questions asked of a market in peace: every assurance must give what it promises.

use assay_jobs_core::testing::{Fixture, Market, random_request, requester};
use assay_protocol::{
    Cycles, JobId,
    job::{SubmitArgs, SubmitError, Verdict},
    request::{Assurance, JobRequest},
};
use fastrand::Rng;

use crate::message::{Call, Reply};

const ASSURANCES: [Assurance; 5] = [
    Assurance::Single,
    Assurance::Checked { checkers: 1 },
    Assurance::Checked { checkers: 2 },
    Assurance::Equality { total: 2 },
    Assurance::Threshold { total: 3, min: 2 },
];

/// One question after the other.
#[derive(Debug)]
pub(crate) struct Probes {
    requests: Vec<JobRequest>,
    asked: Vec<(JobId, Assurance)>,
    call: u64,
    /// Why the next question was not taken, if it was not.
    refusal: Option<SubmitError>,
}

impl Probes {
    /// In which a question must be answered.
    pub(crate) const SECONDS: u32 = 3_600;

    pub(crate) fn new(rng: &mut Rng, fixture: &Fixture) -> Self {
        let ask = |assurance| JobRequest {
            assurance,
            ..random_request(rng, fixture)
        };
        Self {
            requests: ASSURANCES.map(ask).into(),
            asked: Vec::new(),
            call: 0,
            refusal: None,
        }
    }

    /// Whether some question has not been accepted yet.
    pub(crate) fn are_unasked(&self) -> bool {
        !self.requests.is_empty()
    }

    pub(crate) fn waits_for(&mut self, call: u64) {
        self.call = call;
    }

    /// Asks for the price of the next question.
    pub(crate) fn ask(&self) -> Option<Call> {
        let request = self.requests.last()?;
        Some(Call::Quote(Box::new(request.clone())))
    }

    /// What follows from an answer, if it is to a question.
    pub(crate) fn hear(&mut self, call: u64, reply: &Reply) -> Option<Call> {
        if call != self.call {
            return None;
        }
        match reply {
            Reply::Quote(Ok(quote)) => {
                let request = self.requests.last()?.clone();
                let args = SubmitArgs {
                    price_cap: quote.price_max,
                    deadline_seconds: Self::SECONDS,
                    idempotency_key: format!("probe {}", self.requests.len()).into_bytes(),
                    request,
                };
                Some(Call::Submit {
                    attached: Cycles(args.price_cap.0),
                    args: Box::new(args),
                    malformed: None,
                })
            }
            Reply::Submitted(Ok((submitted, _))) => {
                let request = self.requests.pop()?;
                self.asked.push((submitted.job, request.assurance));
                self.ask()
            }
            Reply::Quote(Err(refusal)) | Reply::Submitted(Err(refusal)) => {
                self.refusal = Some(refusal.clone());
                None
            }
            _ => None,
        }
    }

    /// What stands in the way of all being asked.
    pub(crate) fn refusal(&self) -> Option<&SubmitError> {
        self.refusal.as_ref()
    }

    /// Whether all were answered as promised; that a verified answer is true was checked when it came.
    pub(crate) fn check(&self, market: &mut impl Market) -> Result<u64, String> {
        for (job, assurance) in &self.asked {
            let view = market.job(requester(0), *job);
            let view = view.map_err(|error| format!("job {job}: {error:?}"))?;
            let promised = match view.verdict {
                Some(Verdict::Verified) => true,
                // Unless it was audited.
                Some(Verdict::Unverified) => *assurance == Assurance::Single,
                _ => false,
            };
            if !promised {
                return Err(format!(
                    "job {job}, asked in peace for {assurance:?}, ended as {:?} {:?}: {:?}",
                    view.state, view.verdict, view.history
                ));
            }
        }
        Ok(self.asked.len() as u64)
    }
}
