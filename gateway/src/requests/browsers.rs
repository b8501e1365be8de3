//! The local port of an agent can be reached by every page that a browser on its machine shows. A page of elsewhere says so, or
//! names a host that is not this port's (DNS rebinding): it is refused.

use std::net::IpAddr;

use gateway_core::http::{Fields, field};
use gateway_core::target::NotTaken;
use tallyport_schemas::TargetRef;
use url::Url;

/// Refuses what a page of elsewhere asks for.
pub(super) fn guard(fields: &Fields, target: &TargetRef) -> Result<(), NotTaken> {
    let is_here = |host: &str| host == target.name || is_local(host);
    let host = field(fields, "host").is_none_or(|host| is_here(without_port(host)));
    let origin = field(fields, "origin").is_none_or(|origin| {
        Url::parse(origin)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .is_some_and(|it| is_here(&it))
    });
    let site =
        field(fields, "sec-fetch-site").is_none_or(|site| matches!(site, "none" | "same-origin"));
    if host && origin && site {
        return Ok(());
    }
    let why = format!(
        "a page of elsewhere does not speak for you: send Host as localhost, a loopback address or {}, and no Origin of another site",
        target.name
    );
    let rule = "tallyport:origin";
    Err(NotTaken { status: 403, code: "foreign_origin", rule, ..NotTaken::unreadable(why) })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') =>
        {
            name
        }
        _ => host,
    }
}

fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use tallyport_schemas::TargetKind;

    use super::*;

    #[test]
    fn a_page_of_elsewhere_is_refused() {
        let target = TargetRef { name: "crm".into(), kind: TargetKind::Http, database: None };
        let passes = |fields: &[(&str, &str)]| {
            let fields =
                fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            guard(&fields.collect(), &target).is_ok()
        };
        for good in [
            &[][..],
            &[("host", "127.0.0.1:4711")],
            &[("host", "localhost")],
            &[("host", "[::1]:80")],
            &[("host", "crm")],
            &[("host", "crm:80"), ("origin", "https://127.0.0.1:4711")],
            &[("origin", "http://localhost:3000"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(passes(good), "{good:?}");
        }
        for bad in [
            &[("host", "evil.example:4711")][..],
            &[("host", "127.0.0.1.evil.example")],
            &[("host", "localhost.evil.example")],
            &[("host", "crm.evil.example")],
            &[("host", "10.0.0.1")],
            &[("host", "")],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("host", "localhost"), ("origin", "http://localhost.evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert!(!passes(bad), "{bad:?}");
        }
    }
}
