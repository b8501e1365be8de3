//! The table of token formats: what begins them, what they look like, and what is checked.

use super::edges::is_word;
use crate::kind::Kind;
use crate::tail::{is_base64url, is_token68};

/// A token that has a shape of its own, or stands behind its name.
pub(super) struct Format {
    pub kind: Kind,
    /// The words that a candidate is built around.
    pub anchors: &'static [&'static str],
    /// Bytes of the token before the anchor.
    pub back: usize,
    /// What stands from there up to the value and is not hidden; empty where the value begins.
    pub lead: &'static str,
    /// The value.
    pub value: &'static str,
    /// What must not stand before it: where it could as well go on, each piece of a long one would be looked at.
    pub before: fn(u8) -> bool,
    /// What must not follow it.
    pub alphabet: fn(u8) -> bool,
    pub check: Check,
}

/// What else is asked of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Not a placeholder.
    Varied,
    /// GitHub's and npm's checksum, behind a prefix of four bytes, of values of forty.
    Crc,
    /// `user:password` in base64 behind `Basic`; a token with a digit behind `Bearer`.
    Credentials,
    /// May be longer than a window.
    Long,
}

impl Format {
    const fn new(kind: Kind, anchors: &'static [&'static str], value: &'static str) -> Self {
        Self {
            kind,
            anchors,
            back: 0,
            lead: "",
            value,
            before: is_base64url,
            alphabet: is_base64url,
            check: Check::Varied,
        }
    }

    const fn behind(self, lead: &'static str) -> Self {
        Self { lead, ..self }
    }

    const fn of(self, alphabet: fn(u8) -> bool) -> Self {
        Self { before: is_word, alphabet, ..self }
    }

    const fn not_behind(self, before: fn(u8) -> bool) -> Self {
        Self { before, ..self }
    }

    const fn checked(self, check: Check) -> Self {
        Self { check, ..self }
    }

    const fn back(self, back: usize) -> Self {
        Self { back, ..self }
    }
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

const fn is_dotted(byte: u8) -> bool {
    is_base64url(byte) || byte == b'.'
}

/// Between a name and its value in JSON, YAML, INI, shells and programs.
macro_rules! assigned {
    ($name:literal) => {
        concat!($name, r#"\\?["']?[ \t]{0,4}(?:[:=]|=>)[ \t]{0,4}\\?["']?"#)
    };
}

pub(super) const FORMATS: &[Format] = &[
    Format::new(Kind::AwsAccessKeyId, &["AKIA", "ASIA"], "A[KS]IA[A-Z2-7]{16}").of(is_word),
    Format::new(
        Kind::AwsSecretAccessKey,
        &["ecret_access_key", "ecretAccessKey", "ECRET_ACCESS_KEY"],
        "[A-Za-z0-9/+]{40}",
    )
    .behind(assigned!("(?:ecret_access_key|ecretAccessKey|ECRET_ACCESS_KEY)"))
    .of(is_token68),
    Format::new(Kind::AwsSessionToken, &["FwoGZXIvYXdz", "IQoJb3JpZ2lu"], "[A-Za-z0-9/+]{100,}={0,2}")
        .of(is_token68)
        .not_behind(is_base64)
    .checked(Check::Long),
    Format::new(Kind::GcpApiKey, &["AIza"], "AIza[A-Za-z0-9_-]{35}"),
    Format::new(Kind::GoogleOauth, &["ya29."], r"ya29\.[A-Za-z0-9_.-]{20,}").of(is_token68).not_behind(is_dotted)
    .checked(Check::Long),
    Format::new(Kind::GoogleOauth, &["GOCSPX-"], "GOCSPX-[A-Za-z0-9_-]{28}"),
    Format::new(Kind::AzureStorageKey, &["AccountKey="], "[A-Za-z0-9+/]{86}==").behind("AccountKey="),
    Format::new(Kind::AzureSharedAccessKey, &["SharedAccessKey="], "[A-Za-z0-9+/]{43}=").behind("SharedAccessKey="),
    // The signature alone: it is an HMAC-SHA256, in base64, percent-encoded in a URL.
    Format::new(Kind::AzureSas, &["sig="], "(?:[A-Za-z0-9]|%2[BbFf]|[+/]){43}(?:%3[Dd]|=)").behind("sig="),
    Format::new(Kind::AzureClientSecret, &["7Q~", "8Q~"], r"[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}")
        .of(is_token68)
        .back(3),
    Format::new(Kind::GithubToken, &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], "gh[opusr]_[A-Za-z0-9]{36}")
        .of(is_word)
        .checked(Check::Crc),
    // Refresh tokens of apps are longer, and have no checksum that is known.
    Format::new(Kind::GithubToken, &["ghr_"], "ghr_[A-Za-z0-9]{76}").of(is_word),
    Format::new(Kind::GithubToken, &["github_pat_"], "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}").of(is_word),
    Format::new(
        Kind::GitlabToken,
        &["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-"],
        r"gl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_-]{20,300}(?:\.[a-z0-9]{2}\.[a-z0-9]{9})?",
    ),
    Format::new(Kind::SlackToken, &["xox"], "xox[abeoprs]-(?:[A-Za-z0-9]{1,64}-){1,6}[A-Za-z0-9]{16,128}"),
    Format::new(Kind::SlackToken, &["xapp-"], "xapp-[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-[a-f0-9]{32,128}"),
    Format::new(Kind::SlackWebhook, &["hooks.slack.com/"], "[A-Za-z0-9]{8,16}/[A-Za-z0-9]{8,16}/[A-Za-z0-9]{20,32}")
        .behind("hooks[.]slack[.]com/(?:services|workflows|triggers)/"),
    Format::new(Kind::StripeKey, &["sk_live_", "rk_live_"], "[rs]k_live_[A-Za-z0-9]{24,247}").of(is_word),
    Format::new(Kind::NpmToken, &["npm_"], "npm_[A-Za-z0-9]{36}").of(is_word).checked(Check::Crc),
    Format::new(Kind::PypiToken, &["pypi-AgE"], "pypi-AgE[A-Za-z0-9_-]{50,400}"),
    Format::new(Kind::AnthropicKey, &["sk-ant-"], "sk-ant-[a-z0-9]{2,16}-[A-Za-z0-9_-]{80,120}"),
    Format::new(
        Kind::OpenaiKey,
        &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        "sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,200}",
    ),
    // The marker in the middle of the first kind of keys is `OpenAI` in base64.
    Format::new(Kind::OpenaiKey, &["T3BlbkFJ"], "sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}").back(23),
    Format::new(Kind::SendgridKey, &["SG."], r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    Format::new(Kind::HuggingfaceToken, &["hf_"], "hf_[A-Za-z0-9]{34,37}").of(is_word),
    Format::new(Kind::DigitaloceanToken, &["dop_v1_", "doo_v1_", "dor_v1_"], "do[opr]_v1_[a-f0-9]{64}").of(is_word),
    Format::new(Kind::VaultToken, &["hvs.", "hvb.", "hvr."], r"hv[sbr]\.[A-Za-z0-9_-]{24,300}"),
    Format::new(
        Kind::ShopifyToken,
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        "shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    )
    .of(is_word),
    Format::new(
        Kind::Authorization,
        &["uthorization", "UTHORIZATION"],
        "[A-Za-z0-9._~+/-]{8,}={0,2}",
    )
    .behind(r#"(?i:uthorization)\\?["']?[ \t]{0,4}[:=,][ \t]{0,4}\\?["']?(?i:basic|bearer|token)[ \t]{1,4}"#)
    .of(is_token68)
    .checked(Check::Credentials),
];
