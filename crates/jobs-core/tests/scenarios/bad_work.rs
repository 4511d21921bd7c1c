//! Workers' calls that must be refused: each with an error that names the thing, at the limit and
//! just past it.

use assay_jobs_core::testing::{
    Market, body_root, canister, honest_body, messages, requester, stranger, worker,
};
use assay_protocol::{
    Cycles, Hash32, LeaseId, ModelId,
    job::Reason,
    lease::{
        Beat, Claim, CommitArgs, Mismatch, Offer, Opening, ProgressArgs, RevealArgs, WorkerError,
        commitment,
    },
    limits,
    registry::{Record, WorkerStatus},
    request::Assurance,
    result::{Finish, Logprob, ResultBody, TokenLogprobs},
    store::Table,
};
use expect_test::{Expect, expect};

use crate::bench::{Bench, request};

/// A market with one running job; the steps are taken first.
fn bench(steps: &str) -> Bench {
    let mut bench = Bench::new(4, 1);
    bench.run(steps);
    bench
}

fn refused<T: std::fmt::Debug>(result: Result<T, WorkerError>, expected: Expect) {
    expected.assert_eq(&result.expect_err("it is refused").to_string());
}

#[test]
fn whoever_is_not_a_worker_can_do_nothing() {
    let mut bench = bench("submit single; go; claim");
    let unknown = WorkerError::UnknownWorker(stranger());
    assert_eq!(bench.market.ready(stranger(), 1), Err(unknown.clone()));
    assert_eq!(
        bench.market.set_offers(stranger(), &[]),
        Err(unknown.clone())
    );
    assert_eq!(bench.market.claim(stranger(), &[]), Err(unknown.clone()));
    assert_eq!(
        bench.market.heartbeat(stranger(), &[LeaseId(1)]),
        Err(unknown.clone())
    );
    assert_eq!(bench.market.work(stranger()), Err(unknown));
    bench.market.check().expect("nothing changed");
}

#[test]
fn a_lease_belongs_to_its_worker() {
    let mut bench = bench("submit checked1; go; claim");
    let (id, owner) = bench.lease("C1");
    let other = bench
        .fixture
        .workers
        .iter()
        .copied()
        .find(|worker| *worker != owner)
        .expect("there are others");
    let foreign = Err(WorkerError::ForeignLease(id));
    let hash = Hash32([1; 32]);
    let market = &mut bench.market;
    assert_eq!(
        market.commit(
            other,
            &CommitArgs {
                lease: id,
                commitment: hash,
                claim: None
            }
        ),
        foreign
    );
    assert_eq!(
        market.reveal(
            other,
            &RevealArgs {
                lease: id,
                nonce: hash,
                opening: Opening::Agrees { root: hash }
            }
        ),
        foreign
    );
    assert_eq!(market.abandon(other, id, ""), foreign);
    assert_eq!(market.transcript(other, id).map(drop), foreign);
    assert_eq!(
        market
            .progress(
                other,
                &ProgressArgs {
                    lease: id,
                    from: 0,
                    tokens: vec![],
                    text: String::new()
                }
            )
            .map(drop),
        foreign
    );
    assert_eq!(market.jobs.follow(other, id, 0).map(drop), foreign);
    let beats = market.heartbeat(other, &[id]).expect("a worker may beat");
    assert_eq!(
        beats,
        [(
            id,
            Beat::Stop(Reason::Other(format!(
                "lease {id} belongs to another worker"
            )))
        )]
    );
    for unknown in [LeaseId(0), LeaseId(99), LeaseId(u64::MAX)] {
        assert_eq!(
            market.abandon(other, unknown, ""),
            Err(WorkerError::UnknownLease(unknown))
        );
        assert_eq!(
            market.jobs.follow(other, unknown, 0).map(drop),
            Err(WorkerError::UnknownLease(unknown))
        );
    }
}

