//! What was added after the others, at their end: so nothing of those is numbered anew.

use super::{Named, alone, expiry, outside, person, service, uuid};
use crate::{Approval, ApprovalId, AuthMethod, Authentication, Body, Front, Outcome, TokenBinding};

pub(super) fn bodies() -> Vec<Named> {
    let approval_id = ApprovalId::from_uuid(uuid(0xa9));
    let chat = || "chat".to_owned();
    let granted =
        Approval::Granted { approval_id, reviewer: person(), comment: None, webhook: Some(chat()) };
    let notified =
        Approval::Notified { approval_id, webhook: chat(), step: "pending-0".to_owned() };
    let vouched = Authentication {
        outcome: Outcome::Success,
        method: AuthMethod::Webhook,
        front: Front::Tcp,
        failure: None,
        message: None,
        issuer: Some("https://issuer.example".to_owned()),
        token_id: Some("msg-5521".to_owned()),
        key_id: None,
        binding: None,
        expires_at: None,
    };
    let bound = Authentication {
        method: AuthMethod::Oidc,
        front: Front::Quic,
        token_id: Some("jti-8843".to_owned()),
        key_id: Some("key-2026-01".to_owned()),
        binding: Some(TokenBinding::Dpop),
        expires_at: Some(expiry()),
        ..vouched.clone()
    };
    let workload = Authentication {
        method: AuthMethod::X509Svid,
        issuer: Some("spiffe://prod.example.com".to_owned()),
        token_id: None,
        key_id: Some("A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0".to_owned()),
        binding: Some(TokenBinding::Mtls),
        ..bound.clone()
    };
    let workload_token = Authentication {
        method: AuthMethod::JwtSvid,
        key_id: Some("Z4zqXcbu".to_owned()),
        binding: None,
        ..workload.clone()
    };
    vec![
        (
            "authentication.succeeded.webhook",
            outside(Some(person())),
            Body::Authentication(vouched),
        ),
        ("authentication.succeeded.bound", outside(Some(person())), Body::Authentication(bound)),
        (
            "authentication.succeeded.x509_svid",
            outside(Some(service())),
            Body::Authentication(workload),
        ),
        (
            "authentication.succeeded.jwt_svid",
            outside(Some(service())),
            Body::Authentication(workload_token),
        ),
        ("approval.granted.webhook", alone(), Body::Approval(granted)),
        ("approval.notified", alone(), Body::Approval(notified)),
    ]
}
