//! Routes of operators and requests of agents: lines of `METHOD /template`, an empty line, then `method LF target LF body`.

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::http::{Asked, BodyFields, QueryFields, Route, Service, Template};
use gateway_core::target::{Manner, Protocol as _, Reading};
use serde_json::Value;
use tallyport_access::policy::{Action, Resource};

/// What routes and requests are made of.
pub const WORDS: &[&[u8]] = &[
    b"GET /",
    b"POST /",
    b"HEAD\n",
    b"\n\n",
    b"/{id}",
    b"/{rest*}",
    b"/{id}/orders",
    b"{",
    b"*}",
    b"/customers",
    b"/orders",
    b"//",
    b"/..",
    b"/.",
    b"%7Bid%7D",
    b"%2F",
    b"%00",
    b";",
    b"?limit=1",
    b"&limit=2",
    b"&tag=a",
    b"\n{\"a\":1,\"a\":2}",
    b"\n[{\"n\":1e999}]",
    b"\xc3\xa9",
];
/// Those that a configuration takes here.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
/// The most routes of one input.
const MAX_ROUTES: usize = 8;

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "GET /customers/{id}\nGET /customers/{id}/orders\nPOST /customers\n\nGET\n/customers/7?limit=1&tag=a&tag=b\n",
        "GET /files/{rest*}\nGET /files/a\nPUT /{any*}\n\nHEAD\n/files/a/b%20c/\n",
        "POST /a/{x}\nPOST /{y}/b\nPOST /{z}/{w}\n\nPOST\n/a/b\n{\"amount\":1,\"lines\":[{\"sku\":\"a\"}]}",
        "GET /\n\nGET\n/\n",
        "GET /a/\nDELETE /a/{id}\n\nDELETE\n/a/\n",
        "GET /a\n\nGET\n/a?limit=1&limit=2\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// A request is of the most precise route that another reader finds, whatever the order of routes; and it says what was asked.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (routes, request) = text.split_once("\n\n").unwrap_or((text, ""));
    let routes = routes_of(routes);
    let mut parts = request.splitn(3, '\n');
    let [method, target, body] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let json = ("content-type".to_owned(), "application/json".to_owned());
    let Ok(asked) =
        Asked::read(method, target, vec![json], Bytes::copy_from_slice(body.as_bytes()))
    else {
        return;
    };
    for route in &routes {
        matched(&route.path, &asked.segments);
    }
    let service = |routes: Vec<Route>| {
        Service::new("crm".to_owned(), "https://crm.example".to_owned(), routes, None)
    };
    let reading = service(routes.clone()).read(asked.clone());
    let reversed = service(routes.iter().rev().cloned().collect()).read(asked.clone());
    assert_eq!(meaning(&reading), meaning(&reversed), "the order of routes decides");
    assert_eq!(reading.manner, Manner::Answer);
    judged(&reading, &routes, &asked);
}

/// Those that a configuration would take.
fn routes_of(text: &str) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for line in text.lines() {
        let Some((method, path)) = line.split_once(' ') else { continue };
        let Ok(template) = path.parse::<Template>() else { continue };
        written_again(&template, path);
        let is_same = |it: &Route| {
            let (like, order) = (it.path.is_like(&template), it.path.by_precision(&template));
            assert_eq!(like, template.is_like(&it.path));
            assert_eq!(order, template.by_precision(&it.path).reverse());
            assert!(!like || order.is_eq(), "alike, and one says more than the other");
            like && it.method == method
        };
        let is_method = METHODS.contains(&method);
        if is_method && routes.len() < MAX_ROUTES && !routes.iter().any(is_same) {
            routes.push(route(routes.len(), method, template));
        }
    }
    routes
}

fn route(place: usize, method: &str, path: Template) -> Route {
    Route {
        name: format!("route-{place}"),
        method: method.to_owned(),
        path,
        query: QueryFields::new(&["limit".to_owned(), "tag*".to_owned()]),
        body: BodyFields::new(&["/amount".to_owned(), "/lines/*/sku".to_owned()]).expect("places"),
        labels: Vec::new(),
        read_only: false,
        hides: Arc::new([]),
        opaque: false,
        follows: false,
    }
}

/// A template is the text that it was read from, and the path that it describes is one of it.
fn written_again(template: &Template, text: &str) {
    assert_eq!(template.as_str(), text);
    assert_eq!(text.parse().as_ref(), Ok(template));
    assert!(template.is_like(template) && template.by_precision(template).is_eq());
    let path: Vec<&str> =
        pieces(text).map(|it| if it.starts_with('{') { "v" } else { it }).collect();
    let Ok(asked) = Asked::read("GET", &format!("/{}", path.join("/")), Vec::new(), Bytes::new())
    else {
        return assert!(text.len() > 256 || text.contains(['%', '#']), "no path is of {text}");
    };
    let found = template.matches(&asked.segments).expect("its own path is one of it");
    assert!(found.iter().all(|(_, value)| value == "v"));
}

