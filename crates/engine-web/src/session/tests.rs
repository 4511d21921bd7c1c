use assay_engine::import::convert_bytes;
use serde_json::{Value, json};

use super::*;

#[path = "../../../engine/tests/files/builder.rs"]
mod builder;

fn file() -> Vec<u8> {
    let sizes = builder::Sizes {
        context: 512,
        ..builder::SMALL
    };
    let (file, _) = convert_bytes(&builder::checkpoint(sizes).build(), |_| ()).unwrap();
    file
}

fn session() -> Session {
    Session::open(file()).unwrap().0
}

fn ask(session: &mut Session, request: &Value) -> Result<Value, String> {
    let answer: Value =
        serde_json::from_str(&session.call(request.to_string().as_bytes())).unwrap();
    match answer.get("ok") {
        Some(ok) => Ok(ok.clone()),
        None => Err(answer["error"].as_str().unwrap().to_owned()),
    }
}

fn job(session: &mut Session, max_tokens: u32) -> Value {
    let messages = json!({ "prompt_tokens": { "messages": [
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": "hello world" },
    ] } });
    let input = ask(session, &messages).unwrap()["tokens"].clone();
    json!({ "input": input, "max_tokens": max_tokens,
        "sampling": { "temperature_milli": 900, "seed": "18446744073709551615" } })
}

/// Steps until a generation has ended; its tokens and what it ended with.
fn finish(session: &mut Session, id: &Value) -> (Vec<Value>, Value) {
    let mut tokens = Vec::new();
    loop {
        for event in ask(session, &json!({ "step": {} })).unwrap()["events"]
            .as_array()
            .unwrap()
        {
            if event["token"]["id"] == *id {
                tokens.push(event["token"]["token"].clone());
            } else if event["done"]["id"] == *id {
                return (tokens, event["done"]["transcript"].clone());
            }
        }
    }
}

