//! The streams of a program in a container: each message begins with the number of its stream
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/>, `remotecommand`).

use bytes::Bytes;
use tallyport_detect::{Action, Findings, Kinds, Screen, Stream};

use super::status::status;
use crate::http::Shown;

/// The versions that are spoken, the newest first.
pub const SUBPROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// What the program reads.
    Stdin,
    /// What it prints.
    Stdout,
    /// What it prints beside.
    Stderr,
    /// How it ended.
    Status,
    /// How large its terminal is.
    Resize,
    /// That a stream is over (v5).
    Close,
}

/// A message that may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotChannel {
    /// It has no stream.
    #[error("a message names no stream")]
    None,
    /// Not this side's, or not asked for.
    #[error("a message is of a stream that was not asked for")]
    Other,
    /// It holds what a detector keeps back.
    #[error("what the program printed holds what may not be seen")]
    Kept,
}

/// What may go to and fro.
#[derive(Debug)]
pub struct Streams {
    stdin: bool,
    tty: bool,
    /// Whatever they are: bytes of which no more is known.
    raw: bool,
    screens: Option<[Stream; 2]>,
}

impl Channel {
    fn of(message: &[u8]) -> Option<Self> {
        Some(match message.first()? {
            0 => Self::Stdin,
            1 => Self::Stdout,
            2 => Self::Stderr,
            3 => Self::Status,
            4 => Self::Resize,
            255 => Self::Close,
            _ => return None,
        })
    }
}

impl Streams {
    /// For a program that gets input and a terminal, or not.
    #[must_use]
    pub fn new(stdin: bool, tty: bool, screen: Option<&Screen>) -> Self {
        let screens = screen.map(|it| [it.stream(Kinds::NONE), it.stream(Kinds::NONE)]);
        Self { stdin, tty, raw: false, screens }
    }

    /// For what is bytes, and no more is known of it.
    #[must_use]
    pub const fn raw() -> Self {
        Self { stdin: true, tty: false, raw: true, screens: None }
    }

    /// Why they end, in the gateway's own words and in the form in which they say how a program ended.
    #[must_use]
    pub fn ended(why: &str) -> Shown {
        let message = format!("tallyport: {why}; the streams were ended, and that is on record");
        let mut bytes = vec![3];
        bytes.extend_from_slice(status(403, &message).to_string().as_bytes());
        shown(bytes.into())
    }

    /// Which stream a message of the agent is of, where it may pass.
    ///
    /// # Errors
    /// [`NotChannel`]
    pub fn from_agent(&self, message: &[u8]) -> Result<Channel, NotChannel> {
        if self.raw {
            return Ok(Channel::Stdin);
        }
        let channel = Channel::of(message).ok_or(NotChannel::None)?;
        let may = match channel {
            Channel::Stdin => self.stdin,
            Channel::Resize => self.tty,
            Channel::Close => self.stdin && message == [255, 0],
            Channel::Stdout | Channel::Stderr | Channel::Status => false,
        };
        if may { Ok(channel) } else { Err(NotChannel::Other) }
    }

    /// What the agent may see of a message of the target; nothing where all of it waits for more.
    ///
    /// # Errors
    /// [`NotChannel`]: nothing more may pass.
    pub fn from_target(&mut self, message: &Bytes) -> Result<Vec<Shown>, NotChannel> {
        if self.raw {
            return Ok(vec![shown(message.clone())]);
        }
        let channel = Channel::of(message).ok_or(NotChannel::None)?;
        let place = match channel {
            Channel::Stdout => 0,
            Channel::Stderr => 1,
            // More than the number of the stream that is over would pass unseen by detectors.
            Channel::Close if message.len() != 2 => return Err(NotChannel::Other),
            // What was held back of what was printed comes before how it ended.
            Channel::Status | Channel::Close => {
                let mut all = self.rest(true)?;
                all.push(shown(message.clone()));
                return Ok(all);
            }
            Channel::Stdin | Channel::Resize => return Err(NotChannel::Other),
        };
        let text = message.get(1..).unwrap_or_default();
        let Some(screens) = &mut self.screens else { return Ok(vec![shown(message.clone())]) };
        let Some(stream) = screens.get_mut(place) else { return Err(NotChannel::Other) };
        let mut out = vec![message.first().copied().unwrap_or_default()];
        stream.push(text, &mut out);
        if stream.findings().action() == Some(Action::Deny) {
            return Err(NotChannel::Kept);
        }
        // The server begins with an empty message, which tells that the program runs.
        Ok(if out.len() > 1 || text.is_empty() { vec![shown(out.into())] } else { Vec::new() })
    }

