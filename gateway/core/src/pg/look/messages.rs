//! Texts that come beside rows: errors, notices, notifications, settings.

use bytes::{BufMut as _, Bytes, BytesMut};
use tallyport_detect::Kinds;

use super::Looker;
use crate::pg::backend::error_fields;
use crate::pg::read::{Malformed, Reader};
use crate::pg::write::{message, put_cstr};

/// What stands for the words of an error that may not pass.
pub(super) const WITHHELD: &[u8] = b"the target's message is withheld: a detector keeps it back";

impl Looker<'_> {
    /// An ErrorResponse or NoticeResponse with marks in its texts; `None` when it stays as it is. Where something must not
    /// pass at all, its code is what is left.
    pub(crate) fn error(&mut self, tag: u8, body: &[u8]) -> Result<Option<Bytes>, Malformed> {
        let mut seen = Vec::new();
        let mut changed = false;
        for (kind, text) in error_fields(body)? {
            // Severity, code, place in the statement, place in the server's source.
            let is_code = matches!(kind, b'S' | b'V' | b'C' | b'P' | b'p' | b'F' | b'L' | b'R');
            let marked = if is_code { None } else { self.text(text, Kinds::NONE) };
            changed |= marked.is_some();
            seen.push((kind, is_code, marked.unwrap_or_else(|| text.to_vec())));
        }
        if !changed {
            return Ok(None);
        }
        let denies = self.denies();
        Ok(Some(message(tag, |out| {
            for (kind, is_code, text) in &seen {
                let text: &[u8] = match kind {
                    b'M' if denies => WITHHELD,
                    _ if denies && !is_code => continue,
                    _ => text,
                };
                out.put_u8(*kind);
                put_cstr(out, text);
            }
            out.put_u8(0);
        })))
    }

    /// A NotificationResponse.
    pub(crate) fn notification(&mut self, body: &[u8]) -> Result<Option<Bytes>, Malformed> {
        let mut reader = Reader::new(body, "NotificationResponse");
        let process = reader.i32()?;
        let texts = [reader.cstr()?, reader.cstr()?];
        reader.end()?;
        Ok(self.texts(b'A', |out| out.put_i32(process), &texts))
    }

    /// A ParameterStatus.
    pub(crate) fn parameter_status(&mut self, body: &[u8]) -> Result<Option<Bytes>, Malformed> {
        let mut reader = Reader::new(body, "ParameterStatus");
        let texts = [reader.cstr()?, reader.cstr()?];
        reader.end()?;
        Ok(self.texts(b'S', |_| {}, &texts))
    }

    fn texts(
        &mut self,
        tag: u8,
        before: impl FnOnce(&mut BytesMut),
        texts: &[&[u8]],
    ) -> Option<Bytes> {
        let marked: Vec<_> = texts.iter().map(|text| self.text(text, Kinds::NONE)).collect();
        if marked.iter().all(Option::is_none) {
            return None;
        }
        Some(message(tag, |out| {
            before(out);
            for (text, marked) in texts.iter().zip(&marked) {
                put_cstr(out, marked.as_deref().unwrap_or(text));
            }
        }))
    }
}
