//! From a URL to a service of opendal that can be called: its credentials, endpoint and prefix.

use opendal::services::{Azblob, Gcs, Webdav};
use opendal::{Builder, OperationContext, Operator};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::errors::explained;
use super::transport::Transport;
use crate::destination::{Remote, Scheme, invalid};
use crate::{Error, ErrorKind, Options, Result, Writes};

const AZURE_KEYS: [&str; 2] = ["AZURE_STORAGE_ACCOUNT_KEY", "AZBLOB_ACCOUNT_KEY"];
const AZURE_TOKENS: [&str; 2] = ["AZURE_STORAGE_SAS_TOKEN", "AZBLOB_SAS_TOKEN"];
const GOOGLE_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const GOOGLE_TOKEN: &str = "GOOGLE_OAUTH_ACCESS_TOKEN";

/// Which service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpendalService {
    Azblob,
    Gcs,
    Webdav,
}

impl OpendalService {
    /// Whether there are folders, and not only keys with slashes.
    pub(super) fn has_folders(self) -> bool {
        self == Self::Webdav
    }

    /// What to do where it lets nobody in.
    pub(super) fn credentials_hint(self) -> &'static str {
        match self {
            Self::Azblob => {
                "look at AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN: a token needs the rights to read, add, create, write, delete and list"
            }
            Self::Gcs => {
                "look at GOOGLE_APPLICATION_CREDENTIALS: its account needs the role Storage Object User for the bucket"
            }
            Self::Webdav => {
                "look at the user in the URL and at the password (an app password, if the server has a second factor)"
            }
        }
    }
}

/// A service that can be called.
pub(super) struct Configured {
    pub(super) operator: Operator,
    pub(super) service: OpendalService,
    pub(super) writes: Writes,
}

/// Makes no request.
///
/// Errors: `Invalid` for a bad URL or missing credentials.
pub(super) fn configured(
    remote: &Remote,
    options: &Options,
    transport: &Transport,
) -> Result<Configured> {
    let (operator, service, writes) = match remote.scheme {
        Scheme::Azblob => azblob(remote, options)?,
        Scheme::Gcs => gcs(remote, options)?,
        _ => webdav(remote, options)?,
    };
    let transport = opendal::HttpTransporter::new(transport.clone());
    let context = OperationContext::new().with_http_transport(transport);
    Ok(Configured { operator: operator.with_context(context), service, writes })
}

type Made = (Operator, OpendalService, Writes);

fn operator(builder: impl Builder, service: OpendalService) -> Result<Operator> {
    Operator::new(builder).map_err(|error| explained(&error, service))
}

fn azblob(remote: &Remote, options: &Options) -> Result<Made> {
    remote.allow(&["endpoint"])?;
    let prefix = remote.prefix()?;
    let Some((container, prefix)) = prefix.split_first() else {
        return Err(invalid(
            "an azblob:// URL names an account and a container: azblob://account/container".into(),
        ));
    };
    let own = format!("https://{}.blob.core.windows.net", remote.host);
    let (endpoint, writes) = endpoint(remote, options, own)?;
    let mut builder = Azblob::default()
        .root(&root(prefix))
        .container(container)
        .account_name(&remote.host)
        .endpoint(&endpoint);
    if let Some(token) = first_of(options, &AZURE_TOKENS) {
        builder = builder.sas_token(token.expose_secret().trim_start_matches('?'));
    } else if let Some(key) = first_of(options, &AZURE_KEYS) {
        builder = builder.account_key(key.expose_secret());
    } else {
        return Err(missing("AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN"));
    }
    Ok((operator(builder, OpendalService::Azblob)?, OpendalService::Azblob, writes))
}

fn gcs(remote: &Remote, options: &Options) -> Result<Made> {
    remote.allow(&["endpoint"])?;
    let own = "https://storage.googleapis.com".to_owned();
    let (endpoint, writes) = endpoint(remote, options, own)?;
    // Nothing but what is named here is looked for: else the user's own login would be used.
    let mut builder = Gcs::default()
        .root(&root(&remote.prefix()?))
        .bucket(&remote.host)
        .endpoint(&endpoint)
        .disable_config_load();
    if let Some(token) = first_of(options, &[GOOGLE_TOKEN]) {
        builder = builder.token(token.expose_secret().to_owned());
    } else if let Some(path) = (options.variable)(GOOGLE_FILE).filter(|path| !path.is_empty()) {
        if let Err(error) = std::fs::File::open(&path) {
            return Err(invalid(format!("{GOOGLE_FILE} names {path}: {error}")));
        }
        builder = builder.credential_path(&path).disable_vm_metadata();
    }
    Ok((operator(builder, OpendalService::Gcs)?, OpendalService::Gcs, writes))
}

fn webdav(remote: &Remote, options: &Options) -> Result<Made> {
    remote.allow(&[])?;
    let scheme = match remote.scheme {
        Scheme::Webdav => "http",
        _ => "https",
    };
    let host =
        if remote.host.contains(':') { format!("[{}]", remote.host) } else { remote.host.clone() };
    let port = remote.port.map(|port| format!(":{port}"));
    let endpoint = format!("{scheme}://{host}{}", port.unwrap_or_default());
    checked_endpoint(&endpoint, options)?;
    let mut builder = Webdav::default()
        .endpoint(&endpoint)
        .root(&root(&remote.prefix()?))
        // Folders are made here, and once.
        .disable_create_dir(true);
    if let Some(user) = &remote.user {
        let ask = || (options.ask)(&format!("password of {user} at {}", remote.host));
        let Some(password) = options.password.clone().or_else(ask) else {
            return Err(Error::new(ErrorKind::Invalid)
                .with_source("no password is given")
                .with_hint("give it in a file or a variable, or leave the user out of the URL"));
        };
        builder = builder.username(user).password(password.expose_secret());
    }
    Ok((operator(builder, OpendalService::Webdav)?, OpendalService::Webdav, Writes::Weak))
}

/// Where the requests go. Both services document that a write with a condition is decided by
/// themselves, for one of many writers; of another server that speaks their language nobody knows.
fn endpoint(remote: &Remote, options: &Options, own: String) -> Result<(String, Writes)> {
    let Some(endpoint) = remote.parameters.get("endpoint") else {
        return Ok((own, Writes::CreateOnly));
    };
    checked_endpoint(endpoint, options)?;
    let endpoint = endpoint.trim_end_matches('/').to_owned();
    Ok((endpoint, Writes::Unproven))
}

fn checked_endpoint(endpoint: &str, options: &Options) -> Result<()> {
    let url = Url::parse(endpoint)
        .ok()
        .filter(|url| url.has_host() && url.query().is_none() && url.fragment().is_none());
    let Some(url) = url else {
        return Err(invalid("the endpoint is no URL like https://host".into()));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("the endpoint holds no user and no password".into()));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if options.plain_http => Ok(()),
        "http" => Err(invalid("plain HTTP shows all to everybody on the way".into())
            .with_hint("use https, or accept that with --plain-http")),
        _ => Err(invalid("the endpoint begins with https://".into())),
    }
}

/// A prefix as opendal wants it.
fn root(prefix: &[&str]) -> String {
    format!("/{}", prefix.join("/"))
}

fn first_of(options: &Options, names: &[&str]) -> Option<SecretString> {
    names
        .iter()
        .filter_map(|name| (options.variable)(name))
        .find(|value| !value.is_empty())
        .map(SecretString::from)
}

fn missing(variables: &str) -> Error {
    invalid(format!("no credentials are given: {variables}"))
        .with_hint(format!("set {variables} in the environment"))
}
