//! What came to `/mcp/{server}`.

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue};
use gateway_core::mcp::{Era, Id};
use serde_json::{Map, Value};

use crate::mcp::dispatch::Message;

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// What of a request's fields counts beside those that its form is checked by.
#[derive(Debug, Default)]
pub(in crate::mcp) struct CameWith {
    pub(super) session: Option<String>,
    pub(super) params: Vec<(String, String)>,
}

impl CameWith {
    pub(in crate::mcp) fn of(headers: &HeaderMap) -> Self {
        let text = |value: &HeaderValue| value.to_str().map(|it| it.trim().to_owned()).ok();
        let params = headers.iter().filter(|(name, _)| name.as_str().starts_with("mcp-param-"));
        let params =
            params.map(|(name, value)| (name.as_str().to_owned(), text(value).unwrap_or_default()));
        Self { session: headers.get(SESSION).and_then(text), params: params.collect() }
    }
}

/// A message whose form is good.
pub(in crate::mcp) enum Spoken {
    Request(Box<Message>),
    Notification(Era, String, Map<String, Value>),
    Answer(Era, Id, Result<Value, Value>),
}

impl Spoken {
    pub(super) const fn era(&self) -> Era {
        match self {
            Self::Request(message) => message.era,
            Self::Notification(era, ..) | Self::Answer(era, ..) => *era,
        }
    }

    pub(super) const fn id(&self) -> Option<&Id> {
        match self {
            Self::Request(message) => Some(&message.id),
            Self::Notification(..) | Self::Answer(..) => None,
        }
    }
}
