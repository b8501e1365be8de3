//! What a case is asked on.

use serde::Deserialize;
use tallyport_access::policy::Resource;

/// What it is asked on: the path from the target down, separated by `/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) struct On {
    target: Option<String>,
    database: Option<String>,
    schema: Option<String>,
    table: Option<String>,
    column: Option<String>,
    function: Option<String>,
    view: Option<String>,
    access: Option<String>,
    tool: Option<String>,
    resource: Option<String>,
    prompt: Option<String>,
    /// Of an HTTP target, as `crm/customer`.
    route: Option<String>,
    /// Of a cluster, as `prod/shop/pods/web-0/exec`: target, namespace, kind with its group, name, subresource.
    object: Option<String>,
    /// Of a route.
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    builtin: bool,
    /// Of a tool, as its definition says; what it does not say is taken as MCP does.
    #[serde(default)]
    read_only: bool,
    #[serde(default = "unless_said")]
    destructive: bool,
    #[serde(default = "unless_said")]
    open_world: bool,
}

pub(super) fn resource(on: &On) -> Result<Resource, String> {
    let named = [
        &on.target,
        &on.database,
        &on.schema,
        &on.table,
        &on.column,
        &on.function,
        &on.view,
        &on.access,
        &on.tool,
        &on.resource,
        &on.prompt,
        &on.route,
        &on.object,
    ];
    if named.iter().filter(|name| name.is_some()).count() != 1 {
        return Err(
            "`on` names exactly one of target, database, schema, table, column, function, view, access, tool, resource, prompt, route, object"
                .to_owned(),
        );
    }
    let labels = on.labels.clone();
    let parts = |path: &Option<String>| {
        path.as_deref().map(|path| path.split('/').map(str::to_owned).collect::<Vec<_>>())
    };
    if let Some(resource) = by_name(on).or_else(|| of_server(on)) {
        return Ok(resource);
    }
    if let Some(path) = &on.object {
        return object(path);
    }
    if let Some([target, database]) = parts(&on.database).as_deref() {
        return Ok(Resource::Database { target: target.clone(), database: database.clone() });
    }
    if let Some([target, database, schema]) = parts(&on.schema).as_deref() {
        return Ok(Resource::Schema {
            target: target.clone(),
            database: database.clone(),
            schema: schema.clone(),
        });
    }
    if let Some([target, database, schema, table]) = parts(&on.table).as_deref() {
        let (target, database, schema) = (target.clone(), database.clone(), schema.clone());
        return Ok(Resource::Table { target, database, schema, table: table.clone(), labels });
    }
    if let Some([target, database, schema, table, column]) = parts(&on.column).as_deref() {
        let (target, database, schema, table) =
            (target.clone(), database.clone(), schema.clone(), table.clone());
        return Ok(Resource::Column {
            target,
            database,
            schema,
            table,
            column: column.clone(),
            labels,
        });
    }
    if let Some([target, database, schema, name]) = parts(&on.function).as_deref() {
        let (target, database, schema, name) =
            (target.clone(), database.clone(), schema.clone(), name.clone());
        return Ok(Resource::Function { target, database, schema, name, builtin: on.builtin });
    }
    Err("a path from the target down is meant, such as table = \"sample/sample/app/orders\""
        .to_owned())
}

/// What has a name and nothing above it.
fn by_name(on: &On) -> Option<Resource> {
    let target = on.target.clone().map(|name| Resource::Target { name });
    let view = || on.view.clone().map(|name| Resource::AuditView { name });
    let access = || on.access.clone().map(|name| Resource::AccessKind { name });
    target.or_else(view).or_else(access)
}

/// What an MCP server or an HTTP target has. Only the server's name ends at the first `/`: what follows may hold more of them.
fn of_server(on: &On) -> Option<Resource> {
    let split = |path: &Option<String>| {
        let (target, name) = path.as_deref()?.split_once('/')?;
        Some((target.to_owned(), name.to_owned()))
    };
    if let Some((target, name)) = split(&on.tool) {
        return Some(Resource::Tool {
            target,
            name,
            read_only: on.read_only,
            destructive: on.destructive,
            open_world: on.open_world,
            labels: on.labels.clone(),
        });
    }
    if let Some((target, name)) = split(&on.route) {
        return Some(Resource::Route {
            target,
            name,
            method: on.method.clone(),
            path: on.path.clone(),
            read_only: on.read_only,
            labels: on.labels.clone(),
        });
    }
    if let Some((target, uri)) = split(&on.resource) {
        return Some(Resource::McpResource { target, uri });
    }
    split(&on.prompt).map(|(target, name)| Resource::Prompt { target, name })
}

fn object(path: &str) -> Result<Resource, String> {
    let parts: Vec<&str> = path.split('/').collect();
    let (target, namespace, kind, rest) = match parts.as_slice() {
        [target, namespace, kind, rest @ ..] if rest.len() <= 2 => (target, namespace, kind, rest),
        _ => {
            return Err("an object is meant, such as object = \"prod/shop/pods/web-0/exec\", \"prod/shop/pods\" or \
                        \"prod//deployments.apps\""
                .to_owned());
        }
    };
    let (resource, api_group) = kind.split_once('.').unwrap_or((kind, ""));
    let at = |place: usize| rest.get(place).copied().unwrap_or_default().to_owned();
    Ok(Resource::KubeObject {
        target: (*target).to_owned(),
        api_group: api_group.to_owned(),
        resource: resource.to_owned(),
        subresource: at(1),
        namespace: (*namespace).to_owned(),
        name: at(0),
    })
}

const fn unless_said() -> bool {
    true
}
