//! `tallyport mcp-servers list|show|accept`.
//!
//! A server wrote the definitions: what is shown of them is escaped, so that no text can act on a terminal.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::approvals::print::{escaped, moment};
use super::diff::{Line, diff};
use super::gateway_api::Api;
use crate::answer::Answer;
use crate::args::{Format, GatewayArgs, McpServersCommand};
use crate::exit::Failure;
use crate::output::{print_line, print_text};

/// So much of a hash tells two definitions of a tool apart at a glance; to accept one takes all of it.
const SHORT_HASH_CHARS: usize = 12;

/// Lists, shows or accepts.
pub async fn run(command: &McpServersCommand) -> Result<(), Failure> {
    match command {
        McpServersCommand::List { args } => list(args).await,
        McpServersCommand::Show { server, args } => show(server, args).await,
        McpServersCommand::Accept { server, tool, sha256, order } => {
            let path = format!("/v1/mcp/servers/{}/tools/{}/accept", name(server)?, name(tool)?);
            let body = json!({"sha256": sha256, "reason": order.reason});
            let accepted = Api::new(&order.args).await?.post(&path, &body).await?;
            if order.args.json {
                return print_line(format_args!("{accepted:#}"));
            }
            print_line(format_args!("accepted: {tool} of {server} is {}", state(&accepted)))
        }
    }
}

async fn list(args: &GatewayArgs) -> Result<(), Failure> {
    let answer = Api::new(args).await?.get("/v1/mcp/servers").await?;
    let all = answer.get("servers").and_then(Value::as_array).cloned().unwrap_or_default();
    if args.json {
        return print_line(format_args!("{:#}", Value::Array(all)));
    }
    if all.is_empty() {
        return print_line("there is no MCP server whose definitions you may see");
    }
    servers(&all).print(Format::Table)
}

async fn show(server: &str, args: &GatewayArgs) -> Result<(), Failure> {
    let path = format!("/v1/mcp/servers/{}", name(server)?);
    let answer = Api::new(args).await?.get(&path).await?;
    if args.json {
        return print_line(format_args!("{answer:#}"));
    }
    print_text(&head(&answer))?;
    let tools = list_of(&answer, "/tools");
    if !tools.is_empty() {
        self::tools(tools).print(Format::Table)?;
    }
    print_text(&changes(&answer))
}

/// What stands in a path: names of servers and of tools have nothing that would mean something else there.
fn name(text: &str) -> Result<&str, Failure> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !text.is_empty() && text.chars().all(is_part) && !matches!(text, "." | "..") {
        return Ok(text);
    }
    Err(Failure::usage(format!(
        "`{}` is no name of a server or a tool; see `tallyport mcp-servers list`",
        escaped(text)
    )))
}

fn servers(all: &[Value]) -> Answer {
    let row = |one: &Value| {
        [text(one, "/name"), text(one, "/host"), last_look(one), speaks(one), counts(one)]
    };
    Answer::of(["server", "host", "last look", "speaks", "tools"], all.iter().map(row).collect())
}

fn head(server: &Value) -> String {
    let mut out = String::new();
    let rows = [
        ("server", format!("{} ({})", text(server, "/name"), text(server, "/host"))),
        ("last look", last_look(server)),
        ("speaks", speaks(server)),
        ("tools", counts(server)),
    ];
    for (name, value) in rows {
        let _written = writeln!(out, "{name:>14}  {value}");
    }
    out + "\n"
}

fn tools(all: &[Value]) -> Answer {
    let short =
        |one: &Value, key: &str| text(one, key).chars().take(SHORT_HASH_CHARS).collect::<String>();
    let row = |one: &Value| {
        [text(one, "/name"), state(one), short(one, "/pinned_sha256"), short(one, "/sha256")]
    };
    Answer::of(["tool", "state", "pinned", "now"], all.iter().map(row).collect())
}

/// What has changed of each tool that can be accepted, and how it is.
fn changes(server: &Value) -> String {
    let mut out = String::new();
    for tool in list_of(server, "/tools") {
        if text(tool, "/state") != "changed" {
            continue;
        }
        let (of, name, now) = (text(server, "/name"), text(tool, "/name"), text(tool, "/sha256"));
        let _written = writeln!(out, "\n{name} is not what was pinned");
        let _written = writeln!(out, "  pinned  {}", text(tool, "/pinned_sha256"));
        let _written = writeln!(out, "     now  {now}");
        let new = pretty(tool.get("definition"));
        match tool.get("pinned_definition") {
            Some(old) => out += &differences(&pretty(Some(old)), &new),
            None => {
                out += "  This gateway knows only the hash of what is pinned: it has seen no other definition since it started. Now it is\n";
                out.extend(new.lines().map(|line| format!("    {}\n", escaped(line))));
            }
        }
        let _written = writeln!(
            out,
            "  To accept it: tallyport mcp-servers accept {of} {name} --reason TEXT \\\n    --sha256 {now}"
        );
    }
    out
}

