//! Every limit: what lies at it passes, what lies just past it is refused by name, and nothing changes.

use assay_protocol::{
    limits,
    registry::{ModelsArgs, RegistryError, SPEC_CLASS_1},
};

use super::*;

fn field(error: Result<(), RegistryError>) -> String {
    match error {
        Ok(()) => "ok".to_owned(),
        Err(RegistryError::Invalid { field, .. }) => field,
        Err(other) => panic!("{other:?}"),
    }
}

fn full(what: &str, max: usize) -> RegistryError {
    RegistryError::Full {
        what: what.to_owned(),
        max: max as u64,
    }
}

/// Checks a manifest with one field changed.
fn model(change: impl FnOnce(&mut ModelManifest)) -> String {
    let mut manifest = manifest("model");
    change(&mut manifest);
    let mut registry = empty();
    let result = registry.register_model(&at(who(1), 1), manifest).map(drop);
    assert_eq!(registry.store() == empty().store(), result.is_err());
    field(result)
}

fn worker(change: impl FnOnce(&mut WorkerArgs)) -> String {
    let mut args = worker_args(who(9));
    change(&mut args);
    let mut registry = empty();
    registry
        .register_provider(&at(who(1), 1), provider_args("p"))
        .unwrap();
    field(registry.add_worker(&at(who(1), 2), args).map(drop))
}

fn provider(change: impl FnOnce(&mut ProviderArgs)) -> String {
    let mut args = provider_args("p");
    change(&mut args);
    field(empty().register_provider(&at(who(1), 1), args).map(drop))
}

#[test]
fn nobody_is_paid_into_a_jobs_canister() {
    let mut registry = empty();
    registry
        .set_shards(&at(who(1), 1), vec![who(8), who(9)])
        .unwrap();
    let args = |payout| ProviderArgs {
        payout: Some(payout),
        ..provider_args("p")
    };
    let refused = Err(RegistryError::Invalid {
        field: "payout".into(),
        problem: "is a jobs canister, which owns no balance in itself".into(),
    });
    let registered = registry.register_provider(&at(who(2), 2), args(who(9)));
    assert_eq!(registered, refused);
    registry
        .register_provider(&at(who(2), 3), args(who(7)))
        .unwrap();
    let updated = registry.update_provider(&at(who(2), 4), args(who(8)));
    assert_eq!(updated, refused);
    assert_eq!(registry.provider(&who(2)).unwrap().payout, who(7));
}

fn url(url: &str) -> String {
    model(|manifest| manifest.files[0].urls = vec![url.to_owned()])
}

#[test]
fn texts_have_a_least_and_a_greatest_length() {
    let name = |n: usize| "x".repeat(n);
    let [at, past] = [limits::NAME_BYTES_MAX, limits::NAME_BYTES_MAX + 1];
    assert_eq!(provider(|args| args.name = name(at)), "ok");
    assert_eq!(provider(|args| args.name = name(past)), "name");
    assert_eq!(provider(|args| args.name = name(0)), "name");
    assert_eq!(model(|args| args.name = name(at)), "ok");
    assert_eq!(model(|args| args.name = name(past)), "name");
    assert_eq!(model(|args| args.name = name(0)), "name");
    assert_eq!(model(|args| args.architecture = name(0)), "architecture");
    assert_eq!(model(|args| args.semantics = name(past)), "semantics");
    assert_eq!(model(|args| args.files[0].name = name(at)), "ok");
    assert_eq!(
        model(|args| args.files[0].name = name(past)),
        "files[0].name"
    );
    assert_eq!(worker(|args| args.backends = vec![name(at)]), "ok");
    assert_eq!(
        worker(|args| args.backends = vec![name(past)]),
        "backends[0]"
    );

    let [at, past] = [limits::TEXT_BYTES_MAX, limits::TEXT_BYTES_MAX + 1];
    assert_eq!(provider(|args| args.contact = name(at)), "ok");
    assert_eq!(provider(|args| args.contact = name(past)), "contact");
    assert_eq!(model(|args| args.license = name(at)), "ok");
    assert_eq!(model(|args| args.license = name(past)), "license");
    assert_eq!(model(|args| args.license = name(0)), "license");
    assert_eq!(worker(|args| args.region = name(at)), "ok");
    assert_eq!(worker(|args| args.region = name(past)), "region");
    assert_eq!(
        worker(|args| args.hardware.driver = name(past)),
        "hardware.driver"
    );
}

