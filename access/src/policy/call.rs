//! The arguments of a call of a tool, as policies see them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The most values that one call may hold.
const MAX_VALUES: usize = 256;
/// How deep they may nest.
const MAX_DEPTH: usize = 32;
/// The most bytes that all values and their paths come to: a long name above many values is in the path of each.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Every value by its place: the JSON pointer (RFC 6901) of each leaf and its text, such as `/repo` and `acme/x`.
///
/// A string is its own text, every other value is as JSON writes it; an empty list or object counts as a value (`[]`, `{}`),
/// so that nothing that is sent is out of a policy's sight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CallArguments(BTreeMap<String, String>);

/// Arguments that policy cannot be told of whole; the call has to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManyArguments {
    /// There are too many values.
    #[error("the arguments hold more than {MAX_VALUES} values; call with fewer, or several times")]
    Values,
    /// They nest too deep.
    #[error("the arguments nest deeper than {MAX_DEPTH} levels; call with flatter ones")]
    Depth,
    /// They are too long.
    #[error(
        "the arguments with their paths have more than {MAX_BYTES} bytes; call with shorter ones"
    )]
    Bytes,
}

impl CallArguments {
    /// The arguments of one call.
    ///
    /// # Errors
    /// When they are more than policies are told of. Nothing may be left out: what a policy does not see it cannot forbid.
    pub fn of(arguments: &Map<String, Value>) -> Result<Self, TooManyArguments> {
        let mut gathered = Gathered::default();
        gathered.members(arguments, &mut String::new(), 1)?;
        Ok(Self(gathered.found))
    }

    /// Pointers and texts, in the order of the pointers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(pointer, text)| (pointer.as_str(), text.as_str()))
    }
}

#[derive(Default)]
struct Gathered {
    found: BTreeMap<String, String>,
    bytes: usize,
}

impl Gathered {
    fn value(
        &mut self,
        value: &Value,
        pointer: &mut String,
        depth: usize,
    ) -> Result<(), TooManyArguments> {
        match value {
            Value::Object(members) if !members.is_empty() => self.members(members, pointer, depth),
            Value::Array(elements) if !elements.is_empty() => {
                for (index, element) in elements.iter().enumerate() {
                    self.below(&index.to_string(), element, pointer, depth)?;
                }
                Ok(())
            }
            Value::String(text) => self.leaf(text.clone(), pointer),
            other => self.leaf(other.to_string(), pointer),
        }
    }

    fn members(
        &mut self,
        members: &Map<String, Value>,
        pointer: &mut String,
        depth: usize,
    ) -> Result<(), TooManyArguments> {
        members.iter().try_for_each(|(name, value)| {
            self.below(&name.replace('~', "~0").replace('/', "~1"), value, pointer, depth)
        })
    }

    fn below(
        &mut self,
        token: &str,
        value: &Value,
        pointer: &mut String,
        depth: usize,
    ) -> Result<(), TooManyArguments> {
        if depth > MAX_DEPTH {
            return Err(TooManyArguments::Depth);
        }
        let above = pointer.len();
        pointer.push('/');
        pointer.push_str(token);
        let taken = self.value(value, pointer, depth + 1);
        pointer.truncate(above);
        taken
    }

    fn leaf(&mut self, text: String, pointer: &str) -> Result<(), TooManyArguments> {
        self.bytes = self.bytes.saturating_add(pointer.len()).saturating_add(text.len());
        if self.bytes > MAX_BYTES {
            return Err(TooManyArguments::Bytes);
        }
        if self.found.len() >= MAX_VALUES {
            return Err(TooManyArguments::Values);
        }
        self.found.insert(pointer.to_owned(), text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> Result<CallArguments, TooManyArguments> {
        CallArguments::of(value.as_object().unwrap())
    }

    #[test]
    fn every_leaf_has_its_pointer() {
        let arguments = of(&json!({
            "repo": "acme/x", "n": 7, "big": 1e300, "yes": true, "none": null, "": "empty name", "a/b~c": {"d": ["e", {"f": "g"}]},
            "nothing": {}, "empty": [],
        }));
        let found: Vec<(String, String)> = arguments
            .unwrap()
            .iter()
            .map(|(pointer, text)| (pointer.to_owned(), text.to_owned()))
            .collect();
        let want = [
            ("/", "empty name"),
            ("/a~1b~0c/d/0", "e"),
            ("/a~1b~0c/d/1/f", "g"),
            ("/big", "1e+300"),
            ("/empty", "[]"),
            ("/n", "7"),
            ("/none", "null"),
            ("/nothing", "{}"),
            ("/repo", "acme/x"),
            ("/yes", "true"),
        ];
        assert_eq!(found, want.map(|(pointer, text)| (pointer.to_owned(), text.to_owned())));
        assert_eq!(of(&json!({})).unwrap(), CallArguments::default());
    }

    #[test]
    fn what_is_too_much_is_refused_and_says_what_to_do() {
        let list = |length: usize| json!({ "list": vec![0; length] });
        assert!(of(&list(MAX_VALUES)).is_ok());
        let error = of(&list(MAX_VALUES + 1)).unwrap_err();
        assert_eq!(error, TooManyArguments::Values);
        assert!(error.to_string().contains("call with fewer"), "{error}");
        let nested =
            |levels: usize| (1..levels).fold(json!({"x": 1}), |inner, _| json!({"x": inner}));
        assert!(of(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(of(&nested(MAX_DEPTH + 1)).unwrap_err(), TooManyArguments::Depth);
        // One long name above many values is in the path of each.
        let long = json!({ "n".repeat(64 * 1024): vec![0; 64] });
        assert_eq!(of(&long).unwrap_err(), TooManyArguments::Bytes);
    }
}
