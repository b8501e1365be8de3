//! XML signatures (XMLDSIG), as far as SAML core section 5.4 lets them go and no further.
//!
//! What is checked is not a document but bytes. The canonical form of `SignedInfo` is made, its signature is checked over
//! exactly those bytes, and the reference is read out of *them*. The canonical form of the assertion is made, its digest
//! is checked over exactly those bytes, and [`Signed`] holds *them*: whoever reads facts parses what was signed, and
//! never looks at the document again. However it was wrapped, commented or named, it cannot say anything else than
//! what the identity provider signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra_c14n::{C14nSink, exclusive};
use bergshamra_xml::nodeset::{NodeIdSet, NodeSet, NodeSetType};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::document::{Node, Xml};
use super::failure::Refused;
use super::keys::{IdpKey, SignatureMethod};

pub(super) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const EXC_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const EXC_C14N_WITH_COMMENTS: &str = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments";
/// Prefixes in one `InclusiveNamespaces`.
const MAX_PREFIXES: usize = 16;
/// The longest canonical form. It is made before it is known who signed, and may be many times the document.
const MAX_CANONICAL_BYTES: usize = 1024 * 1024;

/// An assertion in the very bytes that a key of the identity provider signed. Minted by [`verify`] alone.
#[derive(Debug)]
#[must_use]
pub(super) struct Signed {
    canonical: String,
    fingerprint: String,
}

impl Signed {
    /// The signed XML: all that may be believed.
    pub(super) fn xml(&self) -> &str {
        &self.canonical
    }

    /// Of the certificate whose key signed it: SHA-256 in hex.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// What `SignedInfo` says, read from its canonical form.
struct SignedInfo {
    method: SignatureMethod,
    digest: (DigestMethod, Vec<u8>),
    uri: String,
    prefixes: Vec<String>,
}

#[derive(Clone, Copy)]
enum DigestMethod {
    Sha256,
    Sha384,
    Sha512,
}

/// Checks the signature that `assertion` bears, by one of `keys`.
pub(super) fn verify<'k>(
    xml: &Xml<'_>,
    assertion: Node<'_>,
    mut keys: impl Iterator<Item = &'k IdpKey>,
) -> Result<Signed, Refused> {
    let twice = Refused::SignatureForm("the assertion bears more than one");
    let signature = assertion.only(DS, "Signature", twice)?.ok_or(Refused::Unsigned)?;
    let (signed_info, value) = parts(signature)?;
    let id = assertion.attribute("ID").filter(|id| !id.is_empty());
    let id = id.ok_or(Refused::Form("it has no ID"))?;
    // SAML core section 5.4.3 allows nothing but exclusive canonicalisation.
    let prefixes = canonicalization(only_child(signed_info, "CanonicalizationMethod")?)?;
    let canonical_info = canonical(xml, signed_info.ids().collect(), &prefixes)?;
    let read = SignedInfo::read(&canonical_info)?;
    let is_signed = |key: &&IdpKey| key.verifies(read.method, canonical_info.as_bytes(), &value);
    let key = keys.find(is_signed).ok_or(Refused::BadSignature)?;
    if read.uri.strip_prefix('#') != Some(id) {
        return Err(Refused::Reference);
    }
    let mut covered: NodeIdSet = assertion.ids().collect();
    for id in signature.ids() {
        covered.remove(&id);
    }
    let canonical = canonical(xml, covered, &read.prefixes)?;
    let (method, expected) = &read.digest;
    if method.digest(canonical.as_bytes()) != *expected {
        return Err(Refused::Digest);
    }
    Ok(Signed { canonical, fingerprint: key.fingerprint.clone() })
}

/// `SignedInfo` and the value; `KeyInfo` may be there and is not looked at: the keys are configured.
fn parts<'d>(signature: Node<'d>) -> Result<(Node<'d>, Vec<u8>), Refused> {
    let known = ["SignedInfo", "SignatureValue", "KeyInfo"];
    let mut names = signature.children().map(|child| known.iter().find(|name| child.is(DS, name)));
    if names.any(|name| name.is_none()) {
        return Err(Refused::SignatureForm("it has objects or parts that are not known"));
    }
    let value = only_child(signature, "SignatureValue")?;
    Ok((only_child(signature, "SignedInfo")?, decoded(value)?))
}

