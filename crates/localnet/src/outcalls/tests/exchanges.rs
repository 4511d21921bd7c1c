//! One request at a time, to servers of this machine.

use std::{
    future::pending,
    net::{Ipv4Addr, SocketAddr, TcpListener as Listener},
    sync::Arc,
    time::{Duration, Instant},
};

use assay_localnet_core::{
    network::access::{Outcall, OutcallAnswer, OutcallMethod, Replication},
    types::Time,
};
use candid::Principal;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::{OnceCell, Semaphore},
};
use tokio_rustls::TlsAcceptor;

use super::super::{
    OutcallPolicy, Worker,
    exchange::{Tls, exchange},
    failure::Failure,
    limits,
};
use crate::actor::{WeakHandle, now};

const AUTHORITY: &[u8] = include_bytes!("authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("server.pem");
const KEY: &[u8] = include_bytes!("server.key");

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn get(url: String) -> Outcall {
    Outcall {
        id: 0,
        subnet: Principal::anonymous(),
        canister: Principal::anonymous(),
        method: OutcallMethod::Get,
        url,
        headers: Vec::new(),
        body: Vec::new(),
        max_response_bytes: Some(100),
        replication: Replication::Full,
        until: Time(u64::MAX),
    }
}

fn no_tls() -> OnceCell<Tls> {
    OnceCell::new_with(Some(Err("no authorities here".to_owned())))
}

async fn make(outcall: &Outcall) -> Result<OutcallAnswer, Failure> {
    exchange(outcall, OutcallPolicy::Loopback, &no_tls(), LONG).await
}

/// A server for one connection: gives what it was sent, up to the end of the head and of a body of so many bytes.
async fn server(
    body_bytes: usize,
    answer: Vec<u8>,
) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, body_bytes, &answer).await
    });
    (address, serving)
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    body_bytes: usize,
    answer: &[u8],
) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if text
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| body.len() >= body_bytes)
        {
            // Whoever asked may have seen enough.
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
            return text;
        }
        let read = stream.read_buf(&mut seen).await.unwrap();
        assert_ne!(read, 0, "the request ends early: {text}");
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Result<OutcallAnswer, Failure> {
    Ok(OutcallAnswer::Reply {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.as_bytes().to_vec(),
    })
}

/// What a server says, and what comes of it.
fn answered(said: impl Into<Vec<u8>>) -> Result<OutcallAnswer, Failure> {
    let said = said.into();
    block_on(async {
        let (address, _serving) = server(0, said).await;
        make(&get(format!("http://{address}/"))).await
    })
}

#[test]
fn a_request_is_sent_as_the_canister_gave_it() {
    block_on(async {
        let (address, serving) = server(
            4,
            b"HTTP/1.1 201 Created\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok".to_vec(),
        )
        .await;
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let outcall = Outcall {
            method: OutcallMethod::Post,
            headers: vec![
                header("X-One", "1"),
                header("x-one", "2"),
                header("content-length", "900"),
                header("Transfer-Encoding", "chunked"),
            ],
            body: b"body".to_vec(),
            ..get(format!("http://{address}/path?query=1#fragment"))
        };
        assert_eq!(
            make(&outcall).await,
            reply(201, &[("x-a", "b"), ("content-length", "2")], "ok")
        );
        let seen = serving.await.unwrap();
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        let mut lines: Vec<_> = head.lines().collect();
        lines[1..].sort_unstable();
        assert_eq!(body, "body");
        assert_eq!(
            lines,
            [
                "POST /path?query=1 HTTP/1.1",
                "content-length: 4",
                &format!("host: {address}"),
                "user-agent: ic/1.0",
                "x-one: 1",
                "x-one: 2",
            ]
        );
    });
}

