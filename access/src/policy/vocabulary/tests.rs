use cedar_policy::Entities;
use tallyport_schemas::{Actor, AgentAttributes, Principal};

use super::*;

/// No question holds its resource against the schema: here every shape is.
#[test]
fn every_resource_has_the_shape_that_the_schema_says() {
    let vocabulary = Vocabulary::load().unwrap();
    let text = |name: &str| name.to_owned();
    let (target, database, schema) = (text("t/1"), text("d"), text("s"));
    let labels = vec![text("pii.ssn"), text("pii"), text("a.b.c")];
    let (table, column) = (text("x"), text("c"));
    let in_schema = || (target.clone(), database.clone(), schema.clone());
    let function = |builtin| {
        let (target, database, schema) = in_schema();
        Resource::Function { target, database, schema, name: text("f"), builtin }
    };
    let shapes = [
        Resource::Target { name: target.clone() },
        Resource::Database { target: target.clone(), database: database.clone() },
        {
            let (target, database, schema) = in_schema();
            Resource::Schema { target, database, schema }
        },
        {
            let (target, database, schema) = in_schema();
            Resource::Table {
                target,
                database,
                schema,
                table: table.clone(),
                labels: labels.clone(),
            }
        },
        {
            let (target, database, schema) = in_schema();
            Resource::Column { target, database, schema, table, column, labels }
        },
        function(true),
        function(false),
        Resource::Tool {
            target: target.clone(),
            name: text("create/issue"),
            read_only: true,
            destructive: false,
            open_world: true,
            labels: vec![text("external.write")],
        },
        Resource::McpResource { target: target.clone(), uri: text("file:///a/b") },
        Resource::Prompt { target: target.clone(), name: text("review") },
        Resource::AuditView { name: text("decisions") },
        Resource::AccessKind { name: text("session") },
    ];
    for shape in shapes.into_iter().chain(of_requests(&target)) {
        let entity = vocabulary.resource(&shape).unwrap();
        let bare = Entity::new_no_attrs(entity.uid(), HashSet::new());
        let checked = Entities::from_entities([entity], Some(&vocabulary.schema));
        assert!(checked.is_ok(), "{shape:?}: {checked:?}");
        // The check sees what does not fit.
        let checked = Entities::from_entities([bare], Some(&vocabulary.schema));
        assert!(checked.is_err(), "{shape:?}");
    }
}

fn of_requests(target: &str) -> [Resource; 3] {
    let (target, text) = (target.to_owned(), |name: &str| name.to_owned());
    [
        Resource::Route {
            target: target.clone(),
            name: text("customer"),
            method: text("GET"),
            path: text("/customers/{id}"),
            read_only: true,
            labels: vec![text("pii")],
        },
        Resource::KubeObject {
            target: target.clone(),
            api_group: text("apps"),
            resource: text("deployments"),
            subresource: text("scale"),
            namespace: text("shop"),
            name: text("web"),
        },
        Resource::KubeObject {
            target: target.clone(),
            api_group: String::new(),
            resource: text("nodes"),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
        },
    ]
}

/// Nor the arguments of a call, none or some.
#[test]
fn arguments_have_the_shape_that_the_schema_says() {
    let vocabulary = Vocabulary::load().unwrap();
    for call in [serde_json::json!({}), serde_json::json!({"repo": "acme/x", "": [1]})] {
        let call = CallArguments::of(call.as_object().unwrap()).unwrap();
        let entity = vocabulary.arguments(&call).unwrap();
        let checked = Entities::from_entities([entity], Some(&vocabulary.schema));
        assert!(checked.is_ok(), "{call:?}: {checked:?}");
    }
    let other = Entity::new_with_tags(
        vocabulary.arguments_id().unwrap(),
        Attributes::new(),
        HashSet::new(),
        [("/n".to_owned(), RestrictedExpression::new_long(1))],
    );
    let checked = Entities::from_entities([other.unwrap()], Some(&vocabulary.schema));
    assert!(checked.is_err(), "a number is no text");
}

/// Nor a principal, however much or little its token says.
#[test]
fn every_principal_has_the_shape_that_the_schema_says() {
    let vocabulary = Vocabulary::load().unwrap();
    let kinds = [PrincipalKind::Human, PrincipalKind::Agent, PrincipalKind::Service];
    let text = |name: &str| Some(name.to_owned());
    for kind in kinds {
        let bare = Principal {
            issuer: "https://idp".to_owned(),
            subject: "a#b\"c".to_owned(),
            display_name: String::new(),
            kind,
            groups: Vec::new(),
            owner: None,
        };
        let groups = vec!["g".to_owned(), "g".to_owned(), String::new()];
        let full = Principal { groups, owner: text("team"), ..bare.clone() };
        let agent = AgentAttributes {
            model: text("m"),
            agent: text("a"),
            task: text("t"),
            other: [("k".to_owned(), "v".to_owned())].into(),
        };
        let actor = Actor { issuer: text("https://other"), subject: "actor".to_owned() };
        let few = Facts {
            principal: bare,
            actor: None,
            agent: AgentAttributes::default(),
            binding: None,
        };
        let all =
            Facts { principal: full, actor: Some(actor), agent, binding: Some(TokenBinding::Mtls) };
        for facts in [few, all] {
            let entity = vocabulary.principal(&facts).unwrap();
            let checked = Entities::from_entities([entity], Some(&vocabulary.schema));
            assert!(checked.is_ok(), "{facts:?}: {checked:?}");
        }
    }
}
