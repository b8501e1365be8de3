//! The messages of one connection, one after the other, and what happens on its socket meanwhile.

use std::io;
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use datafusion_postgres::pgwire::api::{
    ClientInfo as _, ErrorHandler as _, NoopHandler, PgWireConnectionState,
};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::PgWireFrontendMessage;
use datafusion_postgres::pgwire::messages::startup::{
    MESSAGE_TYPE_BYTE_PASSWORD_MESSAGE_FAMILY, PasswordMessageFamily,
};
use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use datafusion_postgres::pgwire::tokio::server::{
    MaybeTls, PgWireMessageServerCodec, negotiate_tls, process_error, process_message,
};
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;

use super::extended::Prepared;
use super::{Handlers, wire};
use crate::error::QueryError;

/// How long a client may take until its token was checked, TLS included.
const STARTUP: Duration = Duration::from_secs(60);
/// The longest password message that is read whole, in bytes: no issuer may be configured to take a longer token.
const MAX_PASSWORD_BYTES: usize = 64 * 1024 + 1024;
/// A message's type and length.
const HEAD_BYTES: usize = 5;

type Socket = Framed<MaybeTls, PgWireMessageServerCodec<Prepared>>;

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("no token was checked within {} s", STARTUP.as_secs())]
    Late,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves the messages of one connection until it ends.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    handlers: &Handlers,
    stop: &CancellationToken,
) -> Result<(), Broken> {
    let until = Instant::now() + STARTUP;
    let late = |_| Broken::Late;
    let negotiated = timeout_at(until, negotiate_tls(stream, tls)).await.map_err(late)?;
    let Some(mut socket) = negotiated.map_err(Broken::Handshake)? else { return Ok(()) };
    // From the first message of the extended protocol to its Sync: the answer is whole only then.
    let mut in_a_unit = false;
    loop {
        let within = starting(&socket).then_some(until);
        let next = async {
            match within {
                Some(until) => timeout_at(until, socket.next()).await.map_err(late),
                None => Ok(socket.next().await),
            }
        };
        let message = if in_a_unit {
            next.await?
        } else {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => Err(QueryError::Stopping),
                why = handlers.connection.over() => Err(why),
                message = next => Ok(message?),
            };
            match next {
                Ok(message) => message,
                Err(why) => {
                    process_error(&mut socket, wire(&why), false).await?;
                    return Ok(());
                }
            }
        };
        let message = match message {
            Some(Err(PgWireError::MessageTooLarge(..))) if is_password(&socket) => {
                let whole = timeout_at(until, long_password(socket)).await.map_err(late)?;
                let (again, password) = whole?;
                socket = again;
                password
            }
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(io::Error::other(error).into()),
            None => return Ok(()),
        };
        if matches!(message, PgWireFrontendMessage::Terminate(_)) {
            return Ok(());
        }
        in_a_unit =
            message.is_extended_query() && !matches!(message, PgWireFrontendMessage::Sync(_));
        answer(&mut socket, message, handlers).await?;
        if handlers.connection.closing().is_cancelled() {
            // What is left unread would make the system reset the connection, and the last message be lost.
            tokio::io::copy(socket.get_mut(), &mut tokio::io::sink()).await?;
            return Ok(());
        }
    }
}

/// Says `error` to whoever asks to be let in, and nothing else.
pub(super) async fn refuse(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    error: PgWireError,
) -> io::Result<()> {
    let Some(mut socket) = negotiate_tls::<Prepared>(stream, tls).await? else { return Ok(()) };
    // Its startup message. What is left unread would make the system reset the connection.
    let _startup = socket.next().await;
    process_error(&mut socket, error, false).await?;
    tokio::io::copy(socket.get_mut(), &mut tokio::io::sink()).await.map(drop)
}

async fn answer(
    socket: &mut Socket,
    message: PgWireFrontendMessage,
    handlers: &Handlers,
) -> io::Result<()> {
    let connection = &handlers.connection;
    let extended = match socket.state() {
        PgWireConnectionState::CopyInProgress(extended) => extended,
        _ => message.is_extended_query(),
    };
    let done = process_message(
        message,
        socket,
        Arc::clone(connection),
        Arc::clone(connection),
        Arc::clone(&handlers.extended),
        Arc::new(NoopHandler),
        Arc::clone(connection),
    );
    if let Err(mut error) = done.await {
        connection.on_error(socket, &mut error);
        process_error(socket, error, extended).await?;
    }
    Ok(())
}

fn starting(socket: &Socket) -> bool {
    use PgWireConnectionState as S;
    matches!(socket.state(), S::AwaitingStartup | S::AuthenticationInProgress)
}

/// Whether the next message is the password that was asked for.
fn is_password(socket: &Socket) -> bool {
    matches!(socket.state(), PgWireConnectionState::AuthenticationInProgress)
        && socket.read_buffer().first() == Some(&MESSAGE_TYPE_BYTE_PASSWORD_MESSAGE_FAMILY)
}

/// Reads a password that is longer than the codec takes: a token is as long as its issuer makes it, and one that is
/// too long is refused like any other bad token, on record. Of a message over the bound, what fits is taken, which is
/// too long still.
async fn long_password(socket: Socket) -> io::Result<(Socket, PgWireFrontendMessage)> {
    let mut parts = socket.into_parts();
    let buffer = &mut parts.read_buf;
    let length: Option<[u8; 4]> = buffer.get(1..HEAD_BYTES).and_then(|four| four.try_into().ok());
    let length = u32::from_be_bytes(length.unwrap_or_default()) as usize;
    let wanted = length.saturating_add(1).clamp(HEAD_BYTES, MAX_PASSWORD_BYTES);
    while buffer.len() < wanted {
        if parts.io.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut body = BytesMut::from(buffer.split_to(wanted).get(HEAD_BYTES..).unwrap_or_default());
    if body.last() != Some(&0) {
        body.put_u8(0);
    }
    let password = PasswordMessageFamily::Raw(body);
    Ok((Framed::from_parts(parts), PgWireFrontendMessage::PasswordMessageFamily(password)))
}

/// A second handle on the connection, which sees its end while nobody reads from the first.
pub(super) fn watch(stream: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(second)?))
}

/// Waits until the other side closed the connection, or its half of it: PostgreSQL's clients do not go on reading
/// after that. Bytes that come before are left where they are.
pub(super) async fn hung_up(watch: &TcpStream) {
    while let Ok(ready) = watch.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        // Only news wakes it again.
        let _cleared: io::Result<()> =
            watch.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    }
}
