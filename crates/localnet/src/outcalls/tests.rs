//! Policy and single exchanges; whole outcalls of canisters are tested through the clients.

mod exchanges;

use std::net::IpAddr;

use super::{
    OutcallPolicy, PolicyError, failure::Failure, limits::ANSWER_MARGIN, policy::Target, time_left,
};
use assay_localnet_core::{network::access::OutcallAnswer, types::Time};

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn only_addresses_of_this_machine_are_permitted_unless_somebody_says_otherwise() {
    let loopback = [
        "127.0.0.1",
        "127.0.0.2",
        "127.255.255.254",
        "::1",
        "::ffff:127.0.0.1",
    ];
    let elsewhere = [
        "0.0.0.0",
        "10.0.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "::",
        "::2",
        "::127.0.0.1",
        "::ffff:192.0.2.1",
        "::ffff:0.0.0.0",
        "64:ff9b::7f00:1",
        "2001:db8::1",
        "fe80::1",
    ];
    for (permitted, texts) in [(true, &loopback[..]), (false, &elsewhere[..])] {
        for address in addresses(texts) {
            assert_eq!(
                OutcallPolicy::Loopback.permits(address),
                permitted,
                "{address}"
            );
            assert!(OutcallPolicy::Any.permits(address), "{address}");
            assert!(!OutcallPolicy::None.permits(address), "{address}");
        }
    }
}

#[test]
fn one_address_elsewhere_is_enough_for_a_refusal_that_names_the_flag() {
    let check = |texts: &[&str]| OutcallPolicy::Loopback.check("page.test", &addresses(texts));
    assert_eq!(check(&["127.0.0.1", "::1"]), Ok(()));
    let refused = check(&["127.0.0.1", "192.0.2.1"]).unwrap_err();
    assert_eq!(
        OutcallAnswer::from(refused),
        OutcallAnswer::Reject {
            code: 1,
            message: "outcall refused: page.test has the address 192.0.2.1, and canisters of this network reach this \
                      machine only; to let them reach everything, start the network with --allow-outcalls any or with \
                      ASSAY_LOCALNET_OUTCALLS=any"
                .to_owned(),
        }
    );
}

#[test]
fn policies_have_names() {
    for (name, policy) in [
        ("any", OutcallPolicy::Any),
        ("loopback", OutcallPolicy::Loopback),
        ("none", OutcallPolicy::None),
    ] {
        assert_eq!(name.parse(), Ok(policy));
        assert_eq!(policy.to_string(), name);
    }
    let error = "all".parse::<OutcallPolicy>().unwrap_err();
    assert_eq!(
        error,
        PolicyError {
            text: "all".to_owned()
        }
    );
    assert_eq!(
        error.to_string(),
        "`all` is no policy for outcalls (ASSAY_LOCALNET_OUTCALLS); there are any, loopback and none"
    );
}

#[test]
fn urls_lead_to_a_host_a_port_and_a_path() {
    let target = |host: &str, port, tls, authority: &str, path: &str| {
        Ok(Target {
            host: host.to_owned(),
            port,
            tls,
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    };
    for (url, expected) in [
        (
            "https://a.test/p/q?r=s#t",
            target("a.test", 443, true, "a.test", "/p/q?r=s"),
        ),
        (
            "HTTP://A.test:8080",
            target("A.test", 8080, false, "A.test:8080", "/"),
        ),
        ("http://[::1]:80/", target("::1", 80, false, "[::1]", "/")),
        (
            "https://name:secret@127.0.0.1:8443?q",
            target("127.0.0.1", 8443, true, "127.0.0.1:8443", "/?q"),
        ),
    ] {
        assert_eq!(Target::parse(url), expected, "{url}");
    }
    for (url, reason) in [
        ("", "Failed to parse URL: empty string"),
        (
            "http://a test/",
            "Failed to parse URL: invalid uri character",
        ),
        (
            "ftp://a.test/",
            "Url need to specify https scheme, or http on this network",
        ),
        (
            "a.test",
            "Url need to specify https scheme, or http on this network",
        ),
        (
            "/page",
            "Url need to specify https scheme, or http on this network",
        ),
    ] {
        assert_eq!(
            Target::parse(url),
            Err(Failure::Url(reason.to_owned())),
            "{url}"
        );
    }
}

#[test]
fn a_long_failure_is_cut_where_a_character_ends() {
    let failure = |reason: String| Failure::Connect {
        host: "h".to_owned(),
        reason,
    };
    let told = |reason: String| match OutcallAnswer::from(failure(reason)) {
        OutcallAnswer::Reject { code: 2, message } => message,
        other => panic!("{other:?}"),
    };
    let head = "Connecting to h failed: ";
    assert_eq!(
        told("x".repeat(1024 - head.len())).len(),
        1024,
        "as much as fits"
    );
    assert_eq!(told("x".repeat(1024)).len(), 1024);
    assert_eq!(
        told(format!("x{}", "é".repeat(1024))).len(),
        1023,
        "no half characters"
    );
}

#[test]
fn an_answer_is_there_before_nobody_waits() {
    let until = Time(100_000_000_000);
    let seconds = |now: u64| time_left(until, Time(now * 1_000_000_000)).as_secs();
    let margin = ANSWER_MARGIN.as_secs();
    assert_eq!(seconds(40), 60 - margin);
    assert_eq!(seconds(100 - margin - 1), 1);
    assert_eq!(seconds(100 - margin), 0);
    assert_eq!(seconds(200), 0);
}
