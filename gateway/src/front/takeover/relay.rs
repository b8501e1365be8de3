//! Packets on their way from the process that reads the port to an earlier one that drains: a Unix socket of messages,
//! each of them what one receive from the network gave (RFC 9000 says nothing of it; it never leaves the machine).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use quinn::udp::{EcnCodepoint, RecvMeta};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    SocketFlags, SocketType, sockopt,
};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// Bytes of packets that may be on the way; the kernel allows less where `net.core.wmem_max` does.
const QUEUE_BYTES: usize = 4 << 20;
/// Address, port and scope of the peer; ECN; address that it was sent to; stride.
const HEADER_BYTES: usize = 16 + 2 + 4 + 1 + 1 + 16 + 4;

/// The way there, held by whoever reads the port.
#[derive(Debug)]
pub(super) struct Outgoing {
    way: UnixDatagram,
    gone: AtomicBool,
}

/// The way in, held by the process that drains.
#[derive(Debug)]
pub(super) struct Incoming(UnixDatagram);

/// Both ends of a new way; the first is to be handed over.
pub(super) fn pair() -> io::Result<(OwnedFd, Incoming)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Messages stay apart, and the end of either side shows on the other.
    let (there, here) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    if let Err(error) = sockopt::set_socket_send_buffer_size(&there, QUEUE_BYTES) {
        tracing::debug!(%error, "the way to an earlier process is shorter than it could be");
    }
    Ok((there, Incoming(watched(here)?)))
}

/// Tokio has no type for sockets of this kind. What it knows of one of datagrams is enough to wait for it.
fn watched(socket: OwnedFd) -> io::Result<UnixDatagram> {
    let socket = StdUnixDatagram::from(socket);
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

impl Outgoing {
    /// Must be called within the runtime.
    pub(super) fn new(way: OwnedFd) -> io::Result<Self> {
        Ok(Self { way: watched(way)?, gone: AtomicBool::new(false) })
    }

    /// Passes packets on, or drops them: it never waits, and QUIC sends again what was lost.
    pub(super) fn pass(&self, meta: &RecvMeta, packets: &[u8]) {
        let header = encode(meta);
        let parts = [IoSlice::new(&header), IoSlice::new(packets)];
        let mut control = SendAncillaryBuffer::default();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::sendmsg(&self.way, &parts, &mut control, flags) {
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN) => {
                self.gone.store(true, Ordering::Release);
            }
            Err(error) => tracing::debug!(%error, "a packet for an earlier process was dropped"),
            Ok(_) => {}
        }
    }

    /// Whether the process at the other end has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Until the process at the other end has ended. It never sends: what can be read is the end.
    pub(super) async fn ended(&self) {
        let _ready = self.way.readable().await;
        self.gone.store(true, Ordering::Release);
    }
}

impl AsFd for Outgoing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.way.as_fd()
    }
}

