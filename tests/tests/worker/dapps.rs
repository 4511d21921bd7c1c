//! A dapp that was written for DFINITY's LLM canister, with its author's crate and nothing of ours.

use assay_protocol::{
    job::JobsArgs,
    limits,
    request::{Assurance, Chat, Message, MessageRole, Parameters, Sampling, Task, Tool},
    tool_calls,
};
use assay_worker::{client::Network, model::LocalModel};
use candid::{CandidType, Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, CanisterSettings, EnvironmentVariable, InstallCodeArgs,
    ProvisionalCreateCanisterWithCyclesArgs,
};
use serde::Deserialize;

use crate::{
    harness::{Market, ONE_AT_A_TIME, needed},
    tasks::{here, text_model},
};
use assay_cli::local::ProviderPlan;

/// More than the crate attaches to its calls.
const CYCLES: u128 = 10_000_000_000_000;

/// What the crate's users read.
#[derive(Debug, CandidType, Deserialize)]
struct Response {
    message: Reply,
}

#[derive(Debug, CandidType, Deserialize)]
struct Reply {
    content: Option<String>,
    tool_calls: Vec<Call>,
}

#[derive(Debug, CandidType, Deserialize)]
struct Call {
    id: String,
    function: Function,
}

#[derive(Debug, CandidType, Deserialize)]
struct Function {
    name: String,
    arguments: Vec<Argument>,
}

#[derive(Debug, CandidType, Deserialize)]
struct Argument {
    name: String,
    value: String,
}

/// A dapp on the market's network that finds this canister under the name `llm`.
async fn install(network: &Network, llm: Principal) -> Principal {
    let variable = EnvironmentVariable {
        name: "PUBLIC_CANISTER_ID:llm".into(),
        value: llm.to_text(),
    };
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(Nat::from(CYCLES)),
        settings: Some(CanisterSettings {
            environment_variables: Some(vec![variable]),
            ..CanisterSettings::default()
        }),
        specified_id: None,
        sender_canister_version: None,
    };
    let created: CanisterIdRecord = network
        .manage(llm, "provisional_create_canister_with_cycles", (args,))
        .await
        .unwrap();
    let dapp = created.canister_id;
    let args = InstallCodeArgs {
        mode: CanisterInstallMode::Install,
        canister_id: dapp,
        wasm_module: std::fs::read(needed("ASSAY_WASM_DIR").join("dapp.wasm")).unwrap(),
        arg: candid::encode_args(()).unwrap(),
        sender_canister_version: None,
    };
    let () = network.manage(dapp, "install_code", (args,)).await.unwrap();
    dapp
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dapp_with_the_published_crate_is_answered_by_our_workers() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let market = Market::start(&ProviderPlan::honest(2)).await;
    let network = market
        .market
        .connect(&market.market.operator)
        .await
        .unwrap();
    let dapp = install(&network, market.market.canisters.jobs).await;
    let name = market.market.model.manifest.name.clone();
    let model = LocalModel::Text(text_model());
    let parameters = Parameters::new(limits::V1_CHAT_TOKENS_MAX, Sampling::GREEDY);

    let question = "What is the capital of France? Answer in one word.";
    let answer: String = network
        .update(dapp, "ask", (&name, question))
        .await
        .unwrap();
    let body = here(&model, Task::question(question), parameters.clone());
    assert_eq!(answer.as_bytes(), body.answer);

    let told: Response = network
        .update(dapp, "ask_with_tool", (&name, question))
        .await
        .unwrap();
    let tool = Tool {
        name: "weather".into(),
        description: Some("Tells the weather of a city".into()),
        parameters: Some(
            r#"{"properties":{"city":{"description":"The city","type":"string"}},"required":["city"],"type":"object"}"#.into(),
        ),
    };
    let task = Task::Chat(Chat {
        messages: vec![
            Message::new(MessageRole::System, "You answer briefly."),
            Message::new(MessageRole::User, question),
        ],
        tools: Some(vec![tool.clone()]),
    });
    let body = here(&model, task, parameters);
    let text = String::from_utf8(body.answer).unwrap();
    let read = tool_calls::read(&text, &[tool]).unwrap_or(tool_calls::Reply {
        content: text,
        calls: Vec::new(),
    });
    let Reply {
        content,
        tool_calls,
    } = told.message;
    assert_eq!(content.unwrap_or_default(), read.content);
    let called: Vec<(String, String, usize)> = tool_calls
        .into_iter()
        .map(|Call { id, function }| (id, function.name, function.arguments.len()))
        .collect();
    assert_eq!(called.len(), read.calls.len());
    for ((id, name, _), call) in called.iter().zip(&read.calls) {
        assert_eq!((id, name), (&call.id, &call.name));
    }

    let jobs = JobsArgs {
        requester: Some(dapp),
        before: None,
        limit: 10,
    };
    let lines = market.jobs.jobs(&jobs).await.unwrap();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let view = market.jobs.job(line.id).await.unwrap();
        assert_eq!(view.assurance, Assurance::Checked { checkers: 1 });
        assert_eq!(view.answer, None, "only the dapp reads it");
    }

    // What cannot be answered is a reject that says why.
    let unknown: Result<String, _> = network.update(dapp, "ask", ("nobody's", question)).await;
    let error = unknown.expect_err("there is no such model").to_string();
    assert!(error.contains("no model nobody's"), "{error}");
    market.stop().await;
}