#[test]
fn announcements_have_limits() {
    let mut bench = bench("");
    assert_eq!(bench.market.ready(worker(0), limits::SLOTS_MAX), Ok(()));
    refused(
        bench.market.ready(worker(0), limits::SLOTS_MAX + 1),
        expect!["slots: 65 slots, at most 64 are allowed"],
    );
    let beats = vec![LeaseId(1); limits::HEARTBEAT_LEASES_MAX];
    assert!(bench.market.heartbeat(worker(0), &beats).is_ok());
    refused(
        bench.market.heartbeat(
            worker(0),
            &vec![LeaseId(1); limits::HEARTBEAT_LEASES_MAX + 1],
        ),
        expect!["leases: 65 leases, at most 64 are allowed"],
    );
}

#[test]
fn offers_have_limits() {
    let mut bench = bench("");
    let model = bench.fixture.model(0).id;
    let offer = |ask: u128| Offer {
        model,
        ask_input: Cycles(ask),
        ask_output: Cycles(0),
    };
    assert_eq!(
        bench
            .market
            .set_offers(worker(0), &[offer(limits::ASK_CYCLES_MAX)]),
        Ok(())
    );
    refused(
        bench
            .market
            .set_offers(worker(0), &[offer(limits::ASK_CYCLES_MAX + 1)]),
        expect!["offers: offer 0 asks more than 1000000000000000 cycles per 1,000 tokens"],
    );
    refused(
        bench.market.set_offers(worker(0), &[offer(1), offer(2)]),
        expect![
            "offers: offer 1 names model 3f1736cb3396428474d78914e170c7fe03d6c18ce1b21d1cec1c3625b269cdec a second time"
        ],
    );
    let unknown = Offer {
        model: ModelId(Hash32([1; 32])),
        ..offer(1)
    };
    assert_eq!(
        bench.market.set_offers(worker(0), &[unknown]),
        Err(WorkerError::UnknownModel(unknown.model))
    );
    let many: Vec<Offer> = (0..33)
        .map(|i| Offer {
            model: ModelId(Hash32([i; 32])),
            ..offer(1)
        })
        .collect();
    refused(
        bench.market.set_offers(worker(0), &many),
        expect!["offers: 33 offers, at most 32 are allowed"],
    );
    // Exactly as many pass the count and fail for the models only.
    assert_eq!(
        bench.market.set_offers(worker(0), &many[..32]),
        Err(WorkerError::UnknownModel(many[0].model))
    );
    let entry = bench.market.jobs.store().workers.get(&worker(0));
    let offers = entry.expect("it is known").offers;
    assert_eq!(offers, [offer(limits::ASK_CYCLES_MAX)], "all or none");
}

#[test]
fn progress_has_limits() {
    let mut bench = Bench::new(4, 1);
    let mut request = request(Assurance::Single);
    request.parameters.max_tokens = 600;
    let args = assay_protocol::job::SubmitArgs {
        request,
        price_cap: Cycles(1_000_000),
        deadline_seconds: 3_600,
        idempotency_key: vec![1],
    };
    bench
        .market
        .submit(requester(0), &args, args.price_cap)
        .expect("accepted");
    bench.run("go; claim");
    let (lease, operator) = bench.lease("G");
    let send = |bench: &mut Bench, from: u32, tokens: usize, bytes: usize| {
        bench.market.progress(
            operator,
            &ProgressArgs {
                lease,
                from,
                tokens: vec![1; tokens],
                text: "x".repeat(bytes),
            },
        )
    };
    refused(
        send(&mut bench, 0, limits::PROGRESS_TOKENS_MAX + 1, 1),
        expect!["tokens: 513 tokens, at most 512 are allowed"],
    );
    refused(
        send(&mut bench, 0, 1, limits::PROGRESS_TEXT_BYTES_MAX + 1),
        expect!["text: 16385 bytes, at most 16384 are allowed"],
    );
    refused(
        send(&mut bench, 1, 1, 1),
        expect!["from: 1, but 0 tokens were sent before"],
    );
    assert!(
        send(
            &mut bench,
            0,
            limits::PROGRESS_TOKENS_MAX,
            limits::PROGRESS_TEXT_BYTES_MAX
        )
        .is_ok()
    );
    assert!(
        send(
            &mut bench,
            0,
            limits::PROGRESS_TOKENS_MAX,
            limits::PROGRESS_TEXT_BYTES_MAX
        )
        .is_ok(),
        "the last call may be repeated"
    );
    refused(
        send(&mut bench, 512, 89, 1),
        expect!["tokens: 601 in all, the job allows 600"],
    );
    assert!(send(&mut bench, 512, 88, 0).is_ok());
    // Text alone may follow until the answer's limit.
    for _ in 0..15 {
        assert!(send(&mut bench, 600, 0, limits::PROGRESS_TEXT_BYTES_MAX - 1).is_ok());
        assert!(send(&mut bench, 600, 0, 1).is_ok());
    }
    refused(
        send(&mut bench, 600, 0, 2),
        expect!["text: 262146 bytes in all, at most 262144 are allowed"],
    );
    bench.market.check().expect("in order");
}