/// Another reader agrees on whether the path is of the template, and what was found in it makes the path again.
fn matched(template: &Template, segments: &[String]) {
    let text = template.as_str();
    let found = template.matches(segments);
    let wanted: Vec<&str> = pieces(text).collect();
    assert_eq!(found.is_some(), holds(&wanted, segments), "{text} {segments:?}");
    let Some(found) = found else { return };
    let mut values = found.iter();
    let again = wanted.iter().map(|it| match it.strip_prefix('{') {
        None => (*it).to_owned(),
        Some(name) => {
            let (known, value) = values.next().expect("each name has its value");
            assert_eq!(name.trim_end_matches(['*', '}']), *known);
            value.clone()
        }
    });
    let again: Vec<String> = again.collect();
    assert_eq!(again.join("/"), segments.join("/"), "the path is made of what was found");
}

fn pieces(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').skip(1)
}

fn holds(wanted: &[&str], segments: &[String]) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return segments.is_empty() };
    let Some((segment, others)) = segments.split_first() else { return false };
    match first.strip_prefix('{') {
        Some(name) if name.ends_with("*}") => true,
        Some(_) => !segment.is_empty() && holds(rest, others),
        None => first == segment && holds(rest, others),
    }
}

/// How much each piece says: text, a name, any number of segments.
fn precision(template: &str) -> Vec<u8> {
    let rank = |it: &str| u8::from(it.starts_with('{')) + u8::from(it.ends_with("*}"));
    pieces(template).map(rank).collect()
}

fn judged(reading: &Reading, routes: &[Route], asked: &Asked) {
    let method = if asked.method == "HEAD" { "GET" } else { &asked.method };
    let of_path =
        |it: &&Route| holds(&pieces(it.path.as_str()).collect::<Vec<_>>(), &asked.segments);
    let paths: Vec<&Route> = routes.iter().filter(of_path).collect();
    let best = paths.iter().filter(|it| it.method == method);
    let best = best.min_by_key(|it| precision(it.path.as_str()));
    let [(Action::HttpRequest, resource)] = &reading.question.asks[..] else {
        panic!("{:?}", reading.question.asks)
    };
    let begins = format!("{} {}", asked.method, asked.target());
    assert!(reading.question.statement.starts_with(&begins), "it is on record as another");
    match &reading.wanted {
        Ok(_) => {
            let Some(best) = best else { panic!("{resource:?} is none of its routes") };
            let Resource::Route { name, method: of, path, .. } = resource else {
                panic!("{resource:?}")
            };
            let (named, path) = ((name, of), path.as_str());
            assert_eq!(named, (&best.name, &best.method), "a more precise route was passed over");
            assert_eq!(path, best.path.as_str());
            takes(asked);
        }
        Err(why) => {
            assert!(matches!(resource, Resource::Target { .. }));
            let wanted = match (best.is_some(), paths.is_empty()) {
                (true, _) => 400,
                (false, true) => 404,
                (false, false) => 405,
            };
            assert_eq!(why.status, wanted, "{}", why.message);
        }
    }
}

/// What passes has the parameters and the places of the route, and no others.
fn takes(asked: &Asked) {
    let named = |name: &str| asked.query.iter().filter(|(it, _)| it == name).count();
    assert!(named("limit") <= 1, "one reader takes the first, another the last");
    assert_eq!(named("limit") + named("tag"), asked.query.len(), "{:?}", asked.query);
    if asked.body.is_empty() {
        return;
    }
    let body: Value = serde_json::from_slice(&asked.body).expect("another reader reads it");
    let Some(members) = body.as_object() else {
        return assert!(body.as_array().is_some_and(Vec::is_empty), "{body} has what is not taken");
    };
    for (name, value) in members {
        assert!(matches!(name.as_str(), "amount" | "lines"), "{name} is not taken");
        let lines = value.as_array().into_iter().flatten().filter(|_| name == "lines");
        for line in lines.filter_map(Value::as_object) {
            assert!(line.keys().all(|it| it == "sku"), "{line:?}");
        }
    }
}

fn meaning(reading: &Reading) -> (String, Vec<String>, Option<u16>) {
    let asks = reading.question.asks.iter().map(|(action, on)| format!("{action} {on}"));
    let refused = reading.wanted.as_ref().err().map(|it| it.status);
    (reading.question.statement.clone(), asks.collect(), refused)
}
