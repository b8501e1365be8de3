//! The streams of a program in a container: `settings`, then steps of `what length bytes`. The frames around its messages are read
//! by a library (tokio-tungstenite); what a message says is read here.

use std::sync::LazyLock;

use bytes::Bytes;
use gateway_core::kubernetes::{Channel, NotChannel, Streams, exit_of};
use serde_json::Value;
use tallyport_detect::{Action, Cards, Findings, Kinds, Rules, Screen};

use super::recorded::shown;
use crate::Source;

/// What is printed, and how it ends.
pub const WORDS: &[&[u8]] = &[
    b"\x00\x05\x01pay ",
    b"\x00\x10\x014111 1111 1111 ",
    b"\x00\x05\x011111",
    b"\x00\x03\x02or",
    b"\x00\x01\x01",
    b"\x00\x03\x03{}",
    b"\x00\x02\xff\x01",
    b"\x01\x02\x00y",
    b"\x01\x02\xff\x00",
    b"\x02\x00",
    b"4111111111111111",
    b"AKIAQ3EGRZV2XKTYN5WB",
    b"-----BEGIN PRIVATE KEY-----\n",
    b"{\"status\":\"Success\"}",
    b"\"reason\":\"ExitCode\",\"message\":\"3\"",
    b"{\"Width\":80,\"Height\":24}",
];

/// Nothing is looked for, cards are masked, and keys are kept back beside that.
static SCREENS: LazyLock<[Option<Screen>; 3]> = LazyLock::new(|| {
    let screen = |rules: &[(&str, &str)]| {
        let rules = Rules::parse(rules.iter().copied()).expect("rules");
        Some(Screen::new(rules, Cards::Hidden).expect("the patterns compile"))
    };
    [
        None,
        screen(&[("payment_card", "mask"), ("private_key", "mask")]),
        screen(&[("payment_card", "mask"), ("secrets", "deny")]),
    ]
});

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let exit =
        br#"{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
    vec![
        steps(
            0b0111,
            &[
                (0, b"\x01"),
                (1, b"\x00ls\n"),
                (0, b"\x01pay 4111 1111"),
                (0, b"\x02warning\n"),
                (0, b"\x01 1111 1111 now\n"),
                (0, b"\x03{\"status\":\"Success\"}"),
            ],
        ),
        steps(
            0b1001,
            &[
                (0, b"\x01AKIAQ3EG"),
                (2, b""),
                (0, b"\x01id AKIAQ3EGRZV2XKTYN5WB and\n"),
                (0, &[b"\x03", &exit[..]].concat()),
            ],
        ),
        steps(
            0b0100,
            &[
                (0, b"\x01$ "),
                (2, b""),
                (1, b"\x00x"),
                (1, b"\x04{\"Width\":80,\"Height\":24}"),
                (1, b"\xff\x00"),
                (0, b"\x01-----BEGIN PRIVATE KEY-----\nMIIB"),
                (0, b"\xff\x01"),
            ],
        ),
        steps(0b0001, &[(0, b"\x02err"), (0, b"\x01out"), (0, b"\x00echo"), (0, b"\x07")]),
    ]
}

fn steps(settings: u8, all: &[(u8, &[u8])]) -> Vec<u8> {
    let mut input = vec![settings];
    for (what, bytes) in all {
        let length = u8::try_from(bytes.len()).expect("a short message");
        input.extend([&[*what, length][..], *bytes].concat());
    }
    input
}

/// Where messages are cut changes nothing, no byte is lost, and what may not be seen is not; an agent sends what it asked for.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let settings = source.u8();
    let (stdin, tty) = (settings & 1 == 1, settings & 2 == 2);
    let screen = SCREENS[usize::from(settings >> 2) % SCREENS.len()].as_ref();
    let size = usize::from(settings >> 5).max(1);
    let (mut cut, mut whole) = (Side::new(stdin, tty, screen), Side::new(stdin, tty, screen));
    while !source.is_empty() {
        let what = source.u8() % 3;
        let length = usize::from(source.u8());
        let message = source.take(length);
        match (what, message) {
            (0, [channel @ 1..=2, text @ ..]) if screen.is_some() && !text.is_empty() => {
                text.chunks(size).for_each(|part| cut.hear(&[&[*channel], part].concat()));
                whole.hear(message);
            }
            (0, _) => {
                cut.hear(message);
                whole.hear(message);
                same(&cut, &whole);
            }
            (1, _) => from_agent(&whole.streams, message, stdin, tty),
            _ => {
                cut.pause();
                whole.pause();
                same(&cut, &whole);
            }
        }
    }
    for side in [&mut cut, &mut whole] {
        side.hear(b"\x03{}");
    }
    same(&cut, &whole);
}

