//! Requests of the gateway's own routes, over the connection that carries tunnels.

use bytes::{Buf as _, Bytes};
use h3::client::RequestStream;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::call::Identified;
use super::error::ConnectError;
use super::quic::Link;
use crate::front::transport::BidiStream;

/// A POST.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Such as `/mcp`.
    pub path: &'static str,
    /// Beside what says who asks.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// What is sent.
    pub body: Bytes,
}

/// The answer, whose body comes as it is read.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    body: Body,
}

pub(super) enum Body {
    /// With the connection, which would end without it.
    H3(Box<RequestStream<BidiStream<Bytes>, Bytes>>, Link),
    H2(Incoming),
}

impl Ask {
    /// The request of whoever `identified` says, without its body.
    pub(super) fn request(
        &self,
        identified: &Identified<'_>,
        authority: &str,
    ) -> Result<Request<()>, ConnectError> {
        let uri = Uri::builder().scheme("https").authority(authority).path_and_query(self.path);
        let uri = uri.build().map_err(ConnectError::broken)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        let whole = uri.to_string();
        *request.uri_mut() = uri;
        request.headers_mut().extend(self.fields.iter().cloned());
        identified.show(&mut request, "POST", &whole)?;
        Ok(request)
    }
}

impl Reply {
    pub(super) fn new(response: http::response::Parts, body: Body) -> Self {
        Self { status: response.status, headers: response.headers, body }
    }

    /// The next bytes of the body; none at its end.
    ///
    /// # Errors
    /// [`ConnectError::Broken`] when it ends before its end.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ConnectError> {
        match &mut self.body {
            Body::H3(stream, _link) => {
                let data = stream.recv_data().await.map_err(ConnectError::broken)?;
                Ok(data.map(|mut data| data.copy_to_bytes(data.remaining())))
            }
            Body::H2(body) => loop {
                let Some(frame) = body.frame().await else { return Ok(None) };
                // Trailers say nothing here.
                if let Ok(data) = frame.map_err(ConnectError::broken)?.into_data() {
                    return Ok(Some(data));
                }
            },
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`ConnectError::Broken`] when it ends before its end, or is longer than `max_bytes`.
    ///
    /// # Cancel safety
    /// What was read is lost with a dropped call.
    pub async fn whole(&mut self, max_bytes: usize) -> Result<Vec<u8>, ConnectError> {
        let mut whole = Vec::new();
        while let Some(data) = self.chunk().await? {
            if whole.len() + data.len() > max_bytes {
                let reason = format!("an answer is longer than {max_bytes} bytes");
                return Err(ConnectError::broken(reason));
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}
