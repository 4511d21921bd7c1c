use super::*;
use crate::backend::{CARDS_MAX, Chips, DEADLINE_SECONDS_MAX, TILES_MAX};

const LEAST: &str = r#"
state_dir = "/tmp/state"
[network]
url = "http://127.0.0.1:4943"
root_key = "fetch"
[canisters]
registry = "rwlgt-iiaaa-aaaaa-aaaaa-cai"
jobs = ["rrkah-fqaaa-aaaaa-aaaaq-cai"]
[identity]
pem = "/tmp/worker.pem"
[[models]]
file = "/tmp/model.assay"
ask_input = 1
ask_output = 2
"#;

fn check(text: &str) -> Result<Config, ConfigError> {
    parse(text, Path::new("worker.toml"), &Overrides::default())
}

fn refused(text: &str, fragment: &str) {
    let error = check(text).expect_err(fragment).to_string();
    assert!(
        error.contains(fragment),
        "{error:?} should contain {fragment:?}"
    );
}

#[test]
fn the_least_file_gives_the_documented_defaults() {
    let config = check(LEAST).unwrap();
    assert_eq!(config.slots, 1);
    assert!(config.threads >= 1);
    assert_eq!(config.poll, Duration::from_millis(500));
    assert_eq!(config.grace, Duration::from_secs(60));
    assert_eq!(config.root_key, RootKey::Fetch);
    assert_eq!(config.log_format, log::Format::Text);
    assert_eq!(config.log_level, "info");
    assert_eq!(config.cheat, None);
    assert_eq!(config.models[0].ask_output, Cycles(2));
}

#[test]
fn the_shipped_example_is_a_configuration_and_shows_the_defaults() {
    // Until the ids are put in it is refused, and says where they go.
    refused(EXAMPLE, "canisters.registry");
    let registry = EXAMPLE.replacen("\"aaaaa-aa\"", "\"rwlgt-iiaaa-aaaaa-aaaaa-cai\"", 1);
    let example = check(&registry).unwrap();
    assert_eq!(example.root_key, RootKey::Mainnet);
    let least = check(LEAST).unwrap();
    assert_eq!(
        (example.slots, example.threads, example.poll, example.grace),
        (least.slots, least.threads, least.poll, least.grace)
    );
    assert_eq!(
        (example.log_format, example.log_level),
        (least.log_format, least.log_level)
    );
}

#[test]
fn unknown_keys_are_errors_that_name_the_line() {
    refused(
        &format!("colour = \"red\"\n{LEAST}"),
        "unknown field `colour`",
    );
    refused(
        &LEAST.replace("root_key", "rootkey"),
        "unknown field `rootkey`",
    );
    refused(
        &LEAST.replace("ask_input", "ask_inptu"),
        "unknown field `ask_inptu`",
    );
    refused(
        &format!("{LEAST}\n[log]\nshade = 1\n"),
        "unknown field `shade`",
    );
    refused(&format!("colour = \"red\"\n{LEAST}"), "line 1");
}

#[test]
fn flags_beat_the_file() {
    let overrides = Overrides {
        url: Some("http://localhost:1".to_owned()),
        state_dir: Some("/elsewhere".into()),
        identity: Some("/other.pem".into()),
        slots: Some(3),
        threads: Some(7),
        grace_seconds: Some(5),
        log_format: Some(log::Format::Json),
        log_level: Some("debug".to_owned()),
    };
    let config = parse(
        &LEAST.replace("state_dir", "slots = 9\nstate_dir"),
        Path::new("worker.toml"),
        &overrides,
    )
    .unwrap();
    assert_eq!(config.url, "http://localhost:1");
    assert_eq!(config.state_dir, Path::new("/elsewhere"));
    assert_eq!(config.pem, Path::new("/other.pem"));
    assert_eq!((config.slots, config.threads), (3, 7));
    assert_eq!(config.grace, Duration::from_secs(5));
    assert_eq!(
        (config.log_format, config.log_level.as_str()),
        (log::Format::Json, "debug")
    );
}

