//! The process that has the port: answers whoever is to have it next.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::ids::Mark;
use super::message::{Answer, Ask, Named, Offer, Outcome, Refusal, Take, Talk, TalkError};
use super::place::Place;
use super::relay::{self, Incoming};
use super::socket::{Earlier, FrontSocket};
use super::{DEAL_WITHIN, MAX_EARLIER, VERSION};

/// After a socket that could not be made or asked at, the next try.
const PAUSE: Duration = Duration::from_secs(1);

/// What there is to be given.
pub(super) struct Giver {
    pub(super) path: PathBuf,
    pub(super) node: String,
    pub(super) mark: Mark,
    pub(super) udp: std::net::UdpSocket,
    pub(super) tcp: std::net::TcpListener,
    pub(super) socket: Arc<FrontSocket>,
    /// Cancelled once another process accepts TCP connections.
    pub(super) accepts: CancellationToken,
    /// Who has the port, once another has it.
    pub(super) heir: watch::Sender<Option<String>>,
    /// Those that had the port after this one and died; the last few.
    pub(super) lost: Mutex<VecDeque<Named>>,
}

impl Giver {
    /// Gives the port to whoever may have it, until `stop`; a deal under way is brought to its end. The port can be given
    /// again when the process that has it ends before this one.
    pub(super) async fn serve(self, mut place: Option<Place>, stop: CancellationToken) {
        let giver = Arc::new(self);
        loop {
            let Some(here) = giver.place(place.take(), &stop).await else { return };
            let heir = tokio::select! {
                () = stop.cancelled() => return here.leave(),
                stream = here.accept() => match stream {
                    Ok(stream) => giver.clone().deal_with(stream).await,
                    Err(error) => {
                        tracing::warn!(%error, "the takeover socket does not accept");
                        tokio::time::sleep(PAUSE).await;
                        None
                    }
                },
            };
            let Some(heir) = heir else {
                place = Some(here);
                continue;
            };
            // The file is that of the heir.
            drop(here);
            tracing::info!(
                heir = heir.node,
                "another process has the port now; what is open here drains"
            );
            giver.heir.send_replace(Some(heir.node.clone()));
            tokio::select! {
                () = stop.cancelled() => return,
                () = giver.socket.orphaned() => {}
            }
            tracing::warn!(
                heir = heir.node,
                "the process that took the port over has ended before this one"
            );
            giver.note_lost(heir);
        }
    }

    /// Where to be asked; none once it is time to stop.
    async fn place(&self, there: Option<Place>, stop: &CancellationToken) -> Option<Place> {
        if there.is_some() {
            return there;
        }
        loop {
            match Place::take(&self.path) {
                Ok(place) => return Some(place),
                Err(error) => tracing::warn!(%error, "the port cannot be given yet"),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    fn note_lost(&self, heir: Named) {
        let mut lost = self.lost.lock();
        lost.push_back(heir);
        if lost.len() > MAX_EARLIER {
            lost.pop_front();
        }
    }

    /// Whoever has the port now, if this conversation came to that.
    async fn deal_with(self: Arc<Self>, stream: UnixStream) -> Option<Named> {
        if !super::is_own_user(&stream) {
            tracing::warn!("another user asked for the port; it was not answered");
            return None;
        }
        let talk = stream.into_std().and_then(|stream| Talk::new(stream, DEAL_WITHIN));
        let talk =
            talk.inspect_err(|error| tracing::warn!(%error, "nobody could be answered")).ok()?;
        let (way, incoming) = relay::pair()
            .inspect_err(|error| tracing::error!(%error, "the port cannot be given"))
            .ok()?;
        // A thread of its own: these are a few lines in seconds, and none of them may be cut off in the middle.
        let dealt = tokio::task::spawn_blocking(move || self.deal(&talk, &way, incoming)).await;
        match dealt {
            Ok(Ok(heir)) => heir,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a takeover came to nothing; this process goes on as before");
                None
            }
            // It panicked, which the runtime has reported.
            Err(_) => None,
        }
    }

    fn deal(
        &self,
        talk: &Talk,
        way: &OwnedFd,
        incoming: Incoming,
    ) -> Result<Option<Named>, TalkError> {
        let (ask, _) = talk.hear::<Ask>()?;
        let earlier = self.socket.earlier();
        if let Some(refusal) = self.refusal(&ask, &earlier) {
            tracing::warn!(node = ask.this.node, ?refusal, "a takeover was refused");
            talk.say(&Answer::Refused(refusal), &[])?;
            return Ok(None);
        }
        let offer = Offer {
            this: self.mark.named(&self.node),
            earlier: earlier.iter().map(|one| one.mark.named(&one.node)).collect(),
            lost: self.lost.lock().iter().cloned().collect(),
        };
        let mut sockets: Vec<BorrowedFd<'_>> =
            vec![self.udp.as_fd(), self.tcp.as_fd(), way.as_fd()];
        sockets.extend(earlier.iter().map(|one| one.way.as_fd()));
        talk.say(&Answer::Offer(offer), &sockets)?;
        // Until here, and if this fails, nothing has changed: the other may die at any moment.
        if let Err(error) = talk.hear::<Take>() {
            // Whoever was merely slow must know that the port is not its own.
            let _told = talk.say(&Outcome::Withdrawn, &[]);
            return Err(error);
        }
        // The other has it from here on, whatever becomes of the last word.
        self.socket.read_relay(incoming);
        self.accepts.cancel();
        if let Err(error) = talk.say(&Outcome::Taken, &[]) {
            tracing::debug!(%error, "the last word of a takeover was not heard");
        }
        Ok(Some(ask.this))
    }

    fn refusal(&self, ask: &Ask, earlier: &[Arc<Earlier>]) -> Option<Refusal> {
        if ask.version != VERSION {
            return Some(Refusal::Version { spoken: VERSION });
        }
        let mut nodes = earlier.iter().map(|one| &one.node).chain([&self.node]);
        if nodes.any(|node| *node == ask.this.node) {
            return Some(Refusal::SameNode { node: ask.this.node.clone() });
        }
        (earlier.len() >= MAX_EARLIER).then_some(Refusal::TooMany { draining: earlier.len() })
    }
}
