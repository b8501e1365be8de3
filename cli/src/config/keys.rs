//! Every key of the configuration file, told by the types that read it.

use schemars::{Schema, schema_for};
use serde_json::{Map, Value};

use super::raw::RawConfig;

/// One key.
pub struct Key {
    /// With the sections before it: `gateway.limits.max_sessions`. `targets[]` is each of `[[targets]]`, `*` any name.
    pub path: String,
    /// What it holds.
    pub kind: String,
    /// What it is when absent, or `required`; nothing where its absence means something of its own.
    pub default: Option<String>,
    /// What it does.
    pub about: String,
}

/// The file as JSON Schema.
pub fn schema() -> Schema {
    let mut schema = schema_for!(RawConfig);
    schema.insert("title".to_owned(), "tallyport.toml".into());
    schema
}

/// All keys, in the order of their declaration.
pub fn keys() -> Vec<Key> {
    let root = schema().to_value();
    let mut walk = Walk { root: &root, keys: Vec::new() };
    walk.table(&root, "");
    walk.keys
}

struct Walk<'a> {
    root: &'a Value,
    keys: Vec<Key>,
}

impl<'a> Walk<'a> {
    /// The keys of a table.
    fn table(&mut self, table: &'a Value, prefix: &str) {
        let Some(fields) = table.get("properties").and_then(Value::as_object) else { return };
        let required: Vec<&str> = table
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        for (name, field) in fields {
            self.key(&format!("{prefix}{name}"), field, required.contains(&name.as_str()));
        }
    }

    fn key(&mut self, path: &str, field: &'a Value, required: bool) {
        let shape = self.resolve(field);
        if shape.get("properties").is_some() {
            return self.table(shape, &format!("{path}."));
        }
        let items = shape.get("items").map(|items| self.resolve(items));
        if let Some(items) = items.filter(|items| items.get("properties").is_some()) {
            return self.table(items, &format!("{path}[]."));
        }
        let forms = items.and_then(|items| items.get("anyOf")).and_then(Value::as_array);
        if let Some(forms) = forms {
            return forms.iter().for_each(|form| self.form(path, form));
        }
        let named = shape.get("additionalProperties").filter(|value| value.is_object());
        if let Some(named) = named {
            return self.leaf(&format!("{path}.*"), field, named, false);
        }
        self.leaf(path, field, shape, required);
    }

    /// The keys of one of several forms of a table; a form with a word for it has that in the path.
    fn form(&mut self, path: &str, form: &'a Value) {
        let form = self.resolve(form);
        let word =
            form.pointer("/properties/kind").map(|kind| self.resolve(kind)).and_then(word_of);
        match word {
            Some(word) => self.table(form, &format!("{path}[kind = \"{word}\"].")),
            None => self.table(form, &format!("{path}[].")),
        }
    }

    fn leaf(&mut self, path: &str, field: &Value, shape: &'a Value, required: bool) {
        let default = field.get("default").filter(|value| !value.is_null());
        let default = match default {
            Some(Value::String(text)) if text.is_empty() => None,
            Some(value) => Some(value.to_string()),
            None => required.then(|| "required".to_owned()),
        };
        let about = [field, shape].iter().find_map(|it| it.get("description")?.as_str());
        let about = about.unwrap_or_default().replace('\n', " ");
        self.keys.push(Key { path: path.to_owned(), kind: self.kind(shape), default, about });
    }

    /// Follows references, and takes the one shape of what may also be absent.
    fn resolve(&self, mut shape: &'a Value) -> &'a Value {
        loop {
            let target = shape.get("$ref").and_then(Value::as_str);
            if let Some(found) = target.and_then(|it| self.root.pointer(it.trim_start_matches('#')))
            {
                shape = found;
                continue;
            }
            let choices = shape.get("anyOf").and_then(Value::as_array);
            let some = choices.map(|all| all.iter().filter(|it| !is_null(it)).collect::<Vec<_>>());
            match some.as_deref() {
                Some([only]) => shape = only,
                _ => return shape,
            }
        }
    }

    fn kind(&self, shape: &'a Value) -> String {
        let shape = self.resolve(shape);
        if let Some(values) = shape.get("enum").and_then(Value::as_array) {
            let words: Vec<String> = values.iter().map(|it| format!("`{it}`")).collect();
            return words.join(", ");
        }
        let choices = ["oneOf", "anyOf"].iter().find_map(|key| shape.get(*key)?.as_array());
        if let Some(choices) = choices {
            let mut kinds: Vec<String> = choices.iter().map(|it| self.choice(it)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        let types: Vec<&str> = match shape.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        match types.iter().find(|name| **name != "null") {
            Some(&"array") => {
                let of = shape.get("items").map_or_else(String::new, |items| self.kind(items));
                format!("array of {of}")
            }
            Some(&"object") => "table".to_owned(),
            Some(name) => (*name).to_owned(),
            None => "any value".to_owned(),
        }
    }

    /// One form of a value that has several.
    fn choice(&self, shape: &'a Value) -> String {
        let resolved = self.resolve(shape);
        if let Some(word) = resolved.get("const") {
            return format!("`{word}`");
        }
        let names = resolved.get("properties").and_then(Value::as_object);
        match names.map(Map::keys) {
            Some(names) => {
                let names: Vec<String> = names.map(|name| format!("{name} = ...")).collect();
                format!("`{{ {} }}`", names.join(", "))
            }
            None => self.kind(resolved),
        }
    }
}

/// The one word that a value may be.
fn word_of(shape: &Value) -> Option<&str> {
    let one = shape.get("oneOf").and_then(Value::as_array).and_then(|all| all.first());
    one.unwrap_or(shape).get("const").and_then(Value::as_str)
}

fn is_null(shape: &Value) -> bool {
    shape.get("type").and_then(Value::as_str) == Some("null")
}
