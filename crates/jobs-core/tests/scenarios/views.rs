//! What can be seen, by whom and when.

use assay_jobs_core::{
    event::{Entry, Event},
    record::Live,
    testing::{LogReader, Market, honest_body, model_owner, requester, stranger},
};
use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, ModelId, Timestamp,
    job::{JobError, JobsArgs, StreamArgs},
    lease::{Offer, Opening, ProgressArgs, Role},
    limits,
    price::Rates,
    receipt::{ReceiptLease, ReceiptsArgs},
    registry::Record,
    request::Assurance,
    store::{Log, Table},
};
use candid::Principal;
use expect_test::expect;

use crate::bench::{Bench, request};

fn send(bench: &mut Bench, from: u32, tokens: &[u32], text: &str) {
    let (lease, operator) = bench.lease("G");
    let args = ProgressArgs {
        lease,
        from,
        tokens: tokens.to_vec(),
        text: text.into(),
    };
    bench
        .market
        .progress(operator, &args)
        .expect("progress is taken");
}

fn read(bench: &mut Bench, round: u32, cursor: u64) -> Result<(u32, String, u64), JobError> {
    let args = StreamArgs {
        job: JobId(1),
        round,
        cursor,
    };
    bench
        .market
        .stream(requester(0), &args)
        .map(|chunk| (chunk.round, chunk.text, chunk.cursor))
}

#[test]
fn a_stream_is_read_by_cursor_and_starts_over_with_a_new_round() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1; go; claim");
    assert_eq!(read(&mut bench, 0, 0), Ok((1, String::new(), 0)));
    send(&mut bench, 0, &[1, 2], "hä");
    send(&mut bench, 2, &[3], "llo");
    send(&mut bench, 3, &[], "");
    assert_eq!(read(&mut bench, 0, 0), Ok((1, "hällo".into(), 6)));
    assert_eq!(read(&mut bench, 1, 3), Ok((1, "llo".into(), 6)));
    assert_eq!(read(&mut bench, 1, 6), Ok((1, String::new(), 6)));
    assert!(
        matches!(read(&mut bench, 1, 2), Err(JobError::Invalid { .. })),
        "inside a character"
    );
    assert!(
        matches!(read(&mut bench, 1, 7), Err(JobError::Invalid { .. })),
        "behind the end"
    );
    bench.run("G abandons; go; claim");
    assert_eq!(read(&mut bench, 1, 6), Ok((2, String::new(), 0)));
    send(&mut bench, 0, &[9], "new");
    assert_eq!(read(&mut bench, 1, 6), Ok((2, "new".into(), 3)));
    let foreign = bench.market.stream(
        stranger(),
        &StreamArgs {
            job: JobId(1),
            round: 0,
            cursor: 0,
        },
    );
    assert_eq!(foreign, Err(JobError::NotYours(JobId(1))));
}

#[test]
fn a_long_stream_comes_in_parts() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit single; go; claim");
    for i in 0..10 {
        send(
            &mut bench,
            i,
            &[1],
            &"x".repeat(limits::PROGRESS_TEXT_BYTES_MAX),
        );
    }
    let (mut cursor, mut parts) = (0, Vec::new());
    loop {
        let (_, text, next) = read(&mut bench, 1, cursor).expect("the requester may read");
        if text.is_empty() {
            break;
        }
        parts.push(text.len() / 1_024);
        cursor = next;
    }
    assert_eq!(parts, [64, 64, 32]);
}

#[test]
fn checkers_follow_the_tokens_of_their_round_only() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1; go; claim");
    send(&mut bench, 0, &[1, 2, 3], "");
    send(&mut bench, 3, &[4], "");
    let (checker, operator) = bench.lease("C1");
    let follow = |bench: &Bench, from| {
        bench
            .market
            .jobs
            .follow(operator, checker, from)
            .expect("a checker may follow")
    };
    assert_eq!(follow(&bench, 0).tokens, [1, 2, 3, 4]);
    assert_eq!(follow(&bench, 2).tokens, [3, 4]);
    assert_eq!(follow(&bench, 4).tokens, [0u32; 0]);
    assert_eq!(follow(&bench, u32::MAX).tokens, [0u32; 0]);
    assert!(!follow(&bench, 0).complete);
    bench.run("G commits");
    let truth = honest_body(&bench.orders[&bench.lease("G").0]).output_tokens;
    assert_eq!(
        (follow(&bench, 1).tokens, follow(&bench, 1).complete),
        (truth[1..].to_vec(), true)
    );
}

