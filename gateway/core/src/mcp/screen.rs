//! What is hidden in what a server says, before it goes on record and to whoever asked.
//!
//! Rules name places in a tool's data: in `structuredContent`, in every text of it and of the content that is JSON, and in bytes
//! that are such a text, since servers give their data in all these forms, also line by line. Where a rule hid something, a text
//! in which it hid nothing may say it again, as prose or as JSON of another shape, and is hidden whole; so is, under any rule, a
//! text that begins as JSON does and is none, or is one in more than one reading. Detectors look into every text, number and name
//! after that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};
use tallyport_detect::{Action, Findings, Kinds, Screen};
use tallyport_schemas::{Finding, FindingAction};

mod told;

use super::error::RpcError;
use super::id::Id;
use crate::http::{hidden, listed};
use crate::json::{Place, REDACTED, masked_text};
use crate::masking::Mask;
use told::{Told, begins_as_data, told};

/// The member that holds a tool's data.
const DATA: &str = "structuredContent";
/// The member that holds a text: of content, of a resource, of a message.
const TEXT: &str = "text";
/// The member that holds a resource's bytes, as base64.
const BLOB: &str = "blob";
/// What the client gives back as it got it; changed, it would be of no use.
const OPAQUE: &str = "requestState";

/// What is hidden in the data of some tools.
#[derive(Clone, Debug)]
pub struct MaskRule {
    /// The tool, as its server calls it; every tool, and whatever else the server says, where absent.
    pub tool: Option<String>,
    /// Where in its data.
    pub place: Place,
    /// How.
    pub mask: Mask,
}

/// What is hidden in what one server says.
#[derive(Clone, Debug, Default)]
pub struct Screening {
    rules: Vec<MaskRule>,
    detectors: Option<Screen>,
}

/// A message with what had to be hidden in it hidden. Nothing else of a server's goes to a client.
#[derive(Debug)]
pub struct Screened {
    pub(crate) message: Value,
    pub(crate) masked_values: u64,
    pub(crate) findings: Vec<Finding>,
    /// It was kept back: what stands in its place says so.
    pub(crate) withheld: bool,
}

impl Screened {
    /// An error in the gateway's own words.
    #[must_use]
    pub fn own(error: &RpcError, id: Option<&Id>) -> Self {
        let message = error.body(id);
        Self { message, masked_values: 0, findings: Vec::new(), withheld: false }
    }

    /// Whether it was kept back.
    #[must_use]
    pub const fn is_withheld(&self) -> bool {
        self.withheld
    }

    /// Whether it says that the request failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        let is_error = self.message.get("result").and_then(|it| it.get("isError"));
        self.message.get("error").is_some() || is_error == Some(&Value::Bool(true))
    }
}

impl Screening {
    /// Rules first, then detectors.
    #[must_use]
    pub const fn new(rules: Vec<MaskRule>, detectors: Option<Screen>) -> Self {
        Self { rules, detectors }
    }

    /// Whether there is anything to hide.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        !self.rules.is_empty() || self.detectors.is_some()
    }

    /// Hides what is to be hidden in a message, which answers a call of `tool` where it answers one.
    #[must_use]
    pub fn screen(&self, tool: Option<&str>, mut message: Value) -> Screened {
        let applies = |rule: &&MaskRule| rule.tool.is_none() || rule.tool.as_deref() == tool;
        let rules: Vec<&MaskRule> = self.rules.iter().filter(applies).collect();
        let mut masked_values = 0;
        let mut findings = Findings::default();
        // The id is the request's own.
        for part in ["result", "error", "params"] {
            let Some(part) = message.get_mut(part) else { continue };
            if !rules.is_empty() {
                let by_rules = hide_data(part, &rules);
                masked_values += by_rules;
                if by_rules > 0 {
                    masked_values += hide_others(part, &rules);
                }
            }
            if let Some(screen) = &self.detectors {
                Detecting { screen, findings: &mut findings }.walk(part, Kinds::NONE);
            }
        }
        let findings_listed = self.listed(&findings);
        masked_values += hidden(&findings_listed);
        let withheld = findings.action() == Some(Action::Deny);
        if withheld {
            message = keep_back(&message, &findings_listed);
        }
        Screened { message, masked_values, findings: findings_listed, withheld }
    }

    fn listed(&self, findings: &Findings) -> Vec<Finding> {
        self.detectors.as_ref().map(|screen| listed(screen, findings)).unwrap_or_default()
    }
}

