//! The body of an answer to an agent: what is on record, piece by piece, or nothing.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

/// A body that ends out of order: the agent must not take it for whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub(super) struct BrokeOff;

/// What an agent is sent.
#[derive(Debug)]
pub(super) enum AgentBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// As it comes.
    Pieces(Pieces),
}

/// The next of a body.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    /// It is whole. One that ends without this broke off.
    End,
}

/// What comes of a body, piece by piece. Dropped, it ends what it is the answer of.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) first: Option<Bytes>,
    pub(super) rest: mpsc::Receiver<Piece>,
    pub(super) _guard: DropGuard,
}

impl Body for AgentBody {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => match pieces.first.take() {
                Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
                None => pieces.rest.poll_recv(context).map(|next| match next {
                    Some(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
                    Some(Piece::End) => None,
                    None => Some(Err(BrokeOff)),
                }),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}
