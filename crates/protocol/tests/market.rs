//! Jobs, leases, results, receipts and prices: the encodings are pinned, every field counts, and
//! amounts are exact.

use std::collections::BTreeSet;

use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, ModelId, Timestamp,
    hash::HashError,
    job::{JobState, Reason, SubmitArgs, Verdict},
    lease::{
        Beat, Claim, LeaseState, Mismatch, Offer, Opening, RevealArgs, Role, commitment,
        offers_hash,
    },
    limits,
    price::{Rates, basis_points},
    receipt::{Receipt, ReceiptLease, ReceiptResult},
    request::{
        Assurance, Chat, Format, JobRequest, LogitBias, Message, MessageRole, ModelRef, Parameters,
        Sampling, Task, Tool, ToolCall,
    },
    result::{Finish, Logprob, ResultBody, ResultContext, TokenLogprobs, Usage},
};
use candid::{CandidType, Decode, Encode, Principal};
use expect_test::expect;
use serde::de::DeserializeOwned;

fn principal(byte: u8) -> Principal {
    Principal::from_slice(&[byte; 10])
}

fn chat() -> Chat {
    Chat {
        messages: vec![
            Message::new(MessageRole::System, "be brief"),
            Message::new(MessageRole::User, "why is the sky blue?"),
        ],
        tools: None,
    }
}

fn request() -> JobRequest {
    JobRequest {
        model: ModelRef::Name("tiny".into()),
        task: Task::Chat(chat()),
        parameters: parameters(),
        seed: Some(7),
        assurance: Assurance::Checked { checkers: 1 },
    }
}

fn parameters() -> Parameters {
    Parameters::new(
        64,
        Sampling {
            temperature_milli: 700,
            top_p_ppm: 900_000,
            top_k: 40,
            ..Sampling::GREEDY
        },
    )
}

fn offers() -> [Offer; 2] {
    let offer = |byte, input, output| Offer {
        model: ModelId(Hash32([byte; 32])),
        ask_input: Cycles(input),
        ask_output: Cycles(output),
    };
    [offer(1, 1_000, 9_000), offer(2, 0, 1 << 100)]
}

fn body() -> ResultBody {
    ResultBody {
        input_tokens: vec![1, 2, 3],
        output_tokens: vec![4, 5],
        answer: b"because".to_vec(),
        logprobs: None,
        finish: Finish::Stop,
        trace_root: Hash32([9; 32]),
    }
}

fn context<'a>(model_root: &'a Hash32, parameters: &'a Parameters) -> ResultContext<'a> {
    ResultContext {
        spec: "CIS-1",
        model_root,
        parameters,
        seed: 7,
    }
}

fn root_of(body: &ResultBody) -> Hash32 {
    body.root(&context(&Hash32([1; 32]), &parameters()))
}

fn receipt() -> Receipt {
    let lease = ReceiptLease {
        lease: LeaseId(3),
        round: 1,
        role: Role::Generator,
        worker: principal(4),
        provider: principal(5),
        state: LeaseState::Revealed,
        root: Some(Hash32([6; 32])),
        paid: Cycles(100),
        forfeited: Cycles(0),
        bonus: Cycles(0),
    };
    Receipt {
        canister: principal(1),
        job: JobId(2),
        request_hash: Hash32([1; 32]),
        model: ModelId(Hash32([2; 32])),
        model_root: Hash32([3; 32]),
        class: Hash32([4; 32]),
        seed: Some(7),
        assurance: Assurance::Checked { checkers: 1 },
        state: JobState::Settled,
        verdict: Some(Verdict::Verified),
        result: Some(ReceiptResult {
            root: Hash32([6; 32]),
            answer_sha256: Hash32([7; 32]),
            trace_root: Hash32([8; 32]),
            finish: Finish::Stop,
            usage: Usage {
                input_tokens: 3,
                output_tokens: 2,
            },
        }),
        leases: vec![lease],
        escrow: Cycles(200),
        fee: Cycles(2),
        royalty: Cycles(1),
        refund: Cycles(97),
        subsidy: Cycles(0),
        submitted_at: Timestamp(10),
        ended_at: Timestamp(20),
    }
}

