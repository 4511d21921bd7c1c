use super::*;

const ID: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";

fn canister(raw: bool) -> Result<Place, HostError> {
    Ok(Place::Canister {
        id: Principal::from_text(ID).unwrap(),
        raw,
    })
}

fn resolve(host: &str) -> Result<Place, HostError> {
    Domains::new(["localhost", "Test.Example."])
        .unwrap()
        .resolve(host, None, None)
}

#[test]
fn a_host_name_names_a_canister() {
    for host in [
        "ryjl3-tyaaa-aaaaa-aaaba-cai.localhost",
        "RYJL3-tyaaa-aaaaa-aaaba-cai.LocalHost.:4943",
        "ryjl3-tyaaa-aaaaa-aaaba-cai.test.example:80",
        "shop--ryjl3-tyaaa-aaaaa-aaaba-cai.localhost",
        "my--shop--ryjl3-tyaaa-aaaaa-aaaba-cai.localhost:4943",
    ] {
        assert_eq!(resolve(host), canister(false), "{host}");
    }
    let raw = "ryjl3-tyaaa-aaaaa-aaaba-cai.raw.localhost:4943";
    assert_eq!(resolve(raw), canister(true));
}

#[test]
fn a_domain_itself_and_plain_addresses_are_the_network() {
    for host in [
        "localhost",
        "localhost:4943",
        "test.example",
        "127.0.0.1:1",
        "10.1.2.3",
        "[::1]:4943",
    ] {
        assert_eq!(resolve(host), Ok(Place::Network), "{host}");
    }
}

#[test]
fn on_the_network_a_parameter_or_the_page_names_a_canister() {
    let domains = Domains::default();
    let query = format!("a=1&canisterId={ID}&b");
    assert_eq!(
        domains.resolve("127.0.0.1:4943", Some(&query), None),
        canister(false)
    );
    let page = format!("http://127.0.0.1:4943/index.html?canisterId={ID}#top");
    assert_eq!(
        domains.resolve("127.0.0.1:4943", Some("v=2"), Some(&page)),
        canister(false)
    );
    assert_eq!(
        domains.resolve("localhost:4943", None, Some(&page)),
        Ok(Place::Network),
        "a page of another server decides nothing"
    );
    assert_eq!(
        domains.resolve("localhost", Some("canisterId=nonsense"), None),
        Err(HostError::Parameter("nonsense".to_owned()))
    );
    assert!(matches!(
        domains.resolve("example.com", Some(&query), None),
        Err(HostError::Foreign { .. })
    ));
}

#[test]
fn other_hosts_are_refused() {
    for host in [
        "example.com",
        "localhost.example.com",
        "xlocalhost",
        "ryjl3-tyaaa-aaaaa-aaaba-cai.foo.localhost",
        "ryjl3-tyaaa-aaaaa-aaaba-cai.raw.raw.localhost",
        "a.ryjl3-tyaaa-aaaaa-aaaba-cai.localhost",
    ] {
        assert!(
            matches!(resolve(host), Err(HostError::Foreign { .. })),
            "{host}: {:?}",
            resolve(host)
        );
    }
    for host in [
        "raw.localhost",
        "foo.localhost",
        "ryjl3-tyaaa-aaaaa-aaaba-caj.localhost",
    ] {
        assert!(
            matches!(resolve(host), Err(HostError::NoCanisterId { .. })),
            "{host}"
        );
    }
    let long = format!("{}.localhost", "a".repeat(HOST_BYTES_MAX));
    for host in [
        "",
        ":80",
        "a b.localhost",
        "localhost:port",
        "localhost:99999",
        "[::1",
        "[::1]x",
        "a..localhost",
        "user@localhost",
        "<b>.localhost",
        &long,
    ] {
        assert!(
            matches!(resolve(host), Err(HostError::Malformed(_))),
            "{host}: {:?}",
            resolve(host)
        );
    }
}

#[test]
fn names_stand_for_canisters_until_they_are_replaced() {
    let domains = Domains::default();
    let id = Principal::from_text(ID).unwrap();
    let clone = domains.clone();
    domains
        .set_aliases([("frontend.local.localhost", id)])
        .unwrap();
    assert_eq!(
        clone.resolve("frontend.local.localhost:8000", None, None),
        canister(false)
    );
    domains.set_aliases::<&str>([]).unwrap();
    assert!(
        clone
            .resolve("frontend.local.localhost", None, None)
            .is_err()
    );
    assert_eq!(
        domains.set_aliases([("http://x", id)]),
        Err(DomainError::Malformed("http://x".to_owned()))
    );
}

#[test]
fn addresses_among_the_domains_are_served_anyway() {
    let domains = Domains::new(["127.0.0.1", "localhost", "[::1]"]).unwrap();
    assert_eq!(domains.names(), ["localhost"]);
    let none = Domains::new(["127.0.0.1"]).unwrap();
    assert_eq!(none.resolve("10.0.0.1", None, None), Ok(Place::Network));
}

#[test]
fn domains_and_names_are_limited() {
    let names = |count: usize| (0..count).map(|at| format!("d{at}.test"));
    assert!(Domains::new(names(DOMAINS_MAX)).is_ok());
    assert_eq!(
        Domains::new(names(DOMAINS_MAX + 1)).err(),
        Some(DomainError::TooManyDomains)
    );
    for name in ["", "http://localhost", "localhost:80", "a/b"] {
        assert!(Domains::new([name]).is_err(), "{name}");
    }
    let id = Principal::anonymous();
    let domains = Domains::default();
    let pairs = |count| names(count).map(|name| (name, id));
    assert!(domains.set_aliases(pairs(ALIASES_MAX)).is_ok());
    assert_eq!(
        domains.set_aliases(pairs(ALIASES_MAX + 1)),
        Err(DomainError::TooManyAliases)
    );
}
