//! A request for an approval, for a reviewer's terminal.
//!
//! An agent wrote the statement: what it shows is escaped, so that no text can move the cursor, change a colour, or look
//! like a line of ours.

use std::fmt::Write as _;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::Value;

const NO_TERMINAL_WIDTH: u16 = 160;
/// On a narrower terminal a table would break words.
const LEAST_TABLE_WIDTH: u16 = 110;
/// A statement in a list is cut to this.
const MAX_CELL_CHARS: usize = 120;
/// The end of an id is random, its beginning the time.
const SHORT_ID_CHARS: usize = 12;

/// The inbox.
pub(super) fn table(approvals: &[Value]) -> String {
    if approvals.is_empty() {
        return "nothing waits for an approval\n".to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    match table.width() {
        None => drop(table.set_width(NO_TERMINAL_WIDTH)),
        Some(width) if width < LEAST_TABLE_WIDTH => {
            return approvals.iter().map(record).collect::<Vec<_>>().join("\n");
        }
        Some(_) => {}
    }
    table.set_header(["id", "state", "who", "target", "what", "needs", "time left"]);
    for approval in approvals {
        table.add_row([
            short_id(approval),
            text(approval, "/state").to_owned(),
            who(approval),
            target(approval),
            cut(&statement(approval)),
            needs(approval),
            time_left(approval),
        ]);
    }
    for index in [0, 1, 6] {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    format!("{table}\n")
}

/// One of them where there is no room for a table.
fn record(approval: &Value) -> String {
    let rows = [
        ("id", short_id(approval)),
        ("state", text(approval, "/state").to_owned()),
        ("who", who(approval)),
        ("target", target(approval)),
        ("what", cut(&statement(approval))),
        ("needs", needs(approval)),
        ("time left", time_left(approval)),
    ];
    let rows = rows.iter().filter(|(_, value)| !value.is_empty());
    rows.map(|(name, value)| format!("{name:>9}  {value}\n")).collect()
}

/// One line, as `--watch` prints it.
pub(super) fn line(approval: &Value) -> String {
    format!(
        "{}  {:9}  {}  {}  needs {}  {}\n",
        short_id(approval),
        text(approval, "/state"),
        who(approval),
        target(approval),
        needs(approval),
        cut(&statement(approval))
    )
}

/// All that a reviewer must know.
pub(super) fn whole(approval: &Value) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            let _written = writeln!(out, "{name:>14}  {value}");
        }
    };
    row("approval", text(approval, "/approval_id").to_owned());
    row("state", state(approval));
    row("who", described(approval));
    row("on behalf of", on_behalf(approval));
    row("agent", agent(approval));
    row("target", target(approval));
    row("session", text(approval, "/session_id").to_owned());
    row("asked", text(approval, "/asked_at").to_owned());
    let left = time_left(approval);
    let left = if left.is_empty() { left } else { format!(" ({left} left)") };
    row("until", format!("{}{left}", moment(until(approval))));
    row("for", access_period(approval));
    row("what for", escaped(text(approval, "/access/reason")));
    row("runs", runs(approval));
    row("needs", listed(approval, "/requirements", requirement));
    row("still missing", listed(approval, "/missing", requirement));
    row("because", listed(approval, "/reasons", plain));
    row("policies", listed(approval, "/policy_ids", plain));
    row("does", listed(approval, "/command/kinds", plain));
    row("changes", changes(approval));
    row("tables", listed(approval, "/command/tables", object));
    row("columns", listed(approval, "/command/columns", object));
    row(what_it_calls(approval), listed(approval, "/command/functions", plain));
    row("labels", listed(approval, "/command/labels", plain));
    row("beware", warnings(approval));
    row("digest", text(approval, "/digest").to_owned());
    for answer in list(approval, "/answers") {
        let verb =
            if answer.get("agrees") == Some(&Value::Bool(true)) { "agrees" } else { "denies" };
        let said = text(answer, "/comment");
        let said = if said.is_empty() { String::new() } else { format!(": {}", escaped(said)) };
        row("answer", format!("{} {verb}{said}", escaped(text(answer, "/reviewer/display_name"))));
    }
    if approval.get("command").is_some() {
        out.push_str("\n     statement\n");
        for line in text(approval, "/command/statement").split('\n') {
            let _written = writeln!(out, "                | {}", escaped(line));
        }
    }
    for (index, parameter) in list(approval, "/command/parameters").iter().enumerate() {
        let _written = writeln!(out, "{:>14}  {}", format!("${}", index + 1), value(parameter));
    }
    let why_not = text(approval, "/you/why_not");
    if !why_not.is_empty() {
        let _written = writeln!(out, "\nYou cannot answer it: {}", escaped(why_not));
    }
    out
}