fn logprobs(drawn: u32, top: &[u32]) -> TokenLogprobs {
    let of = |token| Logprob {
        token,
        micro_nats: -5,
    };
    TokenLogprobs {
        drawn: of(drawn),
        top: top.iter().copied().map(of).collect(),
    }
}

/// Every change gives a hash of its own.
fn all_differ<T: Clone>(value: &T, hash: impl Fn(&T) -> Hash32, changes: &[fn(&mut T)]) {
    let mut seen = vec![hash(value)];
    for (i, change) in changes.iter().enumerate() {
        let mut changed = value.clone();
        change(&mut changed);
        let hash = hash(&changed);
        assert!(!seen.contains(&hash), "change {i} does not count");
        seen.push(hash);
    }
}

#[test]
fn the_encodings_are_pinned() {
    let commitment = commitment(
        &principal(1),
        LeaseId(2),
        &principal(3),
        &Hash32([4; 32]),
        &Hash32([5; 32]),
    );
    let mismatch = Mismatch {
        position: 7,
        trace_root: Hash32([6; 32]),
    };
    let told = [
        ("request", request().salted_hash(&Hash32([8; 32]))),
        ("result", root_of(&body())),
        ("commitment", commitment),
        ("mismatch", mismatch.root(JobId(1), 2)),
        ("receipt", receipt().hash()),
        ("offers", offers_hash(&offers())),
    ];
    let told: String = told
        .iter()
        .map(|(name, hash)| format!("{name} {hash}\n"))
        .collect();
    expect![[r#"
        request 3f92705d0ca67ae9f301fb58e0e69e65fce429cb5bfcb3b852fb8a6d41c9c80a
        result 7a40bb225ff4347197670898fa4bef0755f543fb4af39e785339d245d064d3ad
        commitment 6328f09a47c5b00367c031740561c480de5a04bedc187e45337c5f4e8bdb36ca
        mismatch e866377c17bb3a0c0bb94d909661c11610ee5e6102db14fa4504205be3b1f4bc
        receipt 14583a74359eac3fbcd1426fb599b7cee316ec4f5ab986720f9f8fe2804eade1
        offers a286d650a6ed756b4692ca28074ae52815e1bc71d421cb720f3ec24c96a723df
    "#]]
    .assert_eq(&told);
}

#[test]
fn every_field_of_a_request_counts() {
    let salt = Hash32([8; 32]);
    all_differ(
        &request(),
        |request| request.salted_hash(&salt),
        &[
            |r| r.model = ModelRef::Name("tinyy".into()),
            |r| r.model = ModelRef::Version(ModelId(Hash32([1; 32]))),
            |r| r.task = Task::Completion { prompt: "x".into() },
            |r| r.task = Task::Completion { prompt: "y".into() },
            |r| r.task = Task::Embedding { text: "x".into() },
            |r| {
                let checkpoint_root = Hash32([1; 32]);
                r.task = Task::Training { checkpoint_root };
            },
            |r| r.parameters.max_tokens = 65,
            |r| r.seed = Some(8),
            |r| r.seed = None,
            |r| r.assurance = Assurance::Checked { checkers: 2 },
            |r| r.assurance = Assurance::Single,
            |r| r.assurance = Assurance::Equality { total: 2 },
            |r| r.assurance = Assurance::Threshold { total: 2, min: 1 },
            |r| r.assurance = Assurance::Threshold { total: 2, min: 2 },
            |r| r.assurance = Assurance::Refereed,
        ],
    );
    assert_ne!(
        request().salted_hash(&salt),
        request().salted_hash(&Hash32([7; 32])),
        "the salt counts"
    );
}

#[test]
fn every_field_of_a_conversation_counts() {
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
    };
    let tool = |name: &str, description: &str, parameters: &str| Tool {
        name: name.into(),
        description: Some(description.into()),
        parameters: Some(parameters.into()),
    };
    let mut with_tools = chat();
    with_tools.messages[0].tool_calls = Some(vec![call("1", "f", "{}")]);
    with_tools.messages[1].tool_call_id = Some("1".into());
    with_tools.tools = Some(vec![tool("f", "does", "{}")]);
    let hash = |chat: &Chat| {
        let task = Task::Chat(chat.clone());
        JobRequest { task, ..request() }.salted_hash(&Hash32::default())
    };
    fn first_call(chat: &mut Chat) -> &mut ToolCall {
        &mut chat.messages[0].tool_calls.as_mut().expect("calls")[0]
    }
    fn first_tool(chat: &mut Chat) -> &mut Tool {
        &mut chat.tools.as_mut().expect("tools")[0]
    }
    all_differ(
        &with_tools,
        hash,
        &[
            |c| c.messages[0].role = MessageRole::Assistant,
            |c| c.messages[1].role = MessageRole::Tool,
            |c| c.messages[1].content.push('!'),
            |c| c.messages.truncate(1),
            // The same text, cut elsewhere.
            |c| {
                (c.messages[0].content, c.messages[1].content) =
                    ("be brie".into(), "fwhy is the sky blue?".into())
            },
            |c| c.messages[0].tool_calls = None,
            |c| first_call(c).id.push('1'),
            |c| first_call(c).name.push('1'),
            |c| first_call(c).arguments.push('1'),
            |c| c.messages[1].tool_call_id = None,
            |c| c.tools = None,
            |c| first_tool(c).name.push('1'),
            |c| first_tool(c).description = None,
            |c| first_tool(c).parameters = None,
        ],
    );
    let mut none = with_tools.clone();
    (none.tools, none.messages[0].tool_calls) = (None, None);
    let mut empty = with_tools;
    (empty.tools, empty.messages[0].tool_calls) = (Some(vec![]), Some(vec![]));
    assert_eq!(
        hash(&none),
        hash(&empty),
        "no tools are an empty list of tools"
    );
}

#[test]
fn every_parameter_counts_and_what_is_absent_is_neutral() {
    let hash = |parameters: &Parameters| {
        let root = body().root(&context(&Hash32([1; 32]), parameters));
        let request = JobRequest {
            parameters: parameters.clone(),
            ..request()
        };
        let asked = request.salted_hash(&Hash32::default());
        assert_ne!(root, asked);
        root
    };
    let bias = |token, milli| Some(vec![LogitBias { token, milli }]);
    let mut full = parameters();
    full.sampling.logit_bias = bias(3, -4);
    full.stop = Some(vec!["a".into(), "b".into()]);
    all_differ(
        &full,
        hash,
        &[
            |p| p.max_tokens = 65,
            |p| p.sampling.temperature_milli = 701,
            |p| p.sampling.top_p_ppm = 900_001,
            |p| p.sampling.top_k = 41,
            |p| p.sampling.min_p_ppm = Some(1),
            |p| p.sampling.repetition_penalty_milli = Some(1),
            |p| p.sampling.repetition_window = Some(1),
            |p| p.sampling.presence_penalty_milli = Some(1),
            |p| p.sampling.presence_penalty_milli = Some(-1),
            |p| p.sampling.frequency_penalty_milli = Some(1),
            |p| p.sampling.logit_bias = None,
            |p| p.sampling.logit_bias.as_mut().expect("biases")[0].token = 4,
            |p| p.sampling.logit_bias.as_mut().expect("biases")[0].milli = 4,
            |p| p.stop = None,
            |p| p.stop = Some(vec!["ab".into()]),
            |p| p.stop = Some(vec!["b".into(), "a".into()]),
            |p| p.format = Some(Format::JsonObject),
            |p| p.format = Some(Format::JsonSchema("{}".into())),
            |p| p.format = Some(Format::JsonSchema("true".into())),
            |p| p.logprobs = Some(0),
            |p| p.logprobs = Some(1),
        ],
    );
    let mut neutral = full.clone();
    neutral.format = Some(Format::Text);
    neutral.sampling = Sampling {
        min_p_ppm: Some(0),
        repetition_penalty_milli: Some(1_000),
        repetition_window: Some(0),
        presence_penalty_milli: Some(0),
        frequency_penalty_milli: Some(0),
        ..neutral.sampling
    };
    assert_eq!(hash(&full), hash(&neutral));
}

#[test]
fn every_field_of_a_result_counts() {
    all_differ(
        &body(),
        root_of,
        &[
            |b| b.input_tokens.push(4),
            |b| (b.input_tokens, b.output_tokens) = (vec![1, 2, 3, 4], vec![5]),
            |b| b.output_tokens[0] = 9,
            |b| b.answer.push(b'!'),
            |b| b.logprobs = Some(vec![]),
            |b| b.logprobs = Some(vec![logprobs(4, &[])]),
            |b| b.logprobs = Some(vec![logprobs(5, &[])]),
            |b| b.logprobs = Some(vec![logprobs(4, &[4])]),
            |b| b.logprobs = Some(vec![logprobs(4, &[]), logprobs(4, &[])]),
            |b| b.finish = Finish::Length,
            |b| b.trace_root = Hash32([8; 32]),
        ],
    );
    let root = root_of(&body());
    let (model_root, parameters) = (Hash32([1; 32]), parameters());
    let same = context(&model_root, &parameters);
    let others = [
        ResultContext {
            spec: "CIS-2",
            ..same
        },
        ResultContext { seed: 8, ..same },
        ResultContext {
            model_root: &Hash32([2; 32]),
            ..same
        },
    ];
    let others = others.map(|context| body().root(&context));
    assert!(others.iter().all(|other| *other != root));
}

#[test]
fn every_field_of_a_receipt_counts() {
    all_differ(
        &receipt(),
        Receipt::hash,
        &[
            |r| r.canister = principal(9),
            |r| r.job = JobId(3),
            |r| r.request_hash = Hash32([9; 32]),
            |r| r.model = ModelId(Hash32([9; 32])),
            |r| r.model_root = Hash32([9; 32]),
            |r| r.class = Hash32([9; 32]),
            |r| r.seed = None,
            |r| r.seed = Some(0),
            |r| r.assurance = Assurance::Single,
            |r| r.state = JobState::Failed,
            |r| r.state = JobState::Expired,
            |r| r.verdict = None,
            |r| r.verdict = Some(Verdict::Unverified),
            |r| r.result = None,
            |r| r.result.as_mut().expect("a result").root = Hash32([9; 32]),
            |r| r.result.as_mut().expect("a result").answer_sha256 = Hash32([9; 32]),
            |r| r.result.as_mut().expect("a result").trace_root = Hash32([9; 32]),
            |r| r.result.as_mut().expect("a result").finish = Finish::Length,
            |r| r.result.as_mut().expect("a result").usage.input_tokens = 4,
            |r| r.result.as_mut().expect("a result").usage.output_tokens = 4,
            |r| r.leases.clear(),
            |r| r.leases.push(r.leases[0]),
            |r| r.leases[0].lease = LeaseId(9),
            |r| r.leases[0].round = 2,
            |r| r.leases[0].role = Role::Replica,
            |r| r.leases[0].worker = principal(9),
            |r| r.leases[0].provider = principal(9),
            |r| r.leases[0].state = LeaseState::Silent,
            |r| r.leases[0].root = None,
            |r| r.leases[0].paid = Cycles(101),
            |r| r.escrow = Cycles(201),
            |r| r.fee = Cycles(3),
            |r| r.royalty = Cycles(2),
            |r| r.refund = Cycles(98),
            |r| r.subsidy = Cycles(1),
            |r| r.leases[0].forfeited = Cycles(1),
            |r| r.leases[0].bonus = Cycles(1),
            |r| r.submitted_at = Timestamp(11),
            |r| r.ended_at = Timestamp(21),
        ],
    );
}

#[test]
fn a_commitment_opens_only_with_everything_it_was_made_of() {
    let (canister, worker, nonce, root) =
        (principal(1), principal(3), Hash32([4; 32]), Hash32([5; 32]));
    let own = commitment(&canister, LeaseId(2), &worker, &nonce, &root);
    let others = [
        commitment(&principal(2), LeaseId(2), &worker, &nonce, &root),
        commitment(&canister, LeaseId(3), &worker, &nonce, &root),
        commitment(&canister, LeaseId(2), &principal(4), &nonce, &root),
        commitment(&canister, LeaseId(2), &worker, &Hash32([6; 32]), &root),
        commitment(&canister, LeaseId(2), &worker, &nonce, &Hash32([6; 32])),
        // A nonce and a root that change places.
        commitment(&canister, LeaseId(2), &worker, &root, &nonce),
    ];
    assert!(others.iter().all(|other| *other != own));
}

#[test]
fn a_mismatch_belongs_to_its_job_round_and_position() {
    let mismatch = Mismatch {
        position: 7,
        trace_root: Hash32([6; 32]),
    };
    let own = mismatch.root(JobId(1), 2);
    let others = [
        mismatch.root(JobId(2), 2),
        mismatch.root(JobId(1), 3),
        Mismatch {
            position: 8,
            ..mismatch
        }
        .root(JobId(1), 2),
        Mismatch {
            trace_root: Hash32([7; 32]),
            ..mismatch
        }
        .root(JobId(1), 2),
    ];
    assert!(others.iter().all(|other| *other != own));
}

#[test]
fn an_end_fits_a_number_of_tokens() {
    let plain = Parameters::new(20, Sampling::GREEDY);
    for (finish, tokens, fits) in [
        (Finish::Stop, 0, true),
        (Finish::Stop, 19, true),
        (Finish::Stop, 20, false),
        (Finish::Length, 19, false),
        (Finish::Length, 20, true),
        (Finish::Length, 21, false),
    ] {
        assert_eq!(
            finish.fits(tokens, &plain),
            fits,
            "{finish:?} with {tokens}"
        );
    }
}

#[test]
fn an_answer_that_may_be_stopped_may_stop_with_its_last_token() {
    let mut steered = Parameters::new(20, Sampling::GREEDY);
    steered.stop = Some(vec!["END".into()]);
    let mut json = Parameters::new(20, Sampling::GREEDY);
    json.format = Some(Format::JsonObject);
    for parameters in [steered, json] {
        assert!(Finish::Stop.fits(20, &parameters));
        assert!(!Finish::Stop.fits(21, &parameters));
        assert!(!Finish::Length.fits(19, &parameters));
    }
}

#[test]
fn the_longest_input_counts_bytes_and_template() {
    assert_eq!(
        request().input_tokens_max(),
        8 + 20 + 2 * limits::TEMPLATE_TOKENS_PER_MESSAGE + limits::TEMPLATE_TOKENS
    );
    let mut with_tool = chat();
    with_tool.tools = Some(vec![Tool {
        name: "four".into(),
        description: None,
        parameters: Some("{}".into()),
    }]);
    assert_eq!(
        Task::Chat(with_tool).input_tokens_max(),
        request().input_tokens_max() + 2 * 6 + limits::TEMPLATE_TOKENS_PER_TOOL
    );
    // Nothing but tools, whose texts count twice.
    let tool = Tool {
        name: "x".repeat(limits::REQUEST_BYTES_MAX / limits::TOOLS_MAX),
        description: None,
        parameters: None,
    };
    let call = ToolCall {
        id: String::new(),
        name: String::new(),
        arguments: String::new(),
    };
    let mut messages = vec![Message::new(MessageRole::User, ""); limits::MESSAGES_MAX];
    messages[0].tool_calls = Some(vec![call; limits::TOOL_CALLS_MAX]);
    let full = Task::Chat(Chat {
        messages,
        tools: Some(vec![tool; limits::TOOLS_MAX]),
    });
    assert_eq!(full.input_tokens_max() as usize, limits::INPUT_TOKENS_MAX);
}

#[test]
fn prices_are_exact_and_rounded_down() {
    let rates = Rates {
        input: Cycles(1_999),
        output: Cycles(3_333),
    };
    let usage = Usage {
        input_tokens: 1,
        output_tokens: 2,
    };
    assert_eq!(rates.generation(usage), Some(Cycles(1 + 6)));
    assert_eq!(rates.check(usage), Some(Cycles(5)));
    assert_eq!(rates.generation(Usage::default()), Some(Cycles::ZERO));
    assert_eq!(Rates::default().check(usage), Some(Cycles::ZERO));
    assert_eq!(basis_points(Cycles(9_999), 1), Some(Cycles::ZERO));
    assert_eq!(basis_points(Cycles(10_000), 1), Some(Cycles(1)));
    assert_eq!(basis_points(Cycles(12_345), 250), Some(Cycles(308)));
}

#[test]
fn prices_past_what_can_be_counted_are_none_and_the_limits_keep_far_from_it() {
    let endless = Rates {
        input: Cycles(u128::MAX),
        output: Cycles(u128::MAX),
    };
    let usage = Usage {
        input_tokens: 2,
        output_tokens: 2,
    };
    assert_eq!(
        (endless.generation(usage), endless.check(usage)),
        (None, None)
    );
    assert_eq!(
        Rates::default().check(Usage {
            input_tokens: u32::MAX,
            output_tokens: 1
        }),
        None
    );
    assert_eq!(basis_points(Cycles(u128::MAX), 2), None);
    let dearest = Rates {
        input: Cycles(limits::ASK_CYCLES_MAX),
        output: Cycles(limits::ASK_CYCLES_MAX),
    };
    let largest = Usage {
        input_tokens: limits::INPUT_TOKENS_MAX as u32,
        output_tokens: limits::OUTPUT_TOKENS_MAX,
    };
    let most = dearest.check(largest).expect("within the limits").0 * 10;
    assert!(
        most < limits::PRICE_CAP_CYCLES_MAX,
        "ten of the dearest checks stay below the highest cap"
    );
}

#[test]
fn states_know_whether_they_are_over() {
    let over = [
        JobState::Settled,
        JobState::Cancelled,
        JobState::Expired,
        JobState::Failed,
    ];
    let open = [
        JobState::Queued,
        JobState::Running,
        JobState::Revealing,
        JobState::Extended,
    ];
    assert!(
        over.iter().all(|state| state.is_terminal())
            && !open.iter().any(|state| state.is_terminal())
    );
    assert!(
        open.iter().all(|open| over.iter().all(|over| open < over)),
        "an end comes after every open state"
    );
    assert!(
        LeaseState::Leased.is_live()
            && LeaseState::Committed.is_live()
            && !LeaseState::Revealed.is_live()
    );
}

#[test]
fn times_and_amounts_are_readable() {
    let shown = |seconds: u64| Timestamp(seconds * 1_000_000_000 + 7_000_000).to_string();
    assert_eq!(shown(0), "1970-01-01T00:00:00.007Z");
    assert_eq!(shown(951_782_399), "2000-02-28T23:59:59.007Z");
    assert_eq!(shown(951_782_400), "2000-02-29T00:00:00.007Z");
    assert_eq!(shown(4_107_542_399), "2100-02-28T23:59:59.007Z");
    assert_eq!(shown(4_107_542_400), "2100-03-01T00:00:00.007Z");
    assert_eq!(shown(1_798_761_599), "2026-12-31T23:59:59.007Z");
    assert_eq!(Cycles(1_234_567).to_string(), "1_234_567");
    assert_eq!(Cycles(999).to_string(), "999");
    assert_eq!(Timestamp(u64::MAX).plus_seconds(1), Timestamp(u64::MAX));
    assert_eq!(Timestamp(1).since(Timestamp(2)), 0);
}

#[test]
fn candid_gives_back_what_it_took() {
    fn same<T: CandidType + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        let bytes = Encode!(value).expect("it encodes");
        assert_eq!(&Decode!(&bytes, T).expect("it decodes"), value);
    }
    same(&SubmitArgs {
        request: request(),
        price_cap: Cycles(u128::MAX),
        deadline_seconds: 1,
        idempotency_key: vec![0, 255],
    });
    same(&RevealArgs {
        lease: LeaseId(1),
        nonce: Hash32([2; 32]),
        opening: Opening::Result(body()),
    });
    same(&RevealArgs {
        lease: LeaseId(1),
        nonce: Hash32([2; 32]),
        opening: Opening::Agrees {
            root: Hash32([3; 32]),
        },
    });
    same(&Claim {
        output: vec![u32::MAX],
        finish: Finish::Length,
    });
    same(&Beat::Stop(Reason::Abandoned("going home".into())));
    same(&receipt());
}

