use super::*;

fn asked(method: &str) -> Asked {
    Asked {
        method: method.to_owned(),
        url: "/".to_owned(),
        headers: vec![("Accept-Encoding".to_owned(), "gzip, br".to_owned())],
        body: Vec::new(),
    }
}

fn answer(headers: &[(&str, &str)], body: &[u8]) -> HttpResponse {
    HttpResponse {
        status_code: 200,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.to_vec(),
        upgrade: None,
        streaming_strategy: None,
    }
}

#[test]
fn canisters_always_may_answer_unpacked() {
    let asked = with_identity(&with_identity(&asked("GET")));
    assert_eq!(asked.headers[0].1, "gzip, br, identity");
}

#[test]
fn headers_of_the_connection_are_left_out_and_all_others_kept() {
    let headers = [
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "7"),
        ("Connection", "upgrade"),
        ("Set-Cookie", "a=1"),
        ("set-cookie", "b=2"),
    ];
    let response = respond(&asked("GET"), answer(&headers, b"page")).unwrap();
    let names: Vec<_> = response.headers().iter().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    let response = respond(&asked("HEAD"), answer(&headers, b"")).unwrap();
    assert_eq!(response.headers()["content-length"], "7");
}

#[test]
fn headers_that_would_split_a_response_are_refused() {
    for (name, value) in [
        ("x", "a\r\nset-cookie: b"),
        ("x", "a\nb"),
        ("x\r\ny", "a"),
        ("", "a"),
        ("a b", "c"),
        ("x", "\0"),
    ] {
        assert!(
            matches!(
                respond(&asked("GET"), answer(&[(name, value)], b"")),
                Err(GatewayError::Header(_))
            ),
            "{name:?}: {value:?}"
        );
    }
}

#[test]
fn headers_are_limited() {
    let many = |count| vec![("x", "y"); count];
    assert!(check_form(&answer(&many(RESPONSE_HEADERS_MAX), b"")).is_ok());
    assert!(check_form(&answer(&many(RESPONSE_HEADERS_MAX + 1), b"")).is_err());
    let long = "y".repeat(RESPONSE_HEADER_BYTES_MAX);
    assert!(check_form(&answer(&[("x", &long[1..])], b"")).is_ok());
    assert!(check_form(&answer(&[("x", &long)], b"")).is_err());
}

#[test]
fn only_final_statuses_are_passed_on() {
    for (status, good) in [
        (0, false),
        (101, false),
        (199, false),
        (200, true),
        (599, true),
        (600, false),
        (65_535, false),
    ] {
        let answer = HttpResponse {
            status_code: status,
            ..answer(&[], b"")
        };
        assert_eq!(check_form(&answer).is_ok(), good, "{status}");
    }
}

#[test]
fn ranges_are_read_strictly() {
    let range = |begin, end, total| Some(Range { begin, end, total });
    assert_eq!(Range::parse("bytes 0-1/2"), range(0, 1, 2));
    assert_eq!(Range::parse(" bytes 5-5/47022"), range(5, 5, 47022));
    for bad in [
        "",
        "bytes",
        "bytes 1-0/2",
        "bytes 0-2/2",
        "bytes 0-1/*",
        "bytes */2",
        "0-1/2",
        "bytes 0-1/99999999999999999999999",
        "bytes -1-1/2",
    ] {
        assert_eq!(Range::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_body_grows_up_to_the_limit() {
    let mut body = vec![0; RESPONSE_BYTES_MAX - 1];
    assert!(append(&mut body, &[1]).is_ok());
    assert!(matches!(
        append(&mut body, &[1]),
        Err(GatewayError::AnswerTooLarge)
    ));
}
