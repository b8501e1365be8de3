//! Whether a request comes from the page: a browser sends cookies along with what other sites cause, too.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use url::Url;

use crate::error::PageError;

/// What the page says of itself. Another site cannot: a field of its own needs the server's leave first, which is never
/// given (Fetch, CORS-unsafe request-header names).
pub(crate) const PAGE_FIELD: &str = "x-tallyport-console";

/// Refuses what the page did not ask. `SameSite=Strict` keeps cookies from other sites' requests already; this holds
/// for other origins of the same site, and where a browser does not know the attribute.
pub(crate) fn from_the_page(headers: &HeaderMap, public: &Url) -> Result<(), PageError> {
    if headers.get(PAGE_FIELD).is_none_or(|value| value != "1") {
        return Err(PageError::not_from_the_page("send x-tallyport-console: 1"));
    }
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return Err(PageError::not_from_the_page("it came from another site"));
    }
    let own = public.origin().ascii_serialization();
    let foreign = |origin: &axum::http::HeaderValue| origin.as_bytes() != own.as_bytes();
    if headers.get_all(ORIGIN).iter().any(foreign) {
        return Err(PageError::not_from_the_page("it came from another origin"));
    }
    Ok(())
}

/// Whether the browser asked for the host that people type. Another name that leads here (DNS rebinding) is not served.
pub(crate) fn is_own_host(headers: &HeaderMap, uri: &Uri, public: &Url) -> bool {
    let asked = uri
        .authority()
        .map(|authority| authority.as_str().to_owned())
        .or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned));
    let Some(asked) = asked else { return false };
    let Ok(asked) = Url::parse(&format!("{}://{asked}", public.scheme())) else { return false };
    asked.origin() == public.origin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(pair).collect()
    }

    fn public() -> Url {
        Url::parse("https://gateway.example.com:8443").unwrap()
    }

    #[test]
    fn only_the_page_itself_may_ask() {
        let own = ("origin", "https://gateway.example.com:8443");
        let says = (PAGE_FIELD, "1");
        let same = ("sec-fetch-site", "same-origin");
        assert!(from_the_page(&headers(&[says]), &public()).is_ok());
        assert!(from_the_page(&headers(&[says, own, same]), &public()).is_ok());
        for bad in [
            vec![own, same],
            vec![(PAGE_FIELD, "0"), own, same],
            vec![says, ("sec-fetch-site", "same-site")],
            vec![says, ("sec-fetch-site", "cross-site"), own],
            vec![says, ("origin", "https://gateway.example.com")],
            vec![says, ("origin", "null")],
            vec![says, ("origin", "http://gateway.example.com:8443")],
        ] {
            assert!(from_the_page(&headers(&bad), &public()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn another_name_that_leads_here_is_not_served() {
        let at = |host: &'static str| {
            is_own_host(&headers(&[("host", host)]), &"/".parse().unwrap(), &public())
        };
        assert!(at("gateway.example.com:8443"));
        assert!(at("GATEWAY.example.com:8443"));
        for bad in ["gateway.example.com", "evil.example:8443", "127.0.0.1:8443", "", "a b"] {
            assert!(!at(bad), "{bad}");
        }
        let whole: Uri = "https://evil.example:8443/console/".parse().unwrap();
        assert!(!is_own_host(&headers(&[("host", "gateway.example.com:8443")]), &whole, &public()));
    }
}
