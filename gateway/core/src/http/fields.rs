//! What a route takes in a query and in a body.

use std::str::FromStr;

use serde_json::Value;

use crate::json::Place;

/// Parameters that a route takes: each once, those written with `*` at their end any number of times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryFields(Vec<(String, bool)>);

/// Places that a route takes in a body; nothing where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyFields {
    any: bool,
    places: Vec<Place>,
}

/// Something that a route does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    /// A parameter of the query.
    #[error("the route takes no parameter `{0}`; it takes: {1}")]
    Query(String, String),
    /// A parameter that stands there more than once.
    #[error("the parameter `{0}` stands there more than once")]
    Twice(String),
    /// A member of the body.
    #[error("the route takes nothing at `{0}` of the body")]
    Body(String),
    /// A body at all.
    #[error("the route takes no body")]
    NoBody,
}

impl QueryFields {
    /// As written: names, those with `*` at their end any number of times.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        let field = |name: &String| match name.strip_suffix('*') {
            Some(name) => (name.to_owned(), true),
            None => (name.clone(), false),
        };
        Self(names.iter().map(field).collect())
    }

    /// # Errors
    /// [`BadField`] where one is not taken.
    pub fn check(&self, query: &[(String, String)]) -> Result<(), BadField> {
        for (place, (name, _)) in query.iter().enumerate() {
            let Some((_, repeats)) = self.0.iter().find(|(it, _)| it == name) else {
                let known: Vec<&str> = self.0.iter().map(|(it, _)| it.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(BadField::Query(name.chars().take(64).collect(), known));
            };
            if !repeats && query.iter().take(place).any(|(it, _)| it == name) {
                return Err(BadField::Twice(name.clone()));
            }
        }
        Ok(())
    }
}

impl BodyFields {
    /// As written: JSON pointers, `*` for every element or member; `*` alone for anything.
    ///
    /// # Errors
    /// The text that is no place.
    pub fn new(places: &[String]) -> Result<Self, crate::json::BadPlace> {
        let any = places.iter().any(|it| it == "*");
        let places = places.iter().filter(|it| *it != "*").map(|it| Place::from_str(it));
        Ok(Self { any, places: places.collect::<Result<_, _>>()? })
    }

    /// Whether a body is taken at all.
    #[must_use]
    pub const fn takes_some(&self) -> bool {
        self.any || !self.places.is_empty()
    }

    /// # Errors
    /// [`BadField`] where a value stands at none of the places, nor below one.
    pub fn check(&self, body: &Value) -> Result<(), BadField> {
        if self.any {
            return Ok(());
        }
        let all: Vec<&[String]> = self.places.iter().map(Place::parts).collect();
        match uncovered(body, &all, &mut Vec::new()) {
            Some(place) => Err(BadField::Body(place)),
            None => Ok(()),
        }
    }
}

/// The first value that is at none of the places, nor below one.
fn uncovered(value: &Value, places: &[&[String]], path: &mut Vec<String>) -> Option<String> {
    if places.iter().any(|it| it.is_empty()) {
        return None;
    }
    let here = |path: &[String]| {
        let shown: Vec<String> = path.iter().map(|it| it.chars().take(64).collect()).collect();
        format!("/{}", shown.join("/"))
    };
    let mut below = |name: String, value: &Value| {
        let next: Vec<&[String]> = places
            .iter()
            .filter_map(|it| it.split_first())
            .filter(|(part, _)| *part == "*" || **part == name)
            .map(|(_, rest)| rest)
            .collect();
        path.push(name);
        let found = if next.is_empty() { Some(here(path)) } else { uncovered(value, &next, path) };
        path.pop();
        found
    };
    match value {
        Value::Object(members) => members.iter().find_map(|(name, it)| below(name.clone(), it)),
        Value::Array(elements) => {
            elements.iter().enumerate().find_map(|(index, it)| below(index.to_string(), it))
        }
        _ => Some(here(path)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_has_what_is_taken_and_that_once() {
        let fields = QueryFields::new(&["limit".to_owned(), "tag*".to_owned()]);
        let query = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert!(fields.check(&query(&[("limit", "1"), ("tag", "a"), ("tag", "b")])).is_ok());
        assert!(fields.check(&[]).is_ok());
        let twice = fields.check(&query(&[("limit", "1"), ("limit", "9")]));
        assert_eq!(twice, Err(BadField::Twice("limit".into())));
        let other = fields.check(&query(&[("Limit", "1")])).unwrap_err().to_string();
        assert!(other.contains("it takes: limit, tag"), "{other}");
    }

    #[test]
    fn a_body_has_what_is_taken_and_nothing_beside() {
        let places = ["/amount", "/lines/*/sku", "/meta"].map(str::to_owned);
        let fields = BodyFields::new(&places).unwrap();
        for body in [
            json!({}),
            json!({"amount": 1}),
            json!({"lines": [{"sku": "a"}, {}], "meta": {"any": [1]}}),
            json!([]),
        ] {
            assert!(fields.check(&body).is_ok(), "{body}");
        }
        for (body, place) in [
            (json!({"amount": 1, "to": "me"}), "/to"),
            (json!({"lines": [{"sku": "a", "price": 0}]}), "/lines/0/price"),
            (json!({"lines": 3}), "/lines"),
            (json!(7), "/"),
            (json!([1]), "/0"),
        ] {
            assert_eq!(fields.check(&body), Err(BadField::Body(place.to_owned())), "{body}");
        }
        assert!(BodyFields::new(&["*".to_owned()]).unwrap().check(&json!({"x": [1]})).is_ok());
        assert!(!BodyFields::default().takes_some());
    }
}
