//! Spans, as the collector got them.

use opentelemetry_proto::tonic::trace::v1::Span;

use crate::collector::Got;

/// All of a trace.
pub fn spans_of(got: &Got, trace_id: &str) -> Vec<Span> {
    got.spans.iter().filter(|span| hex(&span.trace_id) == trace_id).cloned().collect()
}

/// How many of this name `parent` has.
pub fn within(spans: &[Span], name: &str, parent: &Span) -> usize {
    let is_its = |span: &&Span| span.name == name && span.parent_span_id == parent.span_id;
    spans.iter().filter(is_its).count()
}

pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a span says of itself under this key.
pub fn text(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match value.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}