#[test]
fn a_canister_may_name_itself_and_the_host() {
    block_on(async {
        let (address, serving) = server(0, b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let outcall = Outcall {
            headers: vec![header("User-Agent", "me"), header("Host", "other.test")],
            ..get(format!("http://localhost:{}/", address.port()))
        };
        assert_eq!(make(&outcall).await, reply(204, &[], ""));
        let seen = serving.await.unwrap();
        assert!(seen.contains("user-agent: me\r\n"), "{seen}");
        assert!(seen.contains("host: other.test\r\n"), "{seen}");
    });
}

#[test]
fn a_body_is_read_until_it_is_too_large_and_no_further() {
    // 16 bytes of headers leave 84 of the 100.
    let whole = |bytes: usize| {
        answered(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{}",
            "x".repeat(bytes)
        ))
    };
    assert_eq!(
        whole(84),
        reply(200, &[("content-length", "84")], &"x".repeat(84))
    );
    assert_eq!(
        whole(85),
        reply(200, &[("content-length", "85")], &"x".repeat(85)),
        "one byte more than fits says that it is too large"
    );
    let endless = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n{}",
        "x".repeat(2_000)
    );
    assert_eq!(
        answered(endless),
        reply(200, &[("content-length", "9999999")], &"x".repeat(80)),
        "21 bytes of headers leave 79"
    );
    let head = "y".repeat(200);
    assert_eq!(
        answered(format!("HTTP/1.1 200 OK\r\nx: {head}\r\n\r\nbody")),
        reply(200, &[("x", &head)], "b"),
        "headers that leave no room"
    );
}

#[test]
fn pieces_are_put_together() {
    assert_eq!(
        answered(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        ),
        reply(200, &[("transfer-encoding", "chunked")], "abcde")
    );
    assert_eq!(
        answered("HTTP/1.0 200 OK\r\n\r\nuntil the end"),
        reply(200, &[], "until the end")
    );
}

#[test]
fn redirects_are_answers() {
    assert_eq!(
        answered("HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/\r\ncontent-length: 0\r\n\r\n"),
        reply(
            302,
            &[("location", "http://192.0.2.1/"), ("content-length", "0")],
            ""
        )
    );
}

#[test]
fn what_is_no_answer_says_so() {
    let failure = |said: &[u8]| answered(said).unwrap_err().to_string();
    assert_eq!(
        failure(b"nonsense\r\n\r\n"),
        "the exchange with 127.0.0.1 failed: invalid HTTP version parsed"
    );
    assert_eq!(
        failure(b""),
        "the exchange with 127.0.0.1 failed: connection closed before message completed"
    );
    assert_eq!(
        failure(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"),
        "the exchange with 127.0.0.1 failed: error reading a body from connection: end of file before message length reached"
    );
    assert_eq!(
        failure(b"HTTP/1.1 200 OK\r\nx-a: caf\xc3\xa9\r\n\r\n"),
        "Failed to parse headers: x-a holds bytes that are no visible text"
    );
    let most = "a: b\r\n".repeat(limits::HEADERS_READ_MAX);
    assert!(answered(format!("HTTP/1.1 200 OK\r\n{most}\r\n")).is_ok());
    assert_eq!(
        failure(format!("HTTP/1.1 200 OK\r\n{most}a: b\r\n\r\n").as_bytes()),
        "the exchange with 127.0.0.1 failed: message head is too large"
    );
    let long = "b".repeat(4 * limits::BUFFER_BYTES_MAX);
    assert_eq!(
        failure(format!("HTTP/1.1 200 OK\r\na: {long}\r\n\r\n").as_bytes()),
        "the exchange with 127.0.0.1 failed: message head is too large"
    );
}

#[test]
fn headers_that_cannot_be_sent_are_named() {
    for (name, value, reason) in [
        (
            "a b",
            "c",
            "Failed to parse header name invalid HTTP header name",
        ),
        (
            "",
            "c",
            "Failed to parse header name invalid HTTP header name",
        ),
        (
            "a",
            "b\r\nc: d",
            "Failed to parse header value failed to parse header value",
        ),
    ] {
        let outcall = Outcall {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..get("http://127.0.0.1:1/".to_owned())
        };
        let failure = block_on(make(&outcall)).unwrap_err();
        assert_eq!(failure.to_string(), reason);
    }
}

#[test]
fn a_server_that_is_not_there_is_told_by_address() {
    let port = {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let failure = block_on(make(&get(format!("http://127.0.0.1:{port}/")))).unwrap_err();
    assert_eq!(
        failure.to_string(),
        format!(
            "Connecting to 127.0.0.1 failed: 127.0.0.1 port {port}: Connection refused (os error 111)"
        )
    );
}

#[test]
fn what_is_elsewhere_is_refused_before_anything_is_sent() {
    for (url, host, address) in [
        ("http://192.0.2.1/", "192.0.2.1", "192.0.2.1"),
        ("https://[2001:db8::1]/", "2001:db8::1", "2001:db8::1"),
        (
            "http://[::ffff:192.0.2.1]/",
            "::ffff:192.0.2.1",
            "::ffff:192.0.2.1",
        ),
        ("http://0.0.0.0/", "0.0.0.0", "0.0.0.0"),
    ] {
        let start = Instant::now();
        assert_eq!(
            block_on(make(&get(url.to_owned()))),
            Err(Failure::Refused {
                host: host.to_owned(),
                address: address.parse().unwrap()
            })
        );
        assert!(start.elapsed() < limits::CONNECT_TIME_MAX);
    }
}

#[test]
fn a_silent_server_is_given_up() {
    block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let outcall = get(format!("http://{address}/"));
        let time = Duration::from_millis(50);
        let failure = exchange(&outcall, OutcallPolicy::Loopback, &no_tls(), time).await;
        assert_eq!(
            failure.unwrap_err().to_string(),
            "127.0.0.1 has not answered within 50ms"
        );
    });
}

