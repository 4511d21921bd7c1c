//! What the model really says to each job, what rings of liars say instead, and what has leaked to those who copy.

use std::collections::BTreeMap;

use assay_jobs_core::testing::{body_root, honest_body, opening_by};
use assay_protocol::{
    Hash32, Hasher, JobId, LeaseId,
    lease::{Claim, Mismatch, Opening, Order, RevealArgs},
    request::{Parameters, Task},
    result::{Finish, Logprob, ResultBody, TokenLogprobs},
};

/// Liars who know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ring {
    /// All colluding providers.
    Colluders,
    /// All workers of one provider.
    Provider(u8),
}

/// The answers to all jobs that somebody has claimed.
#[derive(Debug, Default)]
pub(crate) struct Truths {
    jobs: BTreeMap<JobId, Truth>,
}

#[derive(Debug)]
struct Truth {
    asked: (Hash32, Task, Parameters, u64),
    body: ResultBody,
    root: Hash32,
}

impl Truths {
    /// Notes an order; all orders of a job must ask the same.
    pub(crate) fn note(&mut self, order: &Order) -> Result<(), String> {
        let asked = (
            order.model_root,
            order.task.clone(),
            order.parameters.clone(),
            order.seed,
        );
        if let Some(known) = self.jobs.get(&order.job) {
            return match known.asked == asked {
                true => Ok(()),
                false => Err(format!(
                    "lease {} asks something else than the job's others",
                    order.lease
                )),
            };
        }
        let body = honest_body(order);
        let root = body_root(order, &body);
        self.jobs.insert(order.job, Truth { asked, body, root });
        Ok(())
    }

    /// The true result.
    pub(crate) fn body(&self, order: &Order) -> &ResultBody {
        &self.jobs[&order.job].body
    }

    /// The true root, once somebody has claimed a lease of the job.
    pub(crate) fn root(&self, job: JobId) -> Option<Hash32> {
        self.jobs.get(&job).map(|truth| truth.root)
    }

    /// A ring's result: the same for all its members, and never the true one.
    pub(crate) fn lie(&self, ring: Ring, order: &Order) -> ResultBody {
        let mut body = self.body(order).clone();
        let own = own(ring, order);
        match body.output_tokens.last_mut() {
            Some(last) => *last = last.wrapping_add(1 + u32::from(own.0[0])),
            // There is always room for one token.
            None => {
                body.output_tokens.push(own.0[0].into());
                body.finish = match order.parameters.max_tokens {
                    1 => Finish::Length,
                    _ => Finish::Stop,
                };
                if let (Some(logprobs), Some(count)) =
                    (&mut body.logprobs, order.parameters.logprobs)
                {
                    let logprob = |token| Logprob {
                        token,
                        micro_nats: 0,
                    };
                    logprobs.push(TokenLogprobs {
                        drawn: logprob(own.0[0].into()),
                        top: (0..count.into()).map(logprob).collect(),
                    });
                }
            }
        }
        body.trace_root = own;
        body
    }

    /// What a ring's checker opens: it agrees with its own lie, and rejects everything else in one voice.
    pub(crate) fn conspire(&self, ring: Ring, order: &Order, claim: &Claim) -> Opening {
        let lie = self.lie(ring, order);
        match opening_by(order, &lie, claim) {
            agrees @ Opening::Agrees { .. } => agrees,
            _ => Opening::Mismatch(Mismatch {
                position: 0,
                trace_root: own(ring, order),
            }),
        }
    }

    /// What an honest checker opens.
    pub(crate) fn check(&self, order: &Order, claim: &Claim) -> Opening {
        opening_by(order, self.body(order), claim)
    }
}

fn own(ring: Ring, order: &Order) -> Hash32 {
    let number = match ring {
        Ring::Colluders => u64::MAX,
        Ring::Provider(provider) => provider.into(),
    };
    Hasher::new("simulator-ring")
        .u64(number)
        .u64(order.job.0)
        .finish()
}

/// What those who run the subnet's nodes could read and pass on.
#[derive(Debug, Default)]
pub(crate) struct Leaks {
    pub(crate) commitments: BTreeMap<JobId, (LeaseId, Hash32)>,
    pub(crate) openings: BTreeMap<JobId, RevealArgs>,
}
