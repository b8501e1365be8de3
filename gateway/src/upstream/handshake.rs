//! From a connected stream to a target that is ready for queries.

use std::collections::BTreeMap;

use bytes::BytesMut;
use gateway_core::pg::backend;
use gateway_core::pg::frame::{Decoder, Frame, FrameError, Handling, Piece};
use gateway_core::pg::write;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::auth::{Answer, Login, Way};
use super::stream::TargetStream;
use super::{BackendKey, DialError, TargetWriter, Upstream};
use crate::config::Target;

/// The longest message of a start-up.
const MAX_BYTES: usize = 64 * 1024;
/// The most messages of a start-up.
const MAX_MESSAGES: usize = 256;

/// Logs in as the target's configured role.
pub(super) async fn log_in(
    mut stream: TargetStream,
    target: &Target,
    database: &str,
    settings: &BTreeMap<String, String>,
) -> Result<Upstream, DialError> {
    let mut parameters = vec![("user", target.user.as_str()), ("database", database)];
    parameters.extend(settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    stream.write_all(&write::startup_message(parameters.into_iter())).await?;
    stream.flush().await?;

    let way = Way { encrypted: stream.is_encrypted(), channel_binding: stream.channel_binding() };
    let mut login = Login::new(target, way);
    let mut decoder = Decoder::new();
    let mut settings = Vec::new();
    let addr = stream.peer_addr();
    let mut key = BackendKey { pid: 0, key: 0, addr };
    let mut authenticated = false;
    for _ in 0..MAX_MESSAGES {
        let frame = next_frame(&mut stream, &mut decoder).await?;
        let protocol =
            |error: gateway_core::pg::read::Malformed| DialError::Protocol(error.to_string());
        match frame.tag() {
            b'R' if !authenticated => match login.answer(frame.body())? {
                Answer::Send(bytes) => {
                    stream.write_all(&bytes).await?;
                    stream.flush().await?;
                }
                Answer::Nothing => {}
                Answer::Done => authenticated = true,
            },
            b'E' => {
                let sqlstate = backend::sqlstate(frame.body()).map_err(protocol)?;
                return Err(DialError::Refused { sqlstate });
            }
            // Before the login is done nothing else may come; notices are the target's own business.
            b'N' => {}
            b'S' if authenticated => {
                let (name, value) = backend::parameter_status(frame.body()).map_err(protocol)?;
                settings.push((name, value));
            }
            b'K' if authenticated => {
                let (pid, secret) = backend::key_data(frame.body()).map_err(protocol)?;
                key = BackendKey { pid, key: secret, addr };
            }
            b'Z' if authenticated => {
                let leftover = decoder.into_rest();
                let (reader, writer) = tokio::io::split(stream);
                let writer = TargetWriter::new(writer);
                return Ok(Upstream { reader, writer, key, settings, leftover });
            }
            other => {
                let kind = char::from(other);
                return Err(DialError::Protocol(format!("unexpected message `{kind}`")));
            }
        }
    }
    Err(DialError::Protocol(format!("not ready after {MAX_MESSAGES} messages")))
}

async fn next_frame(stream: &mut TargetStream, decoder: &mut Decoder) -> Result<Frame, DialError> {
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    loop {
        let piece = decoder
            .next_piece(|_| Handling::Whole(MAX_BYTES))
            .map_err(|error| DialError::Protocol(error.to_string()))?;
        if let Some(Piece::Whole(frame)) = piece {
            // The decoder asks for a bound only where a message could come in pieces.
            let (tag, bytes, max) = (frame.tag(), frame.bytes().len(), MAX_BYTES);
            if bytes > max {
                let error = FrameError::TooLong { tag, bytes, max };
                return Err(DialError::Protocol(error.to_string()));
            }
            return Ok(frame);
        }
        buffer.clear();
        if stream.read_buf(&mut buffer).await? == 0 {
            let closed = std::io::ErrorKind::UnexpectedEof;
            return Err(DialError::Io(std::io::Error::new(
                closed,
                "the target closed the connection",
            )));
        }
        decoder.extend(&buffer);
    }
}
