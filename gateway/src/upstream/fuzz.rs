//! A door for the fuzz targets: what a target asks of the gateway while it logs in.

use bytes::Bytes;

use super::auth::{Answer, Login, Way};
use crate::config::Target;

/// Answers the bodies of Authentication messages, one after the other, up to an error or the end: the answers, and
/// whether the target was satisfied. `next` gives a body, knowing the last answer.
pub fn log_in(
    target: &Target,
    encrypted: bool,
    channel_binding: Option<Vec<u8>>,
    mut next: impl FnMut(Option<&Bytes>) -> Option<Vec<u8>>,
) -> (Vec<Bytes>, bool) {
    let mut login = Login::new(target, Way { encrypted, channel_binding });
    let mut answers = Vec::new();
    while let Some(body) = next(answers.last()) {
        match login.answer(&body) {
            Ok(Answer::Send(bytes)) => answers.push(bytes),
            Ok(Answer::Nothing) => {}
            Ok(Answer::Done) => return (answers, true),
            Err(_) => return (answers, false),
        }
    }
    (answers, false)
}
