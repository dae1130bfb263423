//! The library's requests, made by our client; what a server says when it refuses.

use std::fmt;

use async_trait::async_trait;
use http::header::CONTENT_RANGE;
use http::{Request, StatusCode};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};

use super::answer::Answer;
use crate::http::WebClient;

/// Makes requests; clones share everything.
#[derive(Debug, Clone)]
pub(super) struct S3HttpService(pub(super) WebClient);

/// The server refused. The library keeps status and body of such an answer to itself, so it is made
/// an error here, which its errors lead to.
#[derive(Debug)]
pub(super) struct S3Refusal {
    pub(super) status: StatusCode,
    pub(super) answer: Answer,
    /// Where the bucket is, by a header: a HEAD has no body.
    pub(super) region: Option<String>,
}

impl fmt::Display for S3Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answer.text() {
            Some(text) => f.write_str(&text),
            None => self.status.fmt(f),
        }
    }
}

impl std::error::Error for S3Refusal {}

#[async_trait]
impl HttpService for S3HttpService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        // It is in memory, and what is one piece is not copied: only this type can tell.
        let body = HttpResponseBody::new(body).bytes().await?;
        // Nobody asks for the kind: the library does not retry here.
        let failed = |error| HttpError::new(HttpErrorKind::Unknown, error);
        let answered = self.0.send(Request::from_parts(parts, body)).await;
        let mut answer = answered.map_err(failed)?;
        if answer.status().is_success() {
            // rclone's server calls a part of a body the whole (200), and says which part it is.
            if answer.headers().contains_key(CONTENT_RANGE) {
                *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            return Ok(answer.map(HttpResponseBody::from));
        }
        let region = answer.headers().get("x-amz-bucket-region");
        let refused = S3Refusal {
            status: answer.status(),
            answer: Answer::parse(&String::from_utf8_lossy(answer.body())),
            region: region.and_then(|region| Some(region.to_str().ok()?.to_owned())),
        };
        Err(HttpError::new(HttpErrorKind::Unknown, refused))
    }
}

impl HttpConnector for S3HttpService {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
