//! Paths of the API, by the rules of its request info resolver. What it would read in a way of its own is not read.

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// What the cluster offers: versions, groups, schemas, health.
    Discovery,
    /// An object, or objects.
    Object(Object),
}

/// An object; all of its kind where it has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Empty for the core group.
    pub api_group: String,
    /// The plural.
    pub resource: String,
    /// What of it; empty for itself.
    pub subresource: String,
    /// Empty where it is in none, or in all of them.
    pub namespace: String,
    /// Empty for all of them.
    pub name: String,
}

/// A path that is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPath {
    /// Not one of the API.
    #[error(
        "this path is not passed on; those below /api, /apis, /openapi, /version, /healthz, /livez and /readyz are"
    )]
    Unknown,
    /// A way past the API, or one of before.
    #[error(
        "`proxy` and the old `watch` and `redirect` paths are not passed on: what goes through them cannot be decided about"
    )]
    Bypass,
    /// More or less than an object.
    #[error(
        "this path names no object; write it as /api/v1/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE"
    )]
    Shape,
}

/// Where the versions of what is below begin, of what there is beside objects.
const DISCOVERY: [&str; 5] = ["version", "openapi", "healthz", "livez", "readyz"];
/// What a namespace has itself.
const OF_NAMESPACES: [&str; 2] = ["status", "finalize"];
/// Paths that lead elsewhere.
const BYPASSES: [&str; 3] = ["proxy", "watch", "redirect"];

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// [`NotPath`]
    pub fn read(segments: &[String]) -> Result<Self, NotPath> {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let segments = match segments.as_slice() {
            // A slash at the end says nothing more.
            [inner @ .., ""] if !inner.is_empty() => inner,
            all => all,
        };
        let (group, below) = match segments {
            [first, ..] if DISCOVERY.contains(first) => return Ok(Self::Discovery),
            ["api" | "apis"] | ["api", _] | ["apis", _] | ["apis", _, _] => {
                return Ok(Self::Discovery);
            }
            ["api", "v1", below @ ..] => ("", below),
            ["apis", group, _version, below @ ..] => (*group, below),
            _ => return Err(NotPath::Unknown),
        };
        let object = object(group, below)?;
        if !is_plain(&object.resource) || BYPASSES.contains(&object.subresource.as_str()) {
            return Err(NotPath::Bypass);
        }
        // Another case of a word that policy knows is a word that it does not.
        if !object.subresource.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(NotPath::Shape);
        }
        Ok(Self::Object(object))
    }
}

/// A resource is a word; `proxy` and the like stood here once.
fn is_plain(resource: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
    };
    !resource.is_empty() && resource.bytes().all(plain) && !BYPASSES.contains(&resource)
}

fn object(group: &str, below: &[&str]) -> Result<Object, NotPath> {
    let (namespace, rest) = match below {
        ["namespaces", name] => ("", &["namespaces", *name][..]),
        ["namespaces", name, sub] if OF_NAMESPACES.contains(sub) => {
            return Ok(Object {
                resource: "namespaces".to_owned(),
                name: (*name).to_owned(),
                subresource: (*sub).to_owned(),
                ..Object::default()
            });
        }
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let (resource, name, subresource) = match rest {
        [resource] => (*resource, "", ""),
        [resource, name] => (*resource, *name, ""),
        [resource, name, subresource] => (*resource, *name, *subresource),
        [_, _, sub, ..] | [sub, ..] if BYPASSES.contains(sub) => return Err(NotPath::Bypass),
        _ => return Err(NotPath::Shape),
    };
    let owned = str::to_owned;
    Ok(Object {
        api_group: owned(group),
        resource: owned(resource),
        subresource: owned(subresource),
        // A namespace is in itself, as the API server has it.
        namespace: owned(if resource == "namespaces" && group.is_empty() { "" } else { namespace }),
        name: owned(name),
    })
}

impl Object {
    /// As people write it: `pods/exec`, `deployments.apps`.
    #[must_use]
    pub fn kind(&self) -> String {
        let mut text = self.resource.clone();
        if !self.api_group.is_empty() {
            text.push('.');
            text.push_str(&self.api_group);
        }
        if !self.subresource.is_empty() {
            text.push('/');
            text.push_str(&self.subresource);
        }
        text
    }

    /// Whether it is this resource of the core group.
    #[must_use]
    pub fn is_core(&self, resource: &str, subresource: &str) -> bool {
        self.api_group.is_empty() && self.resource == resource && self.subresource == subresource
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<Path, NotPath> {
        let segments: Vec<String> =
            path.trim_start_matches('/').split('/').map(str::to_owned).collect();
        Path::read(&segments)
    }

    fn of(path: &str) -> (String, String, String) {
        match read(path) {
            Ok(Path::Object(it)) => (it.kind(), it.namespace, it.name),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn a_path_names_what_the_api_server_takes_it_for() {
        let want =
            |kind: &str, namespace: &str, name: &str| (kind.into(), namespace.into(), name.into());
        assert_eq!(of("/api/v1/namespaces/shop/pods"), want("pods", "shop", ""));
        assert_eq!(
            of("/api/v1/namespaces/shop/pods/web-0/exec"),
            want("pods/exec", "shop", "web-0")
        );
        assert_eq!(of("/api/v1/pods"), want("pods", "", ""));
        assert_eq!(of("/api/v1/nodes/n1/status"), want("nodes/status", "", "n1"));
        assert_eq!(of("/api/v1/namespaces"), want("namespaces", "", ""));
        assert_eq!(of("/api/v1/namespaces/shop"), want("namespaces", "", "shop"));
        assert_eq!(of("/api/v1/namespaces/shop/finalize"), want("namespaces/finalize", "", "shop"));
        assert_eq!(of("/api/v1/namespaces/shop/secrets/"), want("secrets", "shop", ""));
        assert_eq!(
            of("/apis/apps/v1/namespaces/shop/deployments/web/scale"),
            want("deployments.apps/scale", "shop", "web")
        );
        for path in [
            "/api",
            "/apis",
            "/api/v1",
            "/apis/apps",
            "/apis/apps/v1",
            "/version",
            "/openapi/v3/api/v1",
            "/readyz/etcd",
        ] {
            assert_eq!(read(path), Ok(Path::Discovery), "{path}");
        }
    }

    #[test]
    fn ways_past_the_api_are_not_read() {
        for path in [
            "/api/v1/namespaces/shop/pods/web-0/proxy",
            "/api/v1/namespaces/shop/pods/web-0/proxy/a/b",
            "/api/v1/nodes/n1/proxy/logs",
            "/api/v1/watch/namespaces/shop/pods",
            "/api/v1/proxy/nodes/n1",
            "/api/v1/namespaces/shop/services/s/proxy",
            "/api/v1/watch/secrets",
            "/api/v1/namespaces/shop/PODS",
            "/api/v1/redirect/nodes/n1",
        ] {
            assert_eq!(read(path), Err(NotPath::Bypass), "{path}");
        }
        for path in [
            "/",
            "/metrics",
            "/logs",
            "/debug/pprof",
            "/api/v2/pods",
            "/configz",
            "/swagger.json",
            "/ui",
            "/API/v1/pods",
        ] {
            assert_eq!(read(path), Err(NotPath::Unknown), "{path}");
        }
        for path in [
            "/api/v1/namespaces/shop/pods/web-0/exec/more",
            "/api/v1/namespaces/shop/pods/web-0/EXEC",
        ] {
            assert_eq!(read(path), Err(NotPath::Shape), "{path}");
        }
    }
}