#[test]
fn only_a_generator_sends_tokens_and_only_a_checker_reads_them() {
    let mut bench = bench("submit checked1; go; claim");
    let (generator, by) = bench.lease("G");
    let (checker, of) = bench.lease("C1");
    let progress = ProgressArgs {
        lease: checker,
        from: 0,
        tokens: vec![1],
        text: "x".into(),
    };
    refused(
        bench.market.progress(of, &progress),
        expect!["lease: only a generator sends tokens; use heartbeat"],
    );
    refused(
        bench.market.transcript(by, generator),
        expect!["lease: only a checker reads a transcript"],
    );
    refused(
        bench.market.jobs.follow(by, generator, 0),
        expect!["lease 1 is Leased and takes no such step"],
    );
}

#[test]
fn a_lease_must_be_claimed_before_anything_else() {
    let mut bench = bench("submit checked1; go");
    let (lease, operator) = bench.lease("G");
    let claim = Some(Claim {
        output: vec![1],
        finish: Finish::Stop,
    });
    refused(
        bench.market.commit(
            operator,
            &CommitArgs {
                lease,
                commitment: Hash32([1; 32]),
                claim,
            },
        ),
        expect!["lease 1 is Leased and takes no such step"],
    );
    refused(
        bench.market.progress(
            operator,
            &ProgressArgs {
                lease,
                from: 0,
                tokens: vec![1],
                text: String::new(),
            },
        ),
        expect!["lease 1 is Leased and takes no such step"],
    );
}

#[test]
fn reasons_have_a_limit() {
    let mut bench = bench("submit checked1; go; claim");
    let (lease, operator) = bench.lease("G");
    refused(
        bench
            .market
            .abandon(operator, lease, &"x".repeat(limits::REASON_BYTES_MAX + 1)),
        expect!["reason: 257 bytes, at most 256 are allowed"],
    );
    assert_eq!(
        bench
            .market
            .abandon(operator, lease, &"x".repeat(limits::REASON_BYTES_MAX)),
        Ok(())
    );
    refused(
        bench.market.abandon(operator, lease, ""),
        expect!["lease 1 is Abandoned and takes no such step"],
    );
}

#[test]
fn a_commitment_must_fit_its_role() {
    let mut bench = bench("submit checked1; go; claim");
    let (generator, by) = bench.lease("G");
    let (checker, of) = bench.lease("C1");
    let args = |lease, claim| CommitArgs {
        lease,
        commitment: Hash32([1; 32]),
        claim,
    };
    let claim = |tokens: usize, finish| {
        Some(Claim {
            output: vec![1; tokens],
            finish,
        })
    };
    let market = &mut bench.market;
    refused(
        market.commit(
            by,
            &CommitArgs {
                commitment: Hash32::default(),
                ..args(generator, claim(1, Finish::Stop))
            },
        ),
        expect!["commitment: 32 zero bytes are no commitment"],
    );
    refused(
        market.commit(by, &args(generator, None)),
        expect!["claim: a generator commits with its final tokens"],
    );
    refused(
        market.commit(of, &args(checker, claim(1, Finish::Stop))),
        expect!["claim: only a generator commits with its tokens"],
    );
    // The job allows 20 tokens.
    refused(
        market.commit(by, &args(generator, claim(21, Finish::Length))),
        expect!["claim: 21 tokens of at most 20 cannot end with Length"],
    );
    refused(
        market.commit(by, &args(generator, claim(20, Finish::Stop))),
        expect!["claim: 20 tokens of at most 20 cannot end with Stop"],
    );
    refused(
        market.commit(by, &args(generator, claim(19, Finish::Length))),
        expect!["claim: 19 tokens of at most 20 cannot end with Length"],
    );
    assert_eq!(
        market.commit(by, &args(generator, claim(20, Finish::Length))),
        Ok(())
    );
}

