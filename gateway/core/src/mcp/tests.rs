use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::reply::{self, Listed};
use super::*;

const PROTOCOL: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn read(value: &Value) -> Incoming {
    parse(value.to_string().as_bytes()).unwrap()
}

fn refused(body: &str) -> Value {
    let malformed = parse(body.as_bytes()).unwrap_err();
    assert_eq!(malformed.error.status(Era::Modern), 400, "{body}");
    assert_eq!(malformed.error.status(Era::Legacy), 400, "{body}");
    malformed.error.body(malformed.id.as_ref())
}

fn modern(method: &str, mut params: Value) -> Incoming {
    params["_meta"] = json!({ PROTOCOL: MODERN_REVISION, CAPABILITIES: {} });
    read(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
}

#[test]
fn messages_are_requests_notifications_or_answers() {
    let request = read(&json!({"jsonrpc":"2.0","id":"a","method":"ping"}));
    assert_eq!((request.method(), request.id()), (Some("ping"), Id::read(&json!("a")).as_ref()));
    let noted = read(&json!({"jsonrpc":"2.0","method":"x","params":{"a":1}}));
    assert_eq!((noted.id(), noted.params()), (None, json!({"a":1}).as_object()));
    let result = read(&json!({"jsonrpc":"2.0","id":1,"result":{}}));
    assert!(matches!(result, Incoming::Answer { outcome: Ok(_), .. }));
    let error = read(&json!({"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}));
    assert!(matches!(error, Incoming::Answer { outcome: Err(_), .. }));
}

#[test]
fn what_is_no_message_is_refused_with_its_code_and_its_id() {
    let code = |body: &str| {
        let told = refused(body);
        (told["error"]["code"].as_i64().unwrap(), told["id"].clone())
    };
    for no_json in ["", "{", "{\"a\":1}}", "nul", "{\"a\":\u{1}}", "{'a':1}"] {
        assert_eq!(code(no_json), (-32700, Value::Null), "{no_json}");
    }
    assert_eq!(parse(b"{\"a\":\"\xff\"}").unwrap_err().error.code(), -32700);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for no_object in [
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        "1",
        "null",
        "\"x\"",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[{"b":1,"\u0062":2}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1e999}}"#,
        &deep,
    ] {
        assert_eq!(code(no_object), (-32600, Value::Null), "{no_object:.80}");
    }
    let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#, "i".repeat(257));
    for no_id in [
        r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1.0,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"x"}"#,
        &long,
    ] {
        assert_eq!(code(no_id), (-32600, Value::Null), "{no_id:.80}");
    }
    let long = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{}"}}"#, "m".repeat(129));
    for no_method in [
        r#"{"id":7,"method":"x"}"#,
        r#"{"jsonrpc":"1.0","id":7,"method":"x"}"#,
        r#"{"jsonrpc":2.0,"id":7,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":7}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":1}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"x","params":[1]}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"x","params":null}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"x","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#,
        &long,
    ] {
        assert_eq!(code(no_method), (-32600, json!(7)), "{no_method:.80}");
    }
    assert_eq!(code(r#"{"jsonrpc":"2.0","result":{}}"#), (-32600, Value::Null));
}

#[test]
fn an_id_is_given_back_as_it_came() {
    for id in [json!(0), json!(-1), json!(u64::MAX), json!(""), json!("é"), json!("i".repeat(256))]
    {
        let request = read(&json!({"jsonrpc":"2.0","id":id,"method":"x"}));
        assert_eq!(reply::answer(request.id().unwrap(), Map::new())["id"], id);
        assert_eq!(RpcError::no_method().body(request.id())["id"], id);
    }
}

fn era_of(method: &str, in_body: Option<&str>, header: &[&str]) -> Result<Era, i64> {
    let mut params = json!({});
    if let Some(version) = in_body {
        params["_meta"] = json!({ PROTOCOL: version });
    }
    let message = read(&json!({"jsonrpc":"2.0","id":1,"method":method,"params":params}));
    let protocol_version = Field::of(header.iter().map(|value| value.as_bytes()));
    let headers = HeaderView { protocol_version, ..HeaderView::default() };
    Era::of(&message, &headers).map_err(|error| {
        assert_eq!(error.status(Era::Legacy), 400);
        error.code()
    })
}

#[test]
fn the_era_is_what_a_request_says_of_itself() {
    let (new, newer) = ("2026-07-28", "2027-01-01");
    for (method, in_body, header) in [
        ("tools/list", None, &[new][..]),
        ("tools/list", None, &[newer]),
        ("tools/list", Some("2025-11-25"), &[]),
        ("tools/list", Some(new), &["2025-11-25"]),
        ("server/discover", None, &[]),
        ("initialize", None, &[new]),
        ("ping", None, &[new]),
        ("tools/list", None, &[new, "2025-11-25"]),
    ] {
        assert_eq!(era_of(method, in_body, header), Ok(Era::Modern), "{method} {header:?}");
    }
    for (method, header) in [
        ("initialize", &[][..]),
        ("initialize", &["2025-11-25"]),
        ("initialize", &["1.0"]),
        ("tools/list", &[]),
        ("tools/list", &["2025-03-26"]),
        ("tools/list", &["2025-06-18"]),
        ("tools/list", &[" 2025-11-25\t"]),
    ] {
        assert_eq!(era_of(method, None, header), Ok(Era::Legacy), "{method} {header:?}");
    }
    for header in [
        &["2024-11-05"][..],
        &["2025-01-01"],
        &[""],
        &["latest"],
        &["2025-11-25", "2025-11-25"],
        &["é"],
    ] {
        assert_eq!(era_of("tools/list", None, header), Err(-32600), "{header:?}");
    }
    assert_eq!(initialize_revision("2025-06-18"), "2025-06-18");
    for other in ["2025-11-25", "2025-03-26", "2026-07-28", "x"] {
        assert_eq!(initialize_revision(other), "2025-11-25");
    }
}

#[test]
fn every_request_of_the_new_era_says_what_its_client_is() {
    let meta = |meta: Value| {
        let params = Map::from_iter([("_meta".to_owned(), meta)]);
        RequestMeta::read(Era::Modern, &params).map_err(|error| {
            assert_eq!(error.status(Era::Modern), 400);
            error.code()
        })
    };
    let whole = meta(json!({
        PROTOCOL: "2026-07-28",
        CAPABILITIES: { "elicitation": { "url": {} }, "sampling": true },
        "io.modelcontextprotocol/clientInfo": { "name": "c", "version": "1" },
        "progressToken": "p",
    }));
    let whole = whole.unwrap();
    assert_eq!(whole.client().map(|it| (it.name.as_str(), it.version.as_str())), Some(("c", "1")));
    assert_eq!(whole.progress_token(), Some(&json!("p")));
    assert!(whole.declares(&["elicitation", "url"]) && whole.declares(&["elicitation"]));
    assert!(!whole.declares(&["elicitation", "form"]) && !whole.declares(&["sampling"]));
    assert!(!whole.declares(&[]));
    assert!(whole.requires(&["elicitation", "url"]).is_ok());
    assert_eq!(whole.requires(&["sampling"]).unwrap_err().code(), -32021);
    assert!(meta(json!({ PROTOCOL: "2026-07-28", CAPABILITIES: {} })).unwrap().client().is_none());
    for bad in [
        json!({}),
        json!([]),
        json!({ PROTOCOL: "2026-07-28" }),
        json!({ PROTOCOL: 1, CAPABILITIES: {} }),
        json!({ PROTOCOL: "2026-07-28", CAPABILITIES: [] }),
        json!({ PROTOCOL: "2026-07-28", CAPABILITIES: {}, "progressToken": 1.5 }),
        json!({ PROTOCOL: "2026-07-28", CAPABILITIES: {}, "progressToken": null }),
        json!({ PROTOCOL: "2026-07-28", CAPABILITIES: {}, "io.modelcontextprotocol/clientInfo": "c" }),
        json!({ PROTOCOL: "2026-07-28", CAPABILITIES: {}, "io.modelcontextprotocol/clientInfo": {} }),
    ] {
        assert_eq!(meta(bad.clone()), Err(-32602), "{bad}");
    }
    assert_eq!(RequestMeta::read(Era::Modern, &Map::new()).unwrap_err().code(), -32602);
    assert_eq!(RequestMeta::read(Era::Legacy, &Map::new()), Ok(RequestMeta::default()));
    let legacy = Map::from_iter([("_meta".to_owned(), json!({ "progressToken": 3 }))]);
    let legacy = RequestMeta::read(Era::Legacy, &legacy).unwrap();
    assert_eq!(legacy.progress_token(), Some(&json!(3)));
}

/// The code that headers are refused with.
fn checked(message: &Incoming, version: &[&str], method: &[&str], name: &[&str]) -> Option<i64> {
    let field = |values: &[&'static str]| {
        Field::of(values.iter().map(|it| it.as_bytes()).collect::<Vec<_>>())
    };
    let leak = |values: &[&str]| -> Vec<&'static str> {
        values.iter().map(|it| &*Box::leak((*it).to_owned().into_boxed_str())).collect()
    };
    let headers = HeaderView {
        protocol_version: field(&leak(version)),
        method: field(&leak(method)),
        name: field(&leak(name)),
    };
    headers.check(message).err().map(|error| {
        assert_eq!(error.status(Era::Modern), 400);
        error.code()
    })
}

#[test]
fn headers_say_what_the_body_says() {
    let new = &["2026-07-28"][..];
    let list = modern("tools/list", json!({}));
    assert_eq!(checked(&list, new, &["tools/list"], &[]), None);
    assert_eq!(checked(&list, &[" 2026-07-28 "], &["\ttools/list"], &["anything"]), None);
    for (version, method) in [
        (&[][..], &["tools/list"][..]),
        (&["2026-07-28", "2026-07-28"], &["tools/list"]),
        (&["2027-01-01"], &["tools/list"]),
        (new, &[]),
        (new, &["tools/call"]),
        (new, &["Tools/List"]),
        (new, &["tools/list", "tools/list"]),
    ] {
        assert_eq!(checked(&list, version, method, &[]), Some(-32020), "{version:?} {method:?}");
    }
    let newer =
        json!({"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{PROTOCOL:"2027-01-01"}}});
    assert_eq!(checked(&read(&newer), &["2027-01-01"], &["ping"], &[]), Some(-32022));
    let note = read(&json!({"jsonrpc":"2.0","method":"notifications/cancelled"}));
    assert_eq!(checked(&note, new, &["notifications/cancelled"], &[]), None);
    assert_eq!(checked(&note, new, &[], &[]), Some(-32020));
}

#[test]
fn the_name_in_the_header_is_the_name_in_the_body() {
    let named = |params: Value, method: &str, name: &[&str]| {
        checked(&modern(method, params), &["2026-07-28"], &[method], name)
    };
    for (method, member) in
        [("tools/call", "name"), ("prompts/get", "name"), ("resources/read", "uri")]
    {
        assert_eq!(named(json!({ member: "x" }), method, &["x"]), None);
        assert_eq!(named(json!({ member: "x" }), method, &["=?base64?eA==?="]), None);
        assert_eq!(named(json!({ member: "ü" }), method, &["=?base64?w7w=?="]), None);
        assert_eq!(
            named(json!({}), method, &[]),
            None,
            "the body is refused later, in its own words"
        );
        for bad in [
            &[][..],
            &["y"],
            &["X"],
            &["x", "x"],
            &["=?base64?eA?="],
            &["=?base64?eQ==?="],
            &["=?BASE64?eA==?="],
            &["=?base64?e A==?="],
            &["=?base64?/w==?="],
            &["ü"],
            &[""],
        ] {
            assert_eq!(
                named(json!({ member: "x" }), method, bad),
                Some(-32020),
                "{method} {bad:?}"
            );
        }
        assert_eq!(named(json!({}), method, &["x"]), Some(-32020));
        assert_eq!(named(json!({ member: 1 }), method, &["1"]), Some(-32020));
    }
}

#[test]
fn every_error_as_it_is_sent() {
    let id = Id::read(&json!(1)).unwrap();
    let long = "a\u{1b}[31m".repeat(100);
    let errors = [
        ("no JSON", RpcError::parse()),
        ("no message", RpcError::invalid_request("batches are not taken")),
        ("no method", RpcError::no_method()),
        ("params", RpcError::invalid_params("send params.name as a text")),
        ("no _meta", RpcError::invalid_meta("send _meta")),
        ("tool", RpcError::unknown_tool("nope")),
        ("tool, hostile", RpcError::unknown_tool(&long)),
        ("prompt", RpcError::unknown_prompt("nope")),
        ("resource", RpcError::no_resource("test://x", Era::Modern)),
        ("resource, legacy", RpcError::no_resource("test://x", Era::Legacy)),
        ("headers", RpcError::header_mismatch("Mcp-Method header does not match the body")),
        ("capability", RpcError::missing_capability(&["elicitation", "url"])),
        ("revision", RpcError::unsupported_revision("2027-01-01")),
        ("calls", RpcError::too_many_calls()),
        ("ended", RpcError::ended("the client cancelled it")),
        ("internal", RpcError::internal()),
    ];
    let lines: Vec<String> = errors
        .iter()
        .map(|(what, error)| {
            let status = (error.status(Era::Modern), error.status(Era::Legacy));
            format!("{what} {status:?}\n  {}", ordered(&error.body(Some(&id))))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    assert_eq!(RpcError::parse().body(None)["id"], Value::Null);
    assert!(RpcError::parse().body_without_id().get("id").is_none());
}

#[test]
fn every_answer_as_it_is_sent() {
    let id = Id::read(&json!("x")).unwrap();
    let tools = || vec![json!({ "name": "whoami" })];
    let called = |era| reply::called(era, json!({ "a": 1 }), "a is 1".to_owned(), false);
    let answers = [
        ("discover", reply::discovered("be kind")),
        ("initialize", reply::initialized("2025-06-18", "be kind")),
        ("done", reply::done(Era::Modern)),
        ("done, legacy", reply::done(Era::Legacy)),
        ("tools", reply::listed(Era::Modern, Listed::Tools, tools())),
        ("tools, legacy", reply::listed(Era::Legacy, Listed::Tools, tools())),
        ("templates", reply::listed(Era::Legacy, Listed::Templates, Vec::new())),
        ("called", called(Era::Modern)),
        ("called, legacy", called(Era::Legacy)),
    ];
    let lines: Vec<String> = answers
        .into_iter()
        .map(|(what, result)| format!("{what}\n  {}", ordered(&reply::answer(&id, result))))
        .collect();
    insta::assert_snapshot!(lines.join("\n").replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    let progress = reply::progress(&json!("t"), 0.5, "half\nway");
    assert_eq!(
        reply::event(progress.to_string().as_bytes()).split(|byte| *byte == b'\n').count(),
        4,
        "a line end cannot end an event"
    );
    assert_eq!(
        progress["params"],
        json!({"progressToken":"t","progress":0.5,"message":"half\nway"})
    );
}

/// Whether maps keep the order of insertion is a matter of features: of this binary's, not of the code's.
fn ordered(value: &Value) -> String {
    canonical(value).unwrap()
}

pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53) + 1..1 << 53).prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_what_is_read_is_one_message(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(incoming) = parse(&body) {
            let is_answer = matches!(incoming, Incoming::Answer { .. });
            prop_assert_ne!(incoming.method().is_some(), is_answer);
        }
    }

    #[test]
    fn whatever_params_there_are_come_through_whole(params in any_json(), id in any::<i64>()) {
        let body = json!({"jsonrpc":"2.0","id":id,"method":"x","params":params}).to_string();
        match (parse(body.as_bytes()), &params) {
            (Ok(incoming), Value::Object(sent)) => prop_assert_eq!(incoming.params().unwrap().len(), sent.len()),
            (read, Value::Object(_)) => prop_assert!(false, "{:?}", read),
            (read, _) => prop_assert!(read.is_err()),
        }
    }

    #[test]
    fn a_name_is_the_same_plain_and_encoded(name in ".{0,40}") {
        use base64::Engine as _;
        let message = modern("tools/call", json!({ "name": name }));
        let encoded = format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(&name));
        prop_assert_eq!(checked(&message, &["2026-07-28"], &["tools/call"], &[&encoded]), None);
    }
}