#[test]
fn a_hash_of_another_length_does_not_decode() {
    for length in [0, 31, 33] {
        let bytes = Encode!(&serde_bytes::ByteBuf::from(vec![1; length])).expect("it encodes");
        assert!(Decode!(&bytes, Hash32).is_err(), "{length} bytes");
    }
    let bytes = Encode!(&serde_bytes::ByteBuf::from(vec![1; 32])).expect("it encodes");
    assert_eq!(Decode!(&bytes, Hash32).expect("32 bytes"), Hash32([1; 32]));
    for length in [31, 33] {
        let told = Hash32::try_from(&vec![1; length][..]);
        assert_eq!(told, Err(HashError::Length(length)));
    }
    assert_eq!("ab".parse::<Hash32>(), Err(HashError::Length(1)));
    assert_eq!("a".repeat(63).parse::<Hash32>(), Err(HashError::NotHex));
    assert_eq!("x".repeat(64).parse::<Hash32>(), Err(HashError::NotHex));
    let mixed = "aB".repeat(32);
    let read = mixed.parse();
    assert_eq!(read, Ok(Hash32([0xab; 32])), "either case is read");
    assert_eq!(
        Hash32([0xab; 32]).to_string().parse(),
        Ok(Hash32([0xab; 32]))
    );
}