#[test]
fn a_conversation_is_answered_and_its_answer_confirmed_as_natively() {
    let mut session = session();
    let job = job(&mut session, 90);
    let id = ask(&mut session, &json!({ "generate": job })).unwrap()["id"].clone();
    let (tokens, transcript) = finish(&mut session, &id);
    assert_eq!(transcript["output"], json!(tokens));

    let model = Model::from_bytes(file()).unwrap();
    let input: Vec<u32> = serde_json::from_value(job["input"].clone()).unwrap();
    let request = run::Request {
        input: &input,
        max_tokens: 90,
        sampling: Sampling {
            temperature_milli: 900,
            seed: u64::MAX,
            ..Sampling::GREEDY
        },
        ..run::Request::default()
    };
    let native = run::generate(&model, &request, &Options::default(), &mut |_, _| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(transcript["output"], json!(native.output));
    assert_eq!(transcript["trace_root"], hex::encode(native.trace_root));
    let text = ask(
        &mut session,
        &json!({ "text": { "tokens": native.output } }),
    )
    .unwrap();
    assert_eq!(transcript["text"], text["text"]);

    let claim = json!({ "output": native.output, "finish": transcript["finish"] });
    let id = ask(
        &mut session,
        &json!({ "check": { "job": job, "claim": claim } }),
    )
    .unwrap()["id"]
        .clone();
    let step = json!({ "check_step": { "id": id } });
    let mut answer = ask(&mut session, &step).unwrap();
    if native.output.len() > CHECK_STEP {
        assert_eq!(answer["check"]["going"]["done"], CHECK_STEP);
        answer = ask(&mut session, &step).unwrap();
    }
    assert_eq!(answer["check"]["match"]["transcript"], transcript);
    assert!(ask(&mut session, &step).unwrap_err().contains("has ended"));
}

#[test]
fn a_wrong_claim_is_a_mismatch_where_it_leaves_the_truth() {
    let mut session = session();
    let job = job(&mut session, 20);
    let id = ask(&mut session, &json!({ "generate": job })).unwrap()["id"].clone();
    let (mut tokens, transcript) = finish(&mut session, &id);
    let truth = tokens[2].clone();
    tokens[2] = json!(truth.as_u64().unwrap() ^ 1);
    let claim = json!({ "output": tokens, "finish": transcript["finish"] });
    let id = ask(
        &mut session,
        &json!({ "check": { "job": job, "claim": claim } }),
    )
    .unwrap()["id"]
        .clone();
    let answer = ask(&mut session, &json!({ "check_step": { "id": id } })).unwrap();
    let found = &answer["check"]["mismatch"];
    assert_eq!(
        (&found["position"], &found["expected"]),
        (&json!(2), &truth)
    );
}

#[test]
fn generations_run_side_by_side_and_can_be_left() {
    let mut session = session();
    let job = job(&mut session, 15);
    let ids =
        [(); 3].map(|()| ask(&mut session, &json!({ "generate": job })).unwrap()["id"].clone());
    let leave = json!({ "leave": { "id": ids[1] } });
    assert_eq!(ask(&mut session, &leave).unwrap()["left"], true);
    assert_eq!(ask(&mut session, &leave).unwrap()["left"], false);
    let mut ended = Vec::new();
    while ended.len() < 2 {
        for event in ask(&mut session, &json!({ "step": {} })).unwrap()["events"]
            .as_array()
            .unwrap()
        {
            assert_ne!(event["token"]["id"], ids[1]);
            if event.get("done").is_some() {
                ended.push(event["done"].clone());
            }
        }
    }
    assert_eq!(ended[0]["transcript"], ended[1]["transcript"]);
    assert_eq!(
        ask(&mut session, &json!({ "step": {} })).unwrap()["events"],
        json!([])
    );
}

#[test]
fn what_is_refused_says_why_and_changes_nothing() {
    let mut session = session();
    let good = job(&mut session, 5);
    for (request, why) in [
        (json!({ "generte": good }), "unknown variant"),
        (json!({ "step": { "all": 1 } }), "unknown field"),
        (
            json!({ "generate": { "input": [], "max_tokens": 1 } }),
            "no tokens",
        ),
        (
            json!({ "generate": { "input": [1], "max_tokens": 0 } }),
            "max_tokens is 0",
        ),
        (
            json!({ "generate": { "input": [1], "max_tokens": 512 } }),
            "exceed the context",
        ),
        (
            json!({ "generate": { "input": [1_000_000], "max_tokens": 1 } }),
            "vocabulary",
        ),
        (
            json!({ "generate": { "input": [1], "max_tokens": 1, "sampling": { "seed": "-1" } } }),
            "seed",
        ),
        (
            json!({ "generate": { "input": [1], "max_tokens": 1, "stop": [""] } }),
            "stop",
        ),
        (
            json!({ "generate": { "input": [1], "max_tokens": 1, "schema": { "pattern": "x" } } }),
            "pattern",
        ),
        (json!({ "check_step": { "id": 99 } }), "under the name 99"),
    ] {
        let error = ask(&mut session, &request).unwrap_err();
        assert!(error.contains(why), "{request}: {error}");
    }
    let long = vec![b' '; REQUEST_BYTES_MAX];
    assert!(session.call(&long).contains("not a request"));
    assert!(
        session
            .call(&[&long[..], b" "].concat())
            .contains("more than the limit")
    );
    assert!(session.group.is_empty() && session.checks.is_empty());
    let id = ask(&mut session, &json!({ "generate": good })).unwrap()["id"].clone();
    finish(&mut session, &id);
}

#[test]
fn checks_are_taken_up_to_their_limit() {
    let mut session = session();
    let job = job(&mut session, 5);
    let check = json!({ "check": { "job": job, "claim": { "output": [], "finish": "stop" } } });
    let ids: Vec<Value> = (0..CHECKS_MAX)
        .map(|_| ask(&mut session, &check).unwrap()["id"].clone())
        .collect();
    assert!(
        ask(&mut session, &check)
            .unwrap_err()
            .contains("is the limit")
    );
    ask(&mut session, &json!({ "leave": { "id": ids[0] } })).unwrap();
    ask(&mut session, &check).unwrap();
}

#[test]
fn a_spoiled_file_is_refused() {
    let mut file = file();
    let last = file.len() - 1;
    file[last] ^= 1;
    assert!(Session::open(file).is_err());
}
