//! Whether a target was there when it was last tried, by sessions, catalog readings and probes alike.

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::DialError;

/// What the last try of a target showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// It let the gateway in.
    pub ok: bool,
    /// Why not: a code of [`DialError::code`] or of a catalog that could not be read.
    pub code: Option<&'static str>,
    /// Since when that is so.
    pub since: Timestamp,
    /// When it was tried last.
    pub tried: Instant,
}

/// The last try of one target.
#[derive(Debug, Default)]
pub(crate) struct LastReach(Mutex<Option<Reach>>);

impl LastReach {
    pub(crate) fn view(&self) -> Option<Reach> {
        *self.0.lock()
    }

    /// A dial for a session says so. A target that refuses one database or one setting is there all the same.
    pub(super) fn dialled<T>(&self, outcome: &Result<T, DialError>) {
        match outcome {
            Ok(_) => self.note(None),
            Err(DialError::Refused { .. }) => {}
            Err(error) => self.note(Some(error.code())),
        }
    }

    /// It was reached, or failed by this code.
    pub(crate) fn note(&self, code: Option<&'static str>) {
        let mut last = self.0.lock();
        let ok = code.is_none();
        let since = last
            .filter(|before| before.ok == ok)
            .map_or_else(Timestamp::now, |before| before.since);
        *last = Some(Reach { ok, code, since, tried: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_answers_with_a_refusal_is_there() {
        let last = LastReach::default();
        let refused = Err::<(), _>(DialError::Refused { sqlstate: "3D000".to_owned() });
        last.dialled(&refused);
        assert_eq!(last.view(), None, "it says nothing of whether the gateway can log in");
        last.dialled(&Ok(()));
        let reached = last.view().unwrap();
        assert!(reached.ok);
        last.dialled(&refused);
        assert!(last.view().unwrap().ok);
        last.dialled(&Err::<(), _>(DialError::NoTls));
        assert_eq!(last.view().map(|last| (last.ok, last.code)), Some((false, Some("no_tls"))));
    }
}
