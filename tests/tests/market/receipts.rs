//! Receipts of everybody, read page by page.

use assay_jobs_core::testing::{Fixture, Market, requester};
use assay_protocol::{
    Cycles, JobId,
    job::JobError,
    lease::Offer,
    receipt::{ReceiptsArgs, ReceiptsPage},
    request::ModelRef,
};
use candid::Principal;

use crate::{authority::submit, worker::CanisterMarket};

#[test]
fn anybody_pages_through_receipts_and_one_witness_proves_each_page() {
    const JOBS: u64 = 7;
    const OPEN: u64 = 3;
    let mut fixture = Fixture::new(2, 1, 1);
    let mut market = CanisterMarket::new(&mut fixture, 250, 1);
    let asker = requester(0);
    market.deposit(asker, Cycles(100_000_000_000));
    for &operator in &fixture.workers {
        let offer = Offer {
            model: fixture.model(0).id,
            ask_input: Cycles(1_000),
            ask_output: Cycles(9_000),
        };
        market.set_offers(operator, &[offer]).unwrap();
    }
    for job in 1..=JOBS {
        let args = submit(ModelRef::Name("tiny".to_owned()), job as u8);
        let (submitted, _) = market.submit(asker, &args, Cycles::ZERO).unwrap();
        if job != OPEN {
            market.cancel(asker, submitted.job).unwrap();
        }
    }
    let nobody = Principal::anonymous();
    let read_all = |market: &mut CanisterMarket, limit| {
        let (mut ids, mut pages, mut from) = (Vec::new(), 0, None);
        loop {
            let args = ReceiptsArgs { from, limit };
            let page: Result<ReceiptsPage, JobError> = market.query(nobody, "receipts", (args,));
            let page = page.unwrap();
            market.chain.check_page(&page).unwrap();
            ids.extend(page.receipts.iter().map(|entry| entry.receipt.job.0));
            pages += 1;
            from = page.next;
            if from.is_none() {
                return (ids, pages);
            }
        }
    };
    let ended: Vec<u64> = (1..=JOBS).filter(|job| *job != OPEN).collect();
    assert_eq!(read_all(&mut market, 2), (ended.clone(), 3));
    assert_eq!(read_all(&mut market, 100), (ended.clone(), 1));

    // What is past the end is proven not to be there.
    let args = ReceiptsArgs {
        from: Some(JobId(JOBS + 1)),
        limit: 1,
    };
    let page: Result<ReceiptsPage, JobError> = market.query(nobody, "receipts", (args,));
    let page = page.unwrap();
    assert!(page.receipts.is_empty() && page.next.is_none());

    market.upgrade();
    assert_eq!(read_all(&mut market, 4), (ended, 2));

    // A certificate comes with queries alone.
    let told: Result<ReceiptsPage, JobError> = market.update(asker, "receipts", (args,));
    assert!(matches!(told, Err(JobError::Other(_))), "{told:?}");
}
