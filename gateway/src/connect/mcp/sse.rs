//! Events of a stream (WHATWG HTML, "Server-sent events"), as far as MCP uses them: the data of each.

/// The longest event that is taken, in bytes.
pub(super) const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Reads a stream in whatever pieces it comes.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
}

/// An event is longer than is taken.
#[derive(Debug, thiserror::Error)]
#[error("an event of the gateway is longer than {MAX_EVENT_BYTES} bytes")]
pub(super) struct TooLong;

impl Events {
    /// Takes bytes as they came, and gives the data of the events that are whole now.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut whole = Vec::new();
        for byte in bytes {
            let follows = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if follows => {}
                b'\n' | b'\r' => whole.extend(self.end_line()),
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
                return Err(TooLong);
            }
        }
        Ok(whole)
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let mut data = std::mem::take(&mut self.data);
            // Each line of data brought its end.
            return data.pop().map(|_line_feed| data);
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            self.data.push(b'\n');
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
            let mut events = Events::default();
            let found: Vec<_> =
                stream.chunks(size).flat_map(|part| events.feed(part).unwrap()).collect();
            assert_eq!(found, [b"{\"a\":1}".to_vec(), b"one\ntwo".to_vec()], "{size}");
        }
    }

    #[test]
    fn an_endless_event_is_an_error() {
        let mut events = Events::default();
        let piece = vec![b'x'; MAX_EVENT_BYTES / 2];
        assert!(events.feed(b"data: ").is_ok() && events.feed(&piece).is_ok());
        assert!(events.feed(&piece).is_err());
    }
}
