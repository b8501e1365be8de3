//! The process that is to have the port: asks whoever has it.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ids::{KEY_BYTES, Mark};
use super::message::{Answer, Ask, Named, Offer, Outcome, Take, Talk, TalkError};
use super::relay::Outgoing;
use super::socket::Earlier;
use super::{DEAL_WITHIN, MAX_EARLIER, TakeoverError, VERSION, place};

/// From the question to the word that takes the offer: well before the other process gives up waiting for it, so that
/// silence means that it stands still, and not that it has withdrawn.
const TAKE_WITHIN: Duration = Duration::from_secs(5);

/// What the process that has the port offers. Nothing is taken until the deal is closed.
pub(super) struct Offered {
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
    /// The one that offers, then those that drain already.
    pub(super) earlier: Vec<Earlier>,
    /// Names and ids of those that had the port and died.
    pub(super) lost: Vec<(String, Mark)>,
    pub(super) deal: Deal,
}

/// An offer that is still to be taken. Dropped, everything stays as it was.
pub(super) struct Deal {
    talk: Talk,
    path: PathBuf,
    asked: Instant,
}

/// Asks at `path`; none where nobody listens.
pub(super) async fn ask(path: &Path, this: Named) -> Result<Option<Offered>, TakeoverError> {
    let Some(stream) = place::reach(path).await? else { return Ok(None) };
    if !super::is_own_user(&stream) {
        return Err(TakeoverError::ForeignUser { path: path.to_owned() });
    }
    let began = Instant::now();
    let failed = {
        let path = path.to_owned();
        move |error: TalkError| TakeoverError::talk(&path, &error)
    };
    let talk = stream.into_std().and_then(|stream| Talk::new(stream, DEAL_WITHIN));
    let talk = talk.map_err(|error| failed(error.into()))?;
    let asked = Ask { version: VERSION, this };
    let (talk, heard) = blocking(move || {
        let heard = talk.say(&asked, &[]).and_then(|()| talk.hear::<Answer>());
        (talk, heard)
    })
    .await;
    let (answer, sockets) = heard.map_err(&failed)?;
    match answer {
        Answer::Refused(refusal) => {
            Err(TakeoverError::Refused { path: path.to_owned(), why: refusal.into() })
        }
        Answer::Offer(offer) => {
            let deal = Deal { talk, path: path.to_owned(), asked: began };
            offered(offer, sockets, deal).map(Some).map_err(&failed)
        }
    }
}

fn offered(offer: Offer, sockets: Vec<OwnedFd>, deal: Deal) -> Result<Offered, TalkError> {
    let lacking = || TalkError::Nonsense("sockets are missing");
    let mut sockets = sockets.into_iter();
    let udp = UdpSocket::from(sockets.next().ok_or_else(lacking)?);
    let tcp = TcpListener::from(sockets.next().ok_or_else(lacking)?);
    let mut earlier = Vec::new();
    for one in [offer.this].into_iter().chain(offer.earlier) {
        let way = Outgoing::new(sockets.next().ok_or_else(lacking)?)?;
        earlier.push(Earlier { mark: mark(&one)?, node: one.node, way });
    }
    let lost = offer.lost.into_iter().take(MAX_EARLIER);
    let lost = lost.filter_map(|one| mark(&one).ok().map(|mark| (one.node, mark))).collect();
    Ok(Offered { udp, tcp, earlier, lost, deal })
}

fn mark(of: &Named) -> Result<Mark, TalkError> {
    let mut secret = [0; KEY_BYTES];
    hex::decode_to_slice(&of.mark, &mut secret)
        .map_err(|_| TalkError::Nonsense("a key of connection ids is none"))?;
    Ok(Mark::from_secret(secret))
}

impl Deal {
    /// Takes the offer. When this succeeds nobody else reads the port.
    ///
    /// A crash before the line is sent leaves the port with the process that has it; after it the port is ours, and
    /// with us dead that process reads it again for what drains there.
    pub(super) async fn close(self) -> Result<(), TakeoverError> {
        let path = self.path;
        if self.asked.elapsed() > TAKE_WITHIN {
            return Err(TakeoverError::Withdrawn { path });
        }
        let talk = self.talk.within(DEAL_WITHIN);
        let heard = blocking(move || {
            // Not said: what the other's last word was tells why.
            let said = talk.say(&Take { take: true }, &[]);
            let heard = talk.hear::<Outcome>().map(|(outcome, _)| outcome);
            match (said, heard) {
                (_, Ok(outcome)) => Ok(outcome),
                // Without a word, it has died: the sockets are held by this process alone.
                (_, Err(TalkError::Ended)) => Ok(Outcome::Taken),
                // It was told and stands still; it leaves the port with its next step.
                (Ok(()), Err(TalkError::Late)) => Ok(Outcome::Taken),
                (_, Err(error)) => Err(error),
            }
        })
        .await;
        match heard {
            Ok(Outcome::Taken) => Ok(()),
            Ok(Outcome::Withdrawn) => Err(TakeoverError::Withdrawn { path }),
            Err(error) => Err(TakeoverError::talk(&path, &error)),
        }
    }
}

/// A thread of its own for a conversation, which is bounded by itself.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