/// Applies the rules to every piece of data below; how many values they hid.
fn hide_data(value: &mut Value, rules: &[&MaskRule]) -> u64 {
    match value {
        Value::Object(members) => {
            let mut hidden = 0;
            for (name, member) in members {
                hidden += match (name.as_str(), &mut *member) {
                    (DATA | "data", data @ (Value::Object(_) | Value::Array(_))) => {
                        apply(data, rules) + hide_within(data, rules)
                    }
                    (TEXT | DATA | "data", Value::String(text)) => hide_text(text, rules),
                    (BLOB, Value::String(blob)) => in_blob(blob, |text| hide_text(text, rules)),
                    (_, member) => hide_data(member, rules),
                };
            }
            hidden
        }
        Value::Array(elements) => elements.iter_mut().map(|it| hide_data(it, rules)).sum(),
        _ => 0,
    }
}

/// Applies the rules to what stands as text within data: a server may give all that it has as one.
fn hide_within(data: &mut Value, rules: &[&MaskRule]) -> u64 {
    match data {
        Value::String(text) if begins_as_data(text) => hide_text(text, rules),
        Value::Array(elements) => elements.iter_mut().map(|it| hide_within(it, rules)).sum(),
        Value::Object(members) => members.values_mut().map(|it| hide_within(it, rules)).sum(),
        _ => 0,
    }
}

/// Does it with bytes that are text; pictures are none.
fn in_blob(blob: &mut String, hide: impl FnOnce(&mut String) -> u64) -> u64 {
    let bytes = STANDARD.decode(blob.as_bytes()).ok();
    let Some(mut text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else { return 0 };
    let hidden = hide(&mut text);
    if hidden > 0 {
        *blob = STANDARD.encode(text);
    }
    hidden
}

fn hide_text(text: &mut String, rules: &[&MaskRule]) -> u64 {
    match told(text) {
        Told::Data(mut documents) => {
            let hidden = documents.iter_mut().map(|it| apply(it, rules)).sum();
            if hidden > 0 {
                let lines: Vec<String> = documents.iter().map(Value::to_string).collect();
                *text = lines.join("\n");
            }
            hidden
        }
        Told::Unclear => {
            REDACTED.clone_into(text);
            1
        }
        Told::Prose => 0,
    }
}

/// Hides every text in which no rule hid anything, since one hid something elsewhere: it may say the same.
fn hide_others(value: &mut Value, rules: &[&MaskRule]) -> u64 {
    match value {
        Value::Object(members) => {
            let mut hidden = 0;
            for (name, member) in members {
                hidden += match (name.as_str(), &mut *member) {
                    (DATA, data) => hide_others_within(data, rules),
                    (TEXT, Value::String(text)) => hide_other(text, rules),
                    (BLOB, Value::String(blob)) => in_blob(blob, |text| hide_other(text, rules)),
                    (_, member) => hide_others(member, rules),
                };
            }
            hidden
        }
        Value::Array(elements) => elements.iter_mut().map(|it| hide_others(it, rules)).sum(),
        _ => 0,
    }
}

/// The same of data, whose texts are values at places of their own: only such as are data once more.
fn hide_others_within(data: &mut Value, rules: &[&MaskRule]) -> u64 {
    match data {
        Value::String(text) if begins_as_data(text) => hide_other(text, rules),
        Value::Array(elements) => elements.iter_mut().map(|it| hide_others_within(it, rules)).sum(),
        Value::Object(members) => {
            members.values_mut().map(|it| hide_others_within(it, rules)).sum()
        }
        _ => 0,
    }
}

fn hide_other(text: &mut String, rules: &[&MaskRule]) -> u64 {
    let has_place =
        |document: &Value| rules.iter().any(|rule| stands_at(document, rule.place.parts()));
    match told(text) {
        // What stands at the place is hidden already.
        Told::Data(documents) if documents.iter().any(has_place) => 0,
        _ if text == REDACTED => 0,
        _ => {
            REDACTED.clone_into(text);
            1
        }
    }
}

fn apply(data: &mut Value, rules: &[&MaskRule]) -> u64 {
    rules.iter().map(|rule| mask_at(data, rule.place.parts(), rule.mask)).sum()
}

fn mask_at(value: &mut Value, place: &[String], mask: Mask) -> u64 {
    let Some((part, rest)) = place.split_first() else { return mask_value(value, mask) };
    match (value, part.as_str()) {
        (Value::Object(members), "*") => {
            members.values_mut().map(|member| mask_at(member, rest, mask)).sum()
        }
        (Value::Array(elements), "*") => {
            elements.iter_mut().map(|element| mask_at(element, rest, mask)).sum()
        }
        (Value::Object(members), name) => {
            members.get_mut(name).map_or(0, |member| mask_at(member, rest, mask))
        }
        (Value::Array(elements), index) => {
            let element = index.parse::<usize>().ok().and_then(|index| elements.get_mut(index));
            element.map_or(0, |element| mask_at(element, rest, mask))
        }
        _ => 0,
    }
}

/// Whether something stands there, be it null.
fn stands_at(value: &Value, place: &[String]) -> bool {
    let Some((part, rest)) = place.split_first() else { return true };
    match (value, part.as_str()) {
        (Value::Object(members), "*") => members.values().any(|it| stands_at(it, rest)),
        (Value::Array(elements), "*") => elements.iter().any(|it| stands_at(it, rest)),
        (Value::Object(members), name) => members.get(name).is_some_and(|it| stands_at(it, rest)),
        (Value::Array(elements), index) => {
            let element = index.parse::<usize>().ok().and_then(|index| elements.get(index));
            element.is_some_and(|it| stands_at(it, rest))
        }
        _ => false,
    }
}

/// Null stays null; what has parts is hidden whole.
fn mask_value(value: &mut Value, mask: Mask) -> u64 {
    let masked = match &*value {
        Value::Null => return 0,
        Value::String(text) => masked_text(text, mask),
        Value::Bool(_) | Value::Number(_) => masked_text(&value.to_string(), mask),
        Value::Array(_) | Value::Object(_) => REDACTED.to_owned(),
    };
    *value = Value::String(masked);
    1
}

struct Detecting<'a> {
    screen: &'a Screen,
    findings: &'a mut Findings,
}