    /// Whether something is held back that a pause would show.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.screens.as_ref().is_some_and(|it| it.iter().any(|stream| stream.held() > 0))
    }

    /// What was held back, where nothing more came for a while.
    ///
    /// # Errors
    /// [`NotChannel`]
    pub fn pause(&mut self) -> Result<Vec<Shown>, NotChannel> {
        self.rest(false)
    }

    fn rest(&mut self, is_over: bool) -> Result<Vec<Shown>, NotChannel> {
        let mut all = Vec::new();
        for (place, stream) in self.screens.iter_mut().flatten().enumerate() {
            let mut out = vec![if place == 0 { 1 } else { 2 }];
            if is_over {
                stream.finish(&mut out);
            } else {
                stream.flush(&mut out);
            }
            if stream.findings().action() == Some(Action::Deny) {
                return Err(NotChannel::Kept);
            }
            if out.len() > 1 {
                all.push(shown(out.into()));
            }
        }
        Ok(all)
    }

    /// What was found in what was printed.
    #[must_use]
    pub fn findings(&self) -> Findings {
        let mut all = Findings::default();
        for stream in self.screens.iter().flatten() {
            all.merge(stream.findings());
        }
        all
    }
}

const fn shown(bytes: Bytes) -> Shown {
    Shown { head: None, bytes }
}

#[cfg(test)]
mod tests {
    use tallyport_detect::{Cards, Rules};

    use super::*;

    #[test]
    fn an_agent_sends_what_was_asked_for_and_nothing_else() {
        let streams = Streams::new(true, false, None);
        assert_eq!(streams.from_agent(b"\0abc"), Ok(Channel::Stdin));
        assert_eq!(streams.from_agent(&[255, 0]), Ok(Channel::Close));
        for message in
            [&b""[..], b"\x01x", b"\x02x", b"\x03{}", b"\x04{}", b"\x05x", &[255, 1], &[255]]
        {
            assert!(streams.from_agent(message).is_err(), "{message:?}");
        }
        assert_eq!(Streams::new(false, true, None).from_agent(b"\0abc"), Err(NotChannel::Other));
        assert_eq!(Streams::new(false, true, None).from_agent(b"\x04{}"), Ok(Channel::Resize));
    }

    #[test]
    fn what_is_printed_is_looked_into_over_its_messages() {
        let rules = Rules::parse([("payment_card", "mask"), ("secrets", "deny")]).unwrap();
        let screen = Screen::new(rules, Cards::Hidden).unwrap();
        let mut streams = Streams::new(false, false, Some(&screen));
        let mut seen = Vec::new();
        let mut feed = |message: &'static [u8]| streams.from_target(&Bytes::from_static(message));
        for message in
            [&b"\x01"[..], b"\x01pay 41111111", b"\x0111111111 now\n", b"\x02err\n", b"\x03{}"]
        {
            seen.extend(feed(message).unwrap().into_iter().map(|it| it.bytes));
        }
        assert_eq!(seen.first().unwrap(), &b"\x01"[..], "the first message tells that it runs");
        assert_eq!(seen.last().unwrap(), &b"\x03{}"[..], "and how it ended is the last");
        let all = String::from_utf8_lossy(&seen.concat()).into_owned();
        assert!(!all.contains("1111") && all.contains("err"), "{all}");
        assert!(feed(b"\x00x").is_err() && feed(b"").is_err());
        assert!(feed(b"\xff\x01").is_ok());
        for message in [&b"\xff"[..], b"\xff\x014111111111111111"] {
            assert_eq!(feed(message).unwrap_err(), NotChannel::Other, "{message:?}");
        }
        let mut streams = Streams::new(false, false, Some(&screen));
        let message = Bytes::from_static(b"\x01AKIAQ3EGRZV2XKTYN5WB and\n");
        let told = streams.from_target(&message).and_then(|_| streams.pause());
        assert_eq!(told.unwrap_err(), NotChannel::Kept);
    }
}
