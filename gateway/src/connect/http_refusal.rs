//! Tells a client of HTTP in its own protocol why there is no tunnel; a Kubernetes client reads it as a `Status`.

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
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": status,
        "message": format!("tallyport: {message} ({code})"),
    })
    .to_string();
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
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
        for (said, is_http) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], true),
            (b"PATCH /x HTTP/1.1\r\n\r\n", true),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", false),
            (b"\x16\x03\x01\x02\0", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (local, _) = listener.accept().await.unwrap();
            client.write_all(said).await.unwrap();
            assert_eq!(is_asked(&local).await, is_http, "{said:?}");
            if is_http {
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
                        && told.contains("tallyport: no (denied_by_policy)"),
                    "{told}"
                );
            }
        }
    }
}
