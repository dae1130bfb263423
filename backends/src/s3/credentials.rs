//! Who asks: keys from the caller's variables, else AWS's own chain (profiles, SSO, roles of
//! instances and containers, web identity), renewed before they expire.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use super::place::Given;
use crate::Options;

/// Credentials that expire sooner are asked for anew.
const EXPIRES_SOON: Duration = Duration::from_mins(5);
/// The chain ends after so long: a machine without a metadata service would else be waited for.
const CHAIN_TAKES: Duration = Duration::from_secs(30);

/// What was found.
pub(super) struct Loaded {
    pub(super) credentials: Credentials,
    /// The region that the profile or the instance says.
    pub(super) region: Option<String>,
}

/// A source of credentials.
pub(super) enum Credentials {
    /// Two keys, and a token perhaps.
    Fixed(Arc<AwsCredential>),
    /// The chain.
    Chain { provider: Option<SharedCredentialsProvider>, known: Mutex<Option<KnownCredentials>> },
}

/// Credentials of the chain.
pub(super) struct KnownCredentials {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
}

/// There are none, or they cannot be had.
#[derive(Debug)]
pub(super) struct NoCredentials(pub(super) String);

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no credentials for S3: {}", self.0)
    }
}

impl std::error::Error for NoCredentials {}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed(_) => "Credentials::Fixed",
            Self::Chain { .. } => "Credentials::Chain",
        })
    }
}

/// Looks where credentials are; the chain itself is asked at the first request.
pub(super) async fn load(given: &Given, options: &Options) -> Loaded {
    let variable = |name: &str| (options.variable)(name).filter(|value| !value.is_empty());
    let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
    if let (Some((key_id, secret_key)), None) = (keys, &given.profile) {
        let credential = AwsCredential { key_id, secret_key, token: variable("AWS_SESSION_TOKEN") };
        return Loaded { credentials: Credentials::Fixed(Arc::new(credential)), region: None };
    }
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = &given.profile {
        // What a person names goes before variables, which the chain would ask first.
        let of_profile = ProfileFileCredentialsProvider::builder().profile_name(profile);
        loader = loader.profile_name(profile).credentials_provider(of_profile.build());
    }
    let chain = tokio::time::timeout(CHAIN_TAKES, loader.load()).await.ok();
    Loaded {
        region: chain.as_ref().and_then(|chain| chain.region().map(Region::to_string)),
        credentials: Credentials::Chain {
            provider: chain.and_then(|chain| chain.credentials_provider()),
            known: Mutex::new(None),
        },
    }
}

impl Credentials {
    /// Those to sign with now.
    pub(super) async fn current(&self) -> Result<Arc<AwsCredential>, NoCredentials> {
        let (provider, known) = match self {
            Self::Fixed(credential) => return Ok(Arc::clone(credential)),
            Self::Chain { provider, known } => (provider, known),
        };
        let mut known = known.lock().await;
        let soon = SystemTime::now() + EXPIRES_SOON;
        if let Some(known) = &*known
            && known.expires.is_none_or(|expires| expires > soon)
        {
            return Ok(Arc::clone(&known.credential));
        }
        let none = |text: &str| NoCredentials(text.to_owned());
        let provider = provider.as_ref().ok_or_else(|| none("there are none"))?;
        let asked = tokio::time::timeout(CHAIN_TAKES, provider.provide_credentials());
        let found = asked
            .await
            .map_err(|_| none("nobody answered in time"))?
            .map_err(|error| NoCredentials(chain_text(&error)))?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *known =
            Some(KnownCredentials { credential: Arc::clone(&credential), expires: found.expiry() });
        Ok(credential)
    }
}

/// What the chain says, with its causes: it names files and addresses, no keys.
fn chain_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[async_trait::async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.current()
            .await
            .map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}
