//! A dapp as its author writes it for DFINITY's LLM canister: it asks by the published crate `ic-llm`, which finds the
//! canister to call in the environment variable `PUBLIC_CANISTER_ID:llm`.

use ic_cdk::update;
use ic_llm::{ChatMessage, ParameterType, Response};

/// One question.
#[update]
async fn ask(model: String, question: String) -> String {
    ic_llm::prompt(model, question).await
}

/// A conversation with a system message, and a tool on offer.
#[update]
async fn ask_with_tool(model: String, question: String) -> Response {
    let weather = ic_llm::tool("weather")
        .with_description("Tells the weather of a city")
        .with_parameter(
            ic_llm::parameter("city", ParameterType::String)
                .with_description("The city")
                .is_required(),
        )
        .build();
    ic_llm::chat(model)
        .with_messages(vec![
            ChatMessage::System {
                content: "You answer briefly.".into(),
            },
            ChatMessage::User { content: question },
        ])
        .with_tools(vec![weather])
        .send()
        .await
}