#[test]
fn replicas_show_nothing_before_the_verdict() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit equality2; go; claim");
    let (lease, operator) = bench.lease("R1");
    let args = ProgressArgs {
        lease,
        from: 0,
        tokens: vec![1],
        text: "x".into(),
    };
    assert!(bench.market.progress(operator, &args).is_err());
    assert_eq!(read(&mut bench, 0, 0), Ok((1, String::new(), 0)));
}

#[test]
fn neither_log_nor_views_give_a_root_or_a_nonce_away_before_the_verdict() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1; go; claim; G commits; C1 commits tokens; G reveals; C1 reveals; go; claim; C2 commits");
    let mut secrets: Vec<[u8; 32]> = Vec::new();
    for (lease, reveal) in &bench.reveals {
        secrets.push(reveal.nonce.0);
        if let Opening::Mismatch(mismatch) = &reveal.opening {
            let order = &bench.orders[lease];
            secrets.extend([
                mismatch.trace_root.0,
                mismatch.root(order.job, order.round).0,
            ]);
        }
    }
    let opened: Vec<_> = bench
        .market
        .jobs
        .store()
        .openings
        .range(..)
        .map(|(_, opened)| opened.root.0)
        .collect();
    assert_eq!(opened.len(), 2);
    secrets.extend(opened);
    let shown = |bench: &Bench| {
        let log = &bench.market.jobs.store().log;
        let mut text = String::new();
        for i in 0..log.len() {
            text += &format!("{:?}", log.get(i));
        }
        text += &format!("{:?}", bench.market.jobs.job(requester(0), JobId(1)));
        secrets
            .iter()
            .filter(|secret| text.contains(&Hash32(**secret).to_string()))
            .count()
    };
    assert_eq!(shown(&bench), 0);
    // With the verdict the roots are public, and the nonces still nobody's business.
    bench.run("C2 reveals; go; claim; C3 commits; C3 reveals");
    assert_eq!(bench.market.jobs.stats().verified, 1);
    assert_eq!(shown(&bench), 3);
}

#[test]
fn the_log_gives_no_prompt_and_no_answer_away() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1; go; claim; G commits; C1 commits; G reveals; C1 reveals");
    let truth = honest_body(&bench.orders[&bench.lease("G").0]);
    let answer = String::from_utf8(truth.answer).expect("text");
    let unsalted = request(Assurance::Checked { checkers: 1 })
        .salted_hash(&Hash32::default())
        .to_string();
    let log = &bench.market.jobs.store().log;
    for i in 0..log.len() {
        let entry = format!("{:?}", log.get(i));
        assert!(
            !entry.contains("what is the time")
                && !entry.contains(&answer)
                && !entry.contains(&unsalted),
            "{entry}"
        );
    }
}

#[test]
fn the_answer_is_the_requesters_and_the_receipt_is_everybodys() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1; go; claim; G commits; C1 commits; G reveals; C1 reveals");
    let truth = honest_body(&bench.orders[&bench.lease("G").0]);
    let own = bench
        .market
        .job(requester(0), JobId(1))
        .expect("the job is there");
    let other = bench
        .market
        .job(stranger(), JobId(1))
        .expect("the job is there");
    let answer = own.answer.expect("the requester reads the answer");
    assert_eq!(
        (answer.text.into_bytes(), answer.output_tokens),
        (truth.answer.clone(), truth.output_tokens.clone())
    );
    assert!(other.answer.is_none());
    let receipt = bench.market.receipt(JobId(1)).expect("it has ended");
    assert_eq!(
        bench.market.jobs.receipt_hashes(JobId(0), 10),
        [(JobId(1), receipt.hash())]
    );
    assert_eq!(
        bench.market.jobs.take_receipts(),
        [(JobId(1), receipt.hash())]
    );
    assert!(bench.market.jobs.take_receipts().is_empty());
    let result = receipt.result.expect("it has a result");
    assert_eq!(
        (result.answer_sha256, result.trace_root, result.usage),
        (
            Hash32::sha256(&truth.answer),
            truth.trace_root,
            truth.usage()
        )
    );
    // With the salt, anybody can check what was asked.
    let asked = bench
        .market
        .jobs
        .request_for(requester(0), JobId(1))
        .expect("the requester may have it");
    assert_eq!(asked.request.salted_hash(&asked.salt), receipt.request_hash);
    assert_eq!(receipt.royalty, bench.market.balance(model_owner()));
    assert_eq!(
        receipt
            .leases
            .iter()
            .map(|lease| lease.paid.0)
            .sum::<u128>()
            + receipt.fee.0
            + receipt.royalty.0
            + receipt.refund.0,
        receipt.escrow.0
    );
}

