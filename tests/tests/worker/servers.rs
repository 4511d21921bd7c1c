//! Models on servers that speak OpenAI's interface, against a double of such a server: what a worker makes of what it is,
//! of its answers and of its failures, and a market in which its answers are compared.

use assay_protocol::{
    job::{JobState, Reason, SubmitError, Verdict},
    registry::{ModelManifest, SPEC_CLASS_1},
    request::{Assurance, JobRequest, Parameters, Sampling, Task},
    result::{Finish, ResultBody},
};
use assay_tests::model_server::{CONTEXT, MODEL, ModelServer, Script};
use assay_worker::{
    client::Outcome,
    model::{Job, RunFault},
    openai::{KeySource, ServerError, ServerModel, Settings, Topology},
};

use crate::{harness::ONE_AT_A_TIME, served::Served};

fn settings(server: &ModelServer) -> Settings {
    Settings {
        url: server.url.clone(),
        model: MODEL.to_owned(),
        topology: Topology::new("n300").unwrap(),
        image_digest: None,
        context_max: None,
        key: None,
    }
}

fn job(max_tokens: u32) -> Job {
    Job {
        task: Task::question("Say hello"),
        parameters: Parameters::new(max_tokens, Sampling::GREEDY),
        input_tokens_max: None,
        seed: 1,
        threads: 1,
    }
}

/// Asks a server that behaves so once it is known.
async fn ask(script: Script, job: &Job) -> (Result<ResultBody, RunFault>, String) {
    let server = ModelServer::start(Script {
        usage: script.usage,
        ..Script::GOOD
    });
    let model = ServerModel::open(&settings(&server)).await.unwrap();
    server.follow(script);
    let mut heard = String::new();
    let told = model
        .generate(job, &mut |token| heard.push_str(&token.text))
        .await;
    (told, heard)
}

#[tokio::test]
async fn what_a_server_says_it_is_and_its_operator_adds_make_its_class() {
    let mut roots = Vec::new();
    for (dialect, version) in [
        ("vllm", "1.2.3"),
        ("llama.cpp", "b1-abc"),
        ("ollama", "1.2.3"),
    ] {
        let server = ModelServer::start(Script {
            dialect,
            ..Script::GOOD
        });
        let model = ServerModel::open(&settings(&server)).await.unwrap();
        let deployment = model.deployment();
        assert_eq!(
            (deployment.dialect.name(), deployment.version.as_str()),
            (dialect, version)
        );
        let ModelManifest {
            semantics,
            model_root,
            context_max,
            verifiable,
            ..
        } = model.registration("big", "MIT");
        assert_eq!(
            (semantics.as_str(), verifiable, context_max),
            (SPEC_CLASS_1, false, CONTEXT)
        );
        // Another server of the same kind is of the same class, wherever it is.
        let twin = ModelServer::start(Script {
            dialect,
            ..Script::GOOD
        });
        let twin = ServerModel::open(&settings(&twin)).await.unwrap();
        assert_eq!(twin.root(), model_root);
        roots.push(model_root);
    }
    roots.dedup();
    assert_eq!(roots.len(), 3);
}

#[tokio::test]
async fn what_a_server_does_not_say_its_operator_must() {
    let server = ModelServer::start(Script {
        dialect: "",
        ..Script::GOOD
    });
    let told = ServerModel::open(&settings(&server)).await.unwrap_err();
    assert!(matches!(told, ServerError::NoIdentity { .. }), "{told}");
    let digest = Some(format!("sha256:{}", "0".repeat(64)));
    let named = Settings {
        image_digest: digest,
        ..settings(&server)
    };
    assert!(ServerModel::open(&named).await.is_ok());

    let other = Settings {
        model: "small".to_owned(),
        ..named
    };
    let told = ServerModel::open(&other).await.unwrap_err();
    assert!(
        matches!(told, ServerError::NoModel { .. }) && told.to_string().contains(MODEL),
        "{told}"
    );
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = Settings {
        url: format!("http://{nobody}"),
        ..other
    };
    let told = ServerModel::open(&nobody).await.unwrap_err();
    assert!(
        told.is_passing() && told.to_string().contains("is the server running?"),
        "{told}"
    );
    for url in [
        "ftp://127.0.0.1",
        "127.0.0.1:8000",
        "http://me:secret@127.0.0.1",
        "http://127.0.0.1/?a=b",
    ] {
        let wrong = Settings {
            url: url.to_owned(),
            ..settings(&server)
        };
        let told = ServerModel::open(&wrong).await.unwrap_err();
        assert!(matches!(told, ServerError::Url { .. }), "{url}: {told}");
    }
}

#[tokio::test]
async fn a_key_is_shown_to_this_machine_and_a_wrong_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "sesame\n").unwrap();
    let server = ModelServer::start(Script {
        bearer: Some("sesame"),
        ..Script::GOOD
    });
    let with_key = Settings {
        key: Some(KeySource::Key(file.clone())),
        ..settings(&server)
    };
    assert!(ServerModel::open(&with_key).await.is_ok());
    let told = ServerModel::open(&settings(&server)).await.unwrap_err();
    assert!(
        told.to_string().contains("HTTP 401: wrong key") && !told.is_passing(),
        "{told}"
    );
    let away = Settings {
        url: "http://192.0.2.1:8000".to_owned(),
        ..with_key
    };
    let told = ServerModel::open(&away).await.unwrap_err();
    assert!(matches!(told, ServerError::KeyInClear { .. }), "{told}");

    // As tt-inference-server wants it: its fixed payload under the secret `sesame`, as PyJWT 2 writes it.
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0ZWFtX2lkIjoidGVuc3RvcnJlbnQiLCJ0b2tlbl9pZCI6ImRlYnVnLXRlc3QifQ.cHqdaKYkAeqZzuJDbM4D73JH_F1P_0O-7mzUJpRmnXQ";
    let server = ModelServer::start(Script {
        bearer: Some(token),
        ..Script::GOOD
    });
    let signed = Settings {
        key: Some(KeySource::JwtSecret(file)),
        ..settings(&server)
    };
    assert!(ServerModel::open(&signed).await.is_ok());
}

