//! Standard output. A reader that closes the pipe early is no failure: the rest of what is said is dropped.

use std::io::{ErrorKind, Write as _};

use crate::exit::Failure;

/// Prints `text` as it is.
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}

/// Prints `text` as a line of its own.
pub fn print_line(text: impl std::fmt::Display) -> Result<(), Failure> {
    print_text(&format!("{text}\n"))
}

/// This program as it was called, for commands that can be copied and run.
pub fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "tallyport".to_owned())
}