#[test]
fn jobs_are_listed_newest_first_in_pages() {
    let mut bench = Bench::new(4, 1);
    for i in 0..110 {
        bench.run(&format!("submit single from={}", i % 5));
    }
    let page = |from: Option<u8>, before, limit| {
        let args = JobsArgs {
            requester: from.map(requester),
            before,
            limit,
        };
        bench
            .market
            .jobs
            .jobs(&args)
            .into_iter()
            .map(|line| line.id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, None, 3), [110, 109, 108]);
    assert_eq!(page(None, Some(JobId(3)), 5), [2, 1]);
    assert_eq!(page(Some(1), None, 3), [107, 102, 97]);
    assert_eq!(page(Some(1), Some(JobId(97)), 2), [92, 87]);
    assert_eq!(page(Some(1), Some(JobId(2)), 2), [0u64; 0]);
    assert_eq!(page(Some(9), None, 2), [0u64; 0]);
    // 0 counts as 1, too many as the limit.
    assert_eq!(
        (page(None, None, 0).len(), page(None, None, u32::MAX).len()),
        (1, 100)
    );
    assert_eq!(page(None, Some(JobId(0)), 2), [0u64; 0]);
    assert_eq!(page(Some(0), Some(JobId(u64::MAX)), 1), [106]);
}

#[test]
fn numbers_for_everyone_add_up() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit single; submit checked1; cancel 1; go; claim; G commits; C1 commits; G reveals; C1 reveals; submit single");
    let stats = bench.market.jobs.stats();
    assert_eq!(
        (stats.queued, stats.cancelled, stats.verified, stats.leases),
        (1, 1, 1, 2)
    );
    assert_eq!((stats.models, stats.providers, stats.workers), (2, 4, 4));
    assert_eq!(
        stats.deposited.0,
        stats.free.0 + stats.held.0 + stats.treasury.0
    );
    let earned: u128 = (0..4)
        .map(|i| {
            bench
                .market
                .jobs
                .earnings(assay_jobs_core::testing::payout(i))
                .paid
                .0
        })
        .sum();
    let paid = bench
        .market
        .job(requester(0), JobId(2))
        .expect("the job is there")
        .paid;
    assert_eq!((Cycles(earned), paid), (Cycles(172), Cycles(172)));
    expect!["4"].assert_eq(&bench.market.jobs.stats().providers.to_string());
}

#[test]
fn receipts_of_ended_jobs_are_read_page_by_page_in_the_order_of_jobs() {
    // One more than a page holds, and one that is still open in the middle of them.
    const OPEN: u64 = 50;
    let last = u64::from(limits::PAGE_MAX) + 2;
    let mut bench = Bench::new(4, 1);
    for job in 1..=last {
        bench.run("submit checked1");
        if job != OPEN {
            bench.run("cancel");
        }
    }
    let read = |bench: &Bench, from: Option<u64>, limit| {
        let args = ReceiptsArgs {
            from: from.map(JobId),
            limit,
        };
        let (page, next) = bench.market.jobs.receipts(&args);
        for entry in &page {
            assert_eq!(entry.hash, entry.receipt.hash());
        }
        let ids: Vec<u64> = page.iter().map(|entry| entry.receipt.job.0).collect();
        (ids, next.map(|next| next.0))
    };
    let all: Vec<u64> = (1..=last).filter(|job| *job != OPEN).collect();
    let max = limits::PAGE_MAX as usize;
    assert_eq!(
        read(&bench, None, limits::PAGE_MAX + 1),
        (all[..max].to_vec(), Some(last))
    );
    assert_eq!(read(&bench, Some(last), 7), (vec![last], None));
    assert_eq!(read(&bench, Some(last + 1), 7), (vec![], None));
    assert_eq!(read(&bench, Some(0), 0), (vec![1], Some(2)));
    assert_eq!(read(&bench, Some(49), 1), (vec![49], Some(51)));
    // It has its place once it has ended.
    bench.run(&format!("cancel {OPEN}"));
    assert_eq!(read(&bench, Some(49), 2), (vec![49, OPEN], Some(51)));
}

