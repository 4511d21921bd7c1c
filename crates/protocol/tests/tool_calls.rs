//! Calls of tools in answers: what is read, and what is not.

use assay_protocol::{
    limits,
    request::Tool,
    tool_calls::{CallError, Reply, read},
};
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn tools() -> Vec<Tool> {
    ["weather", "time"]
        .map(|name| Tool {
            name: name.to_owned(),
            description: None,
            parameters: None,
        })
        .to_vec()
}

/// An answer as a line for what it says, and one for each call.
fn told(answer: Result<Reply, CallError>) -> String {
    match answer {
        Ok(Reply { content, calls }) => {
            let mut told = format!("says {content:?}");
            for call in calls {
                told += &format!("\n{} {} {}", call.id, call.name, call.arguments);
            }
            told
        }
        Err(error) => format!("error: {error}"),
    }
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&told(read(text, &tools())));
}

#[test]
fn calls_between_marks_are_read_in_their_order() {
    check(
        "Let me look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Bern\", \"days\": 1.50}}\n</tool_call>\n\
         <tool_call>{\"arguments\":{},\"name\":\"time\"}</tool_call>",
        expect![[r#"
            says "Let me look."
            call_0 weather {"city": "Bern", "days": 1.50}
            call_1 time {}"#]],
    );
}

#[test]
fn the_last_closing_mark_may_be_missing() {
    check(
        "<tool_call>{\"name\": \"time\", \"arguments\": {}}\n",
        expect![[r#"
            says ""
            call_0 time {}"#]],
    );
}

#[test]
fn marks_inside_of_arguments_are_text() {
    check(
        r#"<tool_call>{"name": "weather", "arguments": {"city": "</tool_call><tool_call>"}}</tool_call> done"#,
        expect![[r#"
            says "done"
            call_0 weather {"city": "</tool_call><tool_call>"}"#]],
    );
}

#[test]
fn an_answer_that_is_one_object_is_a_call() {
    check(
        "\n{\"name\": \"weather\", \"parameters\": {\"city\": \"Zürich\", \"n\": 123456789012345678901234567890}} ",
        expect![[r#"
            says ""
            call_0 weather {"city": "Zürich", "n": 123456789012345678901234567890}"#]],
    );
}

#[test]
fn arguments_inside_of_a_string_are_taken_out() {
    check(
        r#"{"name": "weather", "arguments": "{\"city\": \"Bern\"}"}"#,
        expect![[r#"
            says ""
            call_0 weather {"city": "Bern"}"#]],
    );
}

#[test]
fn other_answers_are_what_they_say() {
    for text in [
        "",
        "It is sunny.",
        "{",
        "[1, 2]",
        r#"{"city": "Bern"}"#,
        r#"{"name": "Anna", "arguments": {}}"#,
        r#"{"name": "weather"}"#,
        r#"{"name": "weather", "arguments": 3}"#,
        r#"{"name": "weather", "arguments": {}} and so on"#,
        r#"Call {"name": "weather", "arguments": {}}"#,
        r#"{"name": "weather", "arguments": {}, "parameters": {}}"#,
    ] {
        let reply = Reply {
            content: text.to_owned(),
            calls: Vec::new(),
        };
        assert_eq!(read(text, &tools()), Ok(reply));
    }
}

#[test]
fn without_tools_nothing_is_a_call() {
    let text = r#"<tool_call>{"name": "weather", "arguments": {}}</tool_call>"#;
    assert_eq!(read(text, &[]).unwrap().content, text);
}

#[test]
fn a_call_that_cannot_be_followed_is_named() {
    let good = r#"<tool_call>{"name": "time", "arguments": {}}</tool_call>"#;
    check(
        "<tool_call>{\"name\": \"weather\", \"argum",
        expect!["error: call 0 is no JSON object; ask for more tokens if the answer was cut off"],
    );
    check(
        &format!("{good}<tool_call>weather(Bern)</tool_call>"),
        expect!["error: call 1 is no JSON object; ask for more tokens if the answer was cut off"],
    );
    check(
        r#"<tool_call>{"name": "time", "arguments": {}} and more</tool_call>"#,
        expect!["error: call 0 is no JSON object; ask for more tokens if the answer was cut off"],
    );
    check(
        r#"<tool_call>["weather"]</tool_call>"#,
        expect!["error: call 0 is no JSON object; ask for more tokens if the answer was cut off"],
    );
    check(
        r#"<tool_call>{"name": 3, "arguments": {}}</tool_call>"#,
        expect!["error: call 0 has no name, or not one of arguments and parameters"],
    );
    check(
        r#"<tool_call>{"name": "time"}</tool_call>"#,
        expect!["error: call 0 has no name, or not one of arguments and parameters"],
    );
    check(
        r#"<tool_call>{"name": "time", "name": "weather", "arguments": {}}</tool_call>"#,
        expect!["error: call 0 has no name, or not one of arguments and parameters"],
    );
    check(
        r#"<tool_call>{"name": "rm", "arguments": {}}</tool_call>"#,
        expect![[r#"error: call 0 is of "rm", which was not offered"#]],
    );
    check(
        r#"<tool_call>{"name": "time", "arguments": "now"}</tool_call>"#,
        expect!["error: the arguments of call 0 are no JSON object"],
    );
    assert_eq!(
        read(&good.repeat(limits::TOOL_CALLS_MAX + 1), &tools()),
        Err(CallError::TooMany)
    );
    let most = read(&good.repeat(limits::TOOL_CALLS_MAX), &tools()).unwrap();
    assert_eq!(most.calls.len(), limits::TOOL_CALLS_MAX);
}

#[test]
fn deep_nesting_is_no_danger() {
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(100_000);
        let text = format!("<tool_call>{{\"name\": \"time\", \"arguments\": {deep}");
        assert_eq!(read(&text, &tools()), Err(CallError::Syntax { index: 0 }));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "(<tool_call>|</tool_call>|[{}:,\" \\\\a-zé0]|\"name\"|\"time\"|\"arguments\"){0,40}") {
        if let Ok(reply) = read(&text, &tools()) {
            for call in reply.calls {
                prop_assert_eq!(call.name, "time");
                let object = call.arguments.trim_start().starts_with('{');
                prop_assert!(object);
            }
        }
    }
}
