//! The words in which a cluster says how something went.

use serde_json::{Value, json};

/// A `Status` (`meta/v1`) of the gateway's own, as clients show it to people.
#[must_use]
pub fn status(code: u16, message: &str) -> Value {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        429 => "TooManyRequests",
        504 => "Timeout",
        502 | 503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code,
    })
}

/// How a program in a container ended, as the last message of its streams says it: its exit code, or none where it did not come to
/// an end of its own.
#[must_use]
pub fn exit_of(told: &[u8]) -> Option<i64> {
    let told: Value = serde_json::from_slice(told).ok()?;
    if told.get("status").and_then(Value::as_str) == Some("Success") {
        return Some(0);
    }
    let causes = told.pointer("/details/causes")?.as_array()?;
    let exit =
        causes.iter().find(|it| it.get("reason").and_then(Value::as_str) == Some("ExitCode"))?;
    exit.get("message")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_read_from_its_status() {
        assert_eq!(exit_of(br#"{"metadata":{},"status":"Success"}"#), Some(0));
        let failed = br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
        assert_eq!(exit_of(failed), Some(3));
        assert_eq!(exit_of(br#"{"status":"Failure","message":"container not found"}"#), None);
        assert_eq!(exit_of(b"garbage"), None);
        assert_eq!(status(403, "no")["reason"], "Forbidden");
    }
}
