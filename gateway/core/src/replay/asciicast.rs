//! What passed through a terminal as an asciicast, version 2 (<https://docs.asciinema.org/manual/asciicast/v2/>).

use jiff::Timestamp;
use serde_json::{Value, json};
use tallyport_schemas::{Body, Content, Event, Phase, Response};

use super::ReplayError;
use super::text::stream_of;

/// The size of a terminal of which nothing was told.
const SIZE: (u64, u64) = (80, 24);

/// The recording, a line of JSON for each piece; none where nothing ran in a container.
///
/// # Errors
/// [`ReplayError`]: what is on record was changed, or is of a later version.
pub fn asciicast(events: &[Event]) -> Result<Option<String>, ReplayError> {
    let mut cast = Cast::default();
    for event in events {
        match &event.body {
            Body::Command(command) if command.phase == Phase::Input => {
                cast.piece(event.time, command.content.as_ref())?;
            }
            Body::Command(command) => {
                if let Some(statement) = command.statement.as_ref().filter(|_| cast.title.is_none())
                {
                    cast.title = Some(statement.clone());
                }
            }
            Body::Response(response) => match &**response {
                Response::Chunk { content, .. } => cast.piece(event.time, content.as_ref())?,
                Response::Completed(summary) => cast.piece(event.time, summary.content.as_ref())?,
                Response::Unsolicited { .. } => {}
            },
            _ => {}
        }
    }
    Ok(cast.text())
}

#[derive(Default)]
struct Cast {
    title: Option<String>,
    began: Option<Timestamp>,
    size: Option<(u64, u64)>,
    lines: Vec<Value>,
    /// The beginning of a character that goes on in the next piece: of input, and of output.
    halves: [Vec<u8>; 2],
}

impl Cast {
    fn piece(&mut self, at: Timestamp, content: Option<&Content>) -> Result<(), ReplayError> {
        let Some(content) = content else { return Ok(()) };
        let bytes = content.replay()?;
        let (stream, rest) = stream_of(&bytes);
        let began = *self.began.get_or_insert(at);
        let after = at.duration_since(began).as_secs_f64().max(0.0);
        let (code, text) = match stream {
            Some("stdin") => ("i", self.text_of(0, rest)),
            Some("stdout" | "stderr") => ("o", self.text_of(1, rest)),
            Some("terminal") => {
                let Some((width, height)) = size(rest) else { return Ok(()) };
                if self.size.is_none() {
                    self.size = Some((width, height));
                    return Ok(());
                }
                ("r", format!("{width}x{height}"))
            }
            _ => return Ok(()),
        };
        if !text.is_empty() {
            self.lines.push(json!([after, code, text]));
        }
        Ok(())
    }

    /// Whole characters; the rest waits for what follows.
    fn text_of(&mut self, way: usize, bytes: &[u8]) -> String {
        let Some(half) = self.halves.get_mut(way) else { return String::new() };
        half.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(half) {
            Ok(_) => half.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => half.len(),
        };
        let text = String::from_utf8_lossy(half.get(..whole).unwrap_or_default()).into_owned();
        half.drain(..whole);
        text
    }

    fn text(self) -> Option<String> {
        let began = self.began.filter(|_| !self.lines.is_empty())?;
        let (width, height) = self.size.unwrap_or(SIZE);
        let mut head = json!({ "version": 2, "width": width, "height": height, "timestamp": began.as_second() });
        if let (Some(title), Some(head)) = (self.title, head.as_object_mut()) {
            head.insert("title".to_owned(), json!(title));
        }
        let mut text = format!("{head}\n");
        for line in self.lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        Some(text)
    }
}

fn size(told: &[u8]) -> Option<(u64, u64)> {
    let told: Value = serde_json::from_slice(told).ok()?;
    Some((told.get("Width")?.as_u64()?, told.get("Height")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_has_pieces_in_time_and_whole_characters() {
        let mut cast = Cast { title: Some("exec shop/web-0".into()), ..Cast::default() };
        let at = |millisecond: i64| {
            Timestamp::from_millisecond(1_767_225_600_000 + millisecond).unwrap()
        };
        for (after, bytes) in [
            (0, &b"HTTP/1.1 101\r\n\r\n"[..]),
            (10, b"\x04{\"Width\":100,\"Height\":30}\n"),
            (20, b"\x01# "),
            (500, b"\x00ls\r"),
            (600, b"\x01caf\xc3"),
            (700, b"\x01\xa9\r\n"),
            (800, b"\x04{\"Width\":120,\"Height\":40}\n"),
            (900, b"\x03{\"status\":\"Success\"}"),
        ] {
            cast.piece(at(after), Some(&Content::record(bytes).unwrap())).unwrap();
        }
        let text = cast.text().unwrap();
        let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(
            lines,
            [
                json!({"version": 2, "width": 100, "height": 30, "timestamp": 1_767_225_600, "title": "exec shop/web-0"}),
                json!([0.02, "o", "# "]),
                json!([0.5, "i", "ls\r"]),
                json!([0.6, "o", "caf"]),
                json!([0.7, "o", "é\r\n"]),
                json!([0.8, "r", "120x40"]),
            ]
        );
        assert_eq!(Cast::default().text(), None);
    }
}