#[test]
fn a_request_of_a_client_that_knows_no_options_is_read() {
    #[derive(CandidType)]
    struct OldSampling {
        temperature_milli: u32,
        top_p_ppm: u32,
        top_k: u32,
    }
    #[derive(CandidType)]
    struct OldParameters {
        max_tokens: u32,
        sampling: OldSampling,
    }
    #[derive(CandidType)]
    struct OldMessage {
        role: MessageRole,
        content: String,
    }
    #[derive(CandidType)]
    struct OldChat {
        messages: Vec<OldMessage>,
    }
    #[derive(CandidType)]
    enum OldTask {
        Chat(OldChat),
    }
    #[derive(CandidType)]
    struct OldRequest {
        model: ModelRef,
        task: OldTask,
        parameters: OldParameters,
        assurance: Assurance,
    }
    let now = request();
    let Task::Chat(chat) = &now.task else {
        panic!("it is a chat");
    };
    let old = |message: &Message| OldMessage {
        role: message.role,
        content: message.content.clone(),
    };
    let plain = |message: &Message| Message::new(message.role, message.content.clone());
    let sampling = now.parameters.sampling.clone();
    let asked = OldRequest {
        model: now.model.clone(),
        task: OldTask::Chat(OldChat {
            messages: chat.messages.iter().map(old).collect(),
        }),
        parameters: OldParameters {
            max_tokens: 64,
            sampling: OldSampling {
                temperature_milli: sampling.temperature_milli,
                top_p_ppm: sampling.top_p_ppm,
                top_k: sampling.top_k,
            },
        },
        assurance: now.assurance,
    };
    let bytes = Encode!(&asked).expect("it encodes");
    let read = Decode!(&bytes, JobRequest).expect("it decodes");
    let expected = JobRequest {
        task: Task::Chat(Chat {
            messages: chat.messages.iter().map(plain).collect(),
            tools: None,
        }),
        parameters: Parameters::new(
            64,
            Sampling {
                temperature_milli: sampling.temperature_milli,
                top_p_ppm: sampling.top_p_ppm,
                top_k: sampling.top_k,
                ..Sampling::GREEDY
            },
        ),
        seed: None,
        ..now
    };
    assert_eq!(read, expected);
}

