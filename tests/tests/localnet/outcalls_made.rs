//! HTTP requests of canisters on live networks, which are really made, to a server of this machine.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use candid::{Nat, Principal};
use ic_management_canister_types::{
    FlexibleHttpRequestArgs, FlexibleHttpRequestResult, HttpHeader, HttpMethod, HttpRequestArgs,
    HttpRequestResult, ReplicationCounts,
};
use pocket_ic::{PocketIc, common::rest::RawMessageId};

use crate::harness::{begin_managing, managed, networks, probe, read, update};

/// Requests that a network makes at the same time.
const AT_ONCE: usize = 64;

/// How long a request of many takes.
const SLOW: Duration = Duration::from_millis(100);

type Told = Result<HttpRequestResult, (u32, String)>;

/// The world: a server that answers by path, and counts.
#[derive(Clone, Debug)]
struct World {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl World {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let world = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let serving = world.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let world = serving.clone();
                thread::spawn(move || world.serve(stream.unwrap()));
            }
        });
        world
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often a path was asked for.
    fn count(&self, path: &str) -> usize {
        let requests = self.seen.requests.lock().unwrap();
        requests.iter().filter(|seen| *seen == path).count()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut first = String::new();
        reader.read_line(&mut first).unwrap();
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut headers = Vec::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            if name == "content-length" {
                length = value.parse().unwrap();
            }
            headers.push(format!("{name}={value}"));
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let number = {
            let mut requests = self.seen.requests.lock().unwrap();
            requests.push(path.to_owned());
            requests.len()
        };
        self.answer(stream, method, path, &headers, &body, number);
    }

    fn answer(
        &self,
        mut stream: TcpStream,
        method: &str,
        path: &str,
        headers: &[String],
        body: &[u8],
        number: usize,
    ) {
        let (status, more, body) = match path {
            "/number" => ("200 OK", format!("date: {number}\r\n"), b"hello".to_vec()),
            "/echo" => {
                let body = String::from_utf8_lossy(body);
                let told = format!("{method} {} {body}", headers.join(","));
                ("200 OK", String::new(), told.into_bytes())
            }
            "/away" => (
                "302 Found",
                format!("location: {}\r\n", self.url("/number")),
                Vec::new(),
            ),
            "/large" => ("200 OK", String::new(), vec![b'x'; 1_000_000]),
            "/hang" => {
                thread::sleep(Duration::from_secs(120));
                return;
            }
            "/slow" => {
                let now = self.seen.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.seen.most.fetch_max(now, Ordering::SeqCst);
                thread::sleep(SLOW);
                self.seen.now.fetch_sub(1, Ordering::SeqCst);
                ("200 OK", String::new(), b"slow".to_vec())
            }
            _ => ("404 Not Found", String::new(), b"no such page".to_vec()),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{more}content-length: {length}\r\n\r\n");
        // Whoever asked may have seen enough.
        let _ = stream.write_all(head.as_bytes());
        if method != "HEAD" {
            let _ = stream.write_all(&body);
        }
    }
}

/// A live network with a canister.
fn live() -> (PocketIc, Principal) {
    let network = networks()
        .with_application_subnet()
        .with_auto_progress()
        .build();
    let id = probe(&network);
    (network, id)
}

fn get(url: String) -> HttpRequestArgs {
    HttpRequestArgs {
        url,
        max_response_bytes: Some(2_000),
        ..Default::default()
    }
}

