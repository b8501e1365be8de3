//! Recorded bytes of HTTP, and of streams of containers, as lines that people read.

use tallyport_schemas::Content;

use super::ReplayError;

/// The longest line that is shown whole.
const MAX_LINE_CHARS: usize = 400;

/// The lines of a piece; at most `limit` of them, or all where it is 0.
pub(super) fn lines(content: Option<&Content>, limit: usize) -> Result<Vec<String>, ReplayError> {
    let Some(content) = content else {
        return Ok(vec!["(not recorded: digest and counts only)".to_owned()]);
    };
    let bytes = content.replay()?;
    let (stream, text) = stream_of(&bytes);
    let text = String::from_utf8_lossy(text);
    let prefix = stream.map(|name| format!("{name}: ")).unwrap_or_default();
    let shown = |line: &str| {
        let mut line: String = line.chars().take(MAX_LINE_CHARS + 1).collect();
        if line.chars().count() > MAX_LINE_CHARS {
            line.pop();
            line.push_str(" ...");
        }
        format!("{prefix}{line}")
    };
    let all: Vec<&str> = text.lines().collect();
    let limit = if limit == 0 { all.len() } else { limit };
    let mut lines: Vec<String> = all.iter().take(limit).map(|line| shown(line)).collect();
    if all.len() > limit {
        lines.push(format!("({} more lines)", all.len() - limit));
    }
    Ok(lines)
}

/// What a message of streams is of, and the rest of it; HTTP begins with neither of these bytes.
pub(super) fn stream_of(bytes: &[u8]) -> (Option<&'static str>, &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return (None, bytes) };
    let name = match first {
        0 => "stdin",
        1 => "stdout",
        2 => "stderr",
        3 => "status",
        4 => "terminal",
        255 => "end of",
        _ => return (None, bytes),
    };
    (Some(name), rest)
}
