//! The UDP socket of a front that can be taken over: it reads the port and passes on what belongs to processes before
//! this one, or gets its packets from the process after it. It sends by itself all the time.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use futures::task::AtomicWaker;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime as _, UdpPoller};
use tokio::sync::Notify;

use super::ids::{self, Mark};
use super::relay::{Incoming, Outgoing};

/// A process that drains: its packets are passed on to it.
#[derive(Debug)]
pub(super) struct Earlier {
    pub(super) node: String,
    pub(super) mark: Mark,
    pub(super) way: Outgoing,
}

/// The socket.
#[derive(Debug)]
pub(super) struct FrontSocket {
    udp: Arc<dyn AsyncUdpSocket>,
    reads: ArcSwap<Reads>,
    earlier: ArcSwap<Vec<Arc<Earlier>>>,
    /// The endpoint's task, which alone receives.
    reader: AtomicWaker,
    orphaned: Notify,
}

/// Where packets come from.
#[derive(Debug)]
enum Reads {
    /// From nowhere: the port is another process's until it says so.
    Nothing,
    Port,
    /// From the process that reads the port.
    Relay(Incoming),
}

impl FrontSocket {
    /// Reads nothing until [`Self::read_port`]. Must be called within the runtime.
    pub(super) fn new(udp: std::net::UdpSocket, earlier: Vec<Arc<Earlier>>) -> io::Result<Self> {
        Ok(Self {
            udp: quinn::TokioRuntime.wrap_udp_socket(udp)?,
            reads: ArcSwap::from_pointee(Reads::Nothing),
            earlier: ArcSwap::from_pointee(earlier),
            reader: AtomicWaker::new(),
            orphaned: Notify::new(),
        })
    }

    /// Reads the port from now on.
    pub(super) fn read_port(&self) {
        self.switch(Reads::Port);
    }

    /// Leaves the port to another process, and gets from it what is for this one.
    pub(super) fn read_relay(&self, relay: Incoming) {
        self.switch(Reads::Relay(relay));
    }

    /// Until the process that read the port for this one has ended; this one reads it again by then.
    pub(super) async fn orphaned(&self) {
        self.orphaned.notified().await;
    }

    /// Those before this one that have not ended.
    pub(super) fn earlier(&self) -> Vec<Arc<Earlier>> {
        self.earlier.load().iter().filter(|one| !one.way.is_gone()).cloned().collect()
    }

    /// Once nothing of it comes any more.
    pub(super) fn forget(&self, gone: &Arc<Earlier>) {
        self.earlier.rcu(|all| {
            all.iter().filter(|one| !Arc::ptr_eq(one, gone)).cloned().collect::<Vec<_>>()
        });
    }

    fn switch(&self, reads: Reads) {
        self.reads.store(Arc::new(reads));
        self.reader.wake();
    }

    fn poll_port(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.udp.poll_recv(cx, bufs, metas))?;
        let earlier = self.earlier.load();
        if !earlier.is_empty() {
            for (meta, buf) in metas.iter_mut().zip(bufs).take(received) {
                sort(&earlier, meta, buf);
            }
        }
        Poll::Ready(Ok(received))
    }

    fn poll_relay(
        &self,
        relay: &Incoming,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<Option<usize>>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), metas.first_mut()) else {
            return Poll::Ready(Ok(Some(0)));
        };
        let received = ready!(relay.poll_recv(cx, buf, meta))?;
        Poll::Ready(Ok(received.map(|()| 1)))
    }
}

/// Passes on what belongs to earlier processes; what is left moves together. All packets but the last have one size,
/// and still have it when some are taken out.
fn sort(earlier: &[Arc<Earlier>], meta: &mut RecvMeta, buf: &mut [u8]) {
    let stride = meta.stride.max(1);
    let owner = |packet: &[u8]| {
        let id = ids::destination(packet)?;
        earlier.iter().position(|one| !one.way.is_gone() && one.mark.is_on(id))
    };
    let (mut at, mut kept) = (0, 0);
    while at < meta.len {
        // A run of packets of one owner goes in one piece.
        let end_of = |from: usize| meta.len.min(from + stride);
        let mut end = end_of(at);
        let of = buf.get(at..end).and_then(owner);
        while end < meta.len && buf.get(end..end_of(end)).and_then(owner) == of {
            end = end_of(end);
        }
        match of.and_then(|of| earlier.get(of)) {
            Some(one) => {
                let run = RecvMeta { len: end - at, ..*meta };
                one.way.pass(&run, buf.get(at..end).unwrap_or_default());
            }
            None => {
                buf.copy_within(at..end, kept);
                kept += end - at;
            }
        }
        at = end;
    }
    meta.len = kept;
}

impl AsyncUdpSocket for FrontSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.udp.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.udp.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // Before the look at where to read: a switch in between wakes.
        self.reader.register(cx.waker());
        match &**self.reads.load() {
            Reads::Nothing => return Poll::Pending,
            Reads::Port => return self.poll_port(cx, bufs, metas),
            Reads::Relay(relay) => match ready!(self.poll_relay(relay, cx, bufs, metas)) {
                Ok(Some(received)) => return Poll::Ready(Ok(received)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "packets cannot be had from the next process");
                }
            },
        }
        // Sessions that drain go on without the next process.
        self.read_port();
        self.orphaned.notify_one();
        self.poll_port(cx, bufs, metas)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.udp.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.udp.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }
}
