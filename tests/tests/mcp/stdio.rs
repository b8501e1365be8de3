//! `tallyport mcp`, line by line.

use serde_json::json;
use tallyport_tests::{Desk, Role, Site, eventually, said};

use super::stack;

#[test]
fn what_is_cancelled_ends_what_is_no_message_is_told_and_the_end_of_input_is_the_end() {
    let test = "what_is_cancelled_ends_what_is_no_message_is_told_and_the_end_of_input_is_the_end";
    let Some(stack) = stack(test) else { return };
    let ready = stack.ready_file().to_str().unwrap();
    let mut server = Desk::start(&["--as", "ops-agent", "--ready-file", ready]);
    server.say("{");
    assert_eq!(server.hear()["error"]["code"], -32_700);
    let call = |id: u32, sql: &str| {
        let params = json!({ "name": "query", "arguments": { "sql": sql } });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
    };
    server.say(&call(1, "SELECT pg_sleep(100)"));
    let live = "SELECT session_id FROM sessions WHERE state = 'open' AND commands > 0";
    assert!(eventually(|| !stack.sql("analyst", live).is_empty()), "it runs");
    server.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    // Nothing more is said of it, and it goes on with others.
    server.say(&call(2, "SELECT 2"));
    let told = server.hear();
    assert_eq!((&told["id"], &told["result"]["isError"]), (&json!(2), &json!(false)), "{told}");
    let cancelled = "SELECT phase FROM commands WHERE phase = 'cancel'";
    assert!(eventually(|| !stack.sql("analyst", cancelled).is_empty()), "at the target, too");
    assert!(server.leave().success());
}

/// A sign-in by device code is in tests/tests/browser: a person has to agree on a page.
#[test]
fn tokens_are_got_in_every_way_and_renewed() {
    let test = "tokens_are_got_in_every_way_and_renewed";
    // A client asks for the next token when little of this time is left.
    let Some(site) = Site::start_with(test, &["--ttl", "12"]) else { return };
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let config = site.config("mcp.toml", &log, &lake, &["gateway", "recorder", "query"]);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen("[[targets]]", "[gateway.mcp]\n[[targets]]", 1)).unwrap();
    let _all = Role::start("up", &config);
    let gateway = format!("127.0.0.1:{}", site.gateway_port());
    let ca = site.path("tls/ca.pem");
    let at = ["--gateway", &gateway, "--ca", ca.to_str().unwrap()];
    let (issuer, audience) = site.issuer();
    let of = ["--issuer", &issuer, "--audience", &audience];
    let whoami = |desk: &mut Desk| desk.call("whoami", &json!({})).to_string();

    let secret = site.path("ops-agent");
    let client = ["--client-id", "ops-agent", "--client-secret-file", secret.to_str().unwrap()];
    let mut by_secret = Desk::start(&[&at[..], &of, &client].concat());
    let told = whoami(&mut by_secret);
    assert!(told.contains("Operations agent"), "{told}");

    let key = site.path("key-agent.pem");
    let client = ["--client-id", "key-agent", "--client-key-file", key.to_str().unwrap()];
    let mut by_key =
        Desk::start(&[&at[..], &of, &client, &["--client-key-id", "key-agent-1"]].concat());
    let told = whoami(&mut by_key);
    assert!(told.contains("Key agent"), "{told}");

    // A file that something else keeps fresh: what is no token yet is an error, and no end.
    let file = site.path("token");
    std::fs::write(&file, "not-yet").unwrap();
    let mut by_file = Desk::start(&[&at[..], &["--token-file", file.to_str().unwrap()]].concat());
    let told = by_file.call("whoami", &json!({}));
    assert_eq!(told["error"]["code"], -32_000, "{told}");
    assert!(told.to_string().contains("token"), "{told}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut given = Vec::new();
    for client in ["ops-agent", "support-agent"] {
        let token = runtime.block_on(site.token_of(client));
        std::fs::write(&file, &token).unwrap();
        given.push(whoami(&mut by_file));
    }
    assert!(
        given[0].contains("Operations agent") && given[1].contains("Support agent"),
        "{given:?}"
    );

    // Beyond the end of the first tokens, those that ask by themselves have the next.
    std::thread::sleep(std::time::Duration::from_secs(13));
    for desk in [&mut by_secret, &mut by_key] {
        let told = whoami(desk);
        assert!(told.contains("agent"), "{told}");
    }
    let told = by_file.call("whoami", &json!({}));
    let tokens = "SELECT principal_subject, count(DISTINCT token_id) AS tokens FROM events \
                  WHERE family = 'authentication' AND activity = 'succeeded' GROUP BY principal_subject";
    let mut rows = Vec::new();
    let renewed = eventually(|| {
        rows = site.sql(tokens);
        let of = |who: &str| {
            let row = rows.iter().find(|row| row["principal_subject"] == who);
            row.and_then(|row| row["tokens"].as_u64()).unwrap_or_default()
        };
        of("key-agent") >= 2 && of("ops-agent") >= 3
    });
    assert!(renewed, "{rows:?} {told} {}", said(&site.ask(&["sql", tokens])));
}
