//! A session over a pipe, and its client.

use std::sync::Arc;

use bytes::BytesMut;
use gateway_core::pg::client::{self, Heard, Listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::{Column, NotRun, Page};
use crate::service::{Inner, Inside};
use crate::session::Tap;

/// What waits between a session and its client here.
const PIPE_BYTES: usize = 64 * 1024;
/// The longest that a statement runs at its target.
const STATEMENT_TIMEOUT: &str = "120s";
/// So that what is read means the same everywhere, and an approval is for the same terms at every try.
const SETTINGS: [(&str, &str); 6] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
];

/// What is to be run where.
pub(crate) struct Wish<'a> {
    pub inside: Inside<'a>,
    pub database: Option<&'a str>,
    /// What runs it, as the record says it.
    pub application: &'a str,
}

/// A session that is open. Dropped, it ends as that of a client who left: what runs at the target is cancelled.
pub(crate) struct InsideSession {
    io: DuplexStream,
    listener: Listener,
    buffer: BytesMut,
    tap: Arc<Tap>,
    /// Those of the last answer: what goes on with it is not told of them again.
    columns: Vec<Column>,
}

impl InsideSession {
    /// Opens one, and waits until its target is ready.
    ///
    /// # Cancel safety
    /// A dropped call may have opened a session, which ends then.
    pub(crate) async fn open(inner: &Arc<Inner>, wish: Wish<'_>) -> Result<Self, NotRun> {
        let user = wish.inside.caller.identity().principal.subject.clone();
        let reads_only = wish.inside.reads_only;
        let (tunnel, tap) = inner.open_inside(wish.inside).await?;
        let (io, far) = tokio::io::duplex(PIPE_BYTES);
        inner.spawn(tunnel.serve(Box::new(far)));
        let mut parameters = vec![
            ("user", user.as_str()),
            ("application_name", wish.application),
            ("statement_timeout", STATEMENT_TIMEOUT),
        ];
        parameters.extend(SETTINGS);
        parameters.extend(wish.database.map(|database| ("database", database)));
        parameters.extend(reads_only.then_some(("default_transaction_read_only", "on")));
        let (listener, buffer) = (Listener::default(), BytesMut::new());
        let mut this = Self { io, listener, buffer, tap, columns: Vec::new() };
        this.say(&client::startup(&parameters)).await?;
        loop {
            match this.hear().await? {
                Heard::Ready => return Ok(this),
                Heard::Failed(failure) => return Err(NotRun::Failed(failure)),
                _ => {}
            }
        }
    }

    /// What it waits for, and how its commands ended.
    pub(crate) const fn tap(&self) -> &Arc<Tap> {
        &self.tap
    }

    /// Runs a statement: its first `page_rows`, and [`Self::more`] goes on where rows are left; or all of it, to the end of its
    /// transaction, which may still fail, and then rows that are more than a page holds are let go.
    ///
    /// # Cancel safety
    /// Not cancel safe: after a dropped call the session is of no use.
    pub(crate) async fn run(
        &mut self,
        text: &str,
        values: &[Option<String>],
        page_rows: Option<u32>,
    ) -> Result<Page, NotRun> {
        self.columns.clear();
        self.say(&client::statement(text, values, page_rows)).await?;
        self.page(page_rows.is_some()).await
    }

    /// The next rows.
    ///
    /// # Cancel safety
    /// As [`Self::run`].
    pub(crate) async fn more(&mut self, page_rows: u32) -> Result<Page, NotRun> {
        self.say(&client::more(page_rows)).await?;
        self.page(true).await
    }

    /// Says goodbye, so that its end stands on record as one in order.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped, it ends without a goodbye.
    pub(crate) async fn close(mut self) {
        let goodbye = [client::sync(), client::terminate()].concat();
        if self.say(&goodbye).await.is_ok() {
            while self.hear().await.is_ok() {}
        }
    }

    async fn page(&mut self, suspends: bool) -> Result<Page, NotRun> {
        let mut page = Page::of(std::mem::take(&mut self.columns), suspends);
        while !page.add(self.hear().await?)? {}
        let page = page.recorded(self.tap.last_outcome());
        self.columns.clone_from(&page.columns);
        Ok(page)
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), NotRun> {
        self.io.write_all(bytes).await.map_err(|_| NotRun::Lost)
    }

    async fn hear(&mut self) -> Result<Heard, NotRun> {
        loop {
            if let Some(heard) = self.listener.hear().map_err(|_| NotRun::TooLarge)? {
                return Ok(heard);
            }
            self.buffer.clear();
            match self.io.read_buf(&mut self.buffer).await {
                Ok(1..) => self.listener.feed(&self.buffer),
                Ok(0) | Err(_) => return Err(NotRun::Lost),
            }
        }
    }
}
