//! A door for the fuzz targets: what the fronts do with foreign bytes before anybody is known.

use bytes::Bytes;
use http::request;

use super::h3::frames::FrameGuard;
use super::route;

/// One direction of one HTTP/3 stream, cut into pieces.
#[derive(Debug)]
pub struct Frames(FrameGuard);

/// A frame is over the limit; in words.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge(pub String);

impl Frames {
    /// A request stream.
    #[must_use]
    pub fn request(max_frame_bytes: u64) -> Self {
        Self(FrameGuard::request(max_frame_bytes))
    }

    /// A unidirectional stream.
    #[must_use]
    pub fn unidirectional(max_frame_bytes: u64) -> Self {
        Self(FrameGuard::unidirectional(max_frame_bytes))
    }

    /// The next piece; `None` when `input` is used up.
    ///
    /// # Errors
    /// When a frame is over the limit.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, TooLarge> {
        self.0.next(input).map_err(|error| TooLarge(error.to_string()))
    }

    /// What is left when the stream ends.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.0.finish()
    }
}

/// The name of a target in an authority.
#[must_use]
pub fn target_name(authority: &str) -> Option<String> {
    route::TargetName::parse(authority).map(route::TargetName::into_string)
}

/// The target and the token of a CONNECT.
///
/// # Errors
/// The status of the answer.
pub fn connect(head: &request::Parts) -> Result<(String, Option<String>), u16> {
    let connect = route::connect(head).map_err(|refused| refused.status().as_u16())?;
    Ok((connect.target, connect.presented.token.map(|token| token.expose().to_owned())))
}
