//! The id of a request, as it is given back.

use serde_json::Value;

/// The longest id that is given back.
const MAX_ID_BYTES: usize = 256;

/// A text or an integer (JSON-RPC 2.0 section 4; MCP forbids null).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id(Value);

impl Id {
    /// `None` where the value is neither, or too long.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let fits = match value {
            Value::String(text) => text.len() <= MAX_ID_BYTES,
            Value::Number(number) => number.is_i64() || number.is_u64(),
            _ => false,
        };
        fits.then(|| Self(value.clone()))
    }

    /// As it was sent.
    #[must_use]
    pub const fn as_value(&self) -> &Value {
        &self.0
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}