#[test]
fn a_page_of_the_longest_receipts_fits_into_a_reply() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1; go; claim; G commits; C1 commits; G reveals; C1 reveals");
    let args = ReceiptsArgs {
        from: None,
        limit: 1,
    };
    let (mut page, _) = bench.market.jobs.receipts(&args);
    let longest = &mut page[0].receipt;
    let lease = ReceiptLease {
        worker: Principal::from_slice(&[1; 29]),
        provider: Principal::from_slice(&[2; 29]),
        root: Some(Hash32([3; 32])),
        paid: Cycles(u128::MAX),
        forfeited: Cycles(u128::MAX),
        bonus: Cycles(u128::MAX),
        ..longest.leases[0]
    };
    longest.leases = vec![lease; limits::LEASES_PER_JOB_MAX as usize];
    let page = vec![page[0].clone(); limits::PAGE_MAX as usize];
    let bytes = candid::encode_one(page).expect("it is plain data").len();
    assert!(bytes <= limits::PAGE_BYTES_MAX, "{bytes}");
}

#[test]
fn what_was_asked_and_answered_is_kept_for_thirty_days_and_the_receipt_for_ever() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1 tokens=500; go; claim");
    for i in 0..2 * limits::CHUNKS_DROPPED_MAX as u32 + 1 {
        send(&mut bench, i, &[i], "a");
    }
    bench.run("live 1; G commits; C1 commits; G reveals; C1 reveals; jobs");
    let (asker, job) = (requester(0), JobId(1));
    let view = bench.market.job(asker, job).expect("it is there");
    let receipt = bench.market.receipt(job).expect("it has ended");
    let ended = view.ended_at.expect("it has ended");
    assert_eq!(
        view.kept_until,
        Some(ended.plus_seconds(limits::PAYLOAD_SECONDS))
    );
    bench.market.stall(limits::PAYLOAD_SECONDS);
    bench.run("tick");
    let kept = bench.market.job(asker, job).expect("it is there");
    assert_eq!(kept.answer, view.answer, "to the second");
    bench.run("later 1; tick");
    let pruned = bench.market.job(asker, job).expect("it is there");
    assert!(view.answer.is_some() && pruned.answer.is_none());
    let told = bench.market.jobs.request_for(asker, job);
    assert!(told.is_err(), "{told:?}");
    assert_eq!(bench.market.receipt(job), Ok(receipt));
    let store = bench.market.jobs.store();
    assert!(store.chunks.is_empty() && store.claims.is_empty() && store.openings.is_empty());
    bench.market.check().expect("all is well");
    bench.market.check_replay().expect("the log gives the same");
}

#[test]
fn the_log_is_read_page_by_page_and_rebuilds_the_market() {
    let mut bench = Bench::new(4, 1);
    while bench.market.jobs.log_len() <= 2 * limits::EVENTS_PAGE_MAX as u64 {
        bench.run("submit checked1; cancel");
    }
    let length = bench.market.jobs.log_len();
    let mut log = LogReader::default();
    let mut pages = Vec::new();
    loop {
        let page = bench.market.jobs.events(log.entries());
        assert_eq!(page.length, length);
        if page.entries.is_empty() {
            assert_eq!(page.head, log.head());
            break;
        }
        pages.push(page.entries.len());
        for bytes in &page.entries {
            let entry: Entry = ciborium::from_reader(bytes.as_slice()).unwrap();
            assert_eq!(entry.to_bytes(), **bytes);
            log.read(&entry).unwrap();
        }
    }
    // Full pages, and the rest.
    let max = limits::EVENTS_PAGE_MAX;
    assert_eq!(pages[..2], [max, max]);
    assert_eq!(pages.iter().sum::<usize>() as u64, length);
    assert!(bench.market.jobs.events(length + 1).entries.is_empty());
    let last = bench.market.jobs.events(length - 1).entries;
    assert_eq!(last.len(), 1);

    let state = log.end().unwrap();
    let stats = bench.market.jobs.stats();
    assert_eq!(
        (state.entries, state.stats.cancelled),
        (length, stats.cancelled)
    );
    assert_eq!(
        (state.stats.deposited, state.stats.free, state.stats.held),
        (stats.deposited, stats.free, stats.held)
    );

    // An entry left out, repeated, or changed does not follow, and nothing follows it.
    let entry = |index| bench.market.jobs.log_entry(index).unwrap();
    for wrong in [
        entry(0),
        entry(2),
        Entry {
            previous: Hash32([1; 32]),
            ..entry(1)
        },
    ] {
        let mut log = LogReader::default();
        log.read(&entry(0)).unwrap();
        assert!(log.read(&wrong).is_err());
        assert!(log.read(&entry(1)).is_err());
        assert!(log.end().is_err());
    }
}