#[test]
fn a_reveal_must_fit_its_role_and_the_limits() {
    let mut bench = bench("submit checked1; go; claim; G commits; C1 commits");
    let (generator, by) = bench.lease("G");
    let (checker, of) = bench.lease("C1");
    let nonce = Hash32([1; 32]);
    let body = honest_body(&bench.orders[&generator]);
    let reveal = |lease, opening| RevealArgs {
        lease,
        nonce,
        opening,
    };
    let mut bodies = vec![body.clone(); 5];
    bodies[0].answer = vec![b'x'; limits::ANSWER_BYTES_MAX + 1];
    bodies[1].input_tokens = vec![1; limits::INPUT_TOKENS_MAX + 1];
    bodies[2].output_tokens = vec![1; limits::OUTPUT_TOKENS_MAX as usize + 1];
    let likely = Logprob {
        token: 1,
        micro_nats: 0,
    };
    let with = |top: usize| TokenLogprobs {
        drawn: likely,
        top: vec![likely; top],
    };
    bodies[3].logprobs = Some(vec![with(0); limits::OUTPUT_TOKENS_MAX as usize + 1]);
    bodies[4].logprobs = Some(vec![with(usize::from(limits::LOGPROBS_MAX) + 1)]);
    let market = &mut bench.market;
    let told: Vec<String> = bodies
        .into_iter()
        .map(|body| {
            market
                .reveal(by, &reveal(generator, Opening::Result(body)))
                .expect_err("too large")
                .to_string()
        })
        .collect();
    expect![[r#"
        answer: 262145, at most 262144 are allowed
        input_tokens: 140849, at most 140848 are allowed
        output_tokens: 4097, at most 4096 are allowed
        logprobs: 4097, at most 4096 are allowed
        logprobs: 21, at most 20 are allowed"#]]
    .assert_eq(&told.join("\n"));
    refused(
        market.reveal(by, &reveal(generator, Opening::Agrees { root: nonce })),
        expect!["opening: a generation reveals its result"],
    );
    refused(
        market.reveal(of, &reveal(checker, Opening::Result(body))),
        expect!["opening: a checker reveals that it agrees, or a mismatch"],
    );
    let far = Mismatch {
        position: limits::OUTPUT_TOKENS_MAX + 1,
        trace_root: nonce,
    };
    refused(
        market.reveal(of, &reveal(checker, Opening::Mismatch(far))),
        expect!["position: 4097, at most 4096 are allowed"],
    );
    market.check().expect("nothing changed");
}

#[test]
fn what_breaks_the_protocol_is_found_when_it_is_opened() {
    // Each result opens its commitment and cannot be right.
    type Change = fn(&mut ResultBody);
    let cases: [(&str, Change); 4] = [
        ("too many input tokens", |body| {
            body.input_tokens = vec![1; 1_000]
        }),
        ("not text", |body| body.answer = vec![0xff]),
        ("an end that does not fit", |body| {
            body.finish = if body.finish == Finish::Stop {
                Finish::Length
            } else {
                Finish::Stop
            }
        }),
        ("too many tokens", |body| body.output_tokens = vec![1; 21]),
    ];
    let mut told = String::new();
    for (case, change) in cases {
        let mut bench = bench("submit equality2; go; claim; R2 commits");
        let (lease, operator) = bench.lease("R1");
        let order = bench.orders[&lease].clone();
        let mut body = honest_body(&order);
        change(&mut body);
        let nonce = Hash32([2; 32]);
        let hash = commitment(
            &canister(),
            lease,
            &operator,
            &nonce,
            &body_root(&order, &body),
        );
        bench
            .market
            .commit(
                operator,
                &CommitArgs {
                    lease,
                    commitment: hash,
                    claim: None,
                },
            )
            .expect("a commitment hides it");
        bench
            .market
            .reveal(
                operator,
                &RevealArgs {
                    lease,
                    nonce,
                    opening: Opening::Result(body),
                },
            )
            .expect("it opens");
        bench.run("R2 reveals; go; claim; R3 commits; R3 reveals");
        told += &format!("{case}:\n{}", bench.finish());
    }
    expect![[r#"
        too many input tokens:
        job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 268
          1 Replica Revealed (Malformed("1000 input tokens, the request can have at most 73"))
          1 Replica Revealed (RootsAgree) paid 149
          1 Replica Revealed (RootsAgree) paid 149
        not text:
        job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 268
          1 Replica Revealed (Malformed("the answer is not text"))
          1 Replica Revealed (RootsAgree) paid 149
          1 Replica Revealed (RootsAgree) paid 149
        an end that does not fit:
        job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 268
          1 Replica Revealed (Malformed("14 tokens of at most 20 cannot end with Length"))
          1 Replica Revealed (RootsAgree) paid 149
          1 Replica Revealed (RootsAgree) paid 149
        too many tokens:
        job 1 Settled Verified (RootsAgree): paid 298 kept 21 refunded 268
          1 Replica Revealed (Malformed("21 tokens of at most 20 cannot end with Stop"))
          1 Replica Revealed (RootsAgree) paid 149
          1 Replica Revealed (RootsAgree) paid 149
    "#]]
    .assert_eq(&told);
}

#[test]
fn an_answer_at_its_limit_is_taken() {
    let mut bench = bench("submit single; go; claim");
    let (lease, operator) = bench.lease("G");
    let order = bench.orders[&lease].clone();
    let mut body = honest_body(&order);
    body.answer = vec![b'x'; limits::ANSWER_BYTES_MAX];
    let nonce = Hash32([2; 32]);
    let hash = commitment(
        &canister(),
        lease,
        &operator,
        &nonce,
        &body_root(&order, &body),
    );
    let claim = Some(Claim {
        output: body.output_tokens.clone(),
        finish: body.finish,
    });
    bench
        .market
        .commit(
            operator,
            &CommitArgs {
                lease,
                commitment: hash,
                claim,
            },
        )
        .expect("committed");
    bench
        .market
        .reveal(
            operator,
            &RevealArgs {
                lease,
                nonce,
                opening: Opening::Result(body),
            },
        )
        .expect("opened");
    assert_eq!(bench.market.jobs.stats().unverified, 1);
}

#[test]
fn a_claim_hands_over_only_so_many_bytes_at_once() {
    let mut bench = Bench::new(1, 1);
    let mut record = bench.fixture.worker(worker(0)).clone();
    record.slots = 64;
    bench.market.sync(&Record::Worker(record));
    let mut model = bench.fixture.model(0).clone();
    model.manifest.context_max = limits::CONTEXT_TOKENS_MAX;
    bench.market.sync(&Record::Model(model));
    let mut request = request(Assurance::Single);
    messages(&mut request)[0].content = "y".repeat(limits::REQUEST_BYTES_MAX);
    for i in 0..20 {
        let args = assay_protocol::job::SubmitArgs {
            request: request.clone(),
            price_cap: Cycles(1_000_000),
            deadline_seconds: 3_600,
            idempotency_key: vec![i],
        };
        bench
            .market
            .submit(requester(0), &args, args.price_cap)
            .expect("accepted");
    }
    bench.market.ready(worker(0), 64).expect("ready");
    assert_eq!(bench.market.match_jobs(), 20);
    let mut known = Vec::new();
    let mut counts = Vec::new();
    for _ in 0..3 {
        let orders = bench.market.claim(worker(0), &known).expect("claimed");
        counts.push(orders.len());
        known.extend(orders.iter().map(|order| order.lease));
    }
    assert_eq!(counts, [16, 4, 0]);
    // Naming more than a worker can hold is refused; naming others' leases means nothing.
    let many: Vec<LeaseId> = (1..=limits::HEARTBEAT_LEASES_MAX as u64)
        .map(LeaseId)
        .collect();
    assert_eq!(bench.market.claim(worker(0), &many), Ok(Vec::new()));
    let past = [many, vec![LeaseId(99)]].concat();
    refused(
        bench.market.claim(worker(0), &past),
        expect!["known: 65 leases, at most 64 are allowed"],
    );
}

#[test]
fn one_bad_lease_in_a_heartbeat_stops_no_other_and_answers_keep_their_order() {
    let mut bench = bench("submit checked1; go; claim");
    let ((own, operator), (foreign, _)) = (bench.lease("G"), bench.lease("C1"));
    let unknown = LeaseId(99);
    let until = bench.market.now().plus_seconds(limits::LEASE_SECONDS);
    let told = bench
        .market
        .heartbeat(operator, &[foreign, own, unknown, own]);
    let stop = |why: String| Beat::Stop(Reason::Other(why));
    let expected = vec![
        (
            foreign,
            stop(format!("lease {foreign} belongs to another worker")),
        ),
        (own, Beat::Continue(until)),
        (unknown, stop(format!("no lease {unknown}"))),
        (own, Beat::Continue(until)),
    ];
    assert_eq!(told, Ok(expected));
}

#[test]
fn a_reveal_at_the_limits_is_looked_into() {
    let mut bench = bench("submit checked1; go; claim; G commits; C1 commits");
    let (generator, by) = bench.lease("G");
    let (checker, of) = bench.lease("C1");
    let nonce = Hash32([1; 32]);
    let likely = Logprob {
        token: 1,
        micro_nats: 0,
    };
    let widest = TokenLogprobs {
        drawn: likely,
        top: vec![likely; limits::LOGPROBS_MAX.into()],
    };
    let body = ResultBody {
        input_tokens: vec![1; limits::INPUT_TOKENS_MAX],
        output_tokens: vec![1; limits::OUTPUT_TOKENS_MAX as usize],
        answer: vec![b'x'; limits::ANSWER_BYTES_MAX],
        logprobs: Some(vec![widest; limits::OUTPUT_TOKENS_MAX as usize]),
        ..honest_body(&bench.orders[&generator])
    };
    let last = Mismatch {
        position: limits::OUTPUT_TOKENS_MAX,
        trace_root: nonce,
    };
    for (lease, operator, opening) in [
        (generator, by, Opening::Result(body)),
        (checker, of, Opening::Mismatch(last)),
    ] {
        let args = RevealArgs {
            lease,
            nonce,
            opening,
        };
        let told = bench.market.reveal(operator, &args);
        assert!(
            matches!(told, Err(WorkerError::WrongOpening { lease: of, .. }) if of == lease),
            "{told:?}"
        );
    }
}

#[test]
fn a_worker_that_drains_or_is_retired_offers_and_announces_nothing() {
    for status in [WorkerStatus::Draining, WorkerStatus::Retired] {
        let mut bench = bench("");
        let mut record = bench.fixture.worker(worker(0)).clone();
        record.status = status;
        bench.market.sync(&Record::Worker(record));
        let gone = Err(WorkerError::NotActive(worker(0)));
        assert_eq!(bench.market.ready(worker(0), 1), gone);
        assert_eq!(bench.market.set_offers(worker(0), &[]), gone);
    }
}

#[test]
fn a_generator_sends_at_most_so_many_pieces() {
    let mut bench = bench("submit single; go; claim");
    let (lease, operator) = bench.lease("G");
    let mut send = |i: u32| {
        // The same piece twice would count as one that is repeated.
        let text = if i.is_multiple_of(2) { "a" } else { "b" };
        let args = ProgressArgs {
            lease,
            from: 0,
            tokens: Vec::new(),
            text: text.into(),
        };
        bench.market.progress(operator, &args)
    };
    for i in 0..limits::CHUNKS_MAX {
        assert!(send(i).is_ok());
    }
    refused(
        send(limits::CHUNKS_MAX),
        expect!["text: 8192 pieces were sent, no more are allowed; send larger ones"],
    );
}