/// What an agent may send: what it asked for, and the end of that.
fn from_agent(streams: &Streams, message: &[u8], stdin: bool, tty: bool) {
    let may = match message {
        [0, ..] if stdin => Ok(Channel::Stdin),
        [255, 0] if stdin => Ok(Channel::Close),
        [4, ..] if tty => Ok(Channel::Resize),
        [0..=4 | 255, ..] => Err(NotChannel::Other),
        _ => Err(NotChannel::None),
    };
    assert_eq!(streams.from_agent(message), may, "{message:?}");
}

/// Whatever is held back, after an end or a pause nothing is.
fn same(one: &Side, other: &Side) {
    assert_eq!(one.over, other.over, "how it is cut decides whether it passes");
    if one.over.is_none() && one.at_rest {
        assert_eq!(one.shown, other.shown, "how it is cut decides what is seen");
        assert_eq!(one.streams.findings(), other.streams.findings());
    }
}

/// One way to hear it: what came of a text, and what was shown of it.
struct Side {
    streams: Streams,
    screen: Option<&'static Screen>,
    came: [Vec<u8>; 2],
    shown: [Vec<u8>; 2],
    /// Something was shown before its text was over.
    paused: bool,
    at_rest: bool,
    over: Option<NotChannel>,
}

impl Side {
    fn new(stdin: bool, tty: bool, screen: Option<&'static Screen>) -> Self {
        Self {
            streams: Streams::new(stdin, tty, screen),
            screen,
            came: Default::default(),
            shown: Default::default(),
            paused: false,
            at_rest: true,
            over: None,
        }
    }

    fn hear(&mut self, message: &[u8]) {
        if self.over.is_some() {
            return;
        }
        let is_known = matches!(message, [1..=3, ..] | [255, _]);
        let told = match self.streams.from_target(&Bytes::copy_from_slice(message)) {
            Ok(told) => told,
            Err(why) => {
                assert_eq!(why == NotChannel::Kept, is_known, "{why:?} of {message:?}");
                assert!(self.screen.is_some() || why != NotChannel::Kept, "nothing is looked for");
                return self.over = Some(why);
            }
        };
        assert!(is_known, "{message:?} passes, and is of no stream that a target has");
        let mut told: Vec<Vec<u8>> = told.into_iter().map(shown).collect();
        let ends = matches!(message, [3 | 255, ..]);
        if ends {
            let last = told.pop().expect("how it ended is told");
            assert_eq!(last, message, "how it ended is told as it is, and last");
        } else if let [channel, text @ ..] = message {
            self.came[usize::from(channel - 1)].extend_from_slice(text);
            assert!(told.iter().all(|it| it.first() == Some(channel)), "another stream's");
            assert!(!text.is_empty() || told.len() == 1, "that the program runs is not told");
        }
        self.show(told);
        self.at_rest = ends;
        if ends {
            self.end();
            let (status, of_another) = (&message[1..], serde_json::from_slice::<Value>);
            let says = of_another(status).is_ok_and(|it| it["status"] == "Success");
            assert!(!says || exit_of(status) == Some(0), "a success is no failure");
        }
    }

    fn pause(&mut self) {
        if self.over.is_some() {
            return;
        }
        self.paused = true;
        self.at_rest = true;
        match self.streams.pause() {
            Ok(told) => self.show(told.into_iter().map(shown).collect()),
            Err(why) => self.over = Some(why),
        }
    }

    fn show(&mut self, told: Vec<Vec<u8>>) {
        for bytes in told {
            let [channel @ 1..=2, text @ ..] = &bytes[..] else { panic!("{bytes:?} is shown") };
            self.shown[usize::from(channel - 1)].extend_from_slice(text);
        }
    }

    /// What was shown of a text is the text, but for what may not be seen.
    fn end(&mut self) {
        assert!(!self.streams.holds(), "something is held back after the end");
        let paused = std::mem::take(&mut self.paused);
        let (came, shown) = (std::mem::take(&mut self.came), std::mem::take(&mut self.shown));
        let Some(screen) = self.screen.filter(|_| self.streams.findings() != Findings::default())
        else {
            return assert_eq!(shown, came, "nothing was found, and another text was shown");
        };
        // What a pause cut is looked at in its parts.
        if paused {
            return;
        }
        for (came, shown) in came.iter().zip(shown) {
            let mut masked = Vec::new();
            let found = screen.mask(came, Kinds::NONE, &mut masked);
            assert_ne!(found.action(), Some(Action::Deny), "what is to be kept back was shown");
            assert_eq!(shown, masked, "it is seen as another text than the whole");
        }
    }
}
