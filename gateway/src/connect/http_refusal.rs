//! Tells a client of HTTP in its own protocol why there is no tunnel: as problem details (RFC 9457), and one that asks for a path of
//! Kubernetes as a `Status`.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::ConnectError;

/// How long the client may take to say what it is, and to read its answer.
const WITHIN: Duration = Duration::from_secs(5);
/// The most of a request that is read so that its sender reads the answer.
const MAX_READ_BYTES: u64 = 64 * 1024;

/// Whether what the client says begins as a request of HTTP does: with a method (RFC 9112 section 3).
pub(super) async fn is_asked(client: &TcpStream) -> bool {
    let mut first = [0_u8; 4];
    let peeked = async {
        loop {
            match client.peek(&mut first).await {
                Ok(0) | Err(_) => return false,
                Ok(count) if count < first.len() => {
                    // Methods have three letters at least, and no other protocol here begins with some.
                    if !first.iter().take(count).all(u8::is_ascii_uppercase) {
                        return false;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(_) => {
                    return first.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b' ');
                }
            }
        }
    };
    timeout(WITHIN, peeked).await.unwrap_or(false)
}

/// Whether the path that is asked for is one of Kubernetes, as far as it has come.
async fn asks_kubernetes(client: &TcpStream) -> bool {
    let mut head = [0_u8; 64];
    let Ok(Ok(count)) = timeout(WITHIN, client.peek(&mut head)).await else { return false };
    let head = head.get(..count).unwrap_or_default();
    let path = head.splitn(3, |byte| *byte == b' ').nth(1).unwrap_or_default();
    let path = path.split(|byte| matches!(byte, b'?' | b' ')).next().unwrap_or_default();
    let begins = |with: &[u8]| path.starts_with(with);
    matches!(path, b"/api" | b"/apis" | b"/version")
        || begins(b"/api/v1")
        || begins(b"/apis/")
        || begins(b"/openapi/")
}

/// Answers the one request, and ends the connection.
pub(super) async fn answer(mut client: TcpStream, refused: &ConnectError) {
    let (status, reason, code, message) = match refused {
        ConnectError::Refused { status, code, message, .. } => match status {
            401 => (401, "Unauthorized", code.as_str(), message.clone()),
            403 | 404 => (403, "Forbidden", code.as_str(), message.clone()),
            429 => (429, "TooManyRequests", code.as_str(), message.clone()),
            _ => (503, "ServiceUnavailable", code.as_str(), message.clone()),
        },
        other => (503, "ServiceUnavailable", "no_tunnel", other.to_string()),
    };
    let (kind, body) = if asks_kubernetes(&client).await {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": status,
            "message": format!("tallyport: {message} ({code})"),
        });
        ("application/json", body.to_string())
    } else {
        let body = json!({
            "title": "tallyport opened no way to the target", "status": status, "code": code, "message": message,
            "detail": format!("tallyport: {message} ({code})"),
        });
        ("application/problem+json", body.to_string())
    };
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        client.write_all(answer.as_bytes()).await?;
        client.shutdown().await?;
        // Closing with bytes unread would reset the connection under the answer.
        let mut rest = client.take(MAX_READ_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // The client may be gone; there is nobody else to tell.
    let _told = timeout(WITHIN, told).await;
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_a_client_of_http_is_told_so() {
        for (said, kind) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Some("application/problem+json")),
            (b"PATCH /x?at=/api HTTP/1.1\r\n\r\n", Some("application/problem+json")),
            (b"GET /api/v1/pods?limit=500 HTTP/1.1\r\n\r\n", Some("application/json")),
            (b"GET /api?timeout=32s HTTP/1.1\r\n\r\n", Some("application/json")),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", None),
            (b"\x16\x03\x01\x02\0", None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (local, _) = listener.accept().await.unwrap();
            client.write_all(said).await.unwrap();
            assert_eq!(is_asked(&local).await, kind.is_some(), "{said:?}");
            if let Some(kind) = kind {
                let refused = ConnectError::Refused {
                    status: 403,
                    code: "denied_by_policy".into(),
                    message: "no".into(),
                };
                answer(local, &refused).await;
                let mut told = String::new();
                client.read_to_string(&mut told).await.unwrap();
                assert!(
                    told.starts_with("HTTP/1.1 403 Forbidden\r\n")
                        && told.contains("tallyport: no (denied_by_policy)")
                        && told.contains(&format!("content-type: {kind}\r\n")),
                    "{told}"
                );
            }
        }
    }
}
