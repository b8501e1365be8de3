//! What HTTP says of a message before it is read: what the client takes, what it sends, how much of it.

use std::error::Error;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use gateway_core::mcp::{Field, HeaderView, RpcError};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The answer to a message that goes no further; boxed, since it is much larger than what goes on.
pub(super) type Refused = Box<Response>;

/// An answer to what was not read far enough to have an id.
pub(super) fn refused(status: StatusCode, error: &RpcError) -> Refused {
    failure(status, error, &error.body_without_id()).into()
}

/// Why a message was not served, where nothing else puts that on record.
#[derive(Clone, Debug)]
pub(super) struct NotServed(pub(super) String);

/// An answer that says `error`.
pub(super) fn failure(status: StatusCode, error: &RpcError, body: &Value) -> Response {
    let mut response = json(status, body);
    if error.is_unrecorded() {
        response.extensions_mut().insert(NotServed(error.message().to_owned()));
    }
    response
}

/// An answer of one JSON value.
pub(super) fn json(status: StatusCode, value: &Value) -> Response {
    json_text(status, value.to_string().into())
}

/// The same of one that is text already.
pub(super) fn json_text(status: StatusCode, value: Bytes) -> Response {
    let mut response = Response::new(Body::from(value));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// The client takes both forms of an answer, and sends the one form of a message.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Refused> {
    if !(accepts(headers, JSON) && accepts(headers, EVENTS)) {
        let error = RpcError::invalid_request("send Accept: application/json, text/event-stream");
        return Err(refused(StatusCode::NOT_ACCEPTABLE, &error));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let is_json = |value: &HeaderValue| value.to_str().is_ok_and(|value| essence(value) == JSON);
    if !(types.next().is_some_and(is_json) && types.next().is_none()) {
        let error = RpcError::invalid_request("send Content-Type: application/json");
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error));
    }
    Ok(())
}

/// The client takes a stream of events.
pub(super) fn check_events(headers: &HeaderMap) -> Result<(), Refused> {
    if accepts(headers, EVENTS) {
        return Ok(());
    }
    let error = RpcError::invalid_request("send Accept: text/event-stream");
    Err(refused(StatusCode::NOT_ACCEPTABLE, &error))
}

/// The whole body, in size; the front bounds its time.
pub(super) async fn whole(
    body: Body,
    headers: &HeaderMap,
    max_bytes: usize,
) -> Result<Bytes, Refused> {
    let too_large = || {
        let error =
            RpcError::invalid_request(format!("send a message of at most {max_bytes} bytes"));
        refused(StatusCode::PAYLOAD_TOO_LARGE, &error)
    };
    let said = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    // Said beforehand, nothing of it needs to come.
    if said.is_some_and(|bytes| bytes > max_bytes as u64) {
        return Err(too_large());
    }
    match Limited::new(body, max_bytes).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if is_too_large(error.as_ref()) => Err(too_large()),
        Err(_) => {
            let what = "the message did not arrive whole and in time; send it again";
            Err(refused(StatusCode::BAD_REQUEST, &RpcError::invalid_request(what)))
        }
    }
}

/// The fields that a body is compared with.
pub(super) fn view(headers: &HeaderMap) -> HeaderView<'_> {
    let field = |name: &str| Field::of(headers.get_all(name).iter().map(HeaderValue::as_bytes));
    HeaderView {
        protocol_version: field("mcp-protocol-version"),
        method: field("mcp-method"),
        name: field("mcp-name"),
    }
}

/// Named as it is: a wildcard says nothing of what a client can read. RFC 9110 section 12.4.2: weight 0 is a refusal.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let refuses = range.split(';').skip(1).any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let weight = value.trim().parse::<f32>();
            name.trim().eq_ignore_ascii_case("q") && !weight.is_ok_and(|weight| weight > 0.0)
        });
        essence(range) == media_type && !refuses
    })
}

/// A media type without its parameters.
fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &[&str], content_type: &[&str]) -> HeaderMap {
        let accept = accept.iter().map(|it| (ACCEPT, *it));
        let types = content_type.iter().map(|it| (CONTENT_TYPE, *it));
        accept.chain(types).map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).fold(
            HeaderMap::new(),
            |mut all, (name, value)| {
                all.append(name, value);
                all
            },
        )
    }

    #[test]
    fn both_forms_of_an_answer_are_accepted_by_name() {
        let both = "application/json, text/event-stream";
        for good in [&[both][..], &["TEXT/event-stream;q=0.5", "application/json;charset=utf-8"]] {
            assert!(check(&headers(good, &[JSON])).is_ok(), "{good:?}");
        }
        for bad in [
            &[][..],
            &["*/*"],
            &["application/*, text/*"],
            &[JSON],
            &[EVENTS],
            &["application/json;q=0, text/event-stream"],
            &["application/json, text/event-stream; Q=0.000"],
            &["application/json, text/event-stream;q=x"],
            &["application/jsonp, text/event-stream"],
        ] {
            let refused = check(&headers(bad, &[JSON])).unwrap_err();
            assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE, "{bad:?}");
        }
    }

    #[test]
    fn a_message_is_json_and_says_so_once() {
        let both = ["application/json, text/event-stream"];
        assert!(check(&headers(&both, &["Application/JSON; charset=utf-8"])).is_ok());
        for bad in [&[][..], &["text/plain"], &["application/json+x"], &[JSON, JSON]] {
            let refused = check(&headers(&both, bad)).unwrap_err();
            assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{bad:?}");
        }
    }
}
