//! A kubeconfig for the local port of `tallyport connect`.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use crate::exit::Failure;

/// What such a file begins with: no other is written over.
const MARK: &str = "# Written by tallyport connect; it is written anew each time.\n";

/// Writes it. It holds no secret: whoever reaches the port acts as this process does.
pub fn write(
    path: &Path,
    (target, namespace): (&str, Option<&str>),
    address: SocketAddr,
) -> Result<(), Failure> {
    let is_ours = match std::fs::read_to_string(path) {
        Ok(text) => text.starts_with(MARK),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if !is_ours {
        return Err(Failure::usage(format!(
            "{}: it was not written by tallyport connect, and is not written over; name a file of its own, and set KUBECONFIG to it",
            path.display()
        )));
    }
    let name = format!("tallyport-{target}");
    let mut context = json!({ "cluster": name, "user": name });
    if let (Some(namespace), Some(context)) = (namespace, context.as_object_mut()) {
        context.insert("namespace".to_owned(), json!(namespace));
    }
    // JSON is YAML. Some clients speak plain HTTP only where they are told that no certificate is checked.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": { "server": format!("http://{address}"), "insecure-skip-tls-verify": true } }],
        "users": [{ "name": name, "user": {} }],
        "contexts": [{ "name": name, "context": context }],
        "current-context": name,
    });
    crate::ready::write_whole(path, &format!("{MARK}{config:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_file_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let address = "127.0.0.1:4711".parse().unwrap();
        write(&path, ("prod", Some("shop")), address).unwrap();
        write(&path, ("prod", None), address).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("http://127.0.0.1:4711") && !text.contains("shop"), "{text}");
        std::fs::write(&path, "apiVersion: v1\n").unwrap();
        let told = write(&path, ("prod", None), address).unwrap_err().to_string();
        assert!(told.contains("name a file of its own"), "{told}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "apiVersion: v1\n");
    }
}
