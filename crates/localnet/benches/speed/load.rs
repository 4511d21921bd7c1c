//! Many senders at once, over the IC HTTP interface of a live network.
//!
//! Requests are signed by ic-agent before the clock starts; connections are kept open, and each sends its next request
//! when the last is answered. The agent would also check every certificate, which takes it longer than the network takes to
//! answer; so answers are looked at here, and counted in the end by the canisters themselves.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use candid::Principal;
use ic_agent::{Agent, identity::BasicIdentity};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    modules::{count, counter},
    report::{Report, Unit, quantile},
    server::Subject,
};

/// Users that send.
const SENDERS: u8 = 32;
/// Canisters where there are many.
const CANISTERS: usize = 100;
/// Bytes of an answer; none here is as long.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One kind of load.
struct Case {
    name: &'static str,
    canisters: usize,
    in_flight: usize,
    requests: usize,
    /// One in this many is an update, the others are queries.
    update_each: usize,
}

const CASES: &[Case] = &[
    Case {
        name: "updates to 1 canister, 1 in flight",
        canisters: 1,
        in_flight: 1,
        requests: 200,
        update_each: 1,
    },
    Case {
        name: "updates to 1 canister, 256 in flight",
        canisters: 1,
        in_flight: 256,
        requests: 5_000,
        update_each: 1,
    },
    Case {
        name: "updates to 100 canisters, 256 in flight",
        canisters: CANISTERS,
        in_flight: 256,
        requests: 5_000,
        update_each: 1,
    },
    Case {
        name: "queries to 1 canister, 64 in flight",
        canisters: 1,
        in_flight: 64,
        requests: 5_000,
        update_each: usize::MAX,
    },
    Case {
        name: "9 queries to 1 update, 1 canister, 64 in flight",
        canisters: 1,
        in_flight: 64,
        requests: 5_000,
        update_each: 10,
    },
];

/// Measures every kind of load.
pub(crate) fn throughput(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let server = subject.start()?;
    let mut network = server.instance()?;
    let module = counter()?;
    let canisters: Vec<Principal> = (0..CANISTERS)
        .map(|_| {
            let id = network.create_canister();
            network.install_canister(id, module.clone(), Vec::new(), None);
            id
        })
        .collect();
    let url = network.make_live(None);
    let port = url.port().context("the gateway's address has no port")?;
    let senders = senders(url.as_str())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut expected = 0;
    let mut rows = report.rows(
        subject,
        "many senders, over the IC HTTP interface (v4 calls, v3 queries)",
    );
    for case in CASES {
        let (mut rates, mut slow) = (Vec::new(), Vec::new());
        for run in 0..=rows.runs().len() {
            let requests = case.sign(&senders, &canisters[..case.canisters], port)?;
            expected += case.updates() as u64;
            let (seconds, each) = runtime.block_on(send(
                ([127, 0, 0, 1], port).into(),
                requests,
                case.in_flight,
            ))?;
            if run > 0 {
                rates.push(case.requests as f64 / seconds);
                slow.push(quantile(&each, 0.99) * 1e3);
            }
        }
        rows.put(case.name, Unit::PerSecond, rates);
        rows.put("  99 of 100 take at most", Unit::Milliseconds, slow);
    }
    let mut found = 0;
    for id in canisters {
        let reply = network
            .query_call(id, Principal::anonymous(), "get", Vec::new())
            .map_err(|reject| anyhow!("a query is refused: {reject}"))?;
        found += count(&reply)?;
    }
    ensure!(
        found == expected,
        "the counters say {found}, not {expected}"
    );
    Ok(())
}

fn senders(url: &str) -> anyhow::Result<Vec<Agent>> {
    (1..=SENDERS)
        .map(|number| {
            let agent = Agent::builder()
                .with_url(url)
                .with_identity(BasicIdentity::from_raw_key(&[number; 32]))
                .build();
            agent.context("cannot make an agent")
        })
        .collect()
}

impl Case {
    fn updates(&self) -> usize {
        self.requests.div_ceil(self.update_each)
    }

    /// The requests, as they go over the wire.
    fn sign(
        &self,
        senders: &[Agent],
        canisters: &[Principal],
        port: u16,
    ) -> anyhow::Result<Vec<Vec<u8>>> {
        (0..self.requests)
            .zip(senders.iter().cycle())
            .zip(canisters.iter().cycle())
            .map(|((number, sender), canister)| {
                let (endpoint, body) = if number % self.update_each == 0 {
                    let call = sender.update(canister, "inc").sign()?;
                    ("v4", call.signed_update)
                } else {
                    ("v3", sender.query(canister, "get").sign()?.signed_query)
                };
                let kind = if endpoint == "v4" { "call" } else { "query" };
                let mut request = format!(
                    "POST /api/{endpoint}/canister/{canister}/{kind} HTTP/1.1\r\nHost: localhost:{port}\r\n\
                     Content-Type: application/cbor\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                )
                .into_bytes();
                request.extend(body);
                Ok(request)
            })
            .collect()
    }
}

/// Sends everything; gives the seconds that it took, and the seconds of each request.
async fn send(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    in_flight: usize,
) -> anyhow::Result<(f64, Vec<f64>)> {
    let mut connections = Vec::new();
    for _ in 0..in_flight {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        connections.push(Connection {
            stream,
            buffer: Vec::new(),
        });
    }
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let mut sending = JoinSet::new();
    let begun = Instant::now();
    for mut connection in connections {
        let (requests, next) = (requests.clone(), next.clone());
        sending.spawn(async move {
            let mut each = Vec::new();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let begun = Instant::now();
                connection.ask(request).await?;
                each.push(begun.elapsed().as_secs_f64());
            }
            anyhow::Ok(each)
        });
    }
    let mut each = Vec::new();
    while let Some(one) = sending.join_next().await {
        each.extend(one.context("BUG: a sender panicked")??);
    }
    Ok((begun.elapsed().as_secs_f64(), each))
}

/// A connection that is kept open.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends a request and reads the answer, which must say that the canister replied.
    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let body = loop {
            self.more().await?;
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..body]).to_ascii_lowercase();
        ensure!(
            head.starts_with("http/1.1 200 "),
            "not answered at once: {head}"
        );
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
            .context("the answer does not say its length")?;
        while self.buffer.len() < body + length {
            self.more().await?;
        }
        ensure!(
            find(&self.buffer[body..], b"replied").is_some(),
            "the canister did not reply"
        );
        Ok(())
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        ensure!(
            self.buffer.len() < ANSWER_BYTES_MAX,
            "the answer is too long"
        );
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}
