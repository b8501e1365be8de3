//! Panics are log lines like others: one line, and JSON where lines are JSON.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// The Delta library gives up a file that could not be closed, and its writer panics over that in a task of its own. The
/// error itself is told by whoever writes.
const GIVEN_UP: (&str, &str) = ("object_store", "Already shut down");

/// From now on panics are logged; as before where the filter lets no error through.
pub(crate) fn install() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if tracing::enabled!(tracing::Level::ERROR) {
            log(panic);
        } else {
            before(panic);
        }
    }));
}

fn log(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a value that is no text");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    if is_given_up(&location, message) {
        tracing::debug!(thread, location, "a file that could not be written was given up");
        return;
    }
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!(thread, location, why = message, %backtrace, "a task panicked");
        }
        _ => tracing::error!(thread, location, why = message, "a task panicked"),
    }
}

fn is_given_up(location: &str, message: &str) -> bool {
    location.contains(GIVEN_UP.0) && message == GIVEN_UP.1
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_file_that_was_given_up_is_no_panic() {
        let place = "/cargo/registry/src/index/object_store-0.13.2/src/buffered.rs:369:17";
        assert!(is_given_up(place, "Already shut down"));
        assert!(!is_given_up(place, "index out of bounds"));
        assert!(!is_given_up("gateway/src/lib.rs:1:1", "Already shut down"));
    }

    #[test]
    fn a_panic_is_one_line_of_json_with_its_place() {
        install();
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().json().with_writer(move || written.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let _caught = std::panic::catch_unwind(|| panic!("lost\nfor good"));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let fields = &line["fields"];
        assert_eq!(
            (line["level"].as_str(), fields["message"].as_str()),
            (Some("ERROR"), Some("a task panicked"))
        );
        assert_eq!(fields["why"], "lost\nfor good");
        assert!(fields["location"].as_str().unwrap().contains("panics.rs:"), "{text}");
    }
}
