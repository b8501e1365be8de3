//! The trace that a tunnel, or a call, belongs to, as the logs and whoever collects traces are told of it. No IO.

use http::header::{HeaderMap, HeaderName};
use tallyport_schemas::{Front, TraceId};
use tracing::Span;
use uuid::Uuid;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const PARENT_ID_DIGITS: usize = 16;
/// The only flag of version 00 (W3C trace context, section 3.2.2.5).
const SAMPLED: u8 = 1;

/// The caller's span, which this is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent<'a> {
    span_id: &'a str,
    sampled: bool,
}

/// The caller's trace (W3C `traceparent`), or a new one.
pub(super) fn trace_id(headers: &HeaderMap) -> TraceId {
    let given = traceparent(headers)
        .and_then(|value| value.split('-').nth(1))
        .filter(|hex| hex.len() == 32)
        .and_then(|hex| Uuid::try_parse(hex).ok())
        .filter(|id| !id.is_nil());
    given.map_or_else(TraceId::random, TraceId::from_uuid)
}

/// The span of one tunnel, from its `CONNECT` to its end. `trace_id` is that of its events, in the form of W3C.
pub(super) fn session_span(
    headers: &HeaderMap,
    trace_id: TraceId,
    target: &str,
    front: Front,
) -> Span {
    let parent = parent(headers);
    tracing::info_span!(
        "session",
        trace_id = %trace_id.as_uuid().simple(),
        parent_span_id = parent.map(|parent| parent.span_id),
        parent_sampled = parent.map(|parent| parent.sampled),
        session = tracing::field::Empty,
        target,
        front = front.as_str(),
    )
}

/// The span of one request to an MCP endpoint, likewise. `target` is the server that it is for, where that is known yet:
/// else it is to be recorded.
pub(crate) fn call_span(
    headers: &HeaderMap,
    trace_id: TraceId,
    target: Option<&str>,
    front: Front,
) -> Span {
    let parent = parent(headers);
    tracing::info_span!(
        "mcp_call",
        trace_id = %trace_id.as_uuid().simple(),
        parent_span_id = parent.map(|parent| parent.span_id),
        parent_sampled = parent.map(|parent| parent.sampled),
        target,
        front = front.as_str(),
    )
}

fn parent(headers: &HeaderMap) -> Option<Parent<'_>> {
    let mut parts = traceparent(headers)?.split('-').skip(2);
    let (span_id, flags) = (parts.next()?, parts.next()?);
    let is_hex = span_id.len() == PARENT_ID_DIGITS
        && span_id.bytes().all(|digit| digit.is_ascii_hexdigit())
        && span_id.bytes().any(|digit| digit != b'0');
    let flags = u8::from_str_radix(flags, 16).ok()?;
    is_hex.then_some(Parent { span_id, sampled: flags & SAMPLED != 0 })
}

fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get(TRACEPARENT).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(TRACEPARENT, value.parse().unwrap())])
    }

    #[test]
    fn trace_is_the_callers_or_new() {
        let given = headers(&format!("00-{ID}-00f067aa0ba902b7-01"));
        assert_eq!(trace_id(&given).as_uuid().simple().to_string(), ID);
        for bad in
            ["", "00", "00-zz-1-1", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"]
        {
            assert!(!trace_id(&headers(bad)).as_uuid().is_nil());
        }
    }

    #[test]
    fn the_callers_span_is_taken_only_when_it_is_one() {
        let given = headers(&format!("00-{ID}-00f067aa0ba902b7-01"));
        assert_eq!(parent(&given), Some(Parent { span_id: "00f067aa0ba902b7", sampled: true }));
        let unsampled = headers(&format!("00-{ID}-00f067aa0ba902b7-00"));
        assert_eq!(parent(&unsampled).map(|parent| parent.sampled), Some(false));
        for bad in [
            "0000000000000000-01",
            "00f067aa0ba902b-01",
            "00f067aa0ba902bz-01",
            "00f067aa0ba902b7-x",
            "00f067aa0ba902b7",
        ] {
            assert_eq!(parent(&headers(&format!("00-{ID}-{bad}"))), None, "{bad}");
        }
    }
}