#[test]
fn an_unknown_variant_is_refused_and_counts_as_none_where_it_is_optional() {
    #[derive(CandidType)]
    enum NewRole {
        Narrator,
    }
    let bytes = Encode!(&NewRole::Narrator).expect("it encodes");
    let error = Decode!(&bytes, MessageRole).expect_err("nobody knows it");
    assert!(
        format!("{error:?}").contains("Unknown variant field"),
        "{error:?}"
    );
    // So Candid has it: what an option holds and nobody can read is not there.
    #[derive(CandidType)]
    enum NewFormat {
        Table,
    }
    let bytes = Encode!(&Some(NewFormat::Table)).expect("it encodes");
    assert_eq!(Decode!(&bytes, Option<Format>).expect("it decodes"), None);
}

#[test]
fn every_field_of_an_offer_and_their_order_count() {
    let offers = offers();
    let change = |change: fn(&mut [Offer; 2])| {
        let mut changed = offers;
        change(&mut changed);
        offers_hash(&changed)
    };
    let hashes = [
        offers_hash(&offers),
        offers_hash(&offers[..1]),
        offers_hash(&[]),
        change(|offers| offers.swap(0, 1)),
        change(|offers| offers[0].model.0.0[31] ^= 1),
        change(|offers| offers[1].ask_input.0 += 1),
        change(|offers| offers[1].ask_output.0 -= 1),
    ];
    let distinct: BTreeSet<_> = hashes.into();
    assert_eq!(distinct.len(), hashes.len());
}
