use std::sync::mpsc::sync_channel;

use super::*;

fn actor(pace: Pace) -> Actor {
    let setup = Setup {
        topology: Arc::new(Topology::new(&[1; 32])),
        seed: [1; 32],
        system: SystemPlan::none(),
        module_cache: None,
        state: None,
        pace,
        outcalls: OutcallPolicy::None,
    };
    let outcaller = Outcaller::new(setup.outcalls, WeakHandle::default());
    let layout = Arc::new(Layout::new(setup.topology.clone()));
    Actor::new(setup, Arc::default(), layout, outcaller).unwrap()
}

#[test]
fn a_full_queue_is_busy_and_a_gone_thread_has_stopped() {
    let (requests, receiver) = sync_channel(1);
    let handle = Handle {
        requests: Arc::new(requests),
        stop: Arc::new(AtomicBool::new(false)),
        clock: Arc::default(),
        layout: Arc::new(Layout::new(Arc::new(Topology::new(&[1; 32])))),
    };
    handle.stop();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let query = || {
        let query = Query {
            sender: Principal::anonymous(),
            canister: Principal::management_canister(),
            method: "m".to_owned(),
            arg: Vec::new(),
            info: None,
        };
        runtime.block_on(handle.query(
            RequestId([0; 32]),
            query,
            Principal::anonymous(),
            RangeForm::Flat,
        ))
    };
    assert_eq!(query(), Err(Unavailable::Busy));
    drop(receiver);
    assert_eq!(query(), Err(Unavailable::Stopped));
}

#[test]
fn the_number_of_those_who_wait_is_limited() {
    let mut actor = actor(Pace::Live(Duration::ZERO));
    let waiting: Vec<_> = (0..WAITING_MAX)
        .map(|_| actor.wait(RequestId([7; 32]), RangeForm::Sharded))
        .collect();
    assert!(waiting.iter().all(Option::is_some));
    assert!(actor.wait(RequestId([8; 32]), RangeForm::Sharded).is_none());
    drop(waiting);
    actor.answer_waiting();
    assert!(actor.wait(RequestId([8; 32]), RangeForm::Sharded).is_some());
}

#[test]
fn nothing_wakes_an_idle_network_but_the_longest_sleep() {
    let mut actor = actor(Pace::Live(Duration::ZERO));
    assert_eq!(actor.until_task(), None);
    assert_eq!(actor.sleep(), SLEEP_MAX);
    actor.more = true;
    assert_eq!(actor.sleep(), Duration::ZERO);
}

#[test]
fn a_network_that_is_not_live_moves_on_request_only() {
    let start = Time(1_620_328_630_000_000_000);
    let mut actor = actor(Pace::OnRequest(start));
    actor.more = true;
    actor.follow_clock();
    assert_eq!(actor.network().time(), start);
    assert_eq!(actor.sleep(), SLEEP_MAX);
    actor.round();
    assert_eq!(actor.network().time(), start.plus_nanos(1));

    actor.set_live(Some(Duration::ZERO));
    assert!(actor.network().time() > start.plus_nanos(1));
    assert_eq!(actor.sleep(), Duration::ZERO);
    actor.set_live(None);
    let stopped = actor.network().time();
    actor.follow_clock();
    assert_eq!(actor.network().time(), stopped);
}

#[test]
fn who_looks_at_a_network_that_stands_still_changes_no_certificate() {
    let root = |looks: bool| {
        let mut actor = actor(Pace::OnRequest(Time(1_620_328_630_000_000_000)));
        for _ in 0..3 {
            actor.round();
            if looks {
                actor.refresh();
            }
        }
        actor.refresh();
        assert_eq!(actor.certification.time(), actor.network.time());
        let subnet = actor.topology.default_subnet().id;
        actor.certification.root_hash(&subnet)
    };
    assert_eq!(root(true), root(false));
}

#[test]
fn a_slowed_network_lets_time_pass_between_rounds() {
    let mut actor = actor(Pace::Live(Duration::from_secs(3600)));
    actor.more = true;
    actor.round();
    actor.more = true;
    assert!(actor.until_round().unwrap() > Duration::from_secs(3000));
}

/// A call that makes a canister.
fn call(number: u8) -> Ingress {
    Ingress {
        id: RequestId([number; 32]),
        sender: Principal::anonymous(),
        canister: Principal::management_canister(),
        effective_canister: Principal::management_canister(),
        method: "provisional_create_canister_with_cycles".to_owned(),
        arg: b"DIDL\x01\x6c\x00\x01\x00".to_vec(),
        expiry: Time(1_620_328_700_000_000_000),
        info: None,
        bytes: 0,
    }
}

#[test]
fn a_call_that_is_answered_already_is_certified_at_once_when_it_is_repeated() {
    let mut actor = actor(Pace::OnRequest(Time(1_620_328_630_000_000_000)));
    let submit = |actor: &mut Actor, number| {
        let (answer, mut answered) = oneshot::channel();
        actor.answer(Request::Submit {
            message: call(number),
            form: Some(RangeForm::Sharded),
            answer,
        });
        answered.try_recv().unwrap().unwrap().unwrap()
    };
    let mut first = submit(&mut actor, 1);
    assert!(first.try_recv().is_err(), "no round has run yet");
    actor.round();
    assert!(first.try_recv().is_ok());

    let mut other = submit(&mut actor, 2);
    let mut repeated = submit(&mut actor, 1);
    assert!(repeated.try_recv().is_ok());
    assert!(other.try_recv().is_err(), "that one waits for its round");
    assert_eq!(actor.waiting_count, 1);
    actor.round();
    assert!(other.try_recv().is_ok());
    assert_eq!(actor.waiting_count, 0);
}