#[test]
fn texts_that_look_like_other_texts_are_refused() {
    for name in [
        " p",
        "p ",
        "   ",
        "a\nb",
        "a\0b",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{feff}b",
    ] {
        assert_eq!(
            provider(|args| args.name = name.to_owned()),
            "name",
            "{name:?}"
        );
    }
    assert_eq!(
        provider(|args| args.name = "Müller & Söhne 株式会社".to_owned()),
        "ok"
    );
    for name in ["smol lm", "smöl", "-smol", "smol\n", "smоl"] {
        assert_eq!(
            model(|args| args.name = name.to_owned()),
            "name",
            "{name:?}"
        );
    }
    assert_eq!(
        model(|args| args.name = "Qwen/Qwen2.5-0.5B:q4_1".to_owned()),
        "ok"
    );
}

#[test]
fn lists_have_a_greatest_length_and_no_entry_twice() {
    let files = |n: usize| -> Vec<ModelFile> {
        let file = manifest("m").files.remove(0);
        (0..n)
            .map(|i| ModelFile {
                name: format!("part{i}"),
                ..file.clone()
            })
            .collect()
    };
    assert_eq!(
        model(|args| args.files = files(limits::MODEL_FILES_MAX)),
        "ok"
    );
    assert_eq!(
        model(|args| args.files = files(limits::MODEL_FILES_MAX + 1)),
        "files"
    );
    assert_eq!(model(|args| args.files = files(0)), "files");
    assert_eq!(
        model(|args| args.files.push(args.files[0].clone())),
        "files"
    );

    let urls = |n: usize| {
        (0..n)
            .map(|i| format!("https://example.org/{i}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(model(|args| args.files[0].urls = urls(0)), "ok");
    assert_eq!(
        model(|args| args.files[0].urls = urls(limits::FILE_URLS_MAX)),
        "ok"
    );
    assert_eq!(
        model(|args| args.files[0].urls = urls(limits::FILE_URLS_MAX + 1)),
        "files[0].urls"
    );

    let backends = |n: usize| (0..n).map(|i| format!("b{i}")).collect::<Vec<_>>();
    assert_eq!(
        worker(|args| args.backends = backends(limits::BACKENDS_MAX)),
        "ok"
    );
    assert_eq!(
        worker(|args| args.backends = backends(limits::BACKENDS_MAX + 1)),
        "backends"
    );
    assert_eq!(worker(|args| args.backends = backends(0)), "backends");
    assert_eq!(
        worker(|args| args.backends = vec!["cpu".into(), "CPU".into()]),
        "backends"
    );
}

#[test]
fn numbers_have_a_least_and_a_greatest_value() {
    assert_eq!(
        model(|args| args.context_max = limits::CONTEXT_TOKENS_MAX),
        "ok"
    );
    assert_eq!(
        model(|args| args.context_max = limits::CONTEXT_TOKENS_MAX + 1),
        "context_max"
    );
    assert_eq!(model(|args| args.context_max = 0), "context_max");
    assert_eq!(
        model(|args| args.royalty_bps = limits::ROYALTY_BPS_MAX),
        "ok"
    );
    assert_eq!(
        model(|args| args.royalty_bps = limits::ROYALTY_BPS_MAX + 1),
        "royalty_bps"
    );
    assert_eq!(
        model(|args| args.files[0].bytes = limits::MODEL_FILE_BYTES_MAX),
        "ok"
    );
    assert_eq!(
        model(|args| args.files[0].bytes = limits::MODEL_FILE_BYTES_MAX + 1),
        "files[0].bytes"
    );
    assert_eq!(model(|args| args.files[0].bytes = 0), "files[0].bytes");
    assert_eq!(worker(|args| args.slots = limits::SLOTS_MAX), "ok");
    assert_eq!(worker(|args| args.slots = limits::SLOTS_MAX + 1), "slots");
    assert_eq!(worker(|args| args.slots = 0), "slots");
    assert_eq!(worker(|args| args.hardware.chips = limits::CHIPS_MAX), "ok");
    assert_eq!(
        worker(|args| args.hardware.chips = limits::CHIPS_MAX + 1),
        "hardware.chips"
    );
    assert_eq!(worker(|args| args.hardware.chips = 0), "hardware.chips");
    let speed = |milli| worker(|args| args.hardware.tokens_per_second_milli = Some(milli));
    let field = "hardware.tokens_per_second_milli";
    assert_eq!(speed(limits::SPEED_MILLI_MAX), "ok");
    assert_eq!(speed(limits::SPEED_MILLI_MAX + 1), field);
    assert_eq!(speed(0), field);
}

#[test]
fn principals_that_own_nothing_are_refused() {
    for nobody in [Principal::anonymous(), Principal::management_canister()] {
        assert_eq!(provider(|args| args.payout = Some(nobody)), "payout");
        assert_eq!(worker(|args| args.operator = nobody), "operator");
        assert_eq!(
            field(
                empty()
                    .set_shards(&at(who(1), 1), vec![who(1), nobody])
                    .map(drop)
            ),
            "shards[1]"
        );
    }
}

#[test]
fn a_graphics_card_says_who_made_it() {
    let gpu = |vendor: &str, name: &str| Board::Gpu {
        vendor: vendor.to_owned(),
        name: name.to_owned(),
    };
    assert_eq!(
        worker(|args| args.hardware.board = gpu("NVIDIA", "H100")),
        "ok"
    );
    assert_eq!(
        worker(|args| args.hardware.board = gpu("", "H100")),
        "hardware.board.vendor"
    );
    assert_eq!(
        worker(|args| args.hardware.board = gpu("NVIDIA", &"x".repeat(65))),
        "hardware.board.name"
    );
}

#[test]
fn a_verifiable_model_needs_the_root_of_its_weights() {
    assert_eq!(
        model(|args| args.model_root = Hash32::default()),
        "model_root"
    );
    let vendor =
        |args: &mut ModelManifest| (args.model_root, args.verifiable) = (Hash32::default(), false);
    assert_eq!(model(vendor), "ok");
}

#[test]
fn a_class_bound_model_names_its_deployment_and_is_not_verifiable() {
    let class = |args: &mut ModelManifest, verifiable| {
        args.semantics = SPEC_CLASS_1.to_owned();
        args.verifiable = verifiable;
    };
    assert_eq!(model(|args| class(args, false)), "ok");
    assert_eq!(model(|args| class(args, true)), "verifiable");
    let nameless = |args: &mut ModelManifest| {
        class(args, false);
        args.model_root = Hash32::default();
    };
    assert_eq!(model(nameless), "model_root");
}

#[test]
fn file_names_name_no_folder() {
    for name in ["a/b", "..", ".", "a\\b", "c:x"] {
        assert_eq!(
            model(|args| args.files[0].name = name.to_owned()),
            "files[0].name",
            "{name:?}"
        );
    }
}

#[test]
fn addresses_are_https_of_a_named_host() {
    let path = |n: usize| format!("https://example.org/{}", "x".repeat(n - 20));
    assert_eq!(url(&path(limits::URL_BYTES_MAX)), "ok");
    assert_eq!(url(&path(limits::URL_BYTES_MAX + 1)), "files[0].urls[0]");
    assert_eq!(url("https://example.org:8443/a?b=1#c"), "ok");
    for bad in [
        "",
        "http://example.org/x",
        "file:///etc/passwd",
        "https://user:secret@example.org/x",
        "https://example.org\\@evil.org/x",
        "https://127.0.0.1/x",
        "https://10.0.0.1:80/x",
        "https://0x7f.1/x",
        "https://2130706433/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https:///x",
        "https://example.org:port/x",
        "https://example.org/a b",
        "https://exämple.org/",
        "https://example.org/\u{202e}",
    ] {
        assert_eq!(url(bad), "files[0].urls[0]", "{bad:?}");
    }
}

#[test]
fn full_tables_say_what_is_full_and_how_much_fits() {
    let mut registry = empty();
    registry
        .register_provider(&at(who(1), 1), provider_args("p"))
        .unwrap();
    let operator = |n: usize| Principal::self_authenticating(n.to_le_bytes());
    for n in 0..limits::WORKERS_PER_PROVIDER_MAX {
        registry
            .add_worker(&at(who(1), 1), worker_args(operator(n)))
            .unwrap();
    }
    // Somebody else's workers do not count.
    registry
        .register_provider(&at(who(2), 1), provider_args("p"))
        .unwrap();
    registry
        .add_worker(&at(who(2), 1), worker_args(operator(1_000_000)))
        .unwrap();

    let past = registry.add_worker(
        &at(who(1), 1),
        worker_args(operator(limits::WORKERS_PER_PROVIDER_MAX)),
    );
    let expected = full(
        "workers of one provider, retired ones included",
        limits::WORKERS_PER_PROVIDER_MAX,
    );
    assert_eq!(past.map(drop), Err(expected));

    let shards = |n: usize| (0..n).map(operator).collect::<Vec<_>>();
    assert!(
        registry
            .set_shards(&at(who(1), 1), shards(limits::SHARDS_MAX))
            .is_ok()
    );
    let past = registry.set_shards(&at(who(1), 1), shards(limits::SHARDS_MAX + 1));
    let expected = full("jobs canisters", limits::SHARDS_MAX);
    assert_eq!(past.map(drop), Err(expected));
    assert_eq!(registry.shards().len(), limits::SHARDS_MAX);
}

#[test]
fn the_registry_holds_as_many_workers_as_its_limit_says() {
    let mut registry = empty();
    let owner = |n: usize| Principal::self_authenticating((n as u64).to_be_bytes());
    let operator = |n: usize| Principal::self_authenticating((n as u128).to_be_bytes());
    for n in 0..limits::WORKERS_MAX {
        let (provider, first) = (
            owner(n / limits::WORKERS_PER_PROVIDER_MAX),
            n.is_multiple_of(limits::WORKERS_PER_PROVIDER_MAX),
        );
        if first {
            registry
                .register_provider(&at(provider, 1), provider_args("p"))
                .unwrap();
        }
        registry
            .add_worker(&at(provider, 1), worker_args(operator(n)))
            .unwrap();
    }
    registry
        .register_provider(&at(who(1), 1), provider_args("p"))
        .unwrap();
    let past = registry.add_worker(&at(who(1), 1), worker_args(operator(limits::WORKERS_MAX)));
    let expected = full("workers, retired ones included", limits::WORKERS_MAX);
    assert_eq!(past.map(drop), Err(expected));
}

#[test]
fn the_registry_holds_as_many_providers_and_models_as_its_limits_say() {
    let mut registry = empty();
    let number = |n: usize| Principal::self_authenticating(n.to_le_bytes());
    for n in 0..limits::PROVIDERS_MAX {
        registry
            .register_provider(&at(number(n), 1), provider_args("p"))
            .unwrap();
    }
    let past = registry.register_provider(&at(who(1), 1), provider_args("p"));
    let expected = full("providers", limits::PROVIDERS_MAX);
    assert_eq!(past.map(drop), Err(expected));

    for n in 0..limits::MODELS_MAX {
        registry
            .register_model(&at(who(1), 1), manifest(&format!("m{n}")))
            .unwrap();
    }
    let past = registry.register_model(&at(who(1), 1), manifest("one-more"));
    let expected = full("models", limits::MODELS_MAX);
    assert_eq!(past.map(drop), Err(expected));
}

#[test]
fn pages_hold_at_most_a_hundred_records() {
    let mut registry = empty();
    for n in 0..=limits::PAGE_MAX {
        registry
            .register_model(&at(who(1), 1), manifest(&format!("m{n}")))
            .unwrap();
    }
    let models = |limit| registry.models(&ModelsArgs { after: None, limit }).len();
    assert_eq!((models(0), models(1), models(99)), (1, 1, 99));
    assert_eq!(
        (models(100), models(101), models(u32::MAX)),
        (100, 100, 100)
    );
    let changes = |limit| registry.changes(&ChangesArgs { from: 0, limit });
    assert_eq!(
        (
            changes(0).records.len(),
            changes(100).records.len(),
            changes(u32::MAX).records.len()
        ),
        (1, 100, 100)
    );
    assert!(changes(100).more);
    assert!(
        !registry
            .changes(&ChangesArgs {
                from: 1,
                limit: 100
            })
            .more,
        "a full last page promises nothing"
    );
}

#[test]
fn pages_of_large_records_end_before_they_outgrow_a_reply() {
    let mut registry = empty();
    let large = |n: usize| {
        let file = |i: usize| ModelFile {
            name: format!("part{i}"),
            bytes: 1,
            sha256: Hash32::default(),
            urls: vec![format!("https://example.org/{}", "x".repeat(492)); limits::FILE_URLS_MAX],
        };
        ModelManifest {
            files: (0..limits::MODEL_FILES_MAX).map(file).collect(),
            ..manifest(&format!("m{n}"))
        }
    };
    for n in 0..20 {
        registry.register_model(&at(who(1), 1), large(n)).unwrap();
    }
    let page = registry.changes(&ChangesArgs {
        from: 0,
        limit: 100,
    });
    assert!(page.more && page.records.len() < 20);
    let reply = candid::encode_one(&page).unwrap();
    assert!(
        reply.len() <= limits::PAGE_BYTES_MAX,
        "{} bytes",
        reply.len()
    );
    let sizes: usize = page.records.iter().map(Record::size_bytes).sum();
    assert!(
        sizes >= reply.len() - 1_000,
        "sizes are upper bounds, the type table apart"
    );

    let models = registry.models(&ModelsArgs {
        after: None,
        limit: 100,
    });
    assert_eq!(models.len(), page.records.len());

    let mut known = BTreeMap::new();
    follow(&registry, &mut known, 0, 100);
    assert_eq!(
        known,
        records(registry.store()),
        "small pages still give everything"
    );
}

#[test]
fn size_bounds_hold_for_the_smallest_and_the_largest_records() {
    let mut registry = empty();
    let long = "x".repeat(limits::TEXT_BYTES_MAX);
    let name = "x".repeat(limits::NAME_BYTES_MAX);
    for (n, provider) in [
        ProviderArgs {
            name: "p".into(),
            contact: String::new(),
            payout: None,
        },
        ProviderArgs {
            name: name.clone(),
            contact: long.clone(),
            payout: Some(who(3)),
        },
    ]
    .into_iter()
    .enumerate()
    {
        let owner = who(n as u8);
        registry
            .register_provider(&at(owner, u64::MAX / 1_000_000_000), provider)
            .unwrap();
        let mut worker = worker_args(who(100 + n as u8));
        worker.hardware.board = Board::Gpu {
            vendor: name.clone(),
            name: name.clone(),
        };
        worker.hardware.driver = long.clone();
        worker.region = long.clone();
        worker.backends = (0..limits::BACKENDS_MAX)
            .map(|i| format!("{i}{}", &name[1..]))
            .collect();
        registry.add_worker(&at(owner, 1), worker).unwrap();
    }
    let none = candid::encode_one(Vec::<Record>::new()).unwrap().len();
    for record in registry
        .changes(&ChangesArgs {
            from: 0,
            limit: 100,
        })
        .records
    {
        let bound = record.size_bytes();
        let bytes = candid::encode_one(vec![record]).unwrap().len() - none;
        assert!(bytes <= bound, "{bytes} bytes, bound {bound}");
    }
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_is_allowed() {
    let model = |change: fn(&mut ModelManifest)| {
        let (mut registry, mut manifest) = (empty(), manifest("model"));
        change(&mut manifest);
        let told = registry.register_model(&at(who(1), 1), manifest);
        assert_eq!(registry.store(), empty().store());
        told.unwrap_err().to_string()
    };
    let provider = |change: fn(&mut ProviderArgs)| {
        let (mut registry, mut args) = (empty(), provider_args("p"));
        change(&mut args);
        let told = registry.register_provider(&at(who(1), 1), args);
        assert_eq!(registry.store(), empty().store());
        told.unwrap_err().to_string()
    };
    let url = |url: &str| {
        let mut manifest = manifest("model");
        manifest.files[0].urls = vec![url.to_owned()];
        let told = empty().register_model(&at(who(1), 1), manifest);
        told.unwrap_err().to_string()
    };
    let long = format!("https://example.org/{}", "x".repeat(2_980));
    let private = "files[0].urls[0]: names no public host; use a host name such as example.org";
    for (told, expected) in [
        (
            model(|args| args.name.clear()),
            "name: does not begin with a letter or a digit",
        ),
        (
            model(|args| args.name = "   ".into()),
            "name: does not begin with a letter or a digit",
        ),
        (
            model(|args| args.name = "x".repeat(65)),
            "name: has 65 bytes, at most 64 are allowed",
        ),
        (
            model(|args| args.name = "smol\u{202e}".into()),
            "name: may hold only letters, digits and - _ . : / +",
        ),
        (provider(|args| args.name.clear()), "name: is empty"),
        (
            provider(|args| args.name = "   ".into()),
            "name: begins or ends with a space",
        ),
        (
            provider(|args| args.name = "a\u{202e}b".into()),
            "name: holds the invisible character U+202E",
        ),
        (
            provider(|args| args.name = "a\0b".into()),
            "name: holds the invisible character U+0000",
        ),
        (
            provider(|args| args.payout = Some(Principal::anonymous())),
            "payout: is the anonymous principal, which belongs to everybody",
        ),
        (
            provider(|args| args.payout = Some(Principal::management_canister())),
            "payout: is the management canister, which owns nothing",
        ),
        (
            model(|args| args.files[0].bytes = 0),
            "files[0].bytes: is 0, 1 to 17592186044416 are allowed",
        ),
        (
            model(|args| args.files[0].bytes = 1 << 63),
            "files[0].bytes: is 9223372036854775808, 1 to 17592186044416 are allowed",
        ),
        (
            model(|args| args.files.clear()),
            "files: has 0 entries, 1 to 32 are allowed",
        ),
        (
            model(|args| args.files.push(args.files[0].clone())),
            "files: names model.gguf twice",
        ),
        (
            model(|args| args.license = "x".repeat(1 << 20)),
            "license: has 1048576 bytes, at most 256 are allowed",
        ),
        (
            model(|args| args.royalty_bps = 2_001),
            "royalty_bps: is 2001, 0 to 2000 are allowed",
        ),
        (
            url("http://example.org/x"),
            "files[0].urls[0]: does not begin with https://",
        ),
        (
            url("file:///etc/passwd"),
            "files[0].urls[0]: does not begin with https://",
        ),
        (
            url("https://user:secret@example.org/x"),
            "files[0].urls[0]: carries a user name; addresses are public",
        ),
        (url("https://10.0.0.1/x"), private),
        (url("https://printer.local/x"), private),
        (url("https://db.internal/x"), private),
        (url("https://a.localhost/x"), private),
        (
            url(&long),
            "files[0].urls[0]: has 3000 bytes, at most 512 are allowed",
        ),
    ] {
        assert_eq!(told, expected);
    }
}