#[test]
fn values_at_their_limits_pass_and_just_beyond_are_refused() {
    let with = |line: &str| format!("{line}\n{LEAST}");
    for (key, least, most) in [
        ("slots", 1, u64::from(limits::SLOTS_MAX)),
        ("threads", 0, THREADS_MAX as u64),
        (
            "poll_milliseconds",
            POLL_MILLISECONDS_MIN,
            POLL_MILLISECONDS_MAX,
        ),
        ("grace_seconds", 0, GRACE_SECONDS_MAX),
    ] {
        for good in [least, most] {
            check(&with(&format!("{key} = {good}"))).unwrap();
        }
        refused(&with(&format!("{key} = {}", most + 1)), key);
        if least > 0 {
            refused(&with(&format!("{key} = {}", least - 1)), key);
        }
    }
    let ask = limits::ASK_CYCLES_MAX as u64;
    check(&LEAST.replace("ask_input = 1", &format!("ask_input = {ask}"))).unwrap();
    refused(
        &LEAST.replace("ask_input = 1", &format!("ask_input = {}", ask + 1)),
        "models[0].ask_input",
    );
    refused(
        &LEAST.replace("ask_input = 1", "ask_input = -1"),
        "ask_input",
    );
}

#[test]
fn model_and_shard_counts_are_limited() {
    let model = "[[models]]\nfile = \"/m\"\nask_input = 1\nask_output = 1\n";
    let many = |n: usize| format!("{LEAST}{}", model.repeat(n - 1));
    check(&many(limits::OFFERS_PER_WORKER_MAX)).unwrap();
    refused(&many(limits::OFFERS_PER_WORKER_MAX + 1), "models: 33");
    refused(
        &LEAST.replace("jobs = [\"rrkah-fqaaa-aaaaa-aaaaq-cai\"]", "jobs = []"),
        "canisters.jobs",
    );
    let many = |n: u8| {
        let names: Vec<String> = (0..n)
            .map(|i| format!("\"{}\"", Principal::from_slice(&[i, 1])))
            .collect();
        LEAST.replace("\"rrkah-fqaaa-aaaaa-aaaaq-cai\"", &names.join(", "))
    };
    let most = u8::try_from(limits::SHARDS_MAX).unwrap();
    assert_eq!(
        check(&many(most)).unwrap().jobs.unwrap().len(),
        usize::from(most)
    );
    refused(&many(most + 1), "canisters.jobs: 65");
}

#[test]
fn jobs_canisters_are_named_once_or_left_to_the_registry() {
    let line = "jobs = [\"rrkah-fqaaa-aaaaa-aaaaq-cai\"]";
    let one = Principal::from_text("rrkah-fqaaa-aaaaa-aaaaq-cai").unwrap();
    assert_eq!(check(LEAST).unwrap().jobs, Some(vec![one]));
    assert_eq!(check(&LEAST.replace(line, "")).unwrap().jobs, None);
    let twice = "jobs = [\"rrkah-fqaaa-aaaaa-aaaaq-cai\", \"rrkah-fqaaa-aaaaa-aaaaq-cai\"]";
    refused(&LEAST.replace(line, twice), "is named twice");
}

#[test]
fn the_root_key_is_fetched_from_this_machine_only() {
    for local in [
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://[::1]:4943/",
        "http://x.localhost:1",
    ] {
        assert_eq!(
            check(&LEAST.replace("http://127.0.0.1:4943", local))
                .unwrap()
                .root_key,
            RootKey::Fetch,
            "{local}"
        );
    }
    for remote in [
        "https://icp-api.io",
        "http://127.0.0.1.example.org",
        "http://10.0.0.1:4943",
        "http://localhost.example.org",
        "https://icp0.io:443/x?localhost",
    ] {
        assert!(
            matches!(
                check(&LEAST.replace("http://127.0.0.1:4943", remote)),
                Err(ConfigError::Untrusted { .. })
            ),
            "{remote} must not be trusted with its own key"
        );
    }
    // A user name that looks like a local host does not make the address local.
    refused(
        &LEAST.replace("http://127.0.0.1:4943", "http://127.0.0.1:1@example.org"),
        "network.url",
    );
    refused(
        &LEAST.replace("http://127.0.0.1:4943", "ftp://127.0.0.1"),
        "network.url",
    );
}