#[tokio::test]
async fn an_answer_is_the_same_streamed_and_whole() {
    let (streamed, heard) = ask(Script::GOOD, &job(8)).await;
    let streamed = streamed.unwrap();
    assert_eq!(streamed.answer, heard.as_bytes());
    assert_eq!(
        (heard.as_str(), streamed.finish),
        ("hello hello hello hello ", Finish::Stop)
    );
    assert_eq!(
        (streamed.input_tokens.len(), streamed.output_tokens.len()),
        (2, 4)
    );
    // One that does not tell the tokens used while it streams is asked for the whole.
    let silent = Script {
        usage: false,
        ..Script::GOOD
    };
    let (whole, heard) = ask(silent, &job(8)).await;
    assert_eq!((whole.unwrap(), heard.as_str()), (streamed.clone(), ""));
    // The same text going on, and the same end where there are no more tokens.
    let prompt = "Say hello".to_owned();
    let completion = Job {
        task: Task::Completion { prompt },
        ..job(8)
    };
    assert_eq!(ask(Script::GOOD, &completion).await.0.unwrap(), streamed);
    let short = ask(Script::GOOD, &job(2)).await.0.unwrap();
    assert_eq!(
        (short.output_tokens.len(), short.finish),
        (2, Finish::Length)
    );
}

#[tokio::test]
async fn a_servers_failure_is_told_from_a_request_that_cannot_be_done() {
    let with = |status| Script {
        status: Some(status),
        ..Script::GOOD
    };
    let (told, _) = ask(with((400, "maximum context length is 16")), &job(8)).await;
    let told = told.unwrap_err();
    assert!(
        told.is_of_request() && told.to_string().contains("maximum context length"),
        "{told}"
    );
    for script in [
        with((500, "out of memory")),
        with((401, "wrong key")),
        with((429, "busy")),
        Script {
            breaks_off: true,
            ..Script::GOOD
        },
    ] {
        let told = ask(script.clone(), &job(8)).await.0.unwrap_err();
        assert!(!told.is_of_request(), "{script:?}: {told}");
    }
    // One that was updated meanwhile is of another class.
    let updated = Script {
        dialect: "ollama",
        ..Script::GOOD
    };
    let told = ask(updated, &job(8)).await.0.unwrap_err();
    assert!(
        !told.is_of_request() && told.to_string().contains("no longer 1.2.3"),
        "{told}"
    );
    let limited = Job {
        input_tokens_max: Some(1),
        ..job(8)
    };
    let told = ask(Script::GOOD, &limited).await.0.unwrap_err();
    assert!(
        told.is_of_request() && told.to_string().contains("2 input tokens"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_servers_are_compared_with_their_like_and_never_checked() {
    let _one = ONE_AT_A_TIME.lock().await;
    let servers = [(); 2].map(|()| ModelServer::start(Script::GOOD));
    let served = Served::start(&servers.each_ref().map(settings)).await;
    let both = Assurance::Equality { total: 2 };

    let same = served.ask("Say hello", both).await;
    assert_eq!(
        (same.state, same.verdict),
        (JobState::Settled, Some(Verdict::Verified)),
        "{same:#?}"
    );
    assert_eq!(
        same.answer.as_ref().unwrap().text,
        "hello hello hello hello "
    );
    let asked = |server: &ModelServer| {
        server
            .asked()
            .iter()
            .filter(|body| body["max_tokens"] == 8)
            .count()
    };
    assert_eq!(servers.each_ref().map(asked), [1, 1]);

    let alone = served.ask("Say hello", Assurance::Single).await;
    assert_eq!(
        (alone.state, alone.verdict),
        (JobState::Settled, Some(Verdict::Unverified)),
        "{alone:#?}"
    );

    // What differs is not verified, and nobody can say who is right.
    servers[1].follow(Script {
        suffix: "!",
        ..Script::GOOD
    });
    let differs = served.ask("Say bye", both).await;
    assert_eq!(differs.verdict, Some(Verdict::Inconclusive), "{differs:#?}");

    // A request that the servers would not follow is declined, and the job ends for it.
    servers[1].follow(Script::GOOD);
    let mut parameters = Parameters::new(8, Sampling::GREEDY);
    parameters.logprobs = Some(1);
    let request = served.request("Hi", parameters, both);
    let job = served.market.submit(1, request.clone()).await;
    let declined = served.market.until_ended(job).await;
    let why = declined.history.last().map(|last| &last.reason);
    assert!(
        matches!(why, Some(Reason::Declined(text)) if text.contains("log-probabilities")),
        "{declined:#?}"
    );

    let checked = JobRequest {
        assurance: Assurance::Checked { checkers: 1 },
        ..request
    };
    let told = served.market.jobs.quote(&checked).await;
    assert!(
        matches!(&told, Err(Outcome::Refused(SubmitError::Invalid { field, .. })) if field == "assurance"),
        "{told:?}"
    );
    served.market.stop().await;
}
