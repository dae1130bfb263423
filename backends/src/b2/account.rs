//! Who asks: a login, its token, and the addresses that come with it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Builder;
use http::{Method, Request, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answers::{LoggedIn, UploadUrl, accepted, is_expired, parsed};
use super::bad_answer;
use crate::destination::invalid;
use crate::http::WebClient;
use crate::{Error, ErrorKind, Options, Result};

const ID: &str = "B2_APPLICATION_KEY_ID";
const KEY: &str = "B2_APPLICATION_KEY";

/// A key of an account.
pub(super) struct B2Account {
    client: WebClient,
    login: String,
    key_id: String,
    key: SecretString,
    logged_in: Mutex<Option<Arc<LoggedIn>>>,
    /// Addresses for uploads that nobody uses now: each takes one at a time.
    upload_urls: Mutex<Vec<UploadUrl>>,
}

/// Something to store.
pub(super) struct Upload<'a> {
    pub(super) bucket_id: &'a str,
    /// As it goes into a header.
    pub(super) name: String,
    /// Of the body, in hexadecimal digits.
    pub(super) sha1: String,
    pub(super) body: Bytes,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for B2Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").finish_non_exhaustive()
    }
}

impl B2Account {
    /// Errors: `Invalid`.
    pub(super) fn new(login: &str, options: &Options, client: WebClient) -> Result<Self> {
        let variable = |name: &str| (options.variable)(name).filter(|value| !value.is_empty());
        let (Some(key_id), Some(key)) = (variable(ID), variable(KEY)) else {
            return Err(invalid(format!("no credentials are given: {ID} and {KEY}"))
                .with_hint(format!("set {ID} and {KEY} in the environment")));
        };
        Ok(Self {
            client,
            login: login.to_owned(),
            key_id,
            key: key.into(),
            logged_in: Mutex::default(),
            upload_urls: Mutex::default(),
        })
    }

    /// A call by its name, with what it is told in JSON.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        name: &str,
        told: &impl Serialize,
    ) -> Result<T> {
        let told = serde_json::to_vec(told)
            .map_err(|error| Error::new(ErrorKind::Other).with_source(error))?;
        let answer = self
            .with_login(|login| {
                let request = Request::post(format!("{}/b2api/v2/{name}", login.api_url));
                built(request, &login.authorization_token, told.clone().into())
            })
            .await?;
        parsed(&answer)
    }

    /// A request to the address that gives files.
    pub(super) async fn download(
        &self,
        method: Method,
        path: &str,
        with: impl Fn(Builder) -> Builder,
    ) -> Result<Response<Bytes>> {
        self.with_login(|login| {
            let url = format!("{}/{path}", login.download_url);
            let request = with(Request::builder().method(method.clone()).uri(url));
            built(request, &login.authorization_token, Bytes::new())
        })
        .await
    }

    /// Stores something.
    pub(super) async fn upload(&self, upload: Upload<'_>) -> Result<()> {
        let url = self.upload_url(upload.bucket_id).await?;
        let request = Request::post(&url.upload_url)
            .header("x-bz-file-name", upload.name)
            .header("x-bz-content-sha1", upload.sha1)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, upload.body.len());
        let request = built(request, &url.authorization_token, upload.body)?;
        match self.send(request).await {
            // An address that failed is never used again: that is B2's rule.
            Err(error) if is_expired(&error) => {
                lock(&self.upload_urls).clear();
                Err(Error::new(ErrorKind::Transient).with_source(error))
            }
            Err(error) => Err(error),
            Ok(_) => {
                lock(&self.upload_urls).push(url);
                Ok(())
            }
        }
    }

    async fn upload_url(&self, bucket_id: &str) -> Result<UploadUrl> {
        let kept = lock(&self.upload_urls).pop();
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let bucket = json!({"bucketId": bucket_id});
        self.call("b2_get_upload_url", &bucket).await
    }

    /// Makes a request as somebody who is logged in; an expired login is made anew, once.
    async fn with_login(
        &self,
        request: impl Fn(&LoggedIn) -> Result<Request<Bytes>>,
    ) -> Result<Response<Bytes>> {
        let known = lock(&self.logged_in).clone();
        if let Some(login) = known {
            match self.send(request(&login)?).await {
                Err(error) if is_expired(&error) => {}
                answer => return answer,
            }
        }
        let login = Arc::new(self.log_in().await?);
        *lock(&self.logged_in) = Some(Arc::clone(&login));
        self.send(request(&login)?).await
    }

    async fn log_in(&self) -> Result<LoggedIn> {
        let both = format!("{}:{}", self.key_id, self.key.expose_secret());
        let basic = format!("Basic {}", BASE64_STANDARD.encode(both));
        let request = Request::get(format!("{}/b2api/v2/b2_authorize_account", self.login));
        let answer = self.send(built(request, &basic, Bytes::new())?).await?;
        parsed(&answer)
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let answer = self.client.send(request).await;
        accepted(answer.map_err(|trouble| trouble.explained())?)
    }
}

/// A request of somebody. Errors: `Other`: what B2 gave as an address or a token is none.
fn built(request: Builder, token: &str, body: Bytes) -> Result<Request<Bytes>> {
    let mut token =
        HeaderValue::from_str(token).map_err(|_| bad_answer("the token is no header"))?;
    token.set_sensitive(true);
    let request = request.header(AUTHORIZATION, token).body(body);
    request.map_err(|_| bad_answer("the address is none"))
}