#[test]
fn a_local_network_never_falls_back_to_the_mainnet_key() {
    refused(
        &LEAST.replace("root_key = \"fetch\"\n", ""),
        "root key must be named",
    );
    refused(&LEAST.replace("\"fetch\"", "\"xyz\""), "network.root_key");
    let given = check(&LEAST.replace("\"fetch\"", "\"3081aa\"")).unwrap();
    assert_eq!(given.root_key, RootKey::Given(vec![0x30, 0x81, 0xaa]));
}

#[test]
fn malformed_canister_ids_are_refused_by_name() {
    refused(
        &LEAST.replace("rwlgt-iiaaa-aaaaa-aaaaa-cai", "rwlgt-iiaaa-aaaaa-aaaaa-cbi"),
        "canisters.registry",
    );
    refused(
        &LEAST.replace("rrkah-fqaaa-aaaaa-aaaaq-cai", "jobs"),
        "canisters.jobs",
    );
}

#[test]
fn missing_files_folders_and_oversized_files_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let missing = load(&dir.path().join("none.toml"), &Overrides::default()).unwrap_err();
    assert!(matches!(missing, ConfigError::Io { .. }) && missing.to_string().contains("none.toml"));
    assert!(matches!(
        load(dir.path(), &Overrides::default()),
        Err(ConfigError::NotAFile { .. })
    ));

    let path = dir.path().join("worker.toml");
    let pad = |bytes: u64| {
        format!(
            "{LEAST}#{}",
            "x".repeat(usize::try_from(bytes).unwrap() - LEAST.len() - 1)
        )
    };
    fs::write(&path, pad(FILE_BYTES_MAX)).unwrap();
    load(&path, &Overrides::default()).unwrap();
    fs::write(&path, pad(FILE_BYTES_MAX + 1)).unwrap();
    assert!(matches!(
        load(&path, &Overrides::default()),
        Err(ConfigError::TooLong { .. })
    ));
}

#[test]
fn misbehaviour_is_off_unless_written_out() {
    assert_eq!(
        check(&format!("{LEAST}\n[cheat]\nmode = \"wrong-tokens\"\n"))
            .unwrap()
            .cheat,
        Some(Cheat::WrongTokens)
    );
    refused(
        &format!("{LEAST}\n[cheat]\nmode = \"nonsense\"\n"),
        "unknown variant",
    );
    assert!(!EXAMPLE.contains("cheat"));
}

/// The example with a server in the place of the file.
fn served() -> String {
    let lines = EXAMPLE.replacen("\"aaaaa-aa\"", "\"rwlgt-iiaaa-aaaaa-aaaaa-cai\"", 1);
    let mut block = false;
    let lines = lines.lines().filter(|line| !line.starts_with("file = "));
    let lines = lines.map(|line| {
        block = (block || line == "# [models.openai]") && !line.is_empty();
        let setting = block && (line.contains(" = ") || line.contains("[models"));
        match line.strip_prefix("# ") {
            Some(bare) if setting => bare,
            _ => line,
        }
    });
    let text: Vec<&str> = lines.collect();
    text.join("\n")
        .replace("jwt_secret_file = ", "# jwt_secret_file = ")
}

#[test]
fn the_example_shows_a_server_in_the_place_of_a_file() {
    let config = check(&served()).unwrap();
    let Source::Server(settings) = &config.models[0].source else {
        panic!("no server: {config:?}")
    };
    assert_eq!(settings.topology.name(), "n300");
    assert_eq!(settings.context_max, Some(131_072));
    assert!(matches!(settings.key, Some(openai::KeySource::Key(_))));
    assert_eq!(
        config.models[0].source.to_string(),
        "meta-llama/Llama-3.1-8B-Instruct at http://127.0.0.1:8000"
    );
}

