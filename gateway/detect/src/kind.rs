//! What can be found, most specific first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::{UnknownName, kind_names};

macro_rules! kinds {
    ($($group:ident { $($kind:ident $name:literal $doc:literal;)+ })+) => {
        /// What was found. The order is the rank: of two kinds that claim one byte, the first named here has it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[doc = $doc] $kind,)+)+
        }

        impl Kind {
            /// All of them, in the order of their rank.
            pub const ALL: &'static [Self] = &[$($(Self::$kind,)+)+];

            /// The stable name: in configuration, in counts and in masks.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$kind => $name,)+)+ }
            }

            /// The group it belongs to.
            #[must_use]
            pub const fn group(self) -> Group {
                match self { $($(Self::$kind => Group::$group,)+)+ }
            }
        }
    };
}

kinds! {
    Secrets {
        GcpServiceAccountKey "gcp_service_account_key" "The private key of a Google Cloud service account file.";
        PrivateKey "private_key" "A private key in PEM: PKCS #1, PKCS #8, SEC 1, OpenSSH, PGP.";
        Jwt "jwt" "A JSON Web Token (RFC 7519) whose header is JSON with `alg`.";
        AwsAccessKeyId "aws_access_key_id" "An AWS access key id.";
        AwsSecretAccessKey "aws_secret_access_key" "An AWS secret access key beside its name.";
        AwsSessionToken "aws_session_token" "A session token of AWS STS.";
        GcpApiKey "gcp_api_key" "A Google API key.";
        GoogleOauth "google_oauth" "A Google OAuth access token or client secret.";
        AzureStorageKey "azure_storage_key" "An Azure storage account key in a connection string.";
        AzureSharedAccessKey "azure_shared_access_key" "A key of Azure Service Bus, Event Hubs or IoT Hub in a connection string.";
        AzureSas "azure_sas" "The signature of an Azure shared access signature.";
        AzureClientSecret "azure_client_secret" "A client secret of Microsoft Entra ID.";
        GithubToken "github_token" "A GitHub token of any kind.";
        GitlabToken "gitlab_token" "A GitLab token of any kind.";
        SlackToken "slack_token" "A Slack token.";
        SlackWebhook "slack_webhook" "The address of a Slack incoming webhook.";
        StripeKey "stripe_key" "A live secret or restricted key of Stripe.";
        NpmToken "npm_token" "An npm access token.";
        PypiToken "pypi_token" "A PyPI API token.";
        AnthropicKey "anthropic_key" "An Anthropic API key.";
        OpenaiKey "openai_key" "An OpenAI API key.";
        TwilioKey "twilio_key" "A Twilio auth token or API key beside the word.";
        SendgridKey "sendgrid_key" "A SendGrid API key.";
        HuggingfaceToken "huggingface_token" "A Hugging Face token.";
        DigitaloceanToken "digitalocean_token" "A DigitalOcean token.";
        VaultToken "vault_token" "A HashiCorp Vault token.";
        ShopifyToken "shopify_token" "A Shopify token or shared secret.";
        TelegramToken "telegram_token" "The token of a Telegram bot.";
        UrlPassword "url_password" "User, password and host of a URL that has a password: databases, brokers, HTTP.";
        Authorization "authorization" "The credential of an HTTP `Authorization` header, Basic or Bearer.";
    }
    Financial {
        PaymentCard "payment_card" "The number of a payment card (ISO/IEC 7812).";
        Iban "iban" "An international bank account number (ISO 13616).";
    }
    NationalIds {
        ItCodiceFiscale "it_codice_fiscale" "Italy: codice fiscale of a person.";
        DeSocialInsurance "de_social_insurance" "Germany: Rentenversicherungsnummer.";
        FiHetu "fi_hetu" "Finland: henkilötunnus.";
        FrNir "fr_nir" "France: numéro de sécurité sociale (NIR) with its key.";
        ChAhv "ch_ahv" "Switzerland: AHV number.";
        BeNationalNumber "be_national_number" "Belgium: national register number.";
        NoFodselsnummer "no_fodselsnummer" "Norway: fødselsnummer or D number.";
        BrCpf "br_cpf" "Brazil: CPF.";
        InAadhaar "in_aadhaar" "India: Aadhaar number.";
        PlPesel "pl_pesel" "Poland: PESEL.";
        DeSteuerId "de_steuer_id" "Germany: steuerliche Identifikationsnummer.";
        EsDni "es_dni" "Spain: DNI or NIE.";
        SePersonnummer "se_personnummer" "Sweden: personnummer or samordningsnummer.";
        DkCpr "dk_cpr" "Denmark: CPR number.";
        NlBsn "nl_bsn" "Netherlands: burgerservicenummer.";
        UkNino "uk_nino" "United Kingdom: National Insurance number.";
        UsSsn "us_ssn" "United States: social security number.";
    }
    Contact {
        Email "email" "An e-mail address.";
        Phone "phone" "A telephone number.";
    }
}

/// Kinds that policies name together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Keys, tokens and passwords of machines and services.
    Secrets,
    /// Cards and accounts.
    Financial,
    /// Numbers by which a state knows a person.
    NationalIds,
    /// E-mail and telephone.
    Contact,
}

impl Group {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Secrets, Self::Financial, Self::NationalIds, Self::Contact];

    /// The stable name in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secrets => "secrets",
            Self::Financial => "financial",
            Self::NationalIds => "national_ids",
            Self::Contact => "contact",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.iter().copied().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownName::new("kind", name, kind_names()))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u64);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);

    /// Every kind there is.
    #[must_use]
    pub fn all() -> Self {
        Kind::ALL.iter().copied().collect()
    }

    /// The kinds of one group.
    #[must_use]
    pub fn of(group: Group) -> Self {
        Kind::ALL.iter().copied().filter(|kind| kind.group() == group).collect()
    }

    /// Whether `kind` is in the set.
    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u64) != 0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any kind is in both.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds one kind.
    pub const fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u64;
    }

    /// The kinds in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds of the set, in the order of their rank.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut set = Self::NONE;
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

impl From<Kind> for Kinds {
    fn from(kind: Kind) -> Self {
        [kind].into_iter().collect()
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

// One bit each.
const _: () = assert!(Kind::ALL.len() <= 64);
