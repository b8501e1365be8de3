//! Events of a stream (WHATWG HTML, "Server-sent events"), as far as MCP uses them: the data of each, and
//! where to begin again.

use std::time::Duration;

/// The longest id of an event that is kept.
const MAX_ID_BYTES: usize = 1024;

/// Reads a stream in whatever pieces it comes.
#[derive(Debug)]
pub struct Events {
    max_bytes: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    /// Of the event that is being read.
    next_id: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
}

/// An event is longer than is taken.
#[derive(Debug, thiserror::Error)]
#[error("an event is longer than {max_bytes} bytes")]
pub struct TooLong {
    /// What is taken at most.
    max_bytes: usize,
}

impl Events {
    /// Takes events of at most so many bytes.
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            line: Vec::new(),
            data: Vec::new(),
            after_return: false,
            next_id: None,
            last_id: None,
            retry: None,
        }
    }

    /// Takes bytes as they came, and gives the data of the events that are whole now.
    ///
    /// # Errors
    /// [`TooLong`]; what comes after it is not read any more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut whole = Vec::new();
        for byte in bytes {
            let follows = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if follows => {}
                b'\n' | b'\r' => whole.extend(self.end_line()),
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > self.max_bytes {
                return Err(TooLong { max_bytes: self.max_bytes });
            }
        }
        Ok(whole)
    }

    /// The last id that an event had: what comes after it is asked for by `Last-Event-ID`.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// It goes on where this one ended.
    pub fn begin_after(&mut self, other: &Self) {
        self.last_id.clone_from(&other.last_id);
        self.retry = other.retry;
    }

    /// How long is to be waited before that, as far as the stream says.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            // Only a whole event is one that came.
            if let Some(id) = self.next_id.take() {
                self.last_id = Some(id).filter(|id| !id.is_empty());
            }
            let mut data = std::mem::take(&mut self.data);
            // Each line of data brought its end.
            return data.pop().map(|_line_feed| data);
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            self.data.push(b'\n');
        } else if let Some(id) = line.strip_prefix(b"id:") {
            let id = std::str::from_utf8(id.strip_prefix(b" ").unwrap_or(id)).ok();
            let is_taken = |id: &&str| id.len() <= MAX_ID_BYTES && !id.contains('\0');
            self.next_id = id.filter(is_taken).map(str::to_owned).or_else(|| self.next_id.take());
        } else if let Some(wait) = line.strip_prefix(b"retry:") {
            let wait = std::str::from_utf8(wait).ok().and_then(|it| it.trim().parse().ok());
            self.retry = wait.map(Duration::from_millis).or(self.retry);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_however_it_is_cut() {
        let stream = b": hello\nevent: message\ndata: {\"a\":1}\n\nid: 7\r\ndata:one\r\ndata: two\r\n\r\n\ndata: cut";
        for size in [1, 2, 7, stream.len()] {
            let mut events = Events::new(64);
            let found: Vec<_> =
                stream.chunks(size).flat_map(|part| events.feed(part).unwrap()).collect();
            assert_eq!(found, [b"{\"a\":1}".to_vec(), b"one\ntwo".to_vec()], "{size}");
        }
    }

    #[test]
    fn where_to_begin_again_is_kept() {
        let mut events = Events::new(64);
        assert_eq!((events.last_id(), events.retry()), (None, None));
        let told = events.feed(b"id: 7\nretry: 500\ndata:\n\nid: a\0b\nretry: soon\ndata: x\n\n");
        assert_eq!(told.unwrap(), [b"".to_vec(), b"x".to_vec()]);
        assert_eq!(
            (events.last_id(), events.retry()),
            (Some("7"), Some(Duration::from_millis(500)))
        );
        // Cut off within an event, it goes on before that one.
        assert!(events.feed(b"id: 8\ndata: par").unwrap().is_empty());
        assert_eq!(events.last_id(), Some("7"));
        let mut next = Events::new(64);
        next.begin_after(&events);
        assert_eq!((next.last_id(), next.retry()), (events.last_id(), events.retry()));
    }

    #[test]
    fn an_endless_event_is_an_error() {
        let mut events = Events::new(64);
        let piece = [b'x'; 32];
        assert!(events.feed(b"data: ").is_ok() && events.feed(&piece).is_ok());
        assert!(events.feed(&piece).is_err());
    }
}
