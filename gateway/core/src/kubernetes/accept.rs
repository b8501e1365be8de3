//! What the cluster may answer with: forms that can be looked into.

/// The wish of a client, without forms that nothing can look into, and without tables where these may not be; JSON where nothing
/// is left.
pub(super) fn accept(wish: Option<&str>, tables: bool) -> String {
    let readable = |form: &&str| {
        let media = form.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json")
            && (tables || !form.to_ascii_lowercase().contains("as=table"))
    };
    let left: Vec<&str> =
        wish.unwrap_or_default().split(',').map(str::trim).filter(readable).collect();
    if left.is_empty() { "application/json".to_owned() } else { left.join(",") }
}

#[cfg(test)]
mod tests {
    use super::accept;

    #[test]
    fn only_json_is_asked_for() {
        assert_eq!(
            accept(Some("application/vnd.kubernetes.protobuf,application/json"), true),
            "application/json"
        );
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(accept(Some(table), true), table);
        for other in [
            "application/vnd.kubernetes.protobuf",
            "application/yaml",
            "*/*",
            "application/cbor",
            "",
        ] {
            assert_eq!(accept(Some(other), true), "application/json", "{other}");
        }
        assert_eq!(accept(None, true), "application/json");
        assert_eq!(accept(Some(table), false), "application/json");
    }
}
