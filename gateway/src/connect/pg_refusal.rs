//! Tells a PostgreSQL client in its own protocol why there is no tunnel (PostgreSQL 17, sections 53.2 and 53.7).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::error::ConnectError;

/// PostgreSQL's own bound of a startup packet.
const MAX_STARTUP_BYTES: u32 = 10_000;
/// SSLRequest and GSSENCRequest may each come once before the startup packet.
const MAX_PACKETS: usize = 3;
/// How long the client may take to say what it is, and to read its answer.
const WITHIN: Duration = Duration::from_secs(5);

const PROTOCOL_3: u16 = 3;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
/// "No encryption here": the client goes on in clear text, which does not leave the machine.
const NOT_ENCRYPTED: &[u8] = b"N";

/// Reads what the client opens with; if that is PostgreSQL, answers with a FATAL error. Ends the connection.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: S,
    refused: &ConnectError,
) {
    let told = async {
        if speaks_postgres(&mut client).await? {
            client.write_all(&fatal(sqlstate(refused), &words(refused))).await?;
        }
        client.shutdown().await?;
        // Closing with bytes unread would reset the connection under the answer.
        let mut rest = client.take(u64::from(MAX_STARTUP_BYTES));
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // The client may be gone; there is nobody else to tell.
    let _told = timeout(WITHIN, told).await;
}

async fn speaks_postgres<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut S,
) -> std::io::Result<bool> {
    for _ in 0..MAX_PACKETS {
        let length = client.read_u32().await?;
        let code = client.read_u32().await?;
        match first_packet(length, code) {
            First::Encryption => client.write_all(NOT_ENCRYPTED).await?,
            First::Startup { rest } => {
                let mut parameters = (&mut *client).take(rest);
                tokio::io::copy(&mut parameters, &mut tokio::io::sink()).await?;
                return Ok(true);
            }
            First::Other => return Ok(false),
        }
    }
    Ok(false)
}

#[derive(Debug, PartialEq, Eq)]
enum First {
    Encryption,
    Startup {
        rest: u64,
    },
    /// Another protocol, or a cancel request, to which there is no answer.
    Other,
}

/// What the first eight bytes of a packet say.
const fn first_packet(length: u32, code: u32) -> First {
    const HEAD_BYTES: u32 = 8;
    match code {
        SSL_REQUEST | GSSENC_REQUEST if length == HEAD_BYTES => First::Encryption,
        _ if (code >> 16) as u16 == PROTOCOL_3
            && length >= HEAD_BYTES
            && length <= MAX_STARTUP_BYTES =>
        {
            First::Startup { rest: (length - HEAD_BYTES) as u64 }
        }
        _ => First::Other,
    }
}

/// The SQLSTATE that fits best, so that drivers treat it right (retry or not).
const fn sqlstate(refused: &ConnectError) -> &'static [u8; 5] {
    match refused {
        ConnectError::Refused { status: 401, .. } | ConnectError::Token(_) => b"28000",
        ConnectError::Refused { status: 403, .. } => b"42501",
        ConnectError::Refused { status: 404, .. } | ConnectError::BadTarget { .. } => b"3D000",
        ConnectError::Refused { status: 429, .. } => b"53300",
        ConnectError::Refused { status: 503, .. } | ConnectError::Slow { .. } => b"57P03",
        ConnectError::Refused { .. } => b"08004",
        _ => b"08001",
    }
}

fn words(refused: &ConnectError) -> String {
    match refused {
        ConnectError::Refused { code, message, .. } => format!("tallyport: {message} ({code})"),
        other => format!("tallyport: {other}"),
    }
}

/// An ErrorResponse.
fn fatal(sqlstate: &[u8; 5], message: &str) -> Vec<u8> {
    let mut fields = Vec::with_capacity(message.len() + 32);
    for (kind, value) in [
        (b'S', &b"FATAL"[..]),
        (b'V', &b"FATAL"[..]),
        (b'C', &sqlstate[..]),
        (b'M', message.as_bytes()),
    ] {
        fields.push(kind);
        // A zero byte ends the field.
        fields.extend(value.iter().copied().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len()).unwrap_or(u32::MAX).saturating_add(4);
    let mut packet = Vec::with_capacity(fields.len() + 5);
    packet.push(b'E');
    packet.extend(length.to_be_bytes());
    packet.extend(fields);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> ConnectError {
        ConnectError::Refused {
            status,
            code: "denied_by_policy".to_owned(),
            message: "reading payroll is not allowed".to_owned(),
        }
    }

    #[test]
    fn first_packets_are_told_apart() {
        assert_eq!(first_packet(8, SSL_REQUEST), First::Encryption);
        assert_eq!(first_packet(8, GSSENC_REQUEST), First::Encryption);
        assert_eq!(first_packet(50, 0x0003_0000), First::Startup { rest: 42 });
        assert_eq!(first_packet(50, 0x0003_0002), First::Startup { rest: 42 });
        assert_eq!(first_packet(MAX_STARTUP_BYTES + 1, 0x0003_0000), First::Other);
        assert_eq!(first_packet(4, 0x0003_0000), First::Other);
        assert_eq!(first_packet(16, 80_877_102), First::Other, "cancel has no answer");
        assert_eq!(
            first_packet(u32::from_be_bytes(*b"GET "), u32::from_be_bytes(*b"/ HT")),
            First::Other
        );
    }

    #[test]
    fn message_cannot_end_its_field() {
        let packet = fatal(b"42501", "a\0b");
        assert_eq!(packet, b"E\0\0\0\x1eSFATAL\0VFATAL\0C42501\0Mab\0\0");
    }

    #[tokio::test]
    async fn client_that_asks_for_encryption_is_answered_in_clear() {
        let (mut client, local) = tokio::io::duplex(256);
        let answering = tokio::spawn(async move { answer(local, &refused(403)).await });
        client.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'N');
        client.write_all(b"\0\0\0\x0e\0\x03\0\0user\0\0").await.unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        let text = String::from_utf8_lossy(&told);
        assert!(text.starts_with('E') && text.contains("reading payroll is not allowed"), "{text}");
        assert!(text.contains("C42501"));
        drop(client);
        answering.await.unwrap();
    }

    #[tokio::test]
    async fn other_protocols_are_disconnected_without_a_word() {
        let (mut client, local) = tokio::io::duplex(256);
        let answering = tokio::spawn(async move { answer(local, &refused(403)).await });
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        assert!(told.is_empty());
        drop(client);
        answering.await.unwrap();
    }
}
