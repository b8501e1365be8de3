//! Cookies (RFC 6265): with the prefix `__Host-` (of this host alone, over TLS alone), never visible to the page's
//! program. A value that is larger than browsers keep is in several.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// A sign-in that is under way.
pub(crate) const PENDING: &str = "__Host-tallyport-sign-in";
/// Who is signed in: followed by `-0`, `-1`, ...
const SESSION: &str = "__Host-tallyport-session";
/// What one cookie holds; browsers keep 4,096 bytes of name, value and attributes (RFC 6265 section 6.1).
const PIECE_BYTES: usize = 3_800;
/// The most cookies of one value: with others, a request header still has its bound (32 KiB).
const MAX_PIECES: usize = 6;
/// How long a sign-in may be under way.
pub(crate) const PENDING_SECONDS: i64 = 600;

/// The value of one cookie. Two of one name are none: which of them the browser meant is unknown.
pub(crate) fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned());
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

/// The session's value, put together. The first piece says how many there are.
pub(crate) fn read_session(headers: &HeaderMap) -> Option<String> {
    let first = read(headers, &piece(0))?;
    let (count, head) = first.split_once('.')?;
    let count: usize = count.parse().ok().filter(|count| (1..=MAX_PIECES).contains(count))?;
    let mut whole = head.to_owned();
    for index in 1..count {
        whole.push_str(&read(headers, &piece(index))?);
    }
    Some(whole)
}

/// The sign-in that is under way comes back by a link from the issuer's site: `Lax` (RFC 6265bis section 5.6.7).
pub(crate) fn set_pending(value: &str) -> Option<HeaderValue> {
    let text = format!(
        "{PENDING}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={PENDING_SECONDS}"
    );
    HeaderValue::from_str(&text).ok()
}

pub(crate) fn clear_pending() -> Option<HeaderValue> {
    HeaderValue::from_str(&cleared(PENDING, "Lax")).ok()
}

/// Never sent with a request that another site caused. Ends with the browser.
pub(crate) fn set_session(sealed: &str) -> Option<Vec<HeaderValue>> {
    let pieces: Vec<&str> = sealed
        .as_bytes()
        .chunks(PIECE_BYTES)
        .map(|piece| std::str::from_utf8(piece).ok())
        .collect::<Option<_>>()?;
    if pieces.len() > MAX_PIECES {
        return None;
    }
    let count = pieces.len();
    (0..MAX_PIECES)
        .map(|index| {
            let text = match pieces.get(index) {
                Some(value) => {
                    let head = if index == 0 { format!("{count}.") } else { String::new() };
                    format!(
                        "{}={head}{value}; Path=/; Secure; HttpOnly; SameSite=Strict",
                        piece(index)
                    )
                }
                // Of a longer one before it.
                None => cleared(&piece(index), "Strict"),
            };
            HeaderValue::from_str(&text).ok()
        })
        .collect()
}

pub(crate) fn clear_session() -> Vec<HeaderValue> {
    let all = (0..MAX_PIECES).map(|index| cleared(&piece(index), "Strict"));
    all.filter_map(|text| HeaderValue::from_str(&text).ok()).collect()
}

fn cleared(name: &str, same_site: &str) -> String {
    format!("{name}=; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age=0")
}

fn piece(index: usize) -> String {
    format!("{SESSION}-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser sends after these were set.
    fn sent(set: &[HeaderValue]) -> HeaderMap {
        let pairs = set
            .iter()
            .map(|value| value.to_str().unwrap())
            .filter(|text| !text.contains("Max-Age=0"))
            .map(|text| text.split(';').next().unwrap().to_owned());
        let line = pairs.collect::<Vec<_>>().join("; ");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&line).unwrap());
        headers
    }

    #[test]
    fn a_session_of_any_length_comes_back_whole() {
        for length in [1, PIECE_BYTES, PIECE_BYTES + 1, PIECE_BYTES * MAX_PIECES] {
            let value = "x".repeat(length);
            let set = set_session(&value).unwrap();
            assert_eq!(set.len(), MAX_PIECES, "what was there before is cleared");
            assert_eq!(read_session(&sent(&set)), Some(value));
        }
        assert!(set_session(&"x".repeat(PIECE_BYTES * MAX_PIECES + 1)).is_none());
    }

    #[test]
    fn a_missing_or_doubled_piece_is_no_session() {
        let set = set_session(&"x".repeat(PIECE_BYTES + 1)).unwrap();
        assert_eq!(read_session(&sent(&set[..1])), None);
        let doubled = [set[0].clone(), set[0].clone(), set[1].clone()];
        assert_eq!(read_session(&sent(&doubled)), None);
    }

    #[test]
    fn every_cookie_is_for_this_host_over_tls_and_hidden_from_programs() {
        let all = [
            set_session("x").unwrap(),
            clear_session(),
            vec![set_pending("x").unwrap(), clear_pending().unwrap()],
        ];
        for value in all.concat() {
            let text = value.to_str().unwrap();
            assert!(text.starts_with("__Host-"), "{text}");
            assert!(text.contains("; Path=/; Secure; HttpOnly; SameSite="), "{text}");
            assert!(!text.contains("Domain"), "{text}");
        }
    }
}