#[test]
fn those_who_get_no_turn_are_told() {
    let worker = Worker {
        policy: OutcallPolicy::Loopback,
        network: WeakHandle::default(),
        tls: no_tls(),
        turns: Semaphore::new(0),
    };
    let margin = u64::try_from(limits::ANSWER_MARGIN.as_nanos()).unwrap();
    let outcall = Outcall {
        until: now().plus_nanos(margin + 50_000_000),
        ..get("http://127.0.0.1:1/".to_owned())
    };
    assert_eq!(
        block_on(worker.make(&outcall)).unwrap_err().to_string(),
        "the outcall had no turn in time: 64 others were being made, and at most so many are at once"
    );
}

/// A client that trusts the authority of these tests.
fn trusting(certificates: &[u8]) -> OnceCell<Tls> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificates).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    OnceCell::new_with(Some(Ok(Arc::new(config))))
}

/// A server for one secure connection.
async fn secure_server(at: Ipv4Addr, answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((at, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // A client that does not trust the certificate ends the connection.
        if let Ok(stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            serve(stream, 0, answer).await;
        }
        pending::<()>().await;
    });
    address
}

#[test]
fn secure_servers_must_prove_who_they_are() {
    block_on(async {
        let ask = async |host: &str, tls: OnceCell<Tls>| {
            let at = host.parse().unwrap_or(Ipv4Addr::LOCALHOST);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
            let address = secure_server(at, answer).await;
            let outcall = get(format!("https://{host}:{}/", address.port()));
            exchange(&outcall, OutcallPolicy::Loopback, &tls, LONG).await
        };
        for host in ["localhost", "127.0.0.1"] {
            assert_eq!(
                ask(host, trusting(AUTHORITY)).await,
                reply(200, &[("content-length", "6")], "secret"),
                "{host}"
            );
        }
        let text = |answer: Result<_, Failure>| answer.unwrap_err().to_string();
        let other = text(ask("127.0.0.2", trusting(AUTHORITY)).await);
        assert!(
            other.starts_with(
                "no secure connection to 127.0.0.2 could be made: invalid peer certificate"
            ),
            "{other}"
        );
        let stranger = text(ask("localhost", trusting(CERTIFICATE)).await);
        assert!(
            stranger.starts_with(
                "no secure connection to localhost could be made: invalid peer certificate"
            ),
            "{stranger}"
        );
        assert_eq!(
            text(ask("localhost", no_tls()).await),
            "no secure connection to localhost can be made: no authorities here; this machine needs certificates of \
             authorities (SSL_CERT_FILE names a file of them)"
        );
    });
}
