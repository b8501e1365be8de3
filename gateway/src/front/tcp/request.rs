//! One request over HTTP/2 or HTTP/1.1: a tunnel or an API call.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use http::header::{ALT_SVC, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tallyport_access::strangers::OpenRequest;
use tokio::time::timeout;

use super::Link;
use super::cut::Cut;
use crate::front::gate::Lost;
use crate::front::route::{self, Refused};
use crate::tunnel::TunnelIo;

/// Answers one request. A CONNECT that succeeds goes on as a task of its own, which ends with its session.
pub(super) async fn serve(
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let open = link.peer.watch.request();
    let version = request.version();
    link.peer.watch.asked();
    let mut response = if route::is_connect(request.method()) {
        match tunnel(&link, request, open).await {
            Ok(()) => Response::new(Body::empty()),
            Err(refused) => (*refused).map(Body::from),
        }
    } else {
        // HTTP/2 cannot raise what it allowed at first.
        let (response, _first) = link.gate.call(&link.peer, request).await;
        response
    };
    if let Some(value) = link.gate.alt_svc.clone() {
        response.headers_mut().insert(ALT_SVC, value);
    }
    if version == http::Version::HTTP_2 {
        route::strip_connection_fields(response.headers_mut());
    }
    Ok(response)
}

async fn tunnel(
    link: &Arc<Link>,
    request: Request<Incoming>,
    open: OpenRequest,
) -> Result<(), Refused> {
    let (head, body) = request.into_parts();
    let version = head.version;
    let opened = link.gate.open(&link.peer, &head).await.map_err(|mut refused| {
        if version < http::Version::HTTP_2 {
            // What an HTTP/1.1 client sent after its CONNECT was meant for the tunnel and is no request.
            let close = HeaderValue::from_static("close");
            refused.headers_mut().insert(http::header::CONNECTION, close);
        }
        refused
    })?;
    link.peer.watch.authenticated();
    let upgrade = hyper::upgrade::on(Request::from_parts(head, body));
    let within = link.gate.limits.write_deadline;
    let cut = link.gate.cut.clone();
    let outlives_connection = version < http::Version::HTTP_2;
    let link = link.clone();
    link.gate.tasks.clone().spawn(async move {
        let io: Box<dyn TunnelIo> = match timeout(within, upgrade).await {
            Ok(Ok(upgraded)) if outlives_connection => {
                Box::new(Cut::new(TokioIo::new(upgraded), cut))
            }
            Ok(Ok(upgraded)) => Box::new(TokioIo::new(upgraded)),
            Ok(Err(_)) | Err(_) => Box::new(Lost),
        };
        opened.run(io).await;
        drop((open, link));
    });
    Ok(())
}