impl Detecting<'_> {
    /// `given`: what the name of the nearest member says of it.
    fn walk(&mut self, value: &mut Value, given: Kinds) {
        match value {
            Value::String(text) => {
                if let Some(masked) = self.masked(text, given) {
                    *text = masked;
                }
            }
            Value::Number(number) => {
                if let Some(masked) = self.masked_number(number, given) {
                    *value = Value::String(masked);
                }
            }
            Value::Array(elements) => elements.iter_mut().for_each(|it| self.walk(it, given)),
            Value::Object(members) => self.members(members),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn members(&mut self, members: &mut Map<String, Value>) {
        let kind = members.get("type").and_then(Value::as_str);
        let is_binary = matches!(kind, Some("image" | "audio"));
        let mut whole = Map::new();
        for (name, mut member) in std::mem::take(members) {
            let is_encoded = name == "blob" || (is_binary && name == "data") || name == OPAQUE;
            if !(is_encoded && member.is_string()) {
                self.walk(&mut member, self.screen.detectors().context_of(&name));
            }
            let mut name = self.masked(&name, Kinds::NONE).unwrap_or(name);
            // Two names with one mark are two members still.
            while whole.contains_key(&name) {
                name.push('\'');
            }
            whole.insert(name, member);
        }
        *members = whole;
    }

    fn masked(&mut self, text: &str, given: Kinds) -> Option<String> {
        let mut out = Vec::with_capacity(text.len());
        let found = self.screen.mask(text.as_bytes(), given, &mut out);
        if found.is_empty() {
            return None;
        }
        self.findings.merge(&found);
        // Marks are put where characters begin; were one not, nothing of the text would pass.
        Some(String::from_utf8(out).unwrap_or_else(|_| REDACTED.to_owned()))
    }

    fn masked_number(&mut self, number: &Number, given: Kinds) -> Option<String> {
        let text = number.to_string();
        self.masked(&text, given).filter(|masked| *masked != text)
    }
}

/// Says that the message was kept back, in the form that its receiver reads.
fn keep_back(message: &Value, findings: &[Finding]) -> Value {
    let denied = findings.iter().filter(|it| it.action == FindingAction::Deny);
    let kinds: Vec<String> = denied.map(|it| format!("{} ({})", it.detector, it.count)).collect();
    let why = format!(
        "tallyport kept this answer back: it holds {}. That is on record; ask for what does not.",
        kinds.join(", ")
    );
    let id = message.get("id").cloned().unwrap_or_default();
    let result = message.get("result");
    if result.is_none_or(|result| result.get("content").is_none()) {
        return json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": why } });
    }
    let mut kept = Map::new();
    if result.is_some_and(|result| result.get("resultType").is_some()) {
        kept.insert("resultType".to_owned(), json!("complete"));
    }
    kept.insert("content".to_owned(), json!([{ "type": "text", "text": why }]));
    kept.insert("isError".to_owned(), json!(true));
    json!({ "jsonrpc": "2.0", "id": id, "result": kept })
}

#[cfg(test)]
mod tests;