impl SignedInfo {
    fn read(canonical: &str) -> Result<Self, Refused> {
        let xml = Xml::parse(canonical)?;
        let info = xml.root()?;
        let known = ["CanonicalizationMethod", "SignatureMethod", "Reference"];
        if !info.is(DS, "SignedInfo") || info.children().count() != known.len() {
            return Err(Refused::SignatureForm("it has not exactly one reference"));
        }
        let _again = canonicalization(only_child(info, "CanonicalizationMethod")?)?;
        let method = only_child(info, "SignatureMethod")?;
        let reference = only_child(info, "Reference")?;
        let digest_method = only_child(reference, "DigestMethod")?;
        if method.children().next().is_some() || digest_method.children().next().is_some() {
            return Err(Refused::SignatureForm("its algorithms have parameters"));
        }
        if reference.children().count() != 3 {
            return Err(Refused::SignatureForm("its reference has parts that are not known"));
        }
        Ok(Self {
            method: SignatureMethod::parse(algorithm(method))?,
            digest: (
                DigestMethod::parse(algorithm(digest_method))?,
                decoded(only_child(reference, "DigestValue")?)?,
            ),
            uri: reference.attribute("URI").unwrap_or_default().to_owned(),
            prefixes: transforms(reference)?,
        })
    }
}

/// Exactly the two of SAML core section 5.4.4: out with the signature, then exclusive canonicalisation.
fn transforms(reference: Node<'_>) -> Result<Vec<String>, Refused> {
    let transforms = reference.only(DS, "Transforms", Refused::Transform)?;
    let transforms: Vec<Node<'_>> =
        transforms.ok_or(Refused::Transform)?.children().take(3).collect();
    let [enveloped, exclusive] = transforms.as_slice() else { return Err(Refused::Transform) };
    let is_plain = enveloped.is(DS, "Transform")
        && algorithm(*enveloped) == ENVELOPED
        && enveloped.children().next().is_none();
    if !is_plain || !exclusive.is(DS, "Transform") {
        return Err(Refused::Transform);
    }
    canonicalization(*exclusive)
}

/// The prefixes of `InclusiveNamespaces`, where the algorithm is exclusive canonicalisation. With comments or without is
/// the same here: there are none.
fn canonicalization(method: Node<'_>) -> Result<Vec<String>, Refused> {
    if ![EXC_C14N, EXC_C14N_WITH_COMMENTS].contains(&algorithm(method)) {
        return Err(Refused::Transform);
    }
    let inclusive = method.only(EXC_C14N, "InclusiveNamespaces", Refused::Transform)?;
    if method.children().count() != usize::from(inclusive.is_some()) {
        return Err(Refused::Transform);
    }
    let list = inclusive.and_then(|it| it.attribute("PrefixList")).unwrap_or_default();
    let prefixes: Vec<String> =
        list.split_ascii_whitespace().take(MAX_PREFIXES + 1).map(str::to_owned).collect();
    if prefixes.len() > MAX_PREFIXES { Err(Refused::TooComplex) } else { Ok(prefixes) }
}

/// The canonical form of the nodes with these ids.
fn canonical(xml: &Xml<'_>, ids: NodeIdSet, prefixes: &[String]) -> Result<String, Refused> {
    let nodes = NodeSet::from_ids(ids, NodeSetType::Normal);
    let mut sink = Sink::default();
    exclusive::canonicalize_to(xml.document(), false, Some(&nodes), prefixes, &mut sink)
        .map_err(|_| Refused::Malformed)?;
    if sink.is_full {
        return Err(Refused::TooComplex);
    }
    String::from_utf8(sink.bytes).map_err(|_| Refused::Malformed)
}

/// Keeps what it is given, up to a bound.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    is_full: bool,
}

impl C14nSink for Sink {
    fn write(&mut self, bytes: &[u8]) {
        self.is_full |= self.bytes.len() + bytes.len() > MAX_CANONICAL_BYTES;
        if !self.is_full {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

impl DigestMethod {
    fn parse(uri: &str) -> Result<Self, Refused> {
        Ok(match uri {
            "http://www.w3.org/2001/04/xmlenc#sha256" => Self::Sha256,
            "http://www.w3.org/2001/04/xmldsig-more#sha384" => Self::Sha384,
            "http://www.w3.org/2001/04/xmlenc#sha512" => Self::Sha512,
            _ => return Err(Refused::Algorithm),
        })
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

fn algorithm(node: Node<'_>) -> &str {
    node.attribute("Algorithm").unwrap_or_default()
}

fn only_child<'d>(node: Node<'d>, name: &str) -> Result<Node<'d>, Refused> {
    let missing = Refused::SignatureForm("a part of it is missing or stands twice");
    node.only(DS, name, missing.clone())?.ok_or(missing)
}

/// Base64 with white space in it (XML Schema `base64Binary`).
fn decoded(node: Node<'_>) -> Result<Vec<u8>, Refused> {
    let wrong = Refused::SignatureForm("a value is not base64");
    let text = node.text().ok_or_else(|| wrong.clone())?;
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|_| wrong)
}
