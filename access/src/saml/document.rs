//! XML within bounds: what is refused before a parser sees it, and the tree behind it.
//!
//! The one place that knows the parser. A SAML message has no use for a DTD, a comment, a CDATA section or a processing
//! instruction, and each of them made parsers and signature libraries read one document in two ways. All begin with
//! `<!` or `<?`, and a `<` that is no markup cannot stand in XML, so a search in the text finds every one of them.

use std::collections::HashSet;

use uppsala::{Document, Element, NodeId, NodeKind, Parser};

use super::failure::Refused;

/// The deepest nesting: an assertion in a response needs about ten.
const MAX_DEPTH: u32 = 24;
/// Tags, opening and closing ones.
const MAX_TAGS: usize = 8_192;
/// Attributes and namespace declarations of the whole document, and `=` in text.
const MAX_EQUAL_SIGNS: usize = 8_192;
/// The longest name of a namespace: its canonical form says it again at every element that uses it.
const MAX_NAMESPACE_BYTES: usize = 512;

/// A document that has nothing in it but elements, attributes and text.
pub(super) struct Xml<'x> {
    document: Document<'x>,
    root: NodeId,
}

/// An element of it.
#[derive(Clone, Copy)]
pub(super) struct Node<'d> {
    document: &'d Document<'d>,
    element: &'d Element<'d>,
    id: NodeId,
}

impl<'x> Xml<'x> {
    pub(super) fn parse(text: &'x str) -> Result<Self, Refused> {
        check_markup(text)?;
        if text.matches('<').count() > MAX_TAGS || text.matches('=').count() > MAX_EQUAL_SIGNS {
            return Err(Refused::TooComplex);
        }
        if longest_namespace(text) > MAX_NAMESPACE_BYTES {
            return Err(Refused::TooComplex);
        }
        // Counted here, so that nothing rests on the words of the parser's error.
        if deepest(text) > MAX_DEPTH {
            return Err(Refused::TooComplex);
        }
        let parser = Parser::new().with_forbid_dtd(true).with_max_depth(MAX_DEPTH);
        let document = parser.parse(text).map_err(|_| Refused::Malformed)?;
        let root = document.document_element().ok_or(Refused::Malformed)?;
        let xml = Self { document, root };
        xml.root()?.check_kinds_and_ids()?;
        Ok(xml)
    }

    pub(super) fn root(&self) -> Result<Node<'_>, Refused> {
        Node::of(&self.document, self.root).ok_or(Refused::Malformed)
    }

    /// The parsed document, for its canonical form.
    pub(super) const fn document(&self) -> &Document<'x> {
        &self.document
    }
}

impl<'d> Node<'d> {
    fn of(document: &'d Document<'_>, id: NodeId) -> Option<Self> {
        Some(Self { document, element: document.element(id)?, id })
    }

    /// Whether it is this element of this namespace.
    pub(super) fn is(self, namespace: &str, name: &str) -> bool {
        self.element.name.namespace_uri.as_deref() == Some(namespace)
            && self.element.name.local_name == name
    }

