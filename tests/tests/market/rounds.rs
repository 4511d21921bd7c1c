//! How many rounds of the network a verified answer takes beyond the work itself, where workers do each step at once.

use assay_jobs_core::testing::{Fixture, Market, requester};
use assay_native::honest_work;
use assay_protocol::{
    Cycles, LeaseId,
    job::{JobState, SubmitError, Submitted, Verdict},
    lease::{Offer, Order, RevealArgs, Role, WorkerError},
    request::ModelRef,
};
use candid::{Principal, encode_args, utils::ArgumentEncoder};
use expect_test::expect;
use pocket_ic::common::rest::RawMessageId;

use crate::{authority::submit, chain::decode, worker::CanisterMarket};

/// More than any step takes.
const ROUNDS_MAX: u32 = 50;

/// Sends an update that runs with the next round.
fn send(
    market: &CanisterMarket,
    sender: Principal,
    method: &str,
    args: impl ArgumentEncoder,
) -> RawMessageId {
    let arg = encode_args(args).unwrap();
    let network = market.chain.network();
    network
        .submit_call(market.chain.jobs, sender, method, arg)
        .unwrap()
}

/// Lets rounds pass until all of these are answered, and gives their number and the answers.
fn answers(market: &CanisterMarket, sent: Vec<RawMessageId>) -> (u32, Vec<Vec<u8>>) {
    let network = market.chain.network();
    for rounds in 1..=ROUNDS_MAX {
        network.tick();
        let told: Option<Vec<_>> = sent
            .iter()
            .map(|id| network.ingress_status(id.clone()))
            .collect();
        if let Some(told) = told {
            return (rounds, told.into_iter().map(Result::unwrap).collect());
        }
    }
    panic!("no answer after {ROUNDS_MAX} rounds")
}

#[test]
fn a_verified_answer_takes_few_rounds_beyond_the_work() {
    let mut fixture = Fixture::new(2, 1, 1);
    let mut market = CanisterMarket::new(&mut fixture, 250, 1);
    let asker = requester(0);
    market.deposit(asker, Cycles(1_000_000_000));
    let offer = Offer {
        model: fixture.model(0).id,
        ask_input: Cycles(1_000),
        ask_output: Cycles(9_000),
    };
    for &operator in &fixture.workers {
        market.set_offers(operator, &[offer]).unwrap();
        market.ready(operator, 1).unwrap();
    }
    market.chain.rest();
    let mut told = String::new();
    let mut step = |name: &str, rounds: u32| told += &format!("{name}: {rounds}\n");

    let args = submit(ModelRef::Name("tiny".to_owned()), 1);
    let sent = send(&market, asker, "submit", (args,));
    let (rounds, answer) = answers(&market, vec![sent]);
    step("submit", rounds);
    let submitted: Result<Submitted, SubmitError> = decode("submit", &answer[0]);
    let job = submitted.unwrap().job;

    let mut rounds = 0;
    while market.job(asker, job).unwrap().state == JobState::Queued {
        market.chain.network().tick();
        rounds += 1;
        assert!(rounds < ROUNDS_MAX);
    }
    step("until matched", rounds);

    let claims = fixture
        .workers
        .iter()
        .map(|worker| send(&market, *worker, "claim", (Vec::<LeaseId>::new(),)))
        .collect();
    let (rounds, claimed) = answers(&market, claims);
    step("claim, both", rounds);
    let mut orders = Vec::new();
    for (operator, answer) in fixture.workers.iter().zip(&claimed) {
        let claimed: Result<Vec<Order>, WorkerError> = decode("claim", answer);
        orders.extend(claimed.unwrap().into_iter().map(|order| (*operator, order)));
    }
    orders.sort_by_key(|(_, order)| order.role != Role::Generator);

    let canister = market.canister();
    let mut reveals: Vec<(Principal, RevealArgs)> = Vec::new();
    for (operator, order) in &orders {
        let mut asked = 0;
        let transcript = |lease| {
            let sent = send(&market, *operator, "transcript", (lease,));
            let (rounds, answer) = answers(&market, vec![sent]);
            asked = rounds;
            let claim: Result<_, WorkerError> = decode("transcript", &answer[0]);
            claim.unwrap()
        };
        let (commit, reveal) = honest_work(canister, *operator, order, transcript);
        if asked > 0 {
            step("transcript", asked);
        }
        let sent = send(&market, *operator, "commit", (commit,));
        let (rounds, answer) = answers(&market, vec![sent]);
        let done: Result<(), WorkerError> = decode("commit", &answer[0]);
        done.unwrap();
        step(&format!("commit of the {:?}", order.role), rounds);
        reveals.push((*operator, reveal));
    }
    let sent = reveals
        .iter()
        .map(|(operator, reveal)| send(&market, *operator, "reveal", (reveal,)))
        .collect();
    let (rounds, _) = answers(&market, sent);
    step("reveal, both", rounds);
    let view = market.job(asker, job).unwrap();
    assert_eq!(
        (view.state, view.verdict),
        (JobState::Settled, Some(Verdict::Verified))
    );
    expect![[r#"
        submit: 1
        until matched: 2
        claim, both: 1
        commit of the Generator: 1
        transcript: 1
        commit of the Checker: 1
        reveal, both: 1
    "#]]
    .assert_eq(&told);
}