#[test]
fn a_model_has_a_file_or_a_server_and_a_server_is_described_rightly() {
    let both = LEAST.to_owned()
        + "[models.openai]\nurl = \"http://127.0.0.1:1\"\nmodel = \"m\"\ntopology = \"cpu\"\n";
    refused(&both, "either file, a converted model, or openai");
    refused(
        &LEAST.replace("file = \"/tmp/model.assay\"\n", ""),
        "either file, a converted model, or openai",
    );
    let with = |from: &str, to: &str| served().replace(from, to);
    refused(
        &with("topology = \"n300\"", "topology = \"two cards\""),
        "models[0].openai.topology",
    );
    for digest in ["0", "sha256:0", &format!("sha256:{}", "g".repeat(64))] {
        let text = with(&format!("sha256:{}", "0".repeat(64)), digest);
        refused(&text, "models[0].openai.image_digest");
    }
    let most = limits::CONTEXT_TOKENS_MAX;
    assert!(check(&with("131072", &most.to_string())).is_ok());
    refused(
        &with("131072", &(most + 1).to_string()),
        "models[0].openai.context_max",
    );
    refused(&with("131072", "0"), "models[0].openai.context_max");
    refused(
        &with("# jwt_secret_file", "jwt_secret_file"),
        "one of api_key_file and jwt_secret_file",
    );
    refused(&with("topology", "topolgy"), "unknown field `topolgy`");
}

#[test]
fn chips_are_cards_by_number_or_one_that_is_simulated() {
    let tensix = |text: &str| check(&format!("{LEAST}\n[backend.tensix]\n{text}\n"));
    let chips = |text: &str| tensix(text).unwrap().tensix.unwrap();
    assert_eq!(check(LEAST).unwrap().tensix, None);
    let cards = chips("cards = [0, 2]");
    assert_eq!(cards.chips, Chips::Cards(vec![0, 2]));
    assert_eq!(cards.deadline, Duration::from_secs(10));
    let slow = chips("cards = [0]\ndeadline_seconds = 3600");
    assert_eq!(slow.deadline, Duration::from_secs(DEADLINE_SECONDS_MAX));
    assert_eq!(
        chips("wolfpine = \"/usr/bin/python3\"\ntiles = 80").chips,
        Chips::Wolfpine("/usr/bin/python3".into(), TILES_MAX)
    );
    assert_eq!(
        chips("ttsim = \"/lib/libttsim.so\"").chips,
        Chips::Ttsim("/lib/libttsim.so".into())
    );
    let most: Vec<usize> = (0..CARDS_MAX).collect();
    assert!(tensix(&format!("cards = {most:?}")).is_ok());

    let refused = |text: &str, fragment: &str| {
        let error = tensix(text).expect_err(fragment).to_string();
        assert!(error.contains(fragment), "{error:?}");
    };
    refused("", "backend.tensix.cards: wants numbers");
    refused("cards = []", "backend.tensix.cards: wants numbers");
    let more: Vec<usize> = (0..=CARDS_MAX).collect();
    refused(&format!("cards = {more:?}"), "33 cards, at most 32");
    refused("cards = [1, 0, 1]", "1 is named twice");
    refused("cards = [-1]", "invalid value");
    refused("cards = [0]\nttsim = \"x\"", "nothing else beside them");
    refused(
        "ttsim = \"x\"\nwolfpine = \"y\"",
        "nothing else beside them",
    );
    refused("cards = [0]\ntiles = 2", "goes with wolfpine");
    refused("wolfpine = \"x\"\ntiles = 0", "0 is not between 1 and 80");
    refused("wolfpine = \"x\"\ntiles = 81", "81 is not between 1 and 80");
    refused(
        "cards = [0]\ndeadline_seconds = 0",
        "0 is not between 1 and 3600",
    );
    refused(
        "cards = [0]\ndeadline_seconds = 3601",
        "3601 is not between",
    );
    refused("card = [0]", "unknown field `card`");
}