#[test]
fn a_chained_log_that_cannot_have_been_is_objected_to() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1; cancel");
    let forged = |event| {
        let mut log = LogReader::default();
        for index in 0..bench.market.jobs.log_len() {
            log.read(&bench.market.jobs.log_entry(index).unwrap())
                .unwrap();
        }
        let entry = Entry {
            index: log.entries(),
            previous: log.head(),
            at: Timestamp(u64::MAX),
            event,
        };
        log.read(&entry).and_then(|()| log.end().map(|_| ()))
    };
    let deposited = |account, amount| Event::Deposited { account, amount };
    assert_eq!(forged(deposited(stranger(), Cycles(5))), Ok(()));
    let worker = bench.fixture.workers[0];
    for wrong in [
        // Money that nobody has, or more than there can be.
        Event::TreasuryFunded {
            account: stranger(),
            amount: Cycles(5),
        },
        deposited(requester(0), Cycles(u128::MAX)),
        // Who or what is not there.
        Event::OffersSet {
            worker: stranger(),
            offers: Vec::new(),
        },
        Event::Claimed {
            lease: LeaseId(99),
            run_deadline: Live(0),
        },
        Event::SeedDrawn {
            job: JobId(99),
            seed: 1,
        },
        Event::Granted {
            lease: LeaseId(99),
            job: JobId(1),
            role: Role::Generator,
            worker,
            provider: worker,
            rates: Rates::default(),
            claim_deadline: Live(0),
            stake: Cycles(1),
            bond: Cycles(2),
        },
    ] {
        let told = forged(wrong.clone());
        assert!(told.is_err(), "{wrong:?}: {told:?}");
    }
}

#[test]
fn a_page_of_the_log_ends_before_its_bytes_are_too_many() {
    let mut bench = Bench::new(4, 1);
    let offers: Vec<Offer> = (0..limits::OFFERS_PER_WORKER_MAX as u64)
        .map(|i| {
            let mut model = bench.fixture.model(0).clone();
            model.id = ModelId(Hash32([i as u8; 32]));
            model.manifest.name = format!("model {i}");
            bench.market.sync(&Record::Model(model.clone()));
            Offer {
                model: model.id,
                ask_input: Cycles(u128::from(i)),
                ask_output: Cycles(limits::ASK_CYCLES_MAX),
            }
        })
        .collect();
    let (worker, from) = (bench.fixture.workers[0], bench.market.jobs.log_len());
    for i in 0..limits::EVENTS_PAGE_MAX {
        // Another order is another event.
        let mut offers = offers.clone();
        offers.rotate_left(i % limits::OFFERS_PER_WORKER_MAX);
        bench.market.set_offers(worker, &offers).unwrap();
    }
    let page = bench.market.jobs.events(from).entries;
    assert!(page.len() < limits::EVENTS_PAGE_MAX, "{}", page.len());
    let next = bench.market.jobs.events(from + page.len() as u64).entries;
    let bytes: usize = page.iter().map(|entry| entry.len()).sum();
    assert!(bytes <= limits::PAGE_BYTES_MAX, "{bytes}");
    assert!(bytes + next[0].len() > limits::PAGE_BYTES_MAX, "{bytes}");
}