    /// The name without its namespace: only to refuse look-alikes.
    pub(super) fn local_name(self) -> &'d str {
        &self.element.name.local_name
    }

    /// An attribute without a namespace; those of a namespace are others.
    pub(super) fn attribute(self, name: &str) -> Option<&'d str> {
        let mut found = self.element.attributes.iter().filter(|attribute| {
            attribute.name.namespace_uri.is_none()
                && attribute.name.prefix.is_none()
                && attribute.name.local_name == name
        });
        found.next().map(|attribute| &*attribute.value)
    }

    pub(super) fn children(self) -> impl Iterator<Item = Self> {
        self.document.children_iter(self.id).filter_map(move |id| Self::of(self.document, id))
    }

    /// Children of one name.
    pub(super) fn named(self, namespace: &str, name: &str) -> impl Iterator<Item = Self> {
        self.children().filter(move |child| child.is(namespace, name))
    }

    /// The only child of this name; `twice` where there are more.
    pub(super) fn only(
        self,
        namespace: &str,
        name: &str,
        twice: Refused,
    ) -> Result<Option<Self>, Refused> {
        let mut found = self.named(namespace, name);
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(twice),
        }
    }

    /// It and all elements below it.
    pub(super) fn all(self) -> impl Iterator<Item = Self> {
        let below = self.document.descendants(self.id);
        std::iter::once(self)
            .chain(below.into_iter().filter_map(move |id| Self::of(self.document, id)))
    }

    /// The ids of it and all nodes below it.
    pub(super) fn ids(self) -> impl Iterator<Item = usize> {
        std::iter::once(self.id.index())
            .chain(self.document.descendants(self.id).into_iter().map(|id| id.index()))
    }

    /// All of its text, of every node, where it has no elements in it.
    pub(super) fn text(self) -> Option<String> {
        let mut text = String::new();
        for child in self.document.children_iter(self.id) {
            match self.document.node_kind(child)? {
                NodeKind::Text(part) => text.push_str(part),
                _ => return None,
            }
        }
        Some(text)
    }

    /// Whether there is text beside its elements that is more than white space.
    pub(super) fn has_stray_text(self) -> bool {
        self.document.children_iter(self.id).any(|child| {
            matches!(self.document.node_kind(child), Some(NodeKind::Text(text)) if !text.trim().is_empty())
        })
    }

    fn check_kinds_and_ids(self) -> Result<(), Refused> {
        let mut ids = HashSet::new();
        for id in std::iter::once(self.id).chain(self.document.descendants(self.id)) {
            match self.document.node_kind(id) {
                Some(NodeKind::Text(_)) => {}
                Some(NodeKind::Element(element)) => {
                    // Whatever somebody may take for an id: another library may look for another spelling.
                    let named = |name: &str| name.eq_ignore_ascii_case("id");
                    let of_it = element.attributes.iter().filter(|it| named(&it.name.local_name));
                    if !of_it.into_iter().all(|attribute| ids.insert(&*attribute.value)) {
                        return Err(Refused::DuplicateId);
                    }
                }
                _ => return Err(Refused::Markup),
            }
        }
        Ok(())
    }
}

/// Refuses everything but elements, text and an XML declaration at the very beginning.
fn check_markup(text: &str) -> Result<(), Refused> {
    let body = match text.strip_prefix("<?xml") {
        None => text,
        Some(rest) => {
            let (declaration, body) = rest.split_once("?>").ok_or(Refused::Malformed)?;
            // The text is UTF-8 already: another name for its encoding would have it read in two ways.
            let lower = declaration.to_ascii_lowercase();
            if lower.contains("encoding") && !lower.contains("utf-8") {
                return Err(Refused::Encoding);
            }
            body
        }
    };
    if body.contains("<!DOCTYPE") || body.contains("<!ENTITY") {
        return Err(Refused::Dtd);
    }
    if body.contains("<!") || body.contains("<?") {
        return Err(Refused::Markup);
    }
    Ok(())
}

/// The longest text in quotes behind an `xmlns`: no declaration of a namespace has a longer one.
fn longest_namespace(text: &str) -> usize {
    let values = text.split("xmlns").skip(1).filter_map(|rest| {
        let quote = rest.find(['"', '\''])?;
        let value = rest.get(quote + 1..)?;
        let end = rest.get(quote..=quote).and_then(|quote| value.find(quote));
        Some(end.unwrap_or(value.len()))
    });
    values.max().unwrap_or_default()
}

/// How deep tags nest; of text that is not well-formed it is not less than a parser would find.
fn deepest(text: &str) -> u32 {
    let (mut depth, mut most) = (0_u32, 0_u32);
    for part in text.split('<').skip(1) {
        if part.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else {
            depth = depth.saturating_add(1);
            most = most.max(depth);
            // A `>` within an attribute's value ends nothing: it is then counted as open, never as closed.
            if part.split('>').next().is_some_and(|tag| tag.ends_with('/')) {
                depth = depth.saturating_sub(1);
            }
        }
    }
    most
}