impl Incoming {
    /// The next packets; `None` at the end: nobody reads the port for this process any more.
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        packets: &mut [u8],
        meta: &mut RecvMeta,
    ) -> Poll<io::Result<Option<()>>> {
        loop {
            ready!(self.0.poll_recv_ready(cx))?;
            match self.0.try_io(Interest::READABLE, || receive(self.0.as_fd(), packets, meta)) {
                Ok(Received::Packets) => return Poll::Ready(Ok(Some(()))),
                Ok(Received::End) => return Poll::Ready(Ok(None)),
                Ok(Received::Nonsense) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

enum Received {
    Packets,
    End,
    /// Too short or too long to be ours.
    Nonsense,
}

fn receive(way: BorrowedFd<'_>, packets: &mut [u8], meta: &mut RecvMeta) -> io::Result<Received> {
    let mut header = [0; HEADER_BYTES];
    let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(packets)];
    let mut control = RecvAncillaryBuffer::default();
    let received = rustix::net::recvmsg(way, &mut parts, &mut control, RecvFlags::DONTWAIT)?;
    if received.bytes == 0 {
        return Ok(Received::End);
    }
    let cut = received.flags.contains(ReturnFlags::TRUNC);
    match received.bytes.checked_sub(HEADER_BYTES).filter(|_| !cut) {
        Some(len) => {
            *meta = decode(&header, len);
            Ok(Received::Packets)
        }
        None => Ok(Received::Nonsense),
    }
}

/// What the header says of the addresses: mapped ones (RFC 4291 section 2.5.5.2) must come out as they went in.
const PEER_IS_V6: u8 = 1;
const HAS_DESTINATION: u8 = 2;
const DESTINATION_IS_V6: u8 = 4;

fn encode(meta: &RecvMeta) -> [u8; HEADER_BYTES] {
    let scope = match meta.addr {
        SocketAddr::V6(addr) => addr.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let mut forms = if meta.addr.is_ipv6() { PEER_IS_V6 } else { 0 };
    if let Some(destination) = meta.dst_ip {
        forms |= HAS_DESTINATION | if destination.is_ipv6() { DESTINATION_IS_V6 } else { 0 };
    }
    let stride = u32::try_from(meta.stride).unwrap_or(u32::MAX);
    let bytes = (octets(meta.addr.ip()).into_iter())
        .chain(meta.addr.port().to_be_bytes())
        .chain(scope.to_be_bytes())
        .chain([meta.ecn.map_or(0, |ecn| ecn as u8), forms])
        .chain(meta.dst_ip.map_or([0; 16], octets))
        .chain(stride.to_be_bytes());
    let mut header = [0; HEADER_BYTES];
    header.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    header
}

fn decode(header: &[u8; HEADER_BYTES], len: usize) -> RecvMeta {
    let mut rest = header.iter().copied();
    let peer = Ipv6Addr::from(take(&mut rest));
    let port = u16::from_be_bytes(take(&mut rest));
    let scope = u32::from_be_bytes(take(&mut rest));
    let [ecn, forms] = take(&mut rest);
    let destination = Ipv6Addr::from(take(&mut rest));
    let stride = u32::from_be_bytes(take(&mut rest));
    RecvMeta {
        addr: match ip(peer, forms & PEER_IS_V6 != 0) {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
        },
        len,
        stride: stride as usize,
        ecn: EcnCodepoint::from_bits(ecn),
        dst_ip: (forms & HAS_DESTINATION != 0)
            .then(|| ip(destination, forms & DESTINATION_IS_V6 != 0)),
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn ip(octets: Ipv6Addr, is_v6: bool) -> IpAddr {
    let v4 = octets.to_ipv4_mapped().filter(|_| !is_v6);
    v4.map_or(IpAddr::V6(octets), IpAddr::V4)
}

fn take<const N: usize>(bytes: &mut impl Iterator<Item = u8>) -> [u8; N] {
    std::array::from_fn(|_| bytes.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn meta(addr: &str, ecn: Option<EcnCodepoint>, destination: Option<&str>) -> RecvMeta {
        let dst_ip = destination.map(|ip| ip.parse().unwrap());
        RecvMeta { addr: addr.parse().unwrap(), len: 5, stride: 2, ecn, dst_ip }
    }

    #[tokio::test]
    async fn packets_arrive_with_all_that_was_known_of_them_and_the_end_shows() {
        let (there, incoming) = pair().unwrap();
        let outgoing = Outgoing::new(there).unwrap();
        for sent in [
            meta("192.0.2.1:4433", Some(EcnCodepoint::Ce), Some("192.0.2.7")),
            meta("[2001:db8::1]:1", Some(EcnCodepoint::Ect0), Some("2001:db8::2")),
            meta("[::ffff:192.0.2.1]:65535", None, Some("::ffff:192.0.2.7")),
            meta("[fe80::1%3]:443", None, None),
        ] {
            outgoing.pass(&sent, b"aabbc");
            let (mut buffer, mut got) = ([0; 16], RecvMeta::default());
            let received =
                poll_fn(|cx| incoming.poll_recv(cx, &mut buffer, &mut got)).await.unwrap();
            assert!(received.is_some());
            assert_eq!(format!("{got:?}"), format!("{sent:?}"));
            assert_eq!(&buffer[..got.len], b"aabbc");
        }
        drop(outgoing);
        let (mut buffer, mut got) = ([0; 16], RecvMeta::default());
        let end = poll_fn(|cx| incoming.poll_recv(cx, &mut buffer, &mut got)).await.unwrap();
        assert!(end.is_none(), "nobody reads the port any more");
    }

    #[tokio::test]
    async fn who_reads_the_port_is_never_held_up() {
        let (there, incoming) = pair().unwrap();
        let outgoing = Outgoing::new(there).unwrap();
        // Far more than the queue takes, and nobody reads it.
        for _ in 0..100_000 {
            outgoing.pass(&meta("192.0.2.1:1", None, None), &[7; 1200]);
        }
        assert!(!outgoing.is_gone(), "a full queue is no end");
        drop(incoming);
        outgoing.ended().await;
        assert!(outgoing.is_gone());
        outgoing.pass(&meta("192.0.2.1:1", None, None), &[7; 1200]);
    }

    #[tokio::test]
    async fn what_does_not_fit_or_is_no_message_of_ours_is_left_out() {
        let (there, incoming) = pair().unwrap();
        rustix::net::send(&there, b"short", SendFlags::empty()).unwrap();
        let outgoing = Outgoing::new(there).unwrap();
        outgoing.pass(&meta("192.0.2.1:1", None, None), &[7; 17]);
        outgoing.pass(&meta("192.0.2.1:2", None, None), &[7; 16]);
        let (mut buffer, mut got) = ([0; 16], RecvMeta::default());
        poll_fn(|cx| incoming.poll_recv(cx, &mut buffer, &mut got)).await.unwrap().unwrap();
        assert_eq!((got.addr.port(), got.len), (2, 16));
    }
}
