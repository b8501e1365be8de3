use super::*;

fn service() -> Service {
    let route = |name: &str, method: &str, path: &str, body: &[&str]| Route {
        name: name.to_owned(),
        method: method.to_owned(),
        path: path.parse().unwrap(),
        query: QueryFields::new(&["limit".to_owned()]),
        body: BodyFields::new(&body.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).unwrap(),
        labels: Vec::new(),
        read_only: method == "GET",
        hides: Arc::default(),
        opaque: false,
        follows: false,
    };
    let routes = vec![
        route("any", "GET", "/{rest*}", &[]),
        route("customer", "GET", "/customers/{id}", &[]),
        route("refund", "POST", "/customers/{id}/refunds", &["/amount"]),
        route("form", "POST", "/forms", &["/a", "/b"]),
        route("export", "GET", "/customers/export", &[]),
    ];
    Service::new("crm".to_owned(), "https://crm.example.com/api/".to_owned(), routes, None)
}

fn read(method: &str, target: &str, media: &str, body: &str) -> Reading {
    let fields = vec![("content-type".to_owned(), media.to_owned())];
    let body = Bytes::from(body.to_owned());
    service().read(Asked::read(method, target, fields, body).unwrap())
}

#[test]
fn the_most_precise_route_is_meant() {
    let functions = |target: &str| read("GET", target, "", "").question.facts.functions;
    assert_eq!(functions("/customers/7"), ["crm/customer"]);
    assert_eq!(functions("/customers/7/orders"), ["crm/any"]);
    assert_eq!(read("HEAD", "/customers/7", "", "").question.facts.functions, ["crm/customer"]);
    assert_eq!(functions("/customers/export"), ["crm/export"]);
    for other in ["/customers/Export", "/customers/export.json", "/Customers/7"] {
        let why = read("GET", other, "", "").wanted.unwrap_err();
        assert!(why.status == 400 && why.message.contains("another route"), "{other}: {why:?}");
    }
    let why = read("DELETE", "/customers/7", "", "").wanted.unwrap_err();
    assert_eq!((why.status, why.message.as_str()), (405, "this path is asked with GET"));
}

#[test]
fn what_is_asked_is_told_whole() {
    let reading =
        read("POST", "/customers/7/refunds?limit=2", "application/json", "{ \"amount\": 10.50 }");
    let question = reading.question;
    let said = "content-type: application/json\n\n{\"amount\":10.5}";
    assert_eq!(question.statement, format!("POST /customers/7/refunds?limit=2\n{said}"));
    let want =
        json!({ "path": { "id": "7" }, "query": { "limit": "2" }, "body": { "amount": 10.5 } });
    let want = CallArguments::of(want.as_object().unwrap()).unwrap();
    assert_eq!(question.call, Some(Arc::new(want)));
    assert!(!question.facts.read_only && question.facts.opaque);
    assert!(reading.wanted.is_ok());
}

#[test]
fn forms_are_read_as_json_is() {
    let reading = read("POST", "/forms", "application/x-www-form-urlencoded", "a=1+2&b=%26");
    let said = "content-type: application/x-www-form-urlencoded\n\n{\"a\":\"1 2\",\"b\":\"&\"}";
    assert_eq!(reading.question.statement, format!("POST /forms\n{said}"));
    for (body, why) in [
        ("a=1&a=2", "more than once"),
        ("c=1", "/c"),
        ("a=%zz", "escape"),
        // Some servers begin a field at either.
        ("a=1;b=2", "%3B"),
    ] {
        let told =
            read("POST", "/forms", "application/x-www-form-urlencoded", body).wanted.unwrap_err();
        assert!(told.message.contains(why), "{body}: {told:?}");
    }
    let told = read("POST", "/forms", "text/plain", "a").wanted.unwrap_err();
    assert_eq!(told.status, 415);
    for media in [
        "application/x-www-form-urlencoded,a/b+json",
        "application/x-www-form-urlencoded a/b+json",
        "multipart/form-data; boundary=a+json, a/b+json",
        "+json",
    ] {
        let told = read("POST", "/forms", media, "{\"a\":\"1&b=2\"}").wanted.unwrap_err();
        assert_eq!(told.status, 415, "{media}");
    }
    assert!(read("POST", "/forms", "application/a+JSON ; x=y", "{\"a\":1}").wanted.is_ok());
    let told = read("GET", "/customers/7", "application/json", "{}").wanted.unwrap_err();
    assert!(told.message.contains("takes no body"), "{told:?}");
}

#[test]
fn where_an_answer_points_to_is_found_below_the_target() {
    let service = service();
    assert_eq!(service.located("https://crm.example.com/api/x?y"), Some("/x?y".to_owned()));
    assert_eq!(service.located("https://crm.example.com/api?y"), Some("/?y".to_owned()));
    for other in [
        "https://crm.example.com/apis",
        "https://crm.example.com/",
        "https://evil/api/x",
        "//evil/x",
        "/x",
        "https://crm.example.com/api//evil/x",
        "https://crm.example.com/api/\\evil/x",
        "https://crm.example.com/api/\t/evil/x",
    ] {
        assert_eq!(service.located(other), None, "{other}");
    }
}

/// What was agreed to is run in no other manner.
#[test]
fn what_a_body_is_and_what_the_fields_say_is_told() {
    let service = service().with_fields(vec!["prefer".to_owned()], Vec::new());
    let statement = |method: &str, fields: &[(&str, &str)], body: &str| {
        let fields =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let target = if method == "POST" { "/customers/7/refunds" } else { "/customers/7" };
        let body = Bytes::from(body.to_owned());
        service.read(Asked::read(method, target, fields, body).unwrap()).question.statement
    };
    let body = "{\"amount\":1}";
    let media = ["application/json", "application/merge-patch+json", "application/json;v=2"];
    let mut told: Vec<String> =
        media.iter().map(|it| statement("POST", &[("content-type", it)], body)).collect();
    for (name, value) in [("if-match", "\"a\""), ("idempotency-key", "k"), ("prefer", "wait=1")] {
        told.push(statement("POST", &[("content-type", media[0]), (name, value)], body));
    }
    let all: std::collections::BTreeSet<&String> = told.iter().collect();
    assert_eq!(all.len(), told.len(), "{told:?}");
    assert!(told[3].contains("\nif-match: \"a\"\n\n{"), "{}", told[3]);
    // What does not pass, and what only changes the form of the answer, is not in it.
    let read = [("accept", "text/csv"), ("cookie", "a=b"), ("content-type", media[0])];
    assert_eq!(statement("GET", &read, ""), "GET /customers/7");
}
