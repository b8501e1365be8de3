//! What the cluster may answer with: forms that can be looked into.

use crate::http::{Media, is_token, pieces};

const JSON: &str = "application/json";
/// As what objects may come: a table is another one, where it may be.
const FORMS: [&str; 3] =
    ["PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"];
const TABLE: &str = "Table";
/// What else may be said of a form.
const SAID: [&str; 6] = ["v", "g", "q", "stream", "pretty", "profile"];

/// The wish of a client (RFC 9110 section 12.5.1), written anew from what may be: without forms that nothing can look into, and
/// without tables where these may not be; JSON where nothing is left. The cluster reads more loosely than what was read here, so it
/// gets nothing as the client wrote it.
pub(super) fn accept(wish: Option<&str>, tables: bool) -> String {
    let forms = pieces(wish.unwrap_or_default(), ',').unwrap_or_default();
    let left: Vec<String> = forms.into_iter().filter_map(|form| written(form, tables)).collect();
    if left.is_empty() { JSON.to_owned() } else { left.join(",") }
}

/// One form, where it may be.
fn written(form: &str, tables: bool) -> Option<String> {
    let Media { name: mut text, parameters } = Media::read(form).filter(|it| it.name == JSON)?;
    for (place, (name, value)) in parameters.iter().enumerate() {
        let is_known = match name.as_str() {
            "as" => FORMS.contains(&value.as_str()) || (tables && value == TABLE),
            name => SAID.contains(&name) && is_token(value),
        };
        if !is_known || parameters.iter().take(place).any(|(before, _)| before == name) {
            return None;
        }
        for part in [";", name, "=", value] {
            text.push_str(part);
        }
    }
    Some(text)
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
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        assert_eq!(
            accept(Some(&format!("{discovery}, application/json")), false),
            format!("{discovery},application/json")
        );
    }

    /// The cluster takes out blanks, and the quotes of another reader.
    #[test]
    fn no_spelling_of_a_table_is_passed_on() {
        for form in [
            "as =Table;v=v1;g=meta.k8s.io",
            "as= Table;v=v1;g=meta.k8s.io",
            "as\t=\tTable;v=v1;g=meta.k8s.io",
            "AS=Table;v=v1;g=meta.k8s.io",
            "as=\"Table\";v=v1;g=meta.k8s.io",
            "as=\"Ta\\ble\";v=v1;g=meta.k8s.io",
            "as=PartialObjectMetadata;as=Table",
            "as=table",
            "v=\";as=Table\"",
            "v=\",application/json;as=Table,\"",
            "x=\"",
        ] {
            let wish = format!("application/json;{form}");
            assert_eq!(accept(Some(&wish), false), "application/json", "{form}");
        }
        let loose = "Application/JSON ; v=v1 ; as=\"Table\" ; g=meta.k8s.io , application/json";
        let written = "application/json;v=v1;as=Table;g=meta.k8s.io,application/json";
        assert_eq!(accept(Some(loose), true), written);
    }
}