fn header(name: &str, value: &str) -> HttpHeader {
    HttpHeader {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn begin(network: &PocketIc, id: Principal, asked: &HttpRequestArgs) -> RawMessageId {
    begin_managing(network, id, "http_request", asked)
}

fn end(network: &PocketIc, call: RawMessageId) -> Told {
    managed(&network.await_call_no_ticks(call).unwrap())
}

fn ask(network: &PocketIc, id: Principal, asked: &HttpRequestArgs) -> Told {
    end(network, begin(network, id, asked))
}

fn page(told: Told) -> (Nat, String) {
    let answer = told.unwrap();
    let body = String::from_utf8(answer.body).unwrap();
    (answer.status, body)
}

#[test]
fn one_request_answers_all_nodes_and_goes_through_the_transform() {
    let (network, id) = live();
    let world = World::start();
    let fetched: Result<String, String> =
        update(&network, id, "fetch", (world.url("/number"),)).unwrap();
    assert_eq!(fetched, Ok("200 hello! 0".to_owned()));
    assert_eq!(world.count("/number"), 1);
    let plain = ask(&network, id, &get(world.url("/number"))).unwrap();
    assert_eq!(
        plain,
        HttpRequestResult {
            status: 200u16.into(),
            headers: vec![header("date", "2"), header("content-length", "5")],
            body: b"hello".to_vec(),
        }
    );
    assert!(network.get_canister_http().is_empty());
}

#[test]
fn methods_bodies_and_headers_arrive() {
    let (network, id) = live();
    let world = World::start();
    let post = HttpRequestArgs {
        method: HttpMethod::POST,
        headers: vec![header("X-Key", "value")],
        body: Some(b"what is sent".to_vec()),
        ..get(world.url("/echo"))
    };
    let (status, body) = page(ask(&network, id, &post));
    assert_eq!(status, 200u16);
    assert!(body.starts_with("POST "), "{body}");
    assert!(body.ends_with(" what is sent"), "{body}");
    for header in [
        "x-key=value",
        "user-agent=ic/1.0",
        "content-length=12",
        &format!("host={}", world.address),
    ] {
        assert!(body.contains(header), "{body}");
    }
    let put = HttpRequestArgs {
        method: HttpMethod::PUT,
        is_replicated: Some(false),
        ..post
    };
    assert!(page(ask(&network, id, &put)).1.starts_with("PUT "));
    let head = HttpRequestArgs {
        method: HttpMethod::HEAD,
        ..get(world.url("/large"))
    };
    assert_eq!(
        page(ask(&network, id, &head)),
        (200u16.into(), String::new())
    );
}

#[test]
fn whatever_the_server_says_is_an_answer() {
    let (network, id) = live();
    let world = World::start();
    assert_eq!(
        page(ask(&network, id, &get(world.url("/nowhere")))),
        (404u16.into(), "no such page".to_owned())
    );
    let away = ask(&network, id, &get(world.url("/away"))).unwrap();
    assert_eq!(away.status, 302u16);
    let location = header("location", &world.url("/number"));
    assert!(away.headers.contains(&location));
    assert_eq!(world.count("/number"), 0, "nobody follows");
}

#[test]
fn an_answer_larger_than_the_canister_takes_is_refused() {
    let (network, id) = live();
    let world = World::start();
    assert_eq!(
        ask(&network, id, &get(world.url("/large"))),
        Err((1, "Http body exceeds size limit of 2000 bytes.".to_owned()))
    );
    let tight = HttpRequestArgs {
        max_response_bytes: Some(10),
        ..get(world.url("/large"))
    };
    assert_eq!(
        ask(&network, id, &tight),
        Err((
            1,
            "Header size exceeds specified response size limit 10".to_owned()
        ))
    );
    let roomy = HttpRequestArgs {
        max_response_bytes: None,
        ..get(world.url("/large"))
    };
    assert_eq!(page(ask(&network, id, &roomy)).1.len(), 1_000_000);
}

#[test]
fn what_cannot_be_reached_is_told() {
    let (network, id) = live();
    let gone = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap()
    };
    let (code, text) = ask(&network, id, &get(format!("http://{gone}/"))).unwrap_err();
    assert_eq!(code, 2);
    assert!(
        text.starts_with("Connecting to 127.0.0.1 failed: "),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
    let (code, text) = ask(&network, id, &get("gopher://a/".to_owned())).unwrap_err();
    assert_eq!(
        (code, text.as_str()),
        (
            1,
            "Url need to specify https scheme, or http on this network"
        )
    );
}

#[test]
fn what_is_not_this_machine_is_refused_at_once() {
    let (network, id) = live();
    for url in [
        "http://192.0.2.1/",
        "https://192.0.2.1/",
        "http://[::ffff:192.0.2.1]/",
        "http://[2001:db8::1]/",
    ] {
        let start = Instant::now();
        let (code, text) = ask(&network, id, &get(url.to_owned())).unwrap_err();
        // A packet to an address of documentation would not be answered for longer.
        assert!(start.elapsed() < Duration::from_secs(5), "{url}");
        assert_eq!(code, 1, "{text}");
        assert!(text.starts_with("outcall refused: "), "{text}");
        assert!(text.contains("--allow-outcalls any"), "{text}");
    }
}

#[test]
fn a_server_that_hangs_holds_nobody_up_and_is_given_up() {
    let (network, id) = live();
    let world = World::start();
    let start = Instant::now();
    let hanging = begin(&network, id, &get(world.url("/hang")));
    assert_eq!(
        page(ask(&network, id, &get(world.url("/number")))).1,
        "hello"
    );
    assert_eq!(read(&network, id), 0);
    assert!(
        network.get_canister_http().is_empty(),
        "what is being made needs no answer from here"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    let given_up = end(&network, hanging);
    assert_eq!(
        given_up,
        Err((2, "127.0.0.1 has not answered within 30s".to_owned()))
    );
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(world.count("/hang"), 1);
}

#[test]
fn many_at_once_take_turns() {
    const MANY: usize = 3 * AT_ONCE / 2;
    let (network, id) = live();
    let world = World::start();
    let asked = get(world.url("/slow"));
    let calls: Vec<_> = (0..MANY).map(|_| begin(&network, id, &asked)).collect();
    for call in calls {
        assert_eq!(page(end(&network, call)).1, "slow");
    }
    assert_eq!(world.count("/slow"), MANY, "each was made once");
    let most = world.seen.most.load(Ordering::SeqCst);
    assert!(most <= AT_ONCE, "{most} at once");
}

#[test]
fn a_network_that_stands_still_makes_no_requests() {
    let network = networks().with_application_subnet().build();
    let id = probe(&network);
    let world = World::start();
    let call = begin(&network, id, &get(world.url("/number")));
    for _ in 0..3 {
        network.tick();
    }
    assert_eq!(network.get_canister_http().len(), 1);
    // Live, its clock is the world's, and its time is long up.
    network.auto_progress();
    assert_eq!(
        end(&network, call),
        Err((2, "Canister http request timed out".to_owned()))
    );
    assert_eq!(
        page(ask(&network, id, &get(world.url("/number")))).1,
        "hello"
    );
    assert_eq!(world.count("/number"), 1);
    network.stop_progress();
    begin(&network, id, &get(world.url("/number")));
    for _ in 0..3 {
        network.tick();
    }
    assert_eq!(network.get_canister_http().len(), 1);
    assert_eq!(world.count("/number"), 1);
}

#[test]
fn one_request_answers_all_nodes_of_a_flexible_outcall() {
    let network = networks().with_system_subnet().with_auto_progress().build();
    let id = probe(&network);
    let world = World::start();
    let asked = FlexibleHttpRequestArgs {
        url: world.url("/number"),
        replication: Some(ReplicationCounts {
            total_requests: 4,
            min_responses: 3,
            max_responses: 3,
        }),
        ..Default::default()
    };
    let call = begin_managing(&network, id, "flexible_http_request", &asked);
    let told: Result<FlexibleHttpRequestResult, (u32, String)> =
        managed(&network.await_call_no_ticks(call).unwrap());
    let FlexibleHttpRequestResult::Ok(responses) = told.unwrap() else {
        panic!("no responses");
    };
    assert_eq!(responses.len(), 3);
    assert!(responses.iter().all(|response| response.body == b"hello"));
    assert_eq!(world.count("/number"), 1);
}