fn differences(old: &str, new: &str) -> String {
    let mut out = String::new();
    for line in diff(old, new) {
        let (mark, line) = match line {
            Line::Same(line) => (' ', line),
            Line::Old(line) => ('-', line),
            Line::New(line) => ('+', line),
        };
        let _written = writeln!(out, "  {mark} {}", escaped(line));
    }
    out
}

/// One member a line, by name: in which order a server writes them says nothing.
fn pretty(definition: Option<&Value>) -> String {
    let mut definition = definition.cloned().unwrap_or_default();
    definition.sort_all_objects();
    format!("{definition:#}")
}

fn state(tool: &Value) -> String {
    text(tool, "/state").replace('_', " ")
}

fn last_look(server: &Value) -> String {
    let (look, at) = (text(server, "/look").replace('_', " "), text(server, "/looked_at"));
    if at.is_empty() { look } else { format!("{look} {}", moment(&at)) }
}

fn speaks(server: &Value) -> String {
    let revisions = list_of(server, "/revisions").iter().filter_map(Value::as_str);
    revisions.map(escaped).collect::<Vec<_>>().join(", ")
}

fn counts(server: &Value) -> String {
    let count = |key: &str| server.pointer(&format!("/counts/{key}")).and_then(Value::as_u64);
    let some = ["in_use", "changed", "gone", "waiting"].into_iter().filter_map(|key| {
        let count = count(key).filter(|count| *count > 0)?;
        Some(format!("{count} {}", key.replace('_', " ")))
    });
    let some = some.collect::<Vec<_>>().join(", ");
    if some.is_empty() { "none".to_owned() } else { some }
}

fn list_of<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, pointer: &str) -> String {
    escaped(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Value {
        let find = |text: &str| json!({"name": "find", "description": text, "inputSchema": {"type": "object"}});
        json!({
            "name": "crm", "host": "crm.example.com", "look": "ok", "looked_at": "2026-11-28T10:00:00.123Z",
            "revisions": ["2026-07-28", "2025-11-25"], "counts": {"in_use": 1, "changed": 2, "gone": 0, "waiting": 0},
            "tools": [
                {"name": "find", "state": "changed", "sha256": "b".repeat(64), "pinned_sha256": "a".repeat(64),
                 "definition": find("Finds\u{202e}"), "pinned_definition": find("Finds a customer")},
                {"name": "list", "state": "changed", "sha256": "d".repeat(64), "pinned_sha256": "c".repeat(64),
                 "definition": {"name": "list"}},
                {"name": "refund", "state": "in_use", "sha256": "e".repeat(64), "pinned_sha256": "e".repeat(64)},
            ],
        })
    }

    #[test]
    fn what_has_changed_is_shown_line_by_line() {
        let shown = changes(&server());
        let wanted = "  -   \"description\": \"Finds a customer\",\n  +   \"description\": \"Finds\\u{202e}\",\n";
        assert!(shown.contains(wanted), "{shown}");
        assert!(shown.contains("      \"inputSchema\": {"), "what both have: {shown}");
        assert!(shown.contains("knows only the hash") && shown.contains("\"name\": \"list\""));
        assert!(!shown.contains("refund"), "{shown}");
        assert!(shown.contains(&format!("--sha256 {}", "b".repeat(64))));
    }

    #[test]
    fn tables_fit_a_hundred_columns() {
        let server = server();
        assert_eq!(counts(&server), "1 in use, 2 changed");
        for table in [servers(std::slice::from_ref(&server)), tools(list_of(&server, "/tools"))] {
            let width = |row: &[Value]| -> usize {
                row.iter().filter_map(Value::as_str).map(|it| it.chars().count() + 3).sum()
            };
            assert!(table.rows.iter().all(|row| width(row) + 2 <= 100), "{table:?}");
        }
        assert!(name("find").is_ok() && name("../x").is_err() && name("..").is_err());
        assert!(head(&server).contains("     last look  ok 2026-11-28T10:00:00Z\n"));
    }
}