/// What came of an answer.
pub(super) fn outcome(approval: &Value) -> String {
    let missing = listed(approval, "/missing", requirement);
    let rest = match text(approval, "/state") {
        "pending" if !missing.is_empty() => format!("; still missing: {missing}"),
        _ => String::new(),
    };
    format!("{}  {}{rest}\n", text(approval, "/approval_id"), state(approval))
}

/// What came of a wish for access, for whoever has it.
pub(in crate::commands) fn grant(approval: &Value) -> String {
    let (id, target) = (text(approval, "/approval_id"), target(approval));
    match text(approval, "/state") {
        "approved" => {
            format!("granted: sessions to {target} until {} ({id})\n", moment(until(approval)))
        }
        "pending" => format!(
            "asked for {target}: waits for {} until {} ({id})\n",
            needs(approval),
            moment(until(approval))
        ),
        _ => format!("{}: {target} ({id})\n", state(approval)),
    }
}

fn state(approval: &Value) -> String {
    let cause = text(approval, "/cause");
    let state = text(approval, "/state");
    if cause.is_empty() { state.to_owned() } else { format!("{state} ({})", escaped(cause)) }
}

fn who(approval: &Value) -> String {
    let name = escaped(text(approval, "/principal/display_name"));
    match list(approval, "/delegation").first() {
        Some(actor) => format!("{} for {name}", escaped(text(actor, "/subject"))),
        None => name,
    }
}

fn described(approval: &Value) -> String {
    let principal = |key: &str| escaped(text(approval, &format!("/principal/{key}")));
    format!(
        "{} ({} {} of {})",
        principal("display_name"),
        principal("kind"),
        principal("subject"),
        principal("issuer")
    )
}

fn on_behalf(approval: &Value) -> String {
    let chain = listed(approval, "/delegation", |actor| escaped(text(actor, "/subject")));
    let owner = escaped(text(approval, "/principal/owner"));
    match (chain.is_empty(), owner.is_empty()) {
        (false, _) => {
            format!("{} (acting: {chain})", escaped(text(approval, "/principal/display_name")))
        }
        (true, false) => format!("{owner} (its owner)"),
        (true, true) => String::new(),
    }
}

fn agent(approval: &Value) -> String {
    let said = |key: &str| {
        let text = escaped(text(approval, &format!("/agent/{key}")));
        (!text.is_empty()).then(|| format!("{key} {text}"))
    };
    ["agent", "model", "task"].into_iter().filter_map(said).collect::<Vec<_>>().join(", ")
}

fn target(approval: &Value) -> String {
    let (name, database) = (text(approval, "/target/name"), text(approval, "/target/database"));
    escaped(&if database.is_empty() { name.to_owned() } else { format!("{name}/{database}") })
}

fn runs(approval: &Value) -> String {
    if approval.get("access").is_some() {
        return String::new();
    }
    match (text(approval, "/scope"), approval.get("session_bound")) {
        ("session", _) => "again and again in this session, until that ends".to_owned(),
        (_, Some(Value::Bool(true))) => "once, in this session".to_owned(),
        _ => "once".to_owned(),
    }
}

/// About how many rows.
fn changes(approval: &Value) -> String {
    let by_key = approval.pointer("/command/by_key") == Some(&Value::Bool(true));
    match approval.pointer("/command/estimated_rows").and_then(Value::as_u64) {
        Some(1) if by_key => "one row, named by its key".to_owned(),
        Some(rows) => format!("up to about {rows} rows, by the target's statistics"),
        None => String::new(),
    }
}

/// Whether its statement is SQL, and not a request or a tool's call.
fn is_sql(approval: &Value) -> bool {
    matches!(text(approval, "/target/kind"), "" | "postgresql")
}

