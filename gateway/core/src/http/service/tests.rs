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
    let why = read("DELETE", "/customers/7", "", "").wanted.unwrap_err();
    assert_eq!((why.status, why.message.as_str()), (405, "this path is asked with GET"));
}

#[test]
fn what_is_asked_is_told_whole() {
    let reading =
        read("POST", "/customers/7/refunds?limit=2", "application/json", "{ \"amount\": 10.50 }");
    let question = reading.question;
    assert_eq!(question.statement, "POST /customers/7/refunds?limit=2\n{\"amount\":10.5}");
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
    assert_eq!(reading.question.statement, "POST /forms\n{\"a\":\"1 2\",\"b\":\"&\"}");
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
