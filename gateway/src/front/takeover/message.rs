//! What two processes say to each other over a Unix socket when one takes the port over: lines of JSON, one of them with
//! sockets beside it (SCM_RIGHTS, unix(7)). A reader skips what it does not know: the two are of different releases.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::MAX_EARLIER;

/// One line.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// Of a line after the time is over, which the buffer of a Unix socket takes at once.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);
/// The port's two sockets, a new way for packets, and the ways to those before.
pub(super) const MAX_SOCKETS: usize = 3 + MAX_EARLIER;

/// The new process to the old one: who asks.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Ask {
    /// Of this conversation; 1.
    pub(super) version: u32,
    #[serde(flatten)]
    pub(super) this: Named,
}

/// The old process to the new one.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// With sockets: UDP, TCP, the way for this one's packets, then one for each of `earlier`.
    Offer(Offer),
    Refused(Refusal),
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Offer {
    /// The one that answers.
    pub(super) this: Named,
    /// Those that drain already.
    pub(super) earlier: Vec<Named>,
    /// Those that had the port and died: their clients are to learn that.
    #[serde(default)]
    pub(super) lost: Vec<Named>,
}

/// A process of the port.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Named {
    pub(super) node: String,
    /// The key of its connection ids, in hexadecimal.
    pub(super) mark: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refusal {
    Version { spoken: u32 },
    SameNode { node: String },
    TooMany { draining: usize },
    Failed { reason: String },
}

/// The new process to the old one: everything is ready. From here on the port is its own.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Take {
    pub(super) take: bool,
}

/// The old process to the new one, the last word.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It does not read the port any more.
    Taken,
    /// It waited too long and goes on as before.
    Withdrawn,
}

/// The conversation did not get on.
#[derive(Debug, thiserror::Error)]
pub(super) enum TalkError {
    #[error("the other process ended the conversation")]
    Ended,
    #[error("the other process did not answer in time")]
    Late,
    #[error("the other process does not speak this protocol ({0})")]
    Nonsense(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One end of the conversation, with a moment by which it is over. Blocks its thread.
pub(super) struct Talk {
    stream: UnixStream,
    until: Instant,
}

impl Talk {
    pub(super) fn new(stream: UnixStream, within: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        Ok(Self { stream, until: Instant::now() + within })
    }

    /// The same conversation with another moment by which it is over.
    pub(super) fn within(self, within: Duration) -> Self {
        Self { until: Instant::now() + within, ..self }
    }

    /// Says one line, with sockets beside it; at the end of the time, too, since nobody waits for that.
    pub(super) fn say(
        &self,
        what: &impl Serialize,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<(), TalkError> {
        let mut line = serde_json::to_vec(what).map_err(io::Error::from)?;
        line.push(b'\n');
        self.stream.set_write_timeout(Some(self.left().unwrap_or(LAST_WORD_WITHIN)))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(TalkError::Nonsense("too many sockets"));
        }
        let parts = [IoSlice::new(&line)];
        let sent = retry(|| {
            rustix::net::sendmsg(&self.stream, &parts, &mut control, SendFlags::NOSIGNAL)
        })?;
        // A line fits into the buffer of a Unix socket, which takes it whole.
        if sent == line.len() { Ok(()) } else { Err(TalkError::Nonsense("a line was cut")) }
    }

    /// Hears one line, and the sockets beside it.
    pub(super) fn hear<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), TalkError> {
        let (mut line, mut sockets) = (Vec::new(), Vec::new());
        loop {
            let mut buffer = [0; 4096];
            let received = self.receive(&mut buffer, &mut sockets)?;
            line.extend_from_slice(buffer.get(..received).unwrap_or_default());
            if received == 0 {
                return Err(TalkError::Ended);
            }
            if let Some(line) = line.strip_suffix(b"\n") {
                let heard = serde_json::from_slice(line);
                return heard
                    .map(|heard| (heard, sockets))
                    .map_err(|_| TalkError::Nonsense("not what was due"));
            }
            if line.len() > MAX_LINE_BYTES {
                return Err(TalkError::Nonsense("a line without end"));
            }
        }
    }

    fn receive(&self, buffer: &mut [u8], sockets: &mut Vec<OwnedFd>) -> Result<usize, TalkError> {
        let mut flags = RecvFlags::CMSG_CLOEXEC;
        match self.left() {
            Some(left) => self.stream.set_read_timeout(Some(left))?,
            // A process that stood still hears what was said meanwhile: whoever said it has gone on.
            None => flags |= RecvFlags::DONTWAIT,
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(buffer)];
        let received =
            retry(|| rustix::net::recvmsg(&self.stream, &mut parts, &mut control, flags))?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                sockets.extend(some);
            }
        }
        if sockets.len() > MAX_SOCKETS {
            return Err(TalkError::Nonsense("too many sockets"));
        }
        Ok(received.bytes)
    }

    /// None when it is over; never zero, which would mean for ever.
    fn left(&self) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// A process that is stopped and goes on may find its call interrupted (signal(7)).
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, TalkError> {
    loop {
        return match call() {
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Err(TalkError::Late),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(TalkError::Ended),
            Err(error) => Err(TalkError::Io(error.into())),
            Ok(done) => Ok(done),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    const WITHIN: Duration = Duration::from_millis(300);

    fn pair() -> (Talk, Talk) {
        let (one, other) = UnixStream::pair().unwrap();
        (Talk::new(one, WITHIN).unwrap(), Talk::new(other, WITHIN).unwrap())
    }

    #[test]
    fn a_line_comes_with_its_sockets() {
        let (one, other) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"theirs").unwrap();
        file.rewind().unwrap();
        let this = Named { node: "gw-2".to_owned(), mark: "00".to_owned() };
        let said = Ask { version: 1, this };
        one.say(&said, &[file.as_fd(), file.as_fd()]).unwrap();
        let (heard, mut sockets) = other.hear::<Ask>().unwrap();
        assert_eq!((heard.this.node.as_str(), sockets.len()), ("gw-2", 2));
        let mut text = String::new();
        std::fs::File::from(sockets.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "theirs");
    }

    #[test]
    fn what_is_no_line_of_ours_ends_the_conversation_in_bounded_time_and_room() {
        for (said, why) in [
            (b"GET / HTTP/1.1\r\n\r\n\n".to_vec(), "not what was due"),
            (b"{\"version\": \"one\"}\n".to_vec(), "not what was due"),
            (vec![b'a'; 64 * 1024], "a line without end"),
        ] {
            let (one, other) = UnixStream::pair().unwrap();
            let other = Talk::new(other, WITHIN).unwrap();
            let writer = std::thread::spawn(move || {
                let _sent = (&one).write_all(&said);
                one
            });
            let error = other.hear::<Ask>().unwrap_err();
            assert!(matches!(error, TalkError::Nonsense(reason) if reason == why), "{error}");
            drop(other);
            let _writer = writer.join().unwrap();
        }
        let (one, other) = pair();
        assert!(matches!(other.hear::<Ask>().unwrap_err(), TalkError::Late), "nobody spoke");
        drop(one);
        let (one, other) = pair();
        drop(one);
        assert!(matches!(other.hear::<Ask>().unwrap_err(), TalkError::Ended));
    }
}