fn what_it_calls(approval: &Value) -> &'static str {
    match text(approval, "/target/kind") {
        "mcp" => "tool",
        _ if is_sql(approval) => "functions",
        _ => "operation",
    }
}

fn warnings(approval: &Value) -> String {
    let flag = |key: &str| approval.pointer(&format!("/command/{key}")) == Some(&Value::Bool(true));
    let kinds = listed(approval, "/command/kinds", plain);
    let mut warnings = Vec::new();
    if flag("opaque") {
        warnings.push(match is_sql(approval) {
            true => "it runs code whose effect cannot be seen from its text",
            false => "it may change what is there",
        });
    }
    if (kinds.contains("update") || kinds.contains("delete")) && !flag("has_where") {
        warnings.push("it changes every row: there is no WHERE");
    }
    warnings.join("; ")
}

fn needs(approval: &Value) -> String {
    let missing = listed(approval, "/missing", requirement);
    if missing.is_empty() { "nothing more".to_owned() } else { missing }
}

/// Of what is over nothing is left, and nobody need hurry.
fn time_left(approval: &Value) -> String {
    if !matches!(text(approval, "/state"), "pending" | "approved") {
        return String::new();
    }
    let Ok(until) = until(approval).parse::<Timestamp>() else {
        return String::new();
    };
    let left = until.duration_since(Timestamp::now());
    if left <= SignedDuration::ZERO {
        return "none".to_owned();
    }
    let rounded = left.round(if left.as_secs() >= 600 { Unit::Minute } else { Unit::Second });
    format!("{:#}", rounded.unwrap_or(left))
}

fn requirement(it: &Value) -> String {
    let quorum = it.get("quorum").and_then(Value::as_u64).unwrap_or_default();
    format!("{quorum} of {}", escaped(text(it, "/group")))
}

fn object(it: &Value) -> String {
    let parts = ["schema", "table", "name", "column"];
    let parts = parts.iter().filter_map(|key| it.get(key).and_then(Value::as_str));
    escaped(&parts.collect::<Vec<_>>().join("."))
}

fn plain(it: &Value) -> String {
    escaped(it.as_str().unwrap_or_default())
}

/// A bound value.
fn value(parameter: &Value) -> String {
    let shown = escaped(text(parameter, "/value/value"));
    match text(parameter, "/value/form") {
        "null" => "NULL".to_owned(),
        "text" => format!("'{shown}'"),
        "base64" => format!("{shown} (binary, in base64)"),
        "sha256" => {
            let bytes = parameter.get("bytes").and_then(Value::as_u64).unwrap_or_default();
            format!("{bytes} bytes, too long to show, SHA-256 {shown}")
        }
        other => format!("{} {shown}", escaped(other)),
    }
}

/// The statement, or the access.
fn statement(approval: &Value) -> String {
    let period = access_period(approval);
    if period.is_empty() {
        return text(approval, "/command/statement").to_owned();
    }
    format!("access for {period}: {}", text(approval, "/access/reason"))
}

fn access_period(approval: &Value) -> String {
    let seconds = approval.pointer("/access/seconds").and_then(Value::as_i64);
    seconds.map_or_else(String::new, |seconds| format!("{:#}", SignedDuration::from_secs(seconds)))
}

/// A time to the second.
pub(in crate::commands) fn moment(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| escaped(text), |at| at.strftime("%FT%TZ").to_string())
}

fn until(approval: &Value) -> &str {
    text(approval, "/stands_until")
}

fn short_id(approval: &Value) -> String {
    let id = text(approval, "/approval_id");
    id.get(id.len().saturating_sub(SHORT_ID_CHARS)..).unwrap_or(id).to_owned()
}

fn listed(value: &Value, pointer: &str, show: impl Fn(&Value) -> String) -> String {
    list(value, pointer).iter().map(show).collect::<Vec<_>>().join(", ")
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// One line without anything that a terminal acts on or that reads otherwise than it is written: control characters and
/// those that turn the direction of text are shown as their code points.
pub(in crate::commands) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}');
        if (character.is_control() && character != '\t') || turns {
            let _written = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

fn cut(text: &str) -> String {
    let line = escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if line.chars().count() <= MAX_CELL_CHARS {
        return line;
    }
    line.chars().take(MAX_CELL_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
