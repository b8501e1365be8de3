//! Why an assertion was not exchanged.

/// Its texts are our own words: nothing of the assertion is in them, but for names out of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "the assertion is larger than {max_bytes} bytes; ask the identity provider for fewer attributes"
    )]
    TooLarge { max_bytes: usize },
    #[error("the assertion is not XML in UTF-8, encoded in base64url (RFC 7522 section 2.1)")]
    Encoding,
    #[error("the document has a DTD or declares entities, which no SAML message does")]
    Dtd,
    #[error(
        "the document has comments, CDATA sections or processing instructions, which are not taken"
    )]
    Markup,
    #[error("the document is nested deeper, or has more elements or attributes, than is taken")]
    TooComplex,
    #[error("the document is not well-formed XML with namespaces")]
    Malformed,
    #[error("an ID stands twice in the document")]
    DuplicateId,
    #[error(
        "the assertion is encrypted, which is not taken; have the identity provider sign it and not encrypt it"
    )]
    Encrypted,
    #[error("the document is not one SAML 2.0 assertion, or a response with exactly one")]
    NotOneAssertion,
    #[error(
        "the assertion itself is not signed; have the identity provider sign assertions, not only responses"
    )]
    Unsigned,
    #[error("the signature is not one that is taken: {0}")]
    SignatureForm(&'static str),
    #[error("the signature covers something else than the assertion that it stands in")]
    Reference,
    #[error(
        "the signature uses other transforms than enveloped-signature and exclusive canonicalisation"
    )]
    Transform,
    #[error(
        "the signature uses an algorithm that is not taken; use RSA or ECDSA with SHA-256 or better"
    )]
    Algorithm,
    #[error("the assertion was changed after it was signed")]
    Digest,
    #[error("the signature is not that of a configured certificate of the identity provider")]
    BadSignature,
    #[error("the assertion's issuer is not a configured identity provider")]
    UnknownIdp,
    #[error("the assertion is not of the form that is taken: {0}")]
    Form(&'static str),
    #[error(
        "the assertion has a condition that is not known here, or forbids to issue a token on its word"
    )]
    Condition,
    #[error(
        "the assertion is for another audience; set this service's as the audience at the identity provider"
    )]
    Audience,
    #[error(
        "the assertion is not to be sent here; set this service's URL as the recipient at the identity provider"
    )]
    Recipient,
    #[error("the assertion is not a bearer's (subject confirmation `bearer`)")]
    NotBearer,
    #[error("the assertion, or the sign-in that it tells of, is over; get a new one")]
    Expired,
    #[error(
        "the assertion is not valid yet; check the clocks of the identity provider and this service"
    )]
    NotYetValid,
    #[error("the assertion was issued longer than {max_seconds} s ago; get a new one")]
    TooOld { max_seconds: u64 },
    #[error(
        "the NameID is no stable id (transient, or of the wrong form); send a persistent one, or configure `attributes.subject`"
    )]
    NameId,
    #[error("the assertion lacks the attribute `{0}`")]
    MissingAttribute(String),
    #[error("the attribute `{0}` is not of the form or value that is taken")]
    InvalidAttribute(String),
    #[error("the assertion was exchanged before; get a new one")]
    Replayed,
    #[error("more assertions came than can be remembered; try again in some minutes")]
    Full,
    #[error("the token could not be signed; tell whoever runs this gateway")]
    NotIssued,
}

impl Refused {
    /// For events and metrics: the list is in docs/reference/saml.md.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "saml_too_large",
            Self::Encoding => "saml_encoding",
            Self::Dtd => "saml_dtd",
            Self::Markup => "saml_markup",
            Self::TooComplex => "saml_too_complex",
            Self::Malformed => "saml_malformed",
            Self::DuplicateId => "saml_duplicate_id",
            Self::Encrypted => "saml_encrypted",
            Self::NotOneAssertion => "saml_not_one_assertion",
            Self::Unsigned => "saml_unsigned",
            Self::SignatureForm(_) => "saml_signature_form",
            Self::Reference => "saml_reference",
            Self::Transform => "saml_transform",
            Self::Algorithm => "saml_algorithm",
            Self::Digest => "saml_digest",
            Self::BadSignature => "saml_bad_signature",
            Self::UnknownIdp => "saml_unknown_idp",
            Self::Form(_) => "saml_form",
            Self::Condition => "saml_condition",
            Self::Audience => "saml_wrong_audience",
            Self::Recipient => "saml_wrong_recipient",
            Self::NotBearer => "saml_not_bearer",
            Self::Expired => "saml_expired",
            Self::NotYetValid => "saml_not_yet_valid",
            Self::TooOld { .. } => "saml_too_old",
            Self::NameId => "saml_name_id",
            Self::MissingAttribute(_) => "saml_missing_attribute",
            Self::InvalidAttribute(_) => "saml_invalid_attribute",
            Self::Replayed => "saml_replayed",
            Self::Full => "saml_full",
            Self::NotIssued => "saml_not_issued",
        }
    }
}
